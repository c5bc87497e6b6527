//! How is what has happened so far drawn as the lines of a screen? Pure.

use std::time::{Duration, SystemTime};

use crate::grpc::v1::{self, BreakerState};

use super::CALLS_PER_SECOND;
use super::acts::{ACTS, Act};
use super::caller::{Ended, Fate};
use super::record::{Call, Counts, Event, Record};
use super::report;
use super::screen::{Line, Size, Style};

/// Columns beside the text.
const MARGIN: usize = 1;

/// The most columns that are of use.
const WIDEST: usize = 100;

/// The moment that is drawn.
pub(super) struct Moment<'a> {
    pub(super) record: &'a Record,
    /// Since the beginning.
    pub(super) at: Duration,
    /// How long it will take in all, as far as that is known.
    pub(super) length: Duration,
    /// For the times of the breakers.
    pub(super) clock: SystemTime,
    /// What is served where, in a line.
    pub(super) headline: &'a str,
}

/// The screen of a moment, for a terminal of this size.
pub(super) fn draw(moment: &Moment<'_>, size: Size) -> Vec<Line> {
    let width = size.columns.clamp(20, WIDEST) - 2 * MARGIN;
    let mut above = vec![
        Line::of(Style::Bold, "Modelway demo  ").and(Style::Dim, moment.headline),
        Line::default(),
    ];
    above.extend(act(moment, width));
    above.push(Line::default());
    for breaker in &moment.record.breakers {
        above.push(breaker_line(breaker, moment.clock));
    }
    above.push(Line::default());

    let mut below = vec![Line::default()];
    below.extend(legend(width));
    below.push(Line::default());
    below.extend(sums(&moment.record.counts(), width));

    let calls_in_all = moment.length.as_secs_f64() * f64::from(CALLS_PER_SECOND);
    let rows = size
        .rows
        .saturating_sub(above.len() + below.len())
        .clamp(1, calls_in_all as usize / width + 1);
    let mut lines = above;
    lines.extend(strip(&moment.record.calls, width, rows));
    lines.extend(below);
    lines
        .into_iter()
        .map(|line| line.indented(MARGIN))
        .collect()
}

fn act(moment: &Moment<'_>, width: usize) -> Vec<Line> {
    let begun = |(_, event): &(Duration, Event)| match event {
        Event::Act(number) => Some(*number),
        Event::Breaker { .. } | Event::Lost { .. } => None,
    };
    let number = moment.record.events.iter().rev().find_map(begun);
    let number = number.unwrap_or(0);
    let Some(Act {
        title, plot, hint, ..
    }) = ACTS.get(number)
    else {
        return Vec::new();
    };
    let title = format!("Act {} of {}: {title}", number + 1, ACTS.len());
    let clock = format!(
        "{} s of about {} s",
        moment.at.as_secs(),
        moment.length.as_secs()
    );
    let space = width.saturating_sub(title.chars().count() + clock.chars().count());
    let mut lines = vec![
        Line::of(Style::Bold, title)
            .and(Style::Plain, " ".repeat(space.max(1)))
            .and(Style::Dim, clock),
    ];
    for text in wrapped(plot, width) {
        lines.push(Line::of(Style::Plain, text));
    }
    for text in wrapped(hint, width) {
        lines.push(Line::of(Style::Dim, text));
    }
    // As many as the longest act takes, so that nothing below ever moves.
    let rows = |act: &Act| 1 + wrapped(act.plot, width).len() + wrapped(act.hint, width).len();
    let most = ACTS.iter().map(rows).max().unwrap_or(0);
    lines.resize(most, Line::default());
    lines
}

