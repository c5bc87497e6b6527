//! What a request asks for and how it is answered, independently of the wire format.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use super::asked::{Asked, Framing, TextKind};
use super::behaviour::{Behaviour, Fault, Finish, RefusalReason, ToolCall, text};
use super::schema;

/// How one wire format spells requests, answers and errors.
pub(super) trait Dialect: Sync {
    /// Content type of a stream.
    fn stream_type(&self) -> &'static str;

    /// Content type of a whole answer and of an error.
    fn json_type(&self) -> &'static str;

    /// Header in which the provider numbers its responses.
    fn request_id_header(&self) -> Option<&'static str>;

    /// Reads what the body asks for; model and framing where the body holds them.
    ///
    /// # Errors
    /// A sentence for a 400 where the provider would send one.
    fn read(&self, headers: &HeaderMap, body: &Value, asked: &mut Asked) -> Result<(), String>;

    /// The events of a streamed answer.
    fn events(&self, answer: &Answer) -> Vec<Event>;

    /// The body of a whole answer.
    fn whole(&self, answer: &Answer) -> Value;

    /// The body of a 400 with our own message.
    fn bad_request(&self, message: &str) -> Value;

    /// Status and body of a refusal; `None` where the provider sends an empty answer that a content
    /// filter ended.
    fn refuse(&self, refusal: RefusalReason, model: &str) -> Option<(StatusCode, Value)>;

    /// Adds the time to wait to a refusal.
    fn ask_to_wait(&self, wait: Duration, headers: &mut HeaderMap, _body: &mut Value) {
        let seconds = wait.as_millis().div_ceil(1000);
        headers.insert(RETRY_AFTER, number_header(seconds));
    }

    /// An error in the middle of a stream.
    fn error_event(&self) -> Bytes;

    /// An event with this text.
    fn text_event(&self, answer: &Answer, text: &str) -> String;

    /// An event of content that holds these bytes.
    fn event_of(&self, payload: &str) -> Bytes;

    /// A keep-alive without content.
    fn ping(&self) -> &'static str;
}

/// One piece of a streamed answer, with its framing.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) bytes: Bytes,
    pub(super) kind: EventKind,
}

/// The kind of an event, as far as it matters for faults and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// A token of content.
    Token,
    /// The end marker.
    End,
    /// Anything else.
    Other,
}

/// Token counts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) input: usize,
    /// All output, reasoning included.
    pub(super) output: usize,
    pub(super) reasoning: usize,
}

/// A whole answer in pieces of one token.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Unique to the request; ids are made of it.
    pub(super) id: String,
    pub(super) model: String,
    pub(super) framing: Framing,
    pub(super) reasoning: Vec<String>,
    pub(super) text: Vec<String>,
    /// Whether the text says why the model does not answer.
    pub(super) is_declined: bool,
    pub(super) calls: Vec<ToolCall>,
    pub(super) finish: Finish,
    pub(super) usage: Option<Usage>,
    pub(super) usage_in_stream: bool,
    pub(super) encrypts_reasoning: bool,
}

/// What a model says that does not want to answer.
const DECLINED: &str = "I cannot help with that.";

/// Stands for the cryptographic signature of a piece of reasoning.
pub(super) const SIGNATURE: &str = "c2ltdWxhdGVkIHNpZ25hdHVyZQ==";

/// When all simulated answers were made, in seconds since 1970: answers are the same every time.
pub(super) const CREATED: u32 = 1_767_225_600;

