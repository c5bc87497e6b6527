//! The terminal: lines of styled text, drawn over each other and cleared away at the end.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

/// Columns and rows of a terminal whose size is unknown.
const USUAL_SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

/// How much a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// How a piece of a line looks, where colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Green,
    Cyan,
    Yellow,
    Magenta,
    Red,
}

impl Style {
    /// Parameter of the sequence "select graphic rendition" (ECMA-48, section 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Cyan => "36",
            Self::Yellow => "33",
            Self::Magenta => "35",
            Self::Red => "1;31",
        }
    }
}

/// A line as pieces of one style each. Every character is one column wide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    pub(super) fn of(style: Style, text: impl Into<String>) -> Self {
        Self::default().and(style, text)
    }

    /// The line with one more piece.
    #[must_use]
    pub(super) fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        let text = text.into();
        match self.0.last_mut() {
            Some((last, before)) if *last == style => before.push_str(&text),
            _ => self.0.push((style, text)),
        }
        self
    }

    /// The line with this many blanks before it.
    #[must_use]
    pub(super) fn indented(mut self, columns: usize) -> Self {
        self.0.insert(0, (Style::Plain, " ".repeat(columns)));
        self
    }

    /// The text without styles.
    #[cfg(test)]
    pub(super) fn plain(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    fn write(&self, columns: usize, colours: bool, out: &mut String) {
        let mut left = columns;
        for (style, text) in &self.0 {
            let shown: String = text.chars().take(left).collect();
            left -= shown.chars().count();
            if colours && *style != Style::Plain {
                // Writing to a String cannot fail.
                let _ = write!(out, "\x1b[{}m{shown}\x1b[0m", style.code());
            } else {
                out.push_str(&shown);
            }
        }
    }
}

/// The bytes that replace what a terminal shows by these lines, as far as they fit.
pub(super) fn frame(lines: &[Line], size: Size, colours: bool) -> String {
    let mut out = String::from("\x1b[H");
    for (row, line) in lines.iter().take(size.rows).enumerate() {
        if row > 0 {
            out.push_str("\r\n");
        }
        line.write(size.columns, colours, &mut out);
        out.push_str("\x1b[K");
    }
    out.push_str("\x1b[J");
    out
}

/// A terminal's alternate screen without a cursor; dropping it restores the main screen.
#[derive(Debug)]
pub(super) struct Screen {
    colours: bool,
}

impl Screen {
    /// Opens it if standard output is a terminal that can do this.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn open() -> io::Result<Option<Self>> {
        let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if is_dumb || !io::stdout().is_terminal() {
            return Ok(None);
        }
        // https://no-color.org: set and not empty.
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let screen = Self { colours };
        put("\x1b[?1049h\x1b[?25l")?;
        Ok(Some(screen))
    }

    /// How much it shows at this moment.
    pub(super) fn size(&self) -> Size {
        let Ok(size) = rustix::termios::tcgetwinsize(io::stdout()) else {
            return USUAL_SIZE;
        };
        match (size.ws_col, size.ws_row) {
            (0, _) | (_, 0) => USUAL_SIZE,
            (columns, rows) => Size {
                columns: columns.into(),
                rows: rows.into(),
            },
        }
    }

    /// Shows these lines in place of what it shows.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn show(&self, lines: &[Line]) -> io::Result<()> {
        put(&frame(lines, self.size(), self.colours))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no cursor.
        let _ = put("\x1b[?25h\x1b[?1049l");
    }
}

/// Writes to standard output.
///
/// # Errors
/// It cannot be written, such as a pipe that nobody reads any more.
pub(super) fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        vec![
            Line::of(Style::Green, "écho").and(Style::Plain, " golf"),
            Line::of(Style::Plain, "hôtel"),
            Line::of(Style::Plain, "india"),
        ]
    }

    #[test]
    fn a_frame_is_cut_to_the_terminal() {
        let size = Size {
            columns: 6,
            rows: 2,
        };

        let frame = frame(&lines(), size, false);

        assert_eq!(frame, "\x1b[Hécho g\x1b[K\r\nhôtel\x1b[K\x1b[J");
    }

    #[test]
    fn colours_are_written_around_their_piece_and_cost_no_column() {
        let size = Size {
            columns: 6,
            rows: 1,
        };

        let frame = frame(&lines(), size, true);

        assert_eq!(frame, "\x1b[H\x1b[32mécho\x1b[0m g\x1b[K\x1b[J");
    }
}