fn breaker_line(breaker: &v1::Breaker, clock: SystemTime) -> Line {
    let state = breaker.state();
    let (style, detail) = match state {
        BreakerState::Closed | BreakerState::Unspecified => {
            let (failures, samples) = (breaker.window_failures, breaker.window_calls);
            (
                Style::Green,
                format!("{failures} of the last {samples} attempts failed"),
            )
        }
        BreakerState::Open => {
            let probe = breaker
                .next_probe_time
                .and_then(|time| SystemTime::try_from(time).ok());
            let wait = probe
                .and_then(|probe| probe.duration_since(clock).ok())
                .unwrap_or_default();
            (
                Style::Red,
                format!("passed over; next probe in {:.1} s", wait.as_secs_f64()),
            )
        }
        BreakerState::HalfOpen => (Style::Yellow, "one probe at a time".to_owned()),
        BreakerState::ForcedOpen | BreakerState::ForcedClosed => {
            (Style::Yellow, "by an operator".to_owned())
        }
    };
    let mut line = Line::of(Style::Plain, format!("{:<16}", breaker.model))
        .and(style, format!("● {:<11}", report::state(state)))
        .and(Style::Dim, detail);
    if breaker.opened_total > 0 {
        line = line.and(Style::Dim, format!("; opened {}×", breaker.opened_total));
    }
    line
}

/// Every call as one character, row after row like a text; the last rows that there is room for.
fn strip(calls: &[Call], width: usize, rows: usize) -> Vec<Line> {
    let lines = calls.chunks(width).map(|row| {
        let mut line = Line::default();
        for call in row {
            let (style, glyph) = look(call.ended.as_ref());
            line = line.and(style, glyph);
        }
        line
    });
    let mut lines: Vec<Line> = lines.collect();
    lines.drain(..lines.len().saturating_sub(rows));
    lines.resize(rows, Line::default());
    lines
}

/// How a call looks; differs in shape, too, for those who see no colours.
fn look(ended: Option<&Ended>) -> (Style, &'static str) {
    match ended.map(|ended| &ended.fate) {
        None => (Style::Dim, "·"),
        Some(Fate::Primary) => (Style::Green, "█"),
        Some(Fate::Backup) => (Style::Cyan, "▒"),
        Some(Fate::Rescued) => (Style::Yellow, "▄"),
        Some(Fate::Interrupted) => (Style::Magenta, "×"),
        Some(Fate::Lost(_)) => (Style::Red, "!"),
    }
}

fn legend(width: usize) -> Vec<Line> {
    let fates = [
        (Fate::Primary, "primary"),
        (Fate::Rescued, "rescued by backup"),
        (Fate::Backup, "backup at once"),
        (Fate::Interrupted, "interrupted"),
        (Fate::Lost(String::new()), "lost"),
    ];
    let items = fates.map(|(fate, name)| {
        let (style, glyph) = look(Some(&Ended { fate, attempts: 0 }));
        (style, glyph.to_owned(), format!(" {name}"))
    });
    flowing(&items, width)
}

fn sums(counts: &Counts, width: usize) -> Vec<Line> {
    let item = |style, number: usize, name: &str| (style, number.to_string(), format!(" {name}"));
    let alarming = |number, style| if number > 0 { style } else { Style::Plain };
    let per_call = format!("attempts, {:.2} per call", counts.attempts_per_call());
    let calls = [
        item(Style::Bold, counts.calls, "calls"),
        item(Style::Bold, counts.answered(), "answered"),
        item(Style::Plain, counts.under_way, "under way"),
        item(Style::Plain, counts.attempts, &per_call),
    ];
    let fates = [
        item(Style::Green, counts.primary, "primary"),
        item(Style::Yellow, counts.rescued, "rescued"),
        item(Style::Cyan, counts.backup, "backup"),
        item(
            alarming(counts.interrupted, Style::Magenta),
            counts.interrupted,
            "interrupted",
        ),
        item(alarming(counts.lost, Style::Red), counts.lost, "lost"),
    ];
    let mut lines = flowing(&calls, width);
    lines.extend(flowing(&fates, width));
    lines
}