impl Answer {
    /// The answer of a model that behaves like this, `fault` included where it changes content.
    pub(super) fn new(asked: &Asked, behaviour: &Behaviour, fault: Option<Fault>) -> Self {
        let mut calls = behaviour.calls.clone();
        let may_call =
            behaviour.text.is_none() || !behaviour.tools.is_empty() || asked.tools.is_required;
        if calls.is_empty() && may_call && !behaviour.declines {
            calls = asked.turn.calls(&asked.tools, &behaviour.tools, asked.seed);
        }
        let mut said = match &behaviour.text {
            Some(text) => pieces(text),
            None if behaviour.declines => pieces(DECLINED),
            None if !calls.is_empty() => Vec::new(),
            None => said(asked, behaviour.tokens),
        };
        let natural = match asked.max_tokens {
            Some(limit) if limit < said.len() => {
                said.truncate(limit);
                Finish::Length
            }
            _ if calls.is_empty() => Finish::Stop,
            _ => Finish::ToolCalls,
        };
        let mut answer = Self {
            id: format!("{:016x}", asked.fingerprint),
            model: behaviour
                .reported_model
                .clone()
                .unwrap_or_else(|| asked.model.clone()),
            framing: asked.framing,
            reasoning: pieces(&text(behaviour.reasoning)),
            text: said,
            is_declined: behaviour.declines,
            calls,
            finish: behaviour.finish.unwrap_or(natural),
            usage: None,
            usage_in_stream: asked.usage_in_stream,
            encrypts_reasoning: asked.encrypts_reasoning,
        };
        if fault != Some(Fault::NoUsage) {
            answer.usage = Some(Usage {
                input: asked.input_words,
                output: answer.tokens(),
                reasoning: answer.reasoning.len(),
            });
        }
        answer
    }

    /// Tokens of output: pieces of reasoning, of text and of the arguments of calls.
    pub(super) fn tokens(&self) -> usize {
        let of_call = |call| fragments(call).len();
        let of_calls: usize = self.calls.iter().map(of_call).sum();
        self.reasoning.len() + self.text.len() + of_calls
    }
}

impl Event {
    /// A token of content.
    pub(super) fn token(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            kind: EventKind::Token,
        }
    }

    /// The end marker.
    pub(super) fn end(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            kind: EventKind::End,
        }
    }

    /// An event without content.
    pub(super) fn other(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            kind: EventKind::Other,
        }
    }
}

/// A number as the value of a header.
pub(super) fn number_header(number: u128) -> HeaderValue {
    HeaderValue::from(u64::try_from(number).unwrap_or(u64::MAX))
}

/// The arguments of a call as they are streamed.
pub(super) fn fragments(call: &ToolCall) -> Vec<&str> {
    const LENGTH: usize = 6;
    let mut fragments = Vec::new();
    let mut start = 0;
    for (place, _) in call.arguments.char_indices() {
        if place >= start + LENGTH {
            fragments.push(&call.arguments[start..place]);
            start = place;
        }
    }
    fragments.push(&call.arguments[start..]);
    fragments
}

/// What is said of the model's own accord: what the request asks for, the results of tools, or `tokens` words. After
/// results, words follow until there are as many.
fn said(asked: &Asked, tokens: usize) -> Vec<String> {
    let seed = asked.turn.seed(asked.seed);
    match &asked.text {
        TextKind::Any => {}
        TextKind::Json => return pieces(&format!(r#"{{"answer":"{}"}}"#, text(tokens))),
        TextKind::Schema(schema) => {
            return pieces_of_json(&schema::instance(schema, seed).to_string());
        }
        TextKind::Choice(schema) => match schema::instance(schema, seed) {
            Value::String(choice) => return pieces(&choice),
            other => return pieces(&other.to_string()),
        },
    }
    let mut said = pieces(&asked.turn.said());
    let missing = tokens.saturating_sub(said.len());
    if let (Some(last), true) = (said.last_mut(), missing > 0) {
        last.push(' ');
    }
    said.extend(pieces(&text(missing)));
    said
}

fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// JSON has few blanks: its pieces end after names and values, too.
fn pieces_of_json(json: &str) -> Vec<String> {
    let pieces = json.split_inclusive([' ', ',', ':']);
    pieces.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_fragments_put_together_are_the_whole() {
        let call = ToolCall {
            name: "lookup".to_owned(),
            arguments: r#"{"ort":"Düsseldörf 🏙"}"#.to_owned(),
        };

        assert_eq!(fragments(&call).concat(), call.arguments);
        assert_eq!(pieces(&text(30)).concat(), text(30));
        assert_eq!(pieces(&text(30)).len(), 30);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn the_requests_limit_cuts_the_answer() {
        let asked = Asked {
            max_tokens: Some(5),
            ..Asked::default()
        };

        let answer = Answer::new(&asked, &Behaviour::default(), None);

        assert_eq!(answer.text.len(), 5);
        assert_eq!(answer.finish, Finish::Length);
    }
}
