//! Which loads are compared.

use modelway::grpc::v1;

use super::report::{Effort, Goal};
use super::roles::Role;

/// A load under which CPU time is compared.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The scenario of ours and the simulated model behind it; the floor is told the model.
    pub(crate) scenario: &'static str,
    pub(crate) model: &'static str,
    pub(crate) kind: Kind,
    /// Calls that are open at any time.
    pub(crate) callers: usize,
    /// What is counted as one.
    pub(crate) unit: &'static str,
    /// What is to be reached.
    pub(crate) goal: Goal,
    calls: usize,
    /// How often the servers take turns in a full measurement.
    pub(crate) rounds: usize,
}

/// How a call is made, and how the provider is asked.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A unary call whose answer the provider streams.
    Folded,
    /// A unary call whose answer the provider gives whole.
    Whole,
    /// A streaming call with so many tokens.
    Streamed(usize),
}

pub(crate) const CASES: [Case; 5] = [
    Case {
        name: "A folded",
        scenario: "folded",
        model: "sim",
        kind: Kind::Folded,
        callers: 32,
        unit: "µs/call",
        goal: Goal::Ratio(1.6),
        calls: 6000,
        rounds: 6,
    },
    Case {
        name: "A whole",
        scenario: "whole",
        model: "sim+tokens=24",
        kind: Kind::Whole,
        callers: 32,
        unit: "µs/call",
        goal: Goal::Ratio(1.6),
        calls: 8000,
        rounds: 6,
    },
    // As fast as it comes: many events in one read.
    Case {
        name: "B bursts",
        scenario: "bursts",
        model: "sim+tokens=100",
        kind: Kind::Streamed(100),
        callers: 16,
        unit: "µs/event",
        goal: Goal::Ratio(1.25),
        calls: 1600,
        rounds: 6,
    },
    // As providers write: each event by itself, give or take a few bytes.
    Case {
        name: "B events",
        scenario: "events",
        model: "sim+tokens=100+slice=245",
        kind: Kind::Streamed(100),
        callers: 16,
        unit: "µs/event",
        goal: Goal::Ratio(1.25),
        calls: 800,
        rounds: 6,
    },
    Case {
        name: "D paced",
        scenario: "paced",
        model: "sim+tokens=60+gap=50ms",
        kind: Kind::Streamed(60),
        callers: 1000,
        unit: "µs/event",
        goal: Goal::Ratio(1.25),
        calls: 1000,
        rounds: 2,
    },
];

/// Models outside of [`CASES`], by scenario.
pub(crate) const OTHERS: [(&str, &str); 2] =
    [(IDLE, "sim+tokens=5+stall=1"), (DELAYED, "sim+delay=50ms")];

/// Answers with a token and then with nothing.
pub(crate) const IDLE: &str = "idle";
/// Answers after 50 ms.
pub(crate) const DELAYED: &str = "delayed";

impl Case {
    /// Calls in one turn.
    pub(crate) fn calls(&self, effort: Effort) -> usize {
        match effort {
            Effort::Test => self.callers.min(20),
            Effort::Quick => (self.calls / 4).max(self.callers),
            Effort::Full => self.calls,
        }
    }

    /// What so many calls count as. A stream has a few events beside its tokens, which differ
    /// between the servers; they are part of what a token costs.
    pub(crate) fn units(&self, calls: usize) -> f64 {
        match self.kind {
            Kind::Folded | Kind::Whole => calls as f64,
            Kind::Streamed(tokens) => (calls * tokens) as f64,
        }
    }

    /// The request of this case's calls.
    pub(crate) fn request(&self, to: Role) -> v1::GenerateRequest {
        request(to, self.scenario, self.model, self.kind)
    }
}

/// A short request: ours goes by scenario, the floor by model.
pub(crate) fn request(to: Role, scenario: &str, model: &str, kind: Kind) -> v1::GenerateRequest {
    let message = |role: v1::Role, text: &str| v1::Message {
        role: role.into(),
        text: text.to_owned(),
        parts: Vec::new(),
    };
    let (scenario, model) = match to {
        Role::Floor if kind == Kind::Whole => (super::floor::WHOLE, model),
        Role::Floor => ("", model),
        Role::Gateway
        | Role::Keyed
        | Role::Tokened
        | Role::Observed
        | Role::Simulator
        | Role::Front
        | Role::Sink => (scenario, ""),
    };
    v1::GenerateRequest {
        scenario: scenario.to_owned(),
        model: model.to_owned(),
        messages: vec![
            message(v1::Role::System, "You answer in one short sentence."),
            message(
                v1::Role::User,
                "What does a gateway do, and why would one want it?",
            ),
        ],
        sampling: Some(v1::SamplingParams {
            max_output_tokens: Some(1000),
            temperature: Some(0.2),
            ..v1::SamplingParams::default()
        }),
        ..v1::GenerateRequest::default()
    }
}
