//! How is a simulated answer written in Gemini's generateContent format?

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, Dialect, Event, SIGNATURE, Usage, number_header};
use super::asked::{Asked, Framing, TextKind, words};
use super::behaviour::{Finish, RefusalReason};
use super::tools::{DeclaredTools, Listener, text_of_result};

pub(super) struct Gemini;

impl Dialect for Gemini {
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn json_type(&self) -> &'static str {
        "application/json; charset=UTF-8"
    }

    fn request_id_header(&self) -> Option<&'static str> {
        None
    }

    fn read(&self, _: &HeaderMap, body: &Value, asked: &mut Asked) -> Result<(), String> {
        let contents = &body["contents"];
        if contents.as_array().is_none_or(Vec::is_empty) {
            return Err("* GenerateContentRequest.contents: contents is not specified".to_owned());
        }
        let config = &body["generationConfig"];
        asked.usage_in_stream = true;
        asked.text = text_kind(config);
        asked.tools = tools(body);
        asked.turn = listen(contents).finish(&asked.tools);
        asked.max_tokens = config["maxOutputTokens"]
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok());
        asked.input_words = words(contents) + words(&body["systemInstruction"]);
        Ok(())
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut frames = Frames::open(answer);
        for piece in &answer.reasoning {
            frames.token(&json!({"text": piece, "thought": true}));
        }
        for piece in &answer.text {
            frames.token(&json!({"text": piece}));
        }
        for part in call_parts(answer) {
            frames.token(&part);
        }
        frames.close()
    }

    fn whole(&self, answer: &Answer) -> Value {
        let mut parts = Vec::new();
        if !answer.reasoning.is_empty() {
            parts.push(json!({"text": answer.reasoning.concat(), "thought": true}));
        }
        if !answer.text.is_empty() {
            let mut part = json!({"text": answer.text.concat()});
            if !answer.reasoning.is_empty() && answer.calls.is_empty() {
                part["thoughtSignature"] = json!(SIGNATURE);
            }
            parts.push(part);
        }
        parts.extend(call_parts(answer));
        let produced = answer.usage.map_or(0, |counts| counts.output);
        response(answer, &json!(parts), Some(finish(answer)), produced)
    }

    fn bad_request(&self, message: &str) -> Value {
        error(400, "INVALID_ARGUMENT", message)
    }

    fn refuse(&self, refusal: RefusalReason, model: &str) -> Option<(StatusCode, Value)> {
        let (status, body) = match refusal {
            RefusalReason::BadRequest => (400, self.bad_request("Invalid value.")),
            RefusalReason::Unauthorized => {
                let mut body = self.bad_request("API key not valid.");
                body["error"]["details"] = json!([{
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "API_KEY_INVALID",
                    "domain": "googleapis.com",
                }]);
                (400, body)
            }
            RefusalReason::PaymentRequired => (
                402,
                error(402, "FAILED_PRECONDITION", "Billing is not active."),
            ),
            RefusalReason::Forbidden => (
                403,
                error(403, "PERMISSION_DENIED", "The caller lacks permission."),
            ),
            RefusalReason::ModelNotFound => {
                let message = format!("models/{model} is not found for API version v1beta.");
                (404, error(404, "NOT_FOUND", &message))
            }
            RefusalReason::ContextLength => {
                let message = "The input token count (1048577) exceeds the maximum number of \
                               tokens allowed (1048576).";
                (400, self.bad_request(message))
            }
            RefusalReason::ContentFilter => {
                let body = json!({
                    "promptFeedback": {"blockReason": "SAFETY"},
                    "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1},
                    "modelVersion": model,
                });
                (200, body)
            }
            RefusalReason::RateLimited => (429, exhausted("GenerateRequestsPerMinute")),
            RefusalReason::QuotaExhausted => (429, exhausted("GenerateRequestsPerDay")),
            RefusalReason::ServerError | RefusalReason::BadGateway | RefusalReason::Unexplained => {
                (
                    500,
                    error(500, "INTERNAL", "An internal error has occurred."),
                )
            }
            RefusalReason::Unavailable => (503, unavailable(503)),
            RefusalReason::Overloaded => (529, unavailable(529)),
        };
        Some((StatusCode::from_u16(status).unwrap_or_default(), body))
    }

    /// Rate limits give the time to wait in the body only.
    fn ask_to_wait(&self, wait: Duration, headers: &mut HeaderMap, body: &mut Value) {
        let Some(details) = body["error"]["details"].as_array_mut() else {
            let seconds = wait.as_millis().div_ceil(1000);
            headers.insert(RETRY_AFTER, number_header(seconds));
            return;
        };
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", wait.as_secs_f64()),
        }));
    }

    fn error_event(&self) -> Bytes {
        format!("data: {}\r\n\r\n", unavailable(503)).into()
    }

    fn text_event(&self, answer: &Answer, text: &str) -> String {
        let response = response(answer, &json!([{"text": text}]), None, 0);
        format!("data: {response}\r\n\r\n")
    }

    fn event_of(&self, payload: &str) -> Bytes {
        format!("data: {payload}\r\n\r\n").into()
    }

    fn ping(&self) -> &'static str {
        ": keep-alive\r\n\r\n"
    }
}

fn text_kind(config: &Value) -> TextKind {
    let schema = config
        .get("responseJsonSchema")
        .or(config.get("responseSchema"));
    match (config["responseMimeType"].as_str(), schema) {
        (Some("application/json"), Some(schema)) => TextKind::Schema(schema.clone()),
        (Some("application/json"), None) => TextKind::Json,
        (Some("text/x.enum"), Some(schema)) => TextKind::Choice(schema.clone()),
        _ => TextKind::Any,
    }
}

