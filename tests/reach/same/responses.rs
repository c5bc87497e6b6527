//! Which requests to the Responses API mean the same?

use serde_json::{Value, json};

use super::{Sameness, closed, items, take, whole_by_default, without_default, without_nulls};

pub(super) const ALL: &[Sameness] = &[
    Sameness::new("a member that is null is absent", without_nulls),
    Sameness::new("an answer is whole by default", whole_by_default),
    Sameness::new("the service lets providers store nothing", without_store),
    Sameness::new(
        "encrypted reasoning is always asked for",
        without_reasoning_asked_for,
    ),
    Sameness::new("an empty list is absent", without_empty_lists),
    Sameness::new(
        "an answer that rests on no sources says nothing of them",
        without_sources,
    ),
    Sameness::new("a text is an input of one message", input_is_list),
    Sameness::new("an item with a role is a message", messages_by_default),
    Sameness::new(
        "instructions are a system message in front",
        instructions_are_a_message,
    ),
    Sameness::new(
        "`developer` is the newer word for `system`",
        developer_is_system,
    ),
    Sameness::new(
        "a content that is a text is a list of one text",
        texts_are_lists,
    ),
    Sameness::new("the detail is chosen by the model by default", auto_detail),
    Sameness::new(
        "schemas of tools are enforced by default",
        strict_by_default,
    ),
    Sameness::new(
        "an empty description says nothing",
        without_empty_descriptions,
    ),
    Sameness::new("the tier is chosen by the project by default", auto_tier),
    Sameness::new("the model chooses by default", auto_by_default),
    Sameness::new("any text is the format by default", text_by_default),
    Sameness::new(
        "a schema that is enforced closes its objects",
        closed_schemas,
    ),
    Sameness::new("an empty text says nothing", without_empty_messages),
    Sameness::new("messages and calls need no id", without_ids),
    Sameness::new(
        "`user` is the older name of `safety_identifier`",
        users_are_safe,
    ),
    Sameness::new("no further tokens are told by default", no_alternatives),
    Sameness::new("an item that is sent back is complete", complete_by_default),
];

/// The contract is stateless; a request that relies on what the provider stores says so in options.
fn without_store(body: &mut Value) {
    without_default(body, "store", false);
}

fn without_reasoning_asked_for(body: &mut Value) {
    if let Some(included) = body.get_mut("include").and_then(Value::as_array_mut) {
        included.retain(|name| name != "reasoning.encrypted_content");
    }
}

fn without_empty_lists(body: &mut Value) {
    without_default(body, "tools", json!([]));
    without_default(body, "include", json!([]));
}

/// What an answer rests on is a list, which the API requires to be there when the answer is sent back.
fn without_sources(body: &mut Value) {
    for item in items(body, "input") {
        for piece in items(item, "content") {
            without_default(piece, "annotations", json!([]));
            without_default(piece, "logprobs", json!([]));
        }
    }
}

fn input_is_list(body: &mut Value) {
    if let Some(input) = body.get_mut("input")
        && input.is_string()
    {
        *input = json!([{"role": "user", "content": input}]);
    }
}

fn messages_by_default(body: &mut Value) {
    for item in items(body, "input") {
        if item.get("role").is_some() {
            item["type"] = json!("message");
        }
    }
}

/// "A system (or developer) message inserted into the model's context":
/// <https://platform.openai.com/docs/api-reference/responses/create>
fn instructions_are_a_message(body: &mut Value) {
    let instructions = take(body, "instructions").filter(|text| text != "");
    if let Some(text) = instructions
        && let Some(input) = body.get_mut("input").and_then(Value::as_array_mut)
    {
        let message = json!({"type": "message", "role": "system", "content": text});
        input.insert(0, message);
    }
}

fn developer_is_system(body: &mut Value) {
    for item in items(body, "input") {
        if item["role"] == "developer" {
            item["role"] = json!("system");
        }
    }
}

fn texts_are_lists(body: &mut Value) {
    for item in items(body, "input") {
        let kind = match item["role"] == "assistant" {
            true => "output_text",
            false => "input_text",
        };
        for name in ["content", "output"] {
            if let Some(content) = item.get_mut(name)
                && let Some(text) = content.as_str()
            {
                *content = json!([{"type": kind, "text": text}]);
            }
        }
    }
}

fn auto_detail(body: &mut Value) {
    for item in items(body, "input") {
        for name in ["content", "output"] {
            for piece in items(item, name) {
                without_default(piece, "detail", "auto");
            }
        }
    }
}

/// "Requests will be normalized into strict mode by default": <https://platform.openai.com/docs/guides/function-calling>
fn strict_by_default(body: &mut Value) {
    for tool in items(body, "tools") {
        if tool["type"] == "function" {
            without_default(tool, "strict", true);
        }
    }
}

fn closed_schemas(body: &mut Value) {
    for tool in items(body, "tools") {
        if tool.get("strict").is_none()
            && let Some(parameters) = tool.get_mut("parameters")
        {
            closed(parameters);
        }
    }
}

fn without_empty_messages(body: &mut Value) {
    if let Some(input) = body.get_mut("input").and_then(Value::as_array_mut) {
        let nothing = json!([{"type": "output_text", "text": ""}]);
        input.retain(|item| item["content"] != nothing);
    }
}

/// An id names what the provider has stored; nothing of a stateless conversation is.
fn without_ids(body: &mut Value) {
    for item in items(body, "input") {
        if item["type"] == "message" || item["type"] == "function_call" {
            take(item, "id");
        }
    }
}

/// "`user`: deprecated. This field is being replaced by `safety_identifier`":
/// <https://platform.openai.com/docs/api-reference/responses/create>
fn users_are_safe(body: &mut Value) {
    if let Some(user) = take(body, "user") {
        body["safety_identifier"] = user;
    }
}

fn no_alternatives(body: &mut Value) {
    without_default(body, "top_logprobs", 0);
}

fn without_empty_descriptions(body: &mut Value) {
    for tool in items(body, "tools") {
        without_default(tool, "description", "");
    }
}

fn auto_by_default(body: &mut Value) {
    without_default(body, "tool_choice", "auto");
    if body.get("tools").is_none() {
        without_default(body, "tool_choice", "none");
    }
}

fn text_by_default(body: &mut Value) {
    if let Some(text) = body.get_mut("text") {
        without_default(text, "format", json!({"type": "text"}));
    }
    without_default(body, "text", json!({}));
}

fn complete_by_default(body: &mut Value) {
    for item in items(body, "input") {
        without_default(item, "status", "completed");
    }
}

fn auto_tier(body: &mut Value) {
    without_default(body, "service_tier", "auto");
}
