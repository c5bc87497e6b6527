//! Which requests to Chat Completions mean the same?

use serde_json::{Value, json};

use super::{Sameness, items, take, whole_by_default, without_default, without_nulls};

pub(super) const ALL: &[Sameness] = &[
    Sameness::new("a member that is null is absent", without_nulls),
    Sameness::new("an answer is whole by default", whole_by_default),
    Sameness::new("usage is a matter of the stream", without_stream_options),
    Sameness::new("one answer is given by default", one_answer),
    Sameness::new(
        "a content that is a text is a list of one text",
        texts_are_lists,
    ),
    Sameness::new("an empty content says nothing", without_empty_contents),
    Sameness::new("a flag that is false is absent", without_false),
    Sameness::new("an empty list is absent", without_empty_lists),
    Sameness::new(
        "an empty description says nothing",
        without_empty_descriptions,
    ),
    Sameness::new("the detail is chosen by the model by default", auto_detail),
    Sameness::new("the model chooses by default", auto_by_default),
    Sameness::new("one stop sequence is a list of one", stop_is_list),
    Sameness::new(
        "`functions` are the older spelling of `tools`",
        functions_are_tools,
    ),
];

/// Streams tell usage, and callers get it, whether the recorded client wanted that or not.
fn without_stream_options(body: &mut Value) {
    take(body, "stream_options");
}

fn one_answer(body: &mut Value) {
    without_default(body, "n", 1);
}

fn texts_are_lists(body: &mut Value) {
    for message in items(body, "messages") {
        if let Some(content) = message.get_mut("content")
            && let Some(text) = content.as_str()
        {
            *content = json!([{"type": "text", "text": text}]);
        }
    }
}

/// Beside calls of tools, clients write the content as null, as an empty text or not at all.
fn without_empty_contents(body: &mut Value) {
    for message in items(body, "messages") {
        if message["role"] == "assistant" {
            without_default(message, "content", json!([{"type": "text", "text": ""}]));
            without_default(message, "content", json!([]));
        }
    }
}

fn without_false(body: &mut Value) {
    without_default(body, "logprobs", false);
    for message in items(body, "messages") {
        without_default(message, "prefix", false);
    }
    for tool in items(body, "tools") {
        without_default(&mut tool["function"], "strict", false);
    }
}

fn without_empty_lists(body: &mut Value) {
    without_default(body, "tools", json!([]));
}

fn without_empty_descriptions(body: &mut Value) {
    for tool in items(body, "tools") {
        without_default(&mut tool["function"], "description", "");
    }
}

fn auto_detail(body: &mut Value) {
    for message in items(body, "messages") {
        for piece in items(message, "content") {
            if let Some(image) = piece.get_mut("image_url") {
                if let Some(url) = image.as_str() {
                    *image = json!({"url": url});
                }
                without_default(image, "detail", "auto");
            }
        }
    }
}

fn auto_by_default(body: &mut Value) {
    without_default(body, "tool_choice", "auto");
    if body.get("tools").is_none() {
        without_default(body, "tool_choice", "none");
    }
}

fn stop_is_list(body: &mut Value) {
    if let Some(stop) = body.get_mut("stop")
        && stop.is_string()
    {
        *stop = json!([stop]);
    }
}

/// <https://platform.openai.com/docs/api-reference/chat/create>: both are deprecated in favour of the newer ones.
fn functions_are_tools(body: &mut Value) {
    if let Some(Value::Array(functions)) = take(body, "functions") {
        let tools = functions.into_iter();
        let tools = tools.map(|function| json!({"type": "function", "function": function}));
        body["tools"] = tools.collect();
    }
    if let Some(choice) = take(body, "function_call")
        && choice != "auto"
    {
        body["tool_choice"] = choice;
    }
}
