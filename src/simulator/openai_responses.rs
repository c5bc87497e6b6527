//! How is a simulated answer written in OpenAI's Responses format?

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, CREATED, Dialect, Event, SIGNATURE, Usage, fragments};
use super::asked::{Asked, Framing, words};
use super::behaviour::{Finish, RefusalReason};
use super::openai_chat::{OpenAiChat, choose, text_kind};
use super::tools::{DeclaredTools, Listener, text_of_result};

pub(super) struct OpenAiResponses;

impl Dialect for OpenAiResponses {
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
        let input = &body["input"];
        match input {
            Value::Array(items) if !items.is_empty() => check(items)?,
            Value::String(_) => {}
            _ => return Err("Missing required parameter: 'input'.".to_owned()),
        }
        let limit = body["max_output_tokens"].as_u64();
        if limit.is_some_and(|limit| limit < 16) {
            return Err(
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16."
                    .to_owned(),
            );
        }
        asked.usage_in_stream = true;
        let format = &body["text"]["format"];
        asked.text = text_kind(format, format);
        asked.tools = tools(body);
        asked.turn = listen(input).finish(&asked.tools);
        asked.max_tokens = limit.and_then(|limit| usize::try_from(limit).ok());
        let instructions = json!({"text": body["instructions"]});
        asked.input_words = words(input) + words(&instructions);
        asked.encrypts_reasoning = body["include"]
            .as_array()
            .is_some_and(|include| include.contains(&json!("reasoning.encrypted_content")));
        if body["stream"] == true {
            asked.framing = Framing::Sse;
        }
        Ok(())
    }

    fn events(&self, answer: &Answer) -> Vec<Event> {
        let mut events = Events::default();
        let open = response(answer, "in_progress", Vec::new());
        events.other("response.created", json!({"response": open}));
        events.other("response.in_progress", json!({"response": open}));
        let items = output(answer);
        for (index, item) in items.iter().enumerate() {
            let place = json!({"output_index": index, "item_id": item["id"]});
            match item["type"].as_str() {
                Some("reasoning") => events.reasoning(answer, item, &place),
                Some("message") => events.message(answer, item, &place),
                _ => events.call(answer, item, &place),
            }
            events.other(
                "response.output_item.done",
                json!({"output_index": index, "item": item}),
            );
        }
        let (kind, status) = ending(answer.finish);
        let whole = response(answer, status, items);
        events.end(kind, json!({"response": whole}));
        events.events
    }

    fn whole(&self, answer: &Answer) -> Value {
        let (_, status) = ending(answer.finish);
        response(answer, status, output(answer))
    }

    fn bad_request(&self, message: &str) -> Value {
        OpenAiChat.bad_request(message)
    }

    fn refuse(&self, refusal: RefusalReason, model: &str) -> Option<(StatusCode, Value)> {
        OpenAiChat.refuse(refusal, model)
    }

    fn ask_to_wait(&self, wait: Duration, headers: &mut HeaderMap, body: &mut Value) {
        OpenAiChat.ask_to_wait(wait, headers, body);
    }

    fn error_event(&self) -> Bytes {
        let error = json!({
            "type": "error",
            "error": {
                "type": "server_error",
                "code": "server_error",
                "message": "The server had an error.",
                "param": null,
            },
        });
        format!("event: error\ndata: {error}\n\n").into()
    }

    fn text_event(&self, answer: &Answer, text: &str) -> String {
        let index = usize::from(!answer.reasoning.is_empty());
        let kind = "response.output_text.delta";
        let delta = json!({
            "type": kind,
            "output_index": index,
            "item_id": format!("msg_{}", answer.id),
            "content_index": 0,
            "delta": text,
        });
        format!("event: {kind}\ndata: {delta}\n\n")
    }

    fn event_of(&self, payload: &str) -> Bytes {
        format!("event: response.output_text.delta\ndata: {payload}\n\n").into()
    }

    fn ping(&self) -> &'static str {
        ": keep-alive\n\n"
    }
}

