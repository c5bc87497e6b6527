//! What will a live check ask, of whom, and for about how much?

use std::sync::Arc;
use std::time::SystemTime;

use crate::chat::{ChatRequest, Message, Part, Role, Sampling};
use crate::dispatch::target::Target;
use crate::error::Unsupported;
use crate::wire::WireRequest;

use crate::command::summary::amount;

/// What every target is asked.
const QUESTION: &str = "Hi";

/// About how many tokens the question has, with what providers put around it.
const INPUT_TOKENS: u64 = 16;

/// The most output tokens, and the least limit that some models take.
const FEW: u32 = 1;
const LEAST_OF_SOME: u32 = 16;

/// What one target will be asked.
pub(super) struct Question {
    pub(super) target: Arc<Target>,
    pub(super) wire: Result<WireRequest, Unsupported>,
    /// The most output tokens that are asked for.
    pub(super) cap: u32,
}

impl Question {
    /// A request for one token, or for as many as the model demands.
    pub(super) fn of(target: Arc<Target>) -> Self {
        let (wire, cap) = match target.spelled(&request(FEW), true) {
            Ok(wire) if demands_more(&wire) => {
                (target.spelled(&request(LEAST_OF_SOME), true), LEAST_OF_SOME)
            }
            wire => (wire, FEW),
        };
        Self { target, wire, cap }
    }

    /// What it will cost at most if it is sent then, in nano-USD, where all prices are known.
    fn cost(&self, at: SystemTime) -> Option<i64> {
        let prices = self.target.prices.now()?;
        prices.plain_nanos(INPUT_TOKENS, self.cap.into(), at)
    }
}

fn request(cap: u32) -> ChatRequest {
    ChatRequest {
        messages: vec![Message {
            role: Role::User,
            parts: vec![Part::Text(QUESTION.to_owned())],
        }],
        sampling: Sampling {
            max_output_tokens: Some(cap),
            ..Sampling::default()
        },
        ..ChatRequest::default()
    }
}

/// Whether the model takes no limit of one token: where the wire format has raised it, and where the body names the
/// limit as OpenAI's reasoning models do, which refuse a limit that leaves no room for an answer.
fn demands_more(wire: &WireRequest) -> bool {
    let is_raised = |field: &str| field.contains("max_output_tokens");
    let names_it = br#""max_completion_tokens""#;
    wire.adaptations.iter().any(|one| is_raised(&one.field))
        || wire
            .body
            .windows(names_it.len())
            .any(|part| part == names_it)
}

/// What is announced before anything is sent.
pub(super) fn announcement(questions: &[Question]) -> String {
    let count = questions.len();
    let mut text = format!(
        "{}, 1 request each with at most 1 output token ({LEAST_OF_SOME} where a model demands it)",
        targets(count)
    );
    let now = SystemTime::now();
    let costs: Vec<_> = (questions.iter()).filter_map(|one| one.cost(now)).collect();
    let unpriced = count - costs.len();
    if !costs.is_empty() {
        let sum = costs
            .iter()
            .fold(0_i64, |sum, cost| sum.saturating_add(*cost));
        text += &format!(", about {} USD by your prices", amount(sum));
    }
    if unpriced > 0 {
        let verb = if unpriced == 1 { "has" } else { "have" };
        text += &format!("; {} {verb} no price", targets(unpriced));
    }
    text
}

fn targets(count: usize) -> String {
    match count {
        1 => "1 target".to_owned(),
        _ => format!("{count} targets"),
    }
}
