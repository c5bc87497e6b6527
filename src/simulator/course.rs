//! In which steps is a body written, and how does a fault change them?

use std::time::Duration;

use bytes::Bytes;

use super::answer::{Answer, Dialect, Event, EventKind};
use super::behaviour::{Behaviour, Fault};
use super::step::Step;

/// A body without its fault: its pieces, and what a fault inserts between them.
pub(super) struct Course {
    /// Each piece with the wait before it.
    pieces: Vec<(Duration, Bytes)>,
    /// Index of each token's piece.
    tokens: Vec<usize>,
    ping: &'static str,
    error: Bytes,
    broken: Bytes,
    half_character: Bytes,
}

impl Course {
    pub(super) fn streamed(
        dialect: &dyn Dialect,
        answer: &Answer,
        behaviour: &Behaviour,
        fault: Option<Fault>,
    ) -> Self {
        let mut pieces = Vec::new();
        let mut tokens = Vec::new();
        let lacks_end = matches!(fault, Some(Fault::NoEnd | Fault::OpenEnd));
        for Event { bytes, kind } in dialect.events(answer) {
            let wait = match kind {
                EventKind::End if lacks_end => continue,
                EventKind::End | EventKind::Other => Duration::ZERO,
                EventKind::Token => {
                    tokens.push(pieces.len());
                    match tokens.len() {
                        1 => behaviour.first_token,
                        _ => behaviour.gap,
                    }
                }
            };
            pieces.push((wait, bytes));
        }
        // `é` is C3 A9: without the latter it is half a character.
        let mut half_character = dialect.text_event(answer, "é").into_bytes();
        half_character.retain(|byte| *byte != 0xA9);
        Self {
            pieces,
            tokens,
            ping: dialect.ping(),
            error: dialect.error_event(),
            broken: dialect.event_of(BROKEN_JSON),
            half_character: half_character.into(),
        }
    }

    /// A whole answer, each token an equal part of its bytes.
    pub(super) fn whole(dialect: &dyn Dialect, answer: &Answer) -> Self {
        let body = Bytes::from(dialect.whole(answer).to_string());
        let count = answer.tokens().max(1);
        let last = body.len() - 1;
        let mut pieces = Vec::new();
        for token in 0..count {
            let part = last * token / count..last * (token + 1) / count;
            pieces.push((Duration::ZERO, body.slice(part)));
        }
        pieces.push((Duration::ZERO, body.slice(last..)));
        Self {
            pieces,
            tokens: (0..count).collect(),
            ping: "\n",
            error: dialect
                .bad_request("The server had an error.")
                .to_string()
                .into(),
            broken: Bytes::from_static(BROKEN_JSON.as_bytes()),
            half_character: Bytes::from_static(&[0xC3]),
        }
    }

    /// Runs into the fault, or to the end.
    pub(super) fn run(self, fault: Option<Fault>) -> Vec<Step> {
        let Some(fault) = fault else {
            return steps(&self.pieces);
        };
        match fault {
            Fault::Silence => vec![Step::Hang],
            Fault::Empty => Vec::new(),
            Fault::Pings { every } => vec![Step::Repeat(self.ping.into(), every)],
            Fault::RoleOnly => self.until(0, vec![Step::Hang]),
            Fault::ErrorEvent { after } => self.until(after, vec![Step::Write(self.error.clone())]),
            Fault::Cut { after } => self.until(after, Vec::new()),
            Fault::Disconnect { after } => self.until(after, close(false)),
            Fault::Reset { after } => self.until(after, close(true)),
            Fault::Stall { after } => self.until(after, vec![Step::Hang]),
            Fault::Malformed { after } => self.around(after, self.broken.clone()),
            Fault::HalfCharacter { after } => self.around(after, self.half_character.clone()),
            Fault::OpenEnd => {
                let mut all = steps(&self.pieces);
                all.push(Step::Hang);
                all
            }
            Fault::LongLine => {
                let mut all = long_line();
                all.extend(steps(&self.pieces));
                all
            }
            // These do not change the steps of a body, or were handled before.
            Fault::Refuse(_)
            | Fault::Hang
            | Fault::ResetAtOnce
            | Fault::Html
            | Fault::ErrorBody
            | Fault::NoEnd
            | Fault::NoUsage
            | Fault::WrongContentType
            | Fault::WholeForStream => steps(&self.pieces),
        }
    }

    /// The body up to a token, then something else.
    fn until(&self, after: usize, instead: Vec<Step>) -> Vec<Step> {
        let mut all = steps(&self.pieces[..self.place(after)]);
        all.extend(instead);
        all
    }

    /// The body with something between two tokens.
    fn around(&self, after: usize, between: Bytes) -> Vec<Step> {
        let mut all = self.until(after, vec![Step::Write(between)]);
        all.extend(steps(&self.pieces[self.place(after)..]));
        all
    }

    /// Where `after` tokens have been written.
    fn place(&self, after: usize) -> usize {
        match (self.tokens.get(after), self.tokens.last()) {
            (Some(next), _) => *next,
            (None, Some(last)) => last + 1,
            (None, None) => self.pieces.len().min(1),
        }
    }
}

const BROKEN_JSON: &str = r#"{"broken":"#;

fn steps(pieces: &[(Duration, Bytes)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (wait, bytes) in pieces {
        if !wait.is_zero() {
            steps.push(Step::Wait(*wait));
        }
        steps.push(Step::Write(bytes.clone()));
    }
    steps
}

fn close(reset: bool) -> Vec<Step> {
    // Otherwise the bytes that were written would be lost in a buffer.
    vec![Step::Flush, Step::Close { reset }]
}

/// 10 MB of blanks in one line: white space in JSON, an unknown field in a stream.
fn long_line() -> Vec<Step> {
    let blanks = Bytes::from(vec![b' '; 64 * 1024]);
    let mut steps = vec![Step::Write(blanks); 160];
    steps.push(Step::write("\r\n\r\n"));
    steps
}
