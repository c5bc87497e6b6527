//! How is a simulated answer written in Anthropic's Messages format?

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, Dialect, Event, SIGNATURE, Usage, fragments};
use super::asked::{Asked, Framing, words};
use super::behaviour::{Finish, RefusalReason};
use super::openai_chat::text_kind;
use super::tools::{DeclaredTools, Listener, text_of_result};

pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }

    fn json_type(&self) -> &'static str {
        "application/json"
    }

    fn request_id_header(&self) -> Option<&'static str> {
        Some("request-id")
    }

    fn read(&self, headers: &HeaderMap, body: &Value, asked: &mut Asked) -> Result<(), String> {
        // On Vertex AI it stands in the body.
        let version = body["anthropic_version"].as_str();
        if !headers.contains_key("anthropic-version") && version.is_none() {
            return Err("anthropic-version: header is required".to_owned());
        }
        let messages = &body["messages"];
        if messages.as_array().is_none_or(Vec::is_empty) {
            return Err("messages: at least one message is required".to_owned());
        }
        let Some(limit) = body["max_tokens"].as_u64() else {
            return Err("max_tokens: Field required".to_owned());
        };
        asked.usage_in_stream = true;
        // The latter is the name in the beta of structured outputs.
        let format = body["output_config"]
            .get("format")
            .unwrap_or(&body["output_format"]);
        asked.text = text_kind(format, format);
        asked.tools = tools(body);
        asked.turn = listen(messages).finish(&asked.tools);
        asked.max_tokens = usize::try_from(limit).ok();
        let system = json!({"system": body["system"]});
        asked.input_words = words(messages) + words(&system);
        if body["stream"] == true {
            asked.framing = Framing::Sse;
        }
        Ok(())
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut events = Events::open(answer);
        if !answer.reasoning.is_empty() {
            events.begin(&json!({"type": "thinking", "thinking": "", "signature": ""}));
            for piece in &answer.reasoning {
                events.token(&json!({"type": "thinking_delta", "thinking": piece}));
            }
            let signature = json!({"type": "signature_delta", "signature": SIGNATURE});
            events.other(&signature);
            events.finish_block();
        }
        if !answer.text.is_empty() {
            events.begin(&json!({"type": "text", "text": ""}));
            for piece in &answer.text {
                events
                    .events
                    .push(Event::token(self.text_event(answer, piece)));
            }
            events.finish_block();
        }
        for (index, call) in answer.calls.iter().enumerate() {
            events.begin_call(&json!({
                "type": "tool_use", "id": call_id(answer, index), "name": call.name, "input": {},
            }));
            events.other(&json!({"type": "input_json_delta", "partial_json": ""}));
            for fragment in fragments(call) {
                events.token(&json!({"type": "input_json_delta", "partial_json": fragment}));
            }
            events.finish_block();
        }
        events.close(answer)
    }

    fn whole(&self, answer: &Answer) -> Value {
        let mut content = Vec::new();
        if !answer.reasoning.is_empty() {
            content.push(json!({
                "type": "thinking",
                "thinking": answer.reasoning.concat(),
                "signature": SIGNATURE,
            }));
        }
        if !answer.text.is_empty() {
            content.push(json!({"type": "text", "text": answer.text.concat()}));
        }
        for (index, call) in answer.calls.iter().enumerate() {
            let input: Value = serde_json::from_str(&call.arguments).unwrap_or(json!({}));
            content.push(json!({
                "type": "tool_use",
                "id": call_id(answer, index),
                "name": call.name,
                "input": input,
            }));
        }
        let mut message = json!({
            "model": answer.model,
            "id": format!("msg_{}", answer.id),
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": finish(answer),
            "stop_sequence": null,
        });
        if let Some(counts) = answer.usage {
            message["usage"] = usage(counts, counts.output);
        }
        message
    }

    fn bad_request(&self, message: &str) -> Value {
        error("invalid_request_error", message)
    }

    fn refuse(&self, refusal: RefusalReason, model: &str) -> Option<(StatusCode, Value)> {
        let invalid = "invalid_request_error";
        let (status, kind, message) = match refusal {
            RefusalReason::BadRequest => (400, invalid, "messages.0: Input is not as expected."),
            RefusalReason::Unauthorized => (401, "authentication_error", "invalid x-api-key"),
            RefusalReason::PaymentRequired | RefusalReason::QuotaExhausted => {
                (402, "billing_error", "The account's credit is used up.")
            }
            RefusalReason::Forbidden => (403, "permission_error", "The key lacks the permission."),
            RefusalReason::ModelNotFound => {
                let body = error("not_found_error", &format!("model: {model}"));
                return Some((StatusCode::NOT_FOUND, body));
            }
            RefusalReason::ContextLength => {
                let message = "prompt is too long: 200001 tokens > 200000 maximum";
                (400, invalid, message)
            }
            RefusalReason::ContentFilter => return None,
            RefusalReason::RateLimited => (429, "rate_limit_error", "The rate limit is reached."),
            RefusalReason::ServerError | RefusalReason::BadGateway | RefusalReason::Unexplained => {
                (500, "api_error", "Internal server error")
            }
            RefusalReason::Unavailable => (503, "api_error", "Service unavailable"),
            RefusalReason::Overloaded => (529, "overloaded_error", "Overloaded"),
        };
        let status = StatusCode::from_u16(status).unwrap_or_default();
        Some((status, error(kind, message)))
    }

    fn error_event(&self) -> Bytes {
        named("error", &error("overloaded_error", "Overloaded")).into()
    }

    fn text_event(&self, answer: &Answer, text: &str) -> String {
        let block = usize::from(!answer.reasoning.is_empty());
        delta(block, &json!({"type": "text_delta", "text": text}))
    }

    fn event_of(&self, payload: &str) -> Bytes {
        format!("event: content_block_delta\ndata: {payload}\n\n").into()
    }

    fn ping(&self) -> &'static str {
        "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    }
}

