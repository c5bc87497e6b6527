//! What do the calls of a cell show, and which laws do they break? Pure.

use std::time::Duration;

use modelway::grpc::v1::AttemptOutcome;

use super::caller::{Ending, Outcome};
use super::cell::{Cell, Played};
use super::faults::{Effect, Means};
use super::laws::{Breach, Expected, breach};
use super::stage::PRIMARY;

/// The retry budget as it is by default.
const BURST: f64 = 50.0;
const RATIO: f64 = 0.2;

/// Tokens that may be reserved while targets are probed, one for each.
const RESERVED: f64 = 2.0;

/// How many broken laws of one cell are described in words.
const EXAMPLES: usize = 3;

/// What a cell has shown.
#[derive(Default)]
pub(crate) struct Findings {
    /// Calls that were made while the fault lasted, and how many of them were answered.
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    /// Those that said that they broke off.
    pub(crate) broke_off: usize,
    /// Those that failed because no retry token was left.
    pub(crate) out_of_budget: usize,
    /// Their attempts, and how many of them failed.
    pub(crate) attempts: usize,
    pub(crate) failed_attempts: usize,
    /// From the start of the fault to the first call that skips the first target.
    pub(crate) opens_after: Option<Duration>,
    /// From its end to the first call that the first target answers as the ordinary choice.
    pub(crate) back_after: Option<Duration>,
    /// Calls before, during and after the fault that break a law.
    pub(crate) lost: usize,
    pub(crate) truncated: usize,
    pub(crate) repeated: usize,
    pub(crate) misreported: usize,
    /// The first breaches, in words.
    pub(crate) breaches: Vec<String>,
}

impl Findings {
    /// Judges a cell.
    pub(crate) fn of(cell: &Cell, played: &Played) -> Self {
        let Cell { fault, ill, method } = *cell;
        let during = Expected::during(fault.effect, ill, method);
        let phases = [
            (&played.before, Expected::healthy()),
            (&played.during, during),
            (&played.returning, Expected::returning(ill)),
            (&played.after, Expected::healthy()),
        ];
        let mut findings = Self::measure(played);
        for (outcomes, expected) in &phases {
            for outcome in *outcomes {
                if let Some(breach) = breach(outcome, expected) {
                    findings.add(breach, outcome);
                }
            }
        }
        findings.judge_attempts(
            cell,
            &phases.map(|(outcomes, _)| outcomes.as_slice()),
            played,
        );
        if fault.effect == Effect::None && findings.opens_after.is_some() {
            findings.note("a target that answers is closed off".to_owned());
        }
        if cell.heals() && played.back.is_none() {
            findings.note("the first target is not used again".to_owned());
        }
        findings
    }

    fn measure(played: &Played) -> Self {
        let mut findings = Self::default();
        for outcome in &played.during {
            findings.calls += 1;
            findings.answered += usize::from(outcome.ending == Ending::Answered);
            findings.broke_off += usize::from(outcome.fails_for("STREAM_INTERRUPTED"));
            findings.out_of_budget += usize::from(outcome.is_out_of_budget());
            findings.attempts += outcome.sent();
            for attempt in &outcome.attempts {
                let failed = attempt.outcome() == AttemptOutcome::Failed;
                findings.failed_attempts += usize::from(failed);
            }
        }
        let passes_over = |outcome: &&Outcome| outcome.passes_over(PRIMARY);
        findings.opens_after = played
            .during
            .iter()
            .find(passes_over)
            .map(|outcome| outcome.made.duration_since(played.begin));
        findings.back_after = played.back.map(|back| back.duration_since(played.end));
        findings
    }

    /// The laws of all calls together.
    fn judge_attempts(&mut self, cell: &Cell, phases: &[&[Outcome]], played: &Played) {
        let [mut calls, mut attempts, mut successes, mut added] = [0; 4];
        let mut vindicated = 0;
        for outcome in phases.iter().copied().flatten() {
            calls += 1;
            attempts += outcome.sent();
            added += outcome.sent().saturating_sub(1);
            successes += usize::from(outcome.ending == Ending::Answered);
            vindicated += usize::from(outcome.is_answered_after_refusal());
        }
        // An answer after a refusal gives its token back.
        let most = (calls + vindicated) as f64 + BURST + RATIO * successes as f64;
        if attempts as f64 > most {
            self.note(format!("{attempts} attempts, more than {most:.0}"));
        }
        if self.out_of_budget > 0 && (added as f64) < BURST - RESERVED {
            self.note(format!("out of budget after {added} added attempts"));
        }
        let arrived = played.arrived;
        let is_true = match cell.fault.means {
            Means::Model(_) => arrived == attempts,
            // Some do not get there.
            Means::Line(_) | Means::Refused | Means::NoTls => arrived <= attempts,
        };
        if !is_true {
            self.note(format!("{attempts} attempts are told, {arrived} arrived"));
        }
    }

    fn add(&mut self, breach: Breach, outcome: &Outcome) {
        let count = match breach {
            Breach::Lost => &mut self.lost,
            Breach::Truncated => &mut self.truncated,
            Breach::Repeated => &mut self.repeated,
            Breach::Misreported => &mut self.misreported,
        };
        *count += 1;
        self.note(format!("{breach:?}: {}", outcome.in_words()));
    }

    fn note(&mut self, breach: String) {
        if self.breaches.len() < EXAMPLES {
            self.breaches.push(breach);
        }
    }
}
