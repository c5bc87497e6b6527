//! Which codes, messages and statuses does the body of an error hold, whatever its shape?
//!
//! Hosts put the parts of an error into the body or into an object in it, gateways put the error of a host
//! into one of their own, as an object, a list or a text. All of it is read, by the names of the fields.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{text, wait};

/// No provider sends a larger JSON error: of a larger body only the beginning is searched, as text. A
/// parsed JSON tree can take forty times as much memory as its text.
pub(super) const MAX_JSON_BYTES: usize = 64 * 1024;
/// How much of a message is searched.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// How much of all messages together is searched.
const MAX_MESSAGES_BYTES: usize = 16 * 1024;
/// A longer text is not a code.
const MAX_CODE_BYTES: usize = 128;
/// No error has more codes; each is compared with every rule.
const MAX_CODES: usize = 32;
/// Errors stand in errors no deeper than this.
const MAX_DEPTH: usize = 6;
/// How many elements of a list are read.
const MAX_ELEMENTS: usize = 16;

/// What is found in the body of an error.
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
    /// Codes, types and reasons, as [`text::code`] spells them. MiniMax has numbers of its own, which stand
    /// behind `base_resp/`.
    codes: Vec<String>,
    /// The messages' sentences, as [`text::sentences`] spells them.
    sentences: Vec<String>,
    /// Bytes of the messages read so far.
    message_bytes: usize,
}

/// What a field of an error is, by its name.
enum ErrorField {
    /// A code, a type, a reason or a status.
    Code,
    /// A text for people.
    Message,
    /// An error within the error, or a text for people.
    Nested,
    /// MiniMax's error, whose codes are numbers that mean something else elsewhere.
    BaseResp,
    /// A field whose presence means that a filter has flagged the prompt.
    Filter,
    RetryDelay,
    Violations,
    Other,
}

impl ErrorField {
    fn of(name: &str) -> Self {
        // One name in the spellings of all languages: `error_msg`, `errorMsg`, `ErrorMsg`.
        let name: String = name
            .chars()
            .filter(|char| char.is_ascii_alphanumeric())
            .map(|char| char.to_ascii_lowercase())
            .collect();
        match name.as_str() {
            "code" | "status" | "type" | "reason" | "errorcode" | "errcode" | "errortype"
            | "statuscode" | "httpcode" | "httpstatus" | "rawstatuscode" | "subcode" => Self::Code,
            "message" | "msg" | "errormsg" | "errmsg" | "errormessage" | "statusmsg"
            | "description" | "errordescription" | "title" | "failurereason" => Self::Message,
            "error" | "errors" | "err" | "detail" | "details" | "response" | "metadata" | "raw"
            | "upstreamerror" | "innererror" | "data" | "body" | "cause" | "lasterror"
            | "previouserrors" => Self::Nested,
            "baseresp" => Self::BaseResp,
            "flaggedinput" | "contentfilter" => Self::Filter, // OpenRouter, Zhipu
            "retrydelay" => Self::RetryDelay,
            "violations" => Self::Violations,
            _ => Self::Other,
        }
    }
}

impl Report {
    pub(super) fn of_body(body: &[u8]) -> Self {
        let mut report = Self::default();
        if body.len() <= MAX_JSON_BYTES
            && let Ok(json) = serde_json::from_slice::<Value>(body)
        {
            report.provider_code = provider_code(&json);
            report.read(&json, 0);
        } else {
            let beginning = &body[..body.len().min(MAX_MESSAGE_BYTES)];
            report.add_message(&String::from_utf8_lossy(beginning), 0);
        }
        report
    }

    /// Whether nothing in the report says what happened.
    pub(super) fn is_empty(&self) -> bool {
        self.provider_code.is_none()
            && self.status.is_none()
            && self.codes.is_empty()
            && self.sentences.is_empty()
    }

    pub(super) fn has_code(&self, wanted: &str) -> bool {
        self.codes.iter().any(|code| text::holds(code, wanted))
    }

    pub(super) fn sentences(&self) -> &[String] {
        &self.sentences
    }

    pub(super) fn add_code(&mut self, code: &str) {
        if !is_code(code) || self.codes.len() >= MAX_CODES {
            return;
        }
        let code = text::code(code);
        if !code.is_empty() {
            self.codes.push(code);
        }
    }

