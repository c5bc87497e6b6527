//! How is a simulated answer written in OpenAI's Chat Completions format?

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{
    Answer, Asked, CREATED, Dialect, Event, Framing, Usage, fragments, number_header, words,
};
use super::behaviour::{Finish, Refusal};

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
        asked.json = ["json_object", "json_schema"]
            .iter()
            .any(|kind| body["response_format"]["type"] == *kind);
        asked.forced_tool = forced_tool(body);
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
        let silent = answer.text.is_empty() && !answer.calls.is_empty();
        let content = if silent { Value::Null } else { json!("") };
        let first = json!({"role": "assistant", "content": content, "refusal": null});
        let mut events = vec![Event::other(delta(answer, &first))];
        for piece in &answer.reasoning {
            let thought = json!({"reasoning_content": piece});
            events.push(Event::token(delta(answer, &thought)));
        }
        for piece in &answer.text {
            events.push(Event::token(self.text_event(answer, piece)));
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
        let silent = text.is_empty() && !answer.calls.is_empty();
        let mut message = json!({
            "role": "assistant",
            "content": if silent { Value::Null } else { json!(text) },
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
        message["refusal"] = Value::Null;
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

    fn refuse(&self, refusal: Refusal, model: &str) -> Option<(StatusCode, Value)> {
        let invalid = "invalid_request_error";
        let (status, kind, code, message) = match refusal {
            Refusal::BadRequest => (400, invalid, json!("invalid_value"), "Invalid value."),
            Refusal::Unauthorized => {
                let message = "Incorrect API key provided: simulated.";
                (401, invalid, json!("invalid_api_key"), message)
            }
            // As DeepSeek says it: https://api-docs.deepseek.com/quick_start/error_codes
            Refusal::PaymentRequired => {
                (402, "unknown_error", json!(invalid), "Insufficient Balance")
            }
            Refusal::Forbidden => {
                let message = "The project does not have access to this resource.";
                (403, invalid, Value::Null, message)
            }
            Refusal::ModelNotFound => {
                let message = format!("The model `{model}` does not exist.");
                let body = error(&message, invalid, json!("model_not_found"));
                return Some((StatusCode::NOT_FOUND, body));
            }
            Refusal::ContextLength => {
                let message = "This model's maximum context length is 128000 tokens.";
                (400, invalid, json!("context_length_exceeded"), message)
            }
            Refusal::ContentFilter => {
                let message = "The prompt was blocked by the content policy.";
                (400, invalid, json!("content_policy_violation"), message)
            }
            Refusal::RateLimited => {
                let message = "Rate limit reached on requests per min (RPM).";
                (429, "requests", json!("rate_limit_exceeded"), message)
            }
            Refusal::QuotaExhausted => {
                let quota = "insufficient_quota";
                (429, quota, json!(quota), "The account's quota is used up.")
            }
            Refusal::ServerError | Refusal::BadGateway | Refusal::Unexplained => {
                (500, "server_error", Value::Null, "The server had an error.")
            }
            Refusal::Unavailable => {
                let message = "The engine is currently overloaded.";
                let code = json!("server_is_overloaded");
                (503, "service_unavailable_error", code, message)
            }
            Refusal::Overloaded => (529, "overloaded_error", Value::Null, "Overloaded."),
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

/// The tool that must be called: the named one, or the first where any will do.
fn forced_tool(body: &Value) -> Option<String> {
    let choice = &body["tool_choice"];
    let name = if choice == "required" {
        &body["tools"][0]["function"]["name"]
    } else {
        &choice["function"]["name"]
    };
    name.as_str().map(str::to_owned)
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