fn tools(body: &Value) -> DeclaredTools {
    let choice = &body["tool_choice"];
    let mut declared = DeclaredTools {
        is_serial: choice["disable_parallel_tool_use"] == true,
        ..DeclaredTools::default()
    };
    for tool in body["tools"].as_array().into_iter().flatten() {
        // Tools that Anthropic runs have no schema, and are not called here.
        if let Some(schema) = tool.get("input_schema") {
            declared.declare(&tool["name"], Some(schema));
        }
    }
    match choice["type"].as_str() {
        Some("any") => declared.is_required = true,
        Some("tool") => declared.require(&choice["name"]),
        Some("none") => declared.allow([]),
        _ => {}
    }
    declared
}

fn listen(messages: &Value) -> Listener<'_> {
    let mut listener = Listener::default();
    for message in messages.as_array().into_iter().flatten() {
        let is_user = message["role"] == "user";
        if !is_user {
            listener.answer();
        }
        if let (true, Some(text)) = (is_user, message["content"].as_str()) {
            listener.words(text);
        }
        for block in message["content"].as_array().into_iter().flatten() {
            match (block["type"].as_str(), block["text"].as_str()) {
                (Some("tool_use"), _) => listener.call(&block["id"], &block["name"]),
                (Some("tool_result"), _) => {
                    let result = text_of_result(&block["content"]);
                    listener.result(&block["tool_use_id"], &Value::Null, &result);
                }
                (Some("text"), Some(text)) if is_user => listener.words(text),
                _ => {}
            }
        }
    }
    listener
}

/// The events of a message under construction, which numbers its content blocks.
struct Events {
    events: Vec<Event>,
    block: usize,
}

impl Events {
    fn open(answer: &Answer) -> Self {
        let mut message = json!({
            "model": answer.model,
            "id": format!("msg_{}", answer.id),
            "type": "message",
            "role": "assistant",
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
        });
        if let Some(counts) = answer.usage {
            // The count at the start is provisional, and 1 at least.
            message["usage"] = usage(counts, 1);
        }
        let start = json!({"type": "message_start", "message": message});
        let start = Event::other(named("message_start", &start));
        Self {
            events: vec![start],
            block: 0,
        }
    }

    fn begin(&mut self, block: &Value) {
        let start = self.block_start(block);
        self.events.push(Event::other(start));
        if self.block == 0 {
            self.events.push(Event::other(Anthropic.ping()));
        }
    }

    /// A block whose start is content already.
    fn begin_call(&mut self, block: &Value) {
        let start = self.block_start(block);
        self.events.push(Event::token(start));
    }

    fn block_start(&self, block: &Value) -> String {
        let kind = "content_block_start";
        let start = json!({"type": kind, "index": self.block, "content_block": block});
        named(kind, &start)
    }

    fn token(&mut self, content: &Value) {
        let event = delta(self.block, content);
        self.events.push(Event::token(event));
    }

    fn other(&mut self, content: &Value) {
        let event = delta(self.block, content);
        self.events.push(Event::other(event));
    }

    fn finish_block(&mut self) {
        let kind = "content_block_stop";
        let stop = named(kind, &json!({"type": kind, "index": self.block}));
        self.events.push(Event::other(stop));
        self.block += 1;
    }

    fn close(mut self, answer: &Answer) -> Vec<Event> {
        let mut last = json!({
            "type": "message_delta",
            "delta": {"stop_reason": finish(answer), "stop_sequence": null},
        });
        if let Some(counts) = answer.usage {
            last["usage"] = json!({
                "input_tokens": counts.input,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": counts.output,
            });
        }
        self.events
            .push(Event::other(named("message_delta", &last)));
        let stop = json!({"type": "message_stop"});
        self.events.push(Event::end(named("message_stop", &stop)));
        self.events
    }
}

fn delta(block: usize, content: &Value) -> String {
    let kind = "content_block_delta";
    named(
        kind,
        &json!({"type": kind, "index": block, "delta": content}),
    )
}

fn named(name: &str, value: &Value) -> String {
    format!("event: {name}\ndata: {value}\n\n")
}

fn call_id(answer: &Answer, index: usize) -> String {
    format!("toolu_{}{index}", answer.id)
}

fn finish(answer: &Answer) -> &'static str {
    match answer.finish {
        Finish::Stop if answer.is_declined => "refusal",
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
    }
}

fn usage(usage: Usage, output: usize) -> Value {
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn error(kind: &str, message: &str) -> Value {
    json!({
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req_simulator",
    })
}
