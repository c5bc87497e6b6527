//! What is printed as plain text? A line for each event, and the numbers at the end. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use crate::grpc::v1::BreakerState;

use super::PRIMARY;
use super::acts::{ACTS, Act};
use super::record::{Counts, Event, Outage, Record};

/// The line of an event.
pub(super) fn line(at: Duration, event: &Event) -> String {
    let at = at.as_secs_f64();
    match event {
        Event::Act(number) => {
            let (title, plot) = ACTS
                .get(*number)
                .map_or(("", ""), |act: &Act| (act.title, act.plot));
            let (number, count) = (number + 1, ACTS.len());
            format!("{at:5.1} s  {number}/{count} {title}: {plot}")
        }
        Event::Breaker { provider, from, to } => {
            let (from, to) = (state(*from), state(*to));
            format!("{at:5.1} s    breaker of the {provider}: {from} -> {to}")
        }
        Event::Lost { call, why } => format!("{at:5.1} s    call {call} LOST: {why}"),
    }
}

/// What people call a breaker's state.
pub(super) fn state(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Unspecified => "unknown",
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
        BreakerState::ForcedOpen => "held open",
        BreakerState::ForcedClosed => "held closed",
    }
}

/// The result of the demonstration.
#[derive(Debug, PartialEq)]
pub(super) struct Numbers {
    counts: Counts,
    outages: Vec<Outage>,
    opened_total: i64,
    /// Requests that reached the simulator, by its own log.
    simulated: usize,
    /// Whether the demonstration was played to its end.
    is_complete: bool,
}

impl Numbers {
    pub(super) fn new(record: &Record, simulated: usize, is_complete: bool) -> Self {
        Self {
            counts: record.counts(),
            outages: record.outages(&ACTS),
            opened_total: record.opened_total(),
            simulated,
            is_complete,
        }
    }

    /// The failures of the demonstration.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let Counts {
            calls,
            under_way,
            interrupted,
            lost,
            attempts,
            ..
        } = self.counts;
        if lost > 0 {
            mistakes.push(format!("calls were lost: {lost}"));
        }
        if calls != self.counts.answered() + interrupted + lost {
            mistakes.push(format!("calls have not ended: {under_way}"));
        }
        if attempts != self.simulated {
            mistakes.push(format!(
                "the responses list {attempts} attempts, the simulator's log {}",
                self.simulated
            ));
        }
        if !self.is_complete {
            return mistakes;
        }
        for outage in &self.outages {
            let title = outage.title;
            if outage.opened_after.is_none() {
                mistakes.push(format!("the breaker did not open in the act `{title}`"));
            }
            if outage.closed_after.is_none() {
                mistakes.push(format!("the breaker did not close after the act `{title}`"));
            }
        }
        mistakes
    }

    /// The numbers, a line each.
    pub(super) fn text(&self) -> String {
        let Counts {
            calls,
            streams,
            under_way: _, // a mistake, if any
            primary,
            backup,
            rescued,
            interrupted,
            lost,
            attempts,
        } = self.counts;
        let (answered, whole) = (self.counts.answered(), calls - streams);
        let (rate, simulated) = (self.counts.attempts_per_call(), self.simulated);
        let rows = [
            ("calls", calls, format!("{whole} whole, {streams} streams")),
            ("answered", answered, "complete, to the last word".into()),
            ("  by the primary", primary, String::new()),
            (
                "  by the backup",
                backup,
                "at once, while the primary's breaker was not closed".into(),
            ),
            (
                "  rescued",
                rescued,
                "by failover, after an attempt had failed".into(),
            ),
            (
                "interrupted",
                interrupted,
                "streams cut while being read, by STREAM_INTERRUPTED".into(),
            ),
            ("lost", lost, String::new()),
            (
                "attempts",
                attempts,
                format!("{rate:.2} per call; the simulator's log counts {simulated}"),
            ),
        ];
        let mut text = String::new();
        for (name, number, remark) in rows {
            let row = format!("{name:<18}{number:>6}   {remark}");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", row.trim_end());
        }
        let opened = self.opened_total;
        let _ = writeln!(
            text,
            "breaker opened    {opened:>6}   times at the {PRIMARY}, failed probes included"
        );
        for outage in &self.outages {
            let title = format!("  {}", outage.title);
            let opened = seconds(outage.opened_after).map_or("not opened".to_owned(), |time| {
                format!("opened after {time}")
            });
            let closed = seconds(outage.closed_after).map_or("not closed".to_owned(), |time| {
                format!("closed {time} after its end")
            });
            let _ = writeln!(text, "{title:<27}{opened}, {closed}");
        }
        if !self.is_complete {
            let _ = writeln!(text, "stopped before the last act was over");
        }
        for mistake in self.mistakes() {
            let _ = writeln!(text, "WRONG: {mistake}");
        }
        text
    }
}