    /// Reads an error, or the value in its place.
    fn read(&mut self, json: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match json {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.read_field(name, value, depth);
                }
            }
            Value::Array(elements) => {
                for element in elements.iter().take(MAX_ELEMENTS) {
                    self.read(element, depth + 1);
                }
            }
            Value::String(text) => self.add_message(text, depth),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn read_field(&mut self, name: &str, value: &Value, depth: usize) {
        match ErrorField::of(name) {
            ErrorField::Code => self.read_code(value, depth),
            ErrorField::BaseResp => self.read_base_resp(value),
            ErrorField::Message | ErrorField::Nested => self.read(value, depth + 1),
            ErrorField::Filter => {
                if !value.is_null() {
                    self.add_code("content_filter");
                }
            }
            ErrorField::RetryDelay => {
                let delay = value.as_str().and_then(|delay| delay.strip_suffix('s'));
                self.retry_delay = self.retry_delay.or(delay.and_then(wait::seconds));
            }
            ErrorField::Violations => {
                let violations = value.as_array().into_iter().flatten();
                self.quota_per_day |= violations
                    .filter_map(|violation| violation.get("quotaId")?.as_str())
                    .any(|quota| quota.contains("PerDay"));
            }
            ErrorField::Other => {}
        }
    }

    fn read_code(&mut self, value: &Value, depth: usize) {
        let code = match value {
            Value::String(code) => code.clone(),
            Value::Number(number) => number.to_string(),
            Value::Object(_) | Value::Array(_) => return self.read(value, depth + 1),
            Value::Null | Value::Bool(_) => return,
        };
        // Hosts that always send a code have one for success.
        if matches!(code.as_str(), "" | "0" | "200") {
            return;
        }
        // LiteLLM writes a status as a text.
        if let Ok(status) = code.trim().parse::<u16>()
            && (400..600).contains(&status)
        {
            return self.claim(status);
        }
        // xAI writes a sentence.
        if code.contains(char::is_whitespace) {
            self.add_message(&code, depth);
        }
        self.add_code(&code);
    }

    fn read_base_resp(&mut self, value: &Value) {
        let code = match value.get("status_code") {
            Some(Value::String(code)) => code.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        if is_code(&code) && code != "0" {
            self.codes.push(format!("base_resp/{code}"));
        }
        if let Some(Value::String(message)) = value.get("status_msg") {
            self.add_message(message, 0);
        }
    }

    /// Notes a status that the body claims. A status that is specific replaces one that is not.
    fn claim(&mut self, status: u16) {
        if self.status.is_none_or(is_vague) {
            self.status = Some(status);
        }
    }

    fn add_message(&mut self, message: &str, depth: usize) {
        let room = MAX_MESSAGES_BYTES.saturating_sub(self.message_bytes);
        let mut end = message.len().min(MAX_MESSAGE_BYTES).min(room);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        self.message_bytes += end;
        self.sentences.extend(text::sentences(&message[..end]));
        // LiteLLM and DashScope begin with a code: `litellm.RateLimitError: …`,
        // `<400> InternalError.Algo.DataInspectionFailed: …`.
        for word in message.split_whitespace().take(2) {
            if let Some(code) = word.strip_suffix(':')
                && ["Error", "Exception", "Failed"]
                    .iter()
                    .any(|end| code.ends_with(end))
            {
                self.add_code(code);
            }
        }
        // Gateways write the error of a host into the message of their own.
        if let Some(start) = message.find('{')
            && message.len() <= MAX_JSON_BYTES
        {
            let mut values = serde_json::Deserializer::from_str(&message[start..]).into_iter();
            if let Some(Ok(json)) = values.next() {
                self.read(&json, depth + 1);
            }
        }
    }
}

/// Whether a status says at most whose fault the error is claimed to be.
pub(super) fn is_vague(status: u16) -> bool {
    matches!(status, 0..=400 | 500 | 502)
}

/// The first text of `code`, `status` and `type` in the error object, or in the body where there is none,
/// else the first number. Hosts with other names for these come after that.
fn provider_code(json: &Value) -> Option<String> {
    let body = match json {
        Value::Object(body) => body,
        // Gemini streams that are not asked for server-sent events.
        Value::Array(bodies) => return provider_code(bodies.first().filter(|it| it.is_object())?),
        _ => return None,
    };
    let error = body.get("error").and_then(Value::as_object);
    let error = error.unwrap_or(body);
    code_of(error, &["code", "status", "type"]).or_else(|| {
        code_of(error, &["error_code", "errorCode", "errcode"]) // Baidu
            .or_else(|| code_of(body.get("base_resp")?.as_object()?, &["status_code"])) // MiniMax
            .or_else(|| code_of(body.get("errors")?.get(0)?.as_object()?, &["code"])) // Cloudflare
            .or_else(|| {
                let error = body.get("Response")?.get("Error")?; // Tencent
                code_of(error.as_object()?, &["Code"])
            })
    })
}

fn code_of(error: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let named = || names.iter().filter_map(|name| error.get(*name));
    let text = named().filter_map(Value::as_str).find(|text| is_code(text));
    text.map(str::to_owned).or_else(|| {
        named()
            .find(|value| value.is_number())
            .map(Value::to_string)
    })
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_CODE_BYTES
}
