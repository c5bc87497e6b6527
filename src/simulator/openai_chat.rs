//! How is a simulated answer written in OpenAI's Chat Completions format?

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, CREATED, Dialect, Event, Usage, fragments, number_header};
use super::asked::{Asked, Framing, TextKind, words};
use super::behaviour::{Finish, RefusalReason};
use super::tools::{DeclaredTools, Listener, text_of_result};

pub(super) struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }

    fn json_type(&self) -> &'static str {
        "application/json"
    }

    fn request_id_header(&self) -> Option<&'static str> {
        Some("x-request-id")
    }

    fn read(&self, _: &HeaderMap, body: &Value, asked: &mut Asked) -> Result<(), String> {
        let messages = &body["messages"];
        if messages.as_array().is_none_or(Vec::is_empty) {
            return Err("Missing required parameter: 'messages'.".to_owned());
        }
        let limit = body.get("max_completion_tokens");
        asked.usage_in_stream = body["stream_options"]["include_usage"] == true;
        asked.text = text_kind(
            &body["response_format"],
            &body["response_format"]["json_schema"],
        );
        asked.tools = tools(body);
        asked.turn = listen(messages).finish(&asked.tools);
        asked.max_tokens = limit
            .unwrap_or(&body["max_tokens"])
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok());
        asked.input_words = words(messages);
        if body["stream"] == true {
            asked.framing = Framing::Sse;
        }
        Ok(())
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let is_silent = answer.text.is_empty() && !answer.calls.is_empty() || answer.is_declined;
        let content = if is_silent { Value::Null } else { json!("") };
        let first = json!({"role": "assistant", "content": content, "refusal": null});
        let mut events = vec![Event::other(delta(answer, &first))];
        for piece in &answer.reasoning {
            let thought = json!({"reasoning_content": piece});
            events.push(Event::token(delta(answer, &thought)));
        }
        for piece in &answer.text {
            let said = match answer.is_declined {
                true => delta(answer, &json!({"refusal": piece})),
                false => self.text_event(answer, piece),
            };
            events.push(Event::token(said));
        }
        for (index, call) in answer.calls.iter().enumerate() {
            let opening = json!({
                "index": index,
                "id": call_id(answer, index),
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            });
            let opening = json!({"tool_calls": [opening]});
            events.push(Event::token(delta(answer, &opening)));
            for fragment in fragments(call) {
                let piece = json!({"index": index, "function": {"arguments": fragment}});
                let piece = json!({"tool_calls": [piece]});
                events.push(Event::token(delta(answer, &piece)));
            }
        }
        let last = json!([{
            "index": 0, "delta": {}, "logprobs": null, "finish_reason": finish(answer.finish),
        }]);
        events.push(Event::other(chunk(answer, last, Value::Null)));
        if let (Some(counts), true) = (answer.usage, answer.usage_in_stream) {
            events.push(Event::other(chunk(answer, json!([]), usage(counts))));
        }
        events.push(Event::end("data: [DONE]\n\n"));
        events
    }

    fn whole(&self, answer: &Answer) -> Value {
        let text = answer.text.concat();
        let is_silent = text.is_empty() && !answer.calls.is_empty() || answer.is_declined;
        let mut message = json!({
            "role": "assistant",
            "content": if is_silent { Value::Null } else { json!(text) },
        });
        if !answer.reasoning.is_empty() {
            message["reasoning_content"] = json!(answer.reasoning.concat());
        }
        let call = |(index, call): (usize, &super::ToolCall)| {
            json!({
                "id": call_id(answer, index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            })
        };
        if !answer.calls.is_empty() {
            message["tool_calls"] = answer.calls.iter().enumerate().map(call).collect();
        }
        message["refusal"] = match answer.is_declined {
            true => json!(text),
            false => Value::Null,
        };
        message["annotations"] = json!([]);
        let mut whole = json!({
            "id": format!("chatcmpl-{}", answer.id),
            "object": "chat.completion",
            "created": CREATED,
            "model": answer.model,
            "choices": [{
                "index": 0,
                "message": message,
                "logprobs": null,
                "finish_reason": finish(answer.finish),
            }],
        });
        if let Some(counts) = answer.usage {
            whole["usage"] = usage(counts);
        }
        whole["service_tier"] = json!("default");
        whole["system_fingerprint"] = json!("fp_simulator");
        whole
    }

    fn bad_request(&self, message: &str) -> Value {
        error(message, "invalid_request_error", Value::Null)
    }

    fn refuse(&self, refusal: RefusalReason, model: &str) -> Option<(StatusCode, Value)> {
        let invalid = "invalid_request_error";
        let (status, kind, code, message) = match refusal {
            RefusalReason::BadRequest => (400, invalid, json!("invalid_value"), "Invalid value."),
            RefusalReason::Unauthorized => {
                let message = "Incorrect API key provided: simulated.";
                (401, invalid, json!("invalid_api_key"), message)
            }
            // As DeepSeek says it: https://api-docs.deepseek.com/quick_start/error_codes
            RefusalReason::PaymentRequired => {
                (402, "unknown_error", json!(invalid), "Insufficient Balance")
            }
            RefusalReason::Forbidden => {
                let message = "The project does not have access to this resource.";
                (403, invalid, Value::Null, message)
            }
            RefusalReason::ModelNotFound => {
                let message = format!("The model `{model}` does not exist.");
                let body = error(&message, invalid, json!("model_not_found"));
                return Some((StatusCode::NOT_FOUND, body));
            }
            RefusalReason::ContextLength => {
                let message = "This model's maximum context length is 128000 tokens.";
                (400, invalid, json!("context_length_exceeded"), message)
            }
            RefusalReason::ContentFilter => {
                let message = "The prompt was blocked by the content policy.";
                (400, invalid, json!("content_policy_violation"), message)
            }
            RefusalReason::RateLimited => {
                let message = "Rate limit reached on requests per min (RPM).";
                (429, "requests", json!("rate_limit_exceeded"), message)
            }
            RefusalReason::QuotaExhausted => {
                let quota = "insufficient_quota";
                (429, quota, json!(quota), "The account's quota is used up.")
            }
            RefusalReason::ServerError | RefusalReason::BadGateway | RefusalReason::Unexplained => {
                (500, "server_error", Value::Null, "The server had an error.")
            }
            RefusalReason::Unavailable => {
                let message = "The engine is currently overloaded.";
                let code = json!("server_is_overloaded");
                (503, "service_unavailable_error", code, message)
            }
            RefusalReason::Overloaded => (529, "overloaded_error", Value::Null, "Overloaded."),
        };
        let status = StatusCode::from_u16(status).unwrap_or_default();
        Some((status, error(message, kind, code)))
    }

    fn ask_to_wait(&self, wait: Duration, headers: &mut HeaderMap, _body: &mut Value) {
        let seconds = wait.as_millis().div_ceil(1000);
        headers.insert(RETRY_AFTER, number_header(seconds));
        headers.insert("retry-after-ms", number_header(wait.as_millis()));
    }

    fn error_event(&self) -> Bytes {
        let error = error("The server had an error.", "server_error", Value::Null);
        format!("data: {error}\n\n").into()
    }

    fn text_event(&self, answer: &Answer, text: &str) -> String {
        delta(answer, &json!({"content": text}))
    }

    fn event_of(&self, payload: &str) -> Bytes {
        format!("data: {payload}\n\n").into()
    }

    fn ping(&self) -> &'static str {
        ": keep-alive\n\n"
    }
}