fn seconds(time: Option<Duration>) -> Option<String> {
    time.map(|time| format!("{:.1} s", time.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        Numbers {
            counts: Counts {
                calls: 700,
                streams: 350,
                under_way: 0,
                primary: 500,
                backup: 120,
                rescued: 70,
                interrupted: 10,
                lost: 0,
                attempts: 770,
            },
            outages: vec![Outage {
                title: "Hanging",
                opened_after: Some(Duration::from_millis(1090)),
                closed_after: Some(Duration::from_millis(1750)),
            }],
            opened_total: 4,
            simulated: 770,
            is_complete: true,
        }
    }

    #[test]
    fn the_numbers_are_a_table_of_plain_text() {
        let expected = "\
calls                700   350 whole, 350 streams
answered             690   complete, to the last word
  by the primary     500
  by the backup      120   at once, while the primary's breaker was not closed
  rescued             70   by failover, after an attempt had failed
interrupted           10   streams cut while being read, by STREAM_INTERRUPTED
lost                   0
attempts             770   1.10 per call; the simulator's log counts 770
breaker opened         4   times at the primary, failed probes included
  Hanging                  opened after 1.1 s, closed 1.8 s after its end
";

        assert_eq!(numbers().text(), expected);
        assert_eq!(numbers().mistakes(), [""; 0]);
    }

    #[test]
    fn what_does_not_add_up_is_said() {
        let mut wrong = numbers();
        wrong.counts.lost = 2;
        wrong.counts.under_way = 1;
        wrong.simulated = 771;
        wrong.outages[0].opened_after = None;
        wrong.outages[0].closed_after = None;

        let expected = [
            "calls were lost: 2",
            "calls have not ended: 1",
            "the responses list 770 attempts, the simulator's log 771",
            "the breaker did not open in the act `Hanging`",
            "the breaker did not close after the act `Hanging`",
        ];
        assert_eq!(wrong.mistakes(), expected);
        assert!(wrong.text().contains("WRONG: calls were lost: 2\n"));
    }

    #[test]
    fn a_run_that_was_stopped_need_not_have_seen_the_breaker_close() {
        let mut stopped = numbers();
        stopped.is_complete = false;
        stopped.outages[0].closed_after = None;

        assert_eq!(stopped.mistakes(), [""; 0]);
        let end = "opened after 1.1 s, not closed\nstopped before the last act was over\n";
        assert!(stopped.text().ends_with(end));
    }

    #[test]
    fn every_event_is_a_line() {
        let table = [
            (
                Event::Act(0),
                "  1.2 s  1/6 Healthy: Both providers work; the primary answers every call.",
            ),
            (
                Event::Breaker {
                    provider: "primary".to_owned(),
                    from: BreakerState::Open,
                    to: BreakerState::HalfOpen,
                },
                "  1.2 s    breaker of the primary: open -> half-open",
            ),
            (
                Event::Lost {
                    call: 7,
                    why: "it vanished".to_owned(),
                },
                "  1.2 s    call 7 LOST: it vanished",
            ),
        ];
        for (event, expected) in table {
            assert_eq!(line(Duration::from_millis(1234), &event), expected);
        }
    }

    #[test]
    fn a_line_fits_into_a_usual_terminal() {
        for number in 0..ACTS.len() {
            let line = line(Duration::from_secs(10), &Event::Act(number));

            assert!(line.chars().count() <= 80, "{line}");
        }
        for line in numbers().text().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
