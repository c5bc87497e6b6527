//! Writes to standard output: a picture on a terminal, lines elsewhere; on a terminal the same lines remain at the end.

use std::io;
use std::time::{Duration, SystemTime};

use super::record::Record;
use super::report;
use super::screen::{self, Screen};
use super::view::{self, Moment};

/// Standard output.
#[derive(Debug)]
pub(super) struct Output {
    headline: String,
    screen: Option<Screen>,
    /// Events that have been written.
    printed: usize,
}

impl Output {
    /// Starts the output.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn open(headline: String) -> io::Result<Self> {
        let screen = Screen::open()?;
        if screen.is_none() {
            screen::put(&title(&headline))?;
        }
        Ok(Self {
            headline,
            screen,
            printed: 0,
        })
    }

    /// Shows what has happened so far.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn show(
        &mut self,
        record: &Record,
        at: Duration,
        length: Duration,
    ) -> io::Result<()> {
        let Some(screen) = &self.screen else {
            return self.print_events(record);
        };
        let moment = Moment {
            record,
            at,
            length,
            clock: SystemTime::now(),
            headline: &self.headline,
        };
        screen.show(&view::draw(&moment, screen.size()))
    }

    /// Restores the terminal, and writes the remaining lines and the numbers.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn close(mut self, record: &Record, numbers: &str) -> io::Result<()> {
        if let Some(screen) = self.screen.take() {
            drop(screen);
            screen::put(&title(&self.headline))?;
        }
        self.print_events(record)?;
        screen::put(&format!("\n{numbers}"))
    }

    /// Writes a line for each event that has none yet.
    fn print_events(&mut self, record: &Record) -> io::Result<()> {
        for (at, event) in record.events.iter().skip(self.printed) {
            screen::put(&format!("{}\n", report::line(*at, event)))?;
            self.printed += 1;
        }
        Ok(())
    }
}

fn title(headline: &str) -> String {
    format!("Modelway demo: {headline}\n\n")
}