/// Sets items, each a styled piece and a plain one, side by side in as many lines as they need.
fn flowing(items: &[(Style, String, String)], width: usize) -> Vec<Line> {
    const GAP: usize = 3;
    let mut lines = vec![Line::default()];
    let mut used = 0;
    for (style, styled, plain) in items {
        let length = styled.chars().count() + plain.chars().count();
        if used > 0 && used + GAP + length > width {
            lines.push(Line::default());
            used = 0;
        }
        let gap = if used > 0 { GAP } else { 0 };
        used += gap + length;
        if let Some(line) = lines.last_mut() {
            *line = std::mem::take(line)
                .and(Style::Plain, " ".repeat(gap))
                .and(*style, styled)
                .and(Style::Plain, plain);
        }
    }
    lines
}

/// The text in lines of at most this many characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::PRIMARY;
    use super::*;
    use crate::caller::Method;

    fn record() -> Record {
        let mut record = Record::default();
        let fates = [
            Some(Fate::Primary),
            Some(Fate::Rescued),
            Some(Fate::Backup),
            Some(Fate::Interrupted),
            Some(Fate::Lost(String::new())),
            None,
        ];
        record.act_began(Duration::from_secs(11), 2);
        for fate in fates {
            let number = record.call_began(Method::Generate);
            if let Some(fate) = fate {
                record.call_ended(Duration::ZERO, number, Ended { fate, attempts: 1 });
            }
        }
        let breaker = |provider: &str, state: BreakerState, opened_total| v1::Breaker {
            provider: provider.to_owned(),
            model: format!("{provider}/model"),
            state: state.into(),
            next_probe_time: Some((SystemTime::UNIX_EPOCH + Duration::from_millis(1500)).into()),
            window_calls: 20,
            window_failures: 3,
            opened_total,
            ..v1::Breaker::default()
        };
        let breakers = vec![
            breaker("backup", BreakerState::Closed, 0),
            breaker(PRIMARY, BreakerState::Open, 2),
        ];
        record.looked(Duration::ZERO, breakers);
        record
    }

    fn drawn(columns: usize, rows: usize) -> Vec<String> {
        let moment = Moment {
            record: &record(),
            at: Duration::from_millis(12_300),
            length: Duration::from_secs(10),
            clock: SystemTime::UNIX_EPOCH,
            headline: "calls",
        };
        let lines = draw(&moment, Size { columns, rows });
        lines
            .iter()
            .map(|line| line.plain().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn a_moment_is_a_screen() {
        let expected = "
 Modelway demo  calls

 Act 3 of 6: Hanging                                         12 s of about 10 s
 The primary takes every request and says nothing.
 Calls wait for it in vain, then go on to the backup, until the breaker opens.
 Then no call waits.

 primary/model   ● open       passed over; next probe in 1.5 s; opened 2×
 backup/model    ● closed     3 of the last 20 attempts failed

 █▄▒×!·



 █ primary   ▄ rescued by backup   ▒ backup at once   × interrupted   ! lost

 6 calls   3 answered   1 under way   5 attempts, 1.00 per call
 1 primary   1 rescued   1 backup   1 interrupted   1 lost";

        assert_eq!(drawn(80, 24), expected.lines().skip(1).collect::<Vec<_>>());
    }

    #[test]
    fn a_narrow_terminal_gets_every_word_and_no_line_is_too_long() {
        let lines = drawn(40, 40);

        let text = lines.join(" ");
        for word in ["vain,", "under way", "per call", "interrupted", "lost"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let breakers = |line: &&String| !line.contains('●');
        for line in lines.iter().filter(breakers) {
            assert!(line.chars().count() <= 39, "{line}");
        }
    }

    #[test]
    fn the_strip_keeps_its_last_rows() {
        let calls: Vec<Call> = (0..5)
            .map(|number| Call {
                method: Method::Generate,
                ended: (number < 4).then_some(Ended {
                    fate: Fate::Primary,
                    attempts: 1,
                }),
            })
            .collect();

        let rows: Vec<_> = strip(&calls, 2, 2).iter().map(Line::plain).collect();

        assert_eq!(rows, ["██", "·"]);
    }
}