/// What the text has to be, by a format and the object in it that holds the schema.
pub(super) fn text_kind(format: &Value, with_schema: &Value) -> TextKind {
    match (format["type"].as_str(), with_schema.get("schema")) {
        (Some("json_schema"), Some(schema)) => TextKind::Schema(schema.clone()),
        (Some("json_schema" | "json_object"), _) => TextKind::Json,
        _ => TextKind::Any,
    }
}

fn tools(body: &Value) -> DeclaredTools {
    let mut declared = DeclaredTools {
        is_serial: body["parallel_tool_calls"] == false,
        ..DeclaredTools::default()
    };
    for tool in body["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        declared.declare(&function["name"], function.get("parameters"));
    }
    let choice = &body["tool_choice"];
    match choice["type"].as_str() {
        Some("function") => declared.require(&choice["function"]["name"]),
        Some("allowed_tools") => {
            let allowed = &choice["allowed_tools"];
            let names = allowed["tools"].as_array().into_iter().flatten();
            let names = names.filter_map(|tool| tool["function"]["name"].as_str());
            declared.allow(names.map(str::to_owned));
            declared.is_required = allowed["mode"] == "required";
        }
        _ => choose(&mut declared, choice),
    }
    declared
}

/// A choice that is one word. Mistral says `any` for `required`.
pub(super) fn choose(declared: &mut DeclaredTools, choice: &Value) {
    match choice.as_str() {
        Some("required" | "any") => declared.is_required = true,
        Some("none") => declared.allow([]),
        _ => {}
    }
}

fn listen(messages: &Value) -> Listener<'_> {
    let mut listener = Listener::default();
    for message in messages.as_array().into_iter().flatten() {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("user") => match content {
                Value::String(text) => listener.words(text),
                parts => {
                    let parts = parts.as_array().into_iter().flatten();
                    parts
                        .filter_map(|part| part["text"].as_str())
                        .for_each(|text| listener.words(text));
                }
            },
            Some("assistant") => {
                listener.answer();
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    listener.call(&call["id"], &call["function"]["name"]);
                }
            }
            Some("tool") => {
                let result = text_of_result(content);
                listener.result(&message["tool_call_id"], &message["name"], &result);
            }
            _ => {}
        }
    }
    listener
}

fn delta(answer: &Answer, delta: &Value) -> String {
    let choices = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
    chunk(answer, choices, Value::Null)
}

fn chunk(answer: &Answer, choices: Value, usage: Value) -> String {
    let mut chunk = json!({
        "id": format!("chatcmpl-{}", answer.id),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
        "choices": choices,
    });
    if answer.usage_in_stream && answer.usage.is_some() {
        chunk["usage"] = usage;
    }
    chunk["obfuscation"] = json!("simulated");
    format!("data: {chunk}\n\n")
}

fn call_id(answer: &Answer, index: usize) -> String {
    format!("call_{}{index}", answer.id)
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

fn error(message: &str, kind: &str, code: Value) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}
