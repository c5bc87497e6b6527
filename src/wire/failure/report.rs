//! What the body of an error says, whatever its shape.

use std::time::Duration;

use serde_json::{Map, Value};

use super::wait;

/// A larger body is no JSON that any provider sends: only its beginning is looked at, as text. A tree
/// of JSON can take forty times as much memory as its text.
const MAX_JSON_BYTES: usize = 64 * 1024;
/// As much of a message is searched.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// A longer text is no code.
const MAX_CODE_BYTES: usize = 128;
/// No error has more codes; each is compared with every rule.
const MAX_CODES: usize = 32;

/// What there is to be found in the body of an error.
#[derive(Default)]
pub(super) struct Report {
    /// The provider's own name for the error, as sent.
    pub(super) provider_code: Option<String>,
    /// The HTTP status that the body itself claims.
    pub(super) status: Option<u16>,
    /// How long Google asks us to wait.
    pub(super) retry_delay: Option<Duration>,
    /// Whether a Google quota of a whole day is used up.
    pub(super) quota_per_day: bool,
    /// Codes, types and reasons, in lower case.
    codes: Vec<String>,
    /// Beginnings of the messages, in lower case.
    messages: Vec<String>,
}

impl Report {
    pub(super) fn of_body(body: &[u8]) -> Self {
        if body.len() <= MAX_JSON_BYTES
            && let Ok(json) = serde_json::from_slice::<Value>(body)
        {
            return Self::of_json(&json);
        }
        let mut report = Self::default();
        let beginning = &body[..body.len().min(MAX_MESSAGE_BYTES)];
        report.add_message(&String::from_utf8_lossy(beginning));
        report
    }

    /// Reads `{"error": {…}}`, the error object itself, a list of either, or a mere text.
    fn of_json(json: &Value) -> Self {
        let mut report = Self::default();
        match json {
            Value::Object(body) => match body.get("error") {
                Some(Value::Object(error)) => report.read(error),
                _ => report.read(body),
            },
            // Gemini streams that are not asked for server-sent events.
            Value::Array(bodies) => {
                if let Some(Value::Object(_)) = bodies.first() {
                    return Self::of_json(&bodies[0]);
                }
            }
            Value::String(text) => report.add_message(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        report
    }

    /// Whether there is nothing that tells what happened.
    pub(super) fn is_empty(&self) -> bool {
        self.provider_code.is_none()
            && self.status.is_none()
            && self.codes.is_empty()
            && self.messages.is_empty()
    }

    pub(super) fn has_code(&self, wanted: &str) -> bool {
        self.codes.iter().any(|code| {
            code.strip_suffix(wanted)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
        })
    }

    /// Whether a message holds all these pieces, one after the other.
    pub(super) fn says(&self, pieces: &[&str]) -> bool {
        self.messages.iter().any(|message| {
            let mut rest = message.as_str();
            for piece in pieces {
                let Some((_, behind)) = rest.split_once(piece) else {
                    return false;
                };
                rest = behind;
            }
            true
        })
    }

    pub(super) fn add_code(&mut self, code: &str) {
        if is_code(code) && self.codes.len() < MAX_CODES {
            self.codes.push(code.to_lowercase());
        }
    }

    fn add_message(&mut self, message: &str) {
        let mut end = message.len().min(MAX_MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        if end > 0 {
            self.messages.push(message[..end].to_lowercase());
        }
    }

    fn read(&mut self, error: &Map<String, Value>) {
        let names = ["code", "status", "type"];
        let named = || names.iter().filter_map(|name| error.get(*name));
        self.provider_code = named()
            .filter_map(Value::as_str)
            .find(|text| is_code(text))
            .map(str::to_owned)
            .or_else(|| {
                named()
                    .find(|value| value.is_number())
                    .map(Value::to_string)
            });
        for code in named().filter_map(Value::as_str) {
            self.add_code(code);
        }
        // Groq writes the code as a word and beside it the status.
        self.status = ["code", "status", "status_code"]
            .iter()
            .filter_map(|name| error.get(*name)?.as_u64())
            .find(|number| (400..600).contains(number))
            .and_then(|number| u16::try_from(number).ok());

        // xAI and Venice write a text as `error`, FastAPI `detail`.
        for name in ["message", "error", "detail"] {
            if let Some(Value::String(message)) = error.get(name) {
                self.add_message(message);
            }
        }
        // Azure's finer code.
        if let Some(Value::String(code)) =
            error.get("innererror").and_then(|inner| inner.get("code"))
        {
            self.add_code(code);
        }
        // What the provider behind OpenRouter has said.
        if let Some(Value::String(raw)) = error.get("metadata").and_then(|data| data.get("raw")) {
            self.add_message(raw);
        }
        match error.get("details") {
            Some(Value::Array(details)) => {
                for detail in details {
                    self.read_google_detail(detail);
                }
            }
            Some(Value::Object(details)) => {
                if let Some(Value::String(code)) = details.get("error_code") {
                    self.add_code(code);
                }
            }
            _ => {}
        }
    }

    /// Reads a `google.rpc` detail: `ErrorInfo`, `QuotaFailure` or `RetryInfo`.
    fn read_google_detail(&mut self, detail: &Value) {
        if let Some(Value::String(reason)) = detail.get("reason") {
            self.add_code(reason);
        }
        if let Some(Value::String(delay)) = detail.get("retryDelay")
            && self.retry_delay.is_none()
        {
            self.retry_delay = delay.strip_suffix('s').and_then(wait::seconds);
        }
        if let Some(Value::Array(violations)) = detail.get("violations") {
            self.quota_per_day |= violations
                .iter()
                .filter_map(|violation| violation.get("quotaId")?.as_str())
                .any(|quota| quota.contains("PerDay"));
        }
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_CODE_BYTES
}
