//! The form of a file of cases: what hosts answer, what callers ask, and what they must then see.
//!
//! A key that the form does not know is a mistake: a check that is not understood would pass unseen.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::condition::Condition;

/// One case: hosts, and the calls that are made while they answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// For people who read the file and for the report, which takes them from there.
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "why")]
    _why: String,
    pub(crate) targets: Vec<Target>,
    #[serde(default)]
    pub(crate) scenario: String,
    pub(crate) calls: Vec<Call>,
}

/// A target of the scenario, and how its host behaves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) wire_format: String,
    #[serde(default)]
    pub(crate) dialect: String,
    #[serde(default)]
    pub(crate) model: String,
    pub(crate) same_provider_as: Option<usize>,
    /// Given in order; the last one again and again.
    pub(crate) answers: Vec<Answer>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) refuse_if: Vec<Refusal>,
}

/// What a host gives for a request.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Lines>,
    body: Option<String>,
    body_base64: Option<String>,
    /// Follows 0.3 s after the body.
    #[serde(default)]
    pub(crate) body_later: String,
}

/// One header line, or several of one name.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Lines {
    One(String),
    Many(Vec<String>),
}

/// What a host answers to a request of which a condition holds.
pub(crate) struct Refusal {
    pub(crate) condition: Condition,
    pub(crate) answer: Answer,
}

/// One call of a caller.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) method: Methods,
    /// Protobuf JSON without the scenario.
    pub(crate) request: Map<String, Value>,
    #[serde(default)]
    pub(crate) append_output: bool,
    pub(crate) expect: Expect,
}

/// The methods that a call is made with.
#[derive(Clone, Copy, Deserialize, PartialEq)]
pub(crate) enum Methods {
    Generate,
    StreamGenerate,
    /// The case is played with each.
    #[serde(rename = "both")]
    Both,
}

/// What of the outcome matters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) text: Option<String>,
    pub(crate) text_matches: Option<String>,
    pub(crate) reasoning: Option<String>,
    pub(crate) tool_calls: Option<Vec<ToolCall>>,
    pub(crate) finish: Option<String>,
    pub(crate) usage: Option<Counts>,
    pub(crate) cost_nanos: Option<i64>,
    pub(crate) answered_by: Option<usize>,
    pub(crate) reason: Option<String>,
    pub(crate) attempt_reasons: Option<Vec<Reasons>>,
    pub(crate) asked: Option<Vec<usize>>,
    #[serde(default)]
    pub(crate) sent: Vec<Sent>,
}

/// A tool call of an answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

/// Counts of tokens; those that are not named may be anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) input: Option<i64>,
    pub(crate) output: Option<i64>,
    pub(crate) cache_read: Option<i64>,
    pub(crate) cache_write: Option<i64>,
    pub(crate) reasoning: Option<i64>,
}

/// The reason of a target's failed or skipped attempt, any of several, or none.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Reasons {
    None(()),
    One(String),
    AnyOf(Vec<Option<String>>),
}

/// A check of the last body that a target received in a call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sent {
    #[serde(default)]
    pub(crate) target: usize,
    pub(crate) path: String,
    #[serde(default, deserialize_with = "present")]
    pub(crate) equals: Option<Value>,
    pub(crate) matches: Option<String>,
    pub(crate) not_matches: Option<String>,
    pub(crate) absent: Option<bool>,
    pub(crate) count: Option<usize>,
    pub(crate) distinct: Option<bool>,
    pub(crate) same_as: Option<String>,
}

impl Answer {
    /// The bytes that come at once.
    ///
    /// # Errors
    /// There is no body, or two, or one that is no base64.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => Ok(text.clone().into_bytes()),
            (None, Some(encoded)) => BASE64_STANDARD
                .decode(encoded)
                .map_err(|error| format!("body_base64: {error}")),
            (None, None) => Ok(Vec::new()),
            (Some(_), Some(_)) => Err("an answer has both body and body_base64".to_owned()),
        }
    }
}

impl Lines {
    pub(crate) fn all(&self) -> &[String] {
        match self {
            Self::One(line) => std::slice::from_ref(line),
            Self::Many(lines) => lines,
        }
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        let mut fields = Map::deserialize(deserializer)?;
        let answer = fields
            .remove("answer")
            .ok_or_else(|| D::Error::missing_field("answer"))?;
        Ok(Self {
            condition: Condition::deserialize(Value::Object(fields)).map_err(D::Error::custom)?,
            answer: Answer::deserialize(answer).map_err(D::Error::custom)?,
        })
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Refusal>, D::Error> {
    use serde::de::Error as _;

    let refusals = match Value::deserialize(deserializer)? {
        Value::Array(refusals) => refusals,
        refusal => vec![refusal],
    };
    let read = |refusal| Refusal::deserialize(refusal).map_err(D::Error::custom);
    refusals.into_iter().map(read).collect()
}

/// A value that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