fn tools(body: &Value) -> DeclaredTools {
    let mut declared = DeclaredTools::default();
    for tool in body["tools"].as_array().into_iter().flatten() {
        for function in tool["functionDeclarations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let schema = function
                .get("parametersJsonSchema")
                .or(function.get("parameters"));
            declared.declare(&function["name"], schema);
        }
    }
    let choice = &body["toolConfig"]["functionCallingConfig"];
    let names = choice["allowedFunctionNames"].as_array();
    if let Some(names) = names.filter(|names| !names.is_empty()) {
        let names = names.iter().filter_map(Value::as_str);
        declared.allow(names.map(str::to_owned));
    }
    match choice["mode"].as_str() {
        Some("ANY") => declared.is_required = true,
        Some("NONE") => declared.allow([]),
        _ => {}
    }
    declared
}

fn listen(contents: &Value) -> Listener<'_> {
    let mut listener = Listener::default();
    for content in contents.as_array().into_iter().flatten() {
        let is_model = content["role"] == "model";
        if is_model {
            listener.answer();
        }
        for part in content["parts"].as_array().into_iter().flatten() {
            let (call, response) = (&part["functionCall"], &part["functionResponse"]);
            if call.is_object() {
                listener.call(&call["id"], &call["name"]);
            } else if response.is_object() {
                let result = text_of_result(&response["response"]);
                listener.result(&Value::Null, &response["name"], &result);
            } else if let (false, Some(text)) = (is_model, part["text"].as_str()) {
                listener.words(text);
            }
        }
    }
    listener
}

/// One part for each call: Gemini sends them whole, and without an id. The first is signed.
fn call_parts(answer: &Answer) -> Vec<Value> {
    let mut parts = Vec::new();
    for call in &answer.calls {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or(json!({}));
        let mut part = json!({"functionCall": {"name": call.name, "args": arguments}});
        if parts.is_empty() {
            part["thoughtSignature"] = json!(SIGNATURE);
        }
        parts.push(part);
    }
    parts
}

/// The pieces of a stream under construction, which counts its tokens.
struct Frames<'a> {
    answer: &'a Answer,
    events: Vec<Event>,
    produced: usize,
}

impl<'a> Frames<'a> {
    fn open(answer: &'a Answer) -> Self {
        let mut frames = Self {
            answer,
            events: Vec::new(),
            produced: 0,
        };
        let start = frames.frame(&json!([{"text": ""}]), None);
        frames.events.push(Event::other(start));
        frames
    }

    fn token(&mut self, part: &Value) {
        self.produced += 1;
        let frame = self.frame(&json!([part]), None);
        self.events.push(Event::token(frame));
    }

    fn close(mut self) -> Vec<Event> {
        self.produced = self.answer.usage.map_or(0, |counts| counts.output);
        let mut part = json!({"text": ""});
        if !self.answer.reasoning.is_empty() && self.answer.calls.is_empty() {
            part["thoughtSignature"] = json!(SIGNATURE);
        }
        let last = self.frame(&json!([part]), Some(finish(self.answer)));
        self.events.push(Event::other(last));
        if self.answer.framing == Framing::Array {
            self.events.push(Event::other("]\n"));
        }
        self.events
    }

    fn frame(&self, parts: &Value, finish: Option<&str>) -> String {
        let response = response(self.answer, parts, finish, self.produced);
        match (self.answer.framing, self.events.is_empty()) {
            (Framing::Sse | Framing::Whole, _) => format!("data: {response}\r\n\r\n"),
            (Framing::Array, true) => format!("[{response}"),
            (Framing::Array, false) => format!(",\r\n{response}"),
        }
    }
}

fn response(answer: &Answer, parts: &Value, reason: Option<&str>, produced: usize) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}});
    if let Some(reason) = reason {
        candidate["finishReason"] = json!(reason);
    }
    candidate["index"] = json!(0);
    let mut response = json!({"candidates": [candidate]});
    if let Some(counts) = answer.usage {
        response["usageMetadata"] = usage(counts, produced);
    }
    response["modelVersion"] = json!(answer.model);
    response["responseId"] = json!(answer.id);
    response
}

fn finish(answer: &Answer) -> &'static str {
    match answer.finish {
        Finish::Stop if answer.is_declined => "PROHIBITED_CONTENT",
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter => "SAFETY",
    }
}

/// Usage after `produced` tokens; thoughts come first and are counted apart.
fn usage(usage: Usage, produced: usize) -> Value {
    let thoughts = usage.reasoning.min(produced);
    let mut metadata = json!({"promptTokenCount": usage.input});
    if produced > thoughts {
        metadata["candidatesTokenCount"] = json!(produced - thoughts);
    }
    metadata["totalTokenCount"] = json!(usage.input + produced);
    metadata["promptTokensDetails"] = json!([{"modality": "TEXT", "tokenCount": usage.input}]);
    if thoughts > 0 {
        metadata["thoughtsTokenCount"] = json!(thoughts);
    }
    metadata
}

fn error(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": status}})
}

fn unavailable(code: u16) -> Value {
    error(code, "UNAVAILABLE", "The model is overloaded.")
}

fn exhausted(quota: &str) -> Value {
    let message = "You exceeded your current quota.";
    let mut body = error(429, "RESOURCE_EXHAUSTED", message);
    body["error"]["details"] = json!([{
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": "generate_content_requests", "quotaId": quota}],
    }]);
    body
}