/// What the API refuses of a conversation.
fn check(items: &[Value]) -> Result<(), String> {
    let answered: HashSet<_> = items
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .filter_map(|item| item["call_id"].as_str())
        .collect();
    let mut called = HashSet::new();
    for (place, item) in items.iter().enumerate() {
        let id = item["call_id"].as_str().unwrap_or_default();
        match item["type"].as_str() {
            Some("function_call") if !answered.contains(id) => {
                return Err(format!("No tool output found for function call {id}."));
            }
            Some("function_call") => {
                called.insert(id);
            }
            Some("function_call_output") if !called.contains(id) => {
                return Err(format!(
                    "No tool call found for function call output with call_id {id}."
                ));
            }
            Some("reasoning") => {
                let of_model = |item: &Value| {
                    item["role"] == "assistant"
                        || item["type"] == "function_call"
                        || item["type"] == "reasoning"
                };
                if !items.get(place + 1).is_some_and(of_model) {
                    let id = item["id"].as_str().unwrap_or_default();
                    return Err(format!(
                        "Item '{id}' of type 'reasoning' was provided without its required following item."
                    ));
                }
                if item["encrypted_content"].is_null() {
                    return Err("Items are not persisted when `store` is set to false.".to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn tools(body: &Value) -> DeclaredTools {
    let mut declared = DeclaredTools {
        is_serial: body["parallel_tool_calls"] == false,
        ..DeclaredTools::default()
    };
    for tool in body["tools"].as_array().into_iter().flatten() {
        if tool["type"] == "function" {
            declared.declare(&tool["name"], tool.get("parameters"));
        }
    }
    let choice = &body["tool_choice"];
    match choice["type"].as_str() {
        Some("function") => declared.require(&choice["name"]),
        Some("allowed_tools") => {
            let names = choice["tools"].as_array().into_iter().flatten();
            let names = names.filter_map(|tool| tool["name"].as_str());
            declared.allow(names.map(str::to_owned));
            declared.is_required = choice["mode"] == "required";
        }
        _ => choose(&mut declared, choice),
    }
    declared
}

fn listen(input: &Value) -> Listener<'_> {
    let mut listener = Listener::default();
    if let Some(text) = input.as_str() {
        listener.words(text);
    }
    for item in input.as_array().into_iter().flatten() {
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("function_call"), _) => listener.call(&item["call_id"], &item["name"]),
            (Some("function_call_output"), _) => {
                let result = text_of_result(&item["output"]);
                listener.result(&item["call_id"], &Value::Null, &result);
            }
            (_, Some("user")) => {
                if let Some(text) = item["content"].as_str() {
                    listener.words(text);
                }
                for part in item["content"].as_array().into_iter().flatten() {
                    if let Some(text) = part["text"].as_str() {
                        listener.words(text);
                    }
                }
            }
            (_, Some("assistant")) => listener.answer(),
            _ => {}
        }
    }
    listener
}

/// The events of a stream under construction, which numbers them.
#[derive(Default)]
struct Events {
    events: Vec<Event>,
}

impl Events {
    fn reasoning(&mut self, answer: &Answer, item: &Value, place: &Value) {
        let mut opening = item.clone();
        opening["summary"] = json!([]);
        self.added(&opening, place);
        let place = with(place, json!({"summary_index": 0}));
        let part = |text: &str| json!({"part": {"type": "summary_text", "text": text}});
        let text = answer.reasoning.concat();
        self.other(
            "response.reasoning_summary_part.added",
            with(&place, part("")),
        );
        for piece in &answer.reasoning {
            let delta = with(&place, json!({"delta": piece}));
            self.token("response.reasoning_summary_text.delta", delta);
        }
        let done = with(&place, json!({"text": text}));
        self.other("response.reasoning_summary_text.done", done);
        self.other(
            "response.reasoning_summary_part.done",
            with(&place, part(&text)),
        );
    }

    fn message(&mut self, answer: &Answer, item: &Value, place: &Value) {
        let mut opening = item.clone();
        opening["status"] = json!("in_progress");
        opening["content"] = json!([]);
        self.added(&opening, place);
        let place = with(place, json!({"content_index": 0}));
        let text = answer.text.concat();
        if answer.is_declined {
            self.refusal(answer, &text, &place);
            return;
        }
        let part = |text: &str| json!({"part": output_text(text)});
        self.other("response.content_part.added", with(&place, part("")));
        for piece in &answer.text {
            let delta = with(&place, json!({"delta": piece, "logprobs": []}));
            self.token("response.output_text.delta", delta);
        }
        let done = with(&place, json!({"text": text, "logprobs": []}));
        self.other("response.output_text.done", done);
        self.other("response.content_part.done", with(&place, part(&text)));
    }

    fn refusal(&mut self, answer: &Answer, text: &str, place: &Value) {
        let part = |text: &str| json!({"part": {"type": "refusal", "refusal": text}});
        self.other("response.content_part.added", with(place, part("")));
        for piece in &answer.text {
            self.token(
                "response.refusal.delta",
                with(place, json!({"delta": piece})),
            );
        }
        let done = with(place, json!({"refusal": text}));
        self.other("response.refusal.done", done);
        self.other("response.content_part.done", with(place, part(text)));
    }

    fn call(&mut self, answer: &Answer, item: &Value, place: &Value) {
        let mut opening = item.clone();
        opening["status"] = json!("in_progress");
        opening["arguments"] = json!("");
        let added = json!({"output_index": place["output_index"], "item": opening});
        self.token("response.output_item.added", added);
        let is_it = |index: &usize| item["call_id"] == call_id(answer, *index);
        let call = (0..answer.calls.len())
            .find(is_it)
            .map(|index| &answer.calls[index]);
        for fragment in call.map(fragments).unwrap_or_default() {
            let delta = with(place, json!({"delta": fragment}));
            self.token("response.function_call_arguments.delta", delta);
        }
        let done = with(place, json!({"arguments": item["arguments"]}));
        self.other("response.function_call_arguments.done", done);
    }

    fn added(&mut self, item: &Value, place: &Value) {
        let added = json!({"output_index": place["output_index"], "item": item});
        self.other("response.output_item.added", added);
    }

    fn token(&mut self, kind: &str, event: Value) {
        let event = self.spelled(kind, event);
        self.events.push(Event::token(event));
    }

    fn other(&mut self, kind: &str, event: Value) {
        let event = self.spelled(kind, event);
        self.events.push(Event::other(event));
    }

    fn end(&mut self, kind: &str, event: Value) {
        let event = self.spelled(kind, event);
        self.events.push(Event::end(event));
    }

    fn spelled(&self, kind: &str, mut event: Value) -> String {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.events.len());
        format!("event: {kind}\ndata: {event}\n\n")
    }
}

/// An object with the fields of both.
fn with(one: &Value, other: Value) -> Value {
    let mut both = one.clone();
    if let (Some(fields), Value::Object(other)) = (both.as_object_mut(), other) {
        fields.extend(other);
    }
    both
}

/// The items of an answer.
fn output(answer: &Answer) -> Vec<Value> {
    let mut items = Vec::new();
    if !answer.reasoning.is_empty() {
        let mut item = json!({
            "id": format!("rs_{}", answer.id),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": answer.reasoning.concat()}],
        });
        if answer.encrypts_reasoning {
            item["encrypted_content"] = json!(SIGNATURE);
        }
        items.push(item);
    }
    if !answer.text.is_empty() {
        let text = answer.text.concat();
        let part = match answer.is_declined {
            true => json!({"type": "refusal", "refusal": text}),
            false => output_text(&text),
        };
        items.push(json!({
            "id": format!("msg_{}", answer.id),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }));
    }
    for (index, call) in answer.calls.iter().enumerate() {
        items.push(json!({
            "id": format!("fc_{}{index}", answer.id),
            "type": "function_call",
            "status": "completed",
            "call_id": call_id(answer, index),
            "name": call.name,
            "arguments": call.arguments,
        }));
    }
    items
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

fn response(answer: &Answer, status: &str, output: Vec<Value>) -> Value {
    let reason = match answer.finish {
        Finish::Length => json!({"reason": "max_output_tokens"}),
        Finish::ContentFilter => json!({"reason": "content_filter"}),
        Finish::Stop | Finish::ToolCalls => Value::Null,
    };
    let mut response = json!({
        "id": format!("resp_{}", answer.id),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": null,
        "incomplete_details": if status == "incomplete" { reason } else { Value::Null },
        "model": answer.model,
        "output": output,
        "store": false,
        "service_tier": "default",
    });
    if let (Some(counts), false) = (answer.usage, status == "in_progress") {
        response["usage"] = usage(counts);
    }
    response
}

/// The last event of a stream, and the status of the answer.
fn ending(finish: Finish) -> (&'static str, &'static str) {
    match finish {
        Finish::Stop | Finish::ToolCalls => ("response.completed", "completed"),
        Finish::Length | Finish::ContentFilter => ("response.incomplete", "incomplete"),
    }
}

fn call_id(answer: &Answer, index: usize) -> String {
    format!("call_{}{index}", answer.id)
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    })
}
