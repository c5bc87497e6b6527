//! Which requests to Chat Completions mean the same?

use serde_json::{Value, json};

use super::{
    Numbered, Sameness, closed, items, take, whole_by_default, without_default, without_nulls,
};

pub(super) const ALL: &[Sameness] = &[
    Sameness::new("a member that is null is absent", without_nulls),
    Sameness::new("an answer is whole by default", whole_by_default),
    Sameness::new("usage is a matter of the stream", without_stream_options),
    Sameness::new("one answer is given by default", one_answer),
    Sameness::new(
        "`functions` are the older spelling of `tools`",
        functions_are_tools,
    ),
    Sameness::new(
        "`developer` is the newer word for `system`",
        developer_is_system,
    ),
    Sameness::new("no further tokens are told by default", no_alternatives),
    Sameness::new(
        "a content that is a text is a list of one text",
        texts_are_lists,
    ),
    Sameness::new("texts in a row are joined", texts_in_a_row),
    Sameness::new("an empty content says nothing", without_empty_contents),
    Sameness::new("a flag that is false is absent", without_false),
    Sameness::new("an empty list is absent", without_empty_lists),
    Sameness::new(
        "an empty description says nothing",
        without_empty_descriptions,
    ),
    Sameness::new("the detail is chosen by the model by default", auto_detail),
    Sameness::new("the model chooses by default", auto_by_default),
    Sameness::new("a tool is a function by default", function_by_default),
    Sameness::new(
        "a schema that is enforced closes its objects",
        closed_schemas,
    ),
    Sameness::new("the number of a call is its place", unnumbered_calls),
    Sameness::new("ids only tell which result is whose", numbered_ids),
    Sameness::new("reasoning that is said twice is said once", reasoning_once),
    Sameness::new("a blank stands for no reasoning", without_blank_reasoning),
    Sameness::new(
        "an answer that says nothing is left out",
        without_empty_answers,
    ),
    Sameness::new("a message ends where its last piece ends", marked_pieces),
    Sameness::new("instructions in a row are one", instructions_in_a_row),
    Sameness::new("one stop sequence is a list of one", stop_is_list),
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

/// The host's template joins them, or the service does by a line's end.
fn texts_in_a_row(body: &mut Value) {
    for message in items(body, "messages") {
        let end = match message["role"] == "system" {
            true => "\n\n",
            false => "\n",
        };
        if let Some(pieces) = message.get_mut("content").and_then(Value::as_array_mut) {
            join(pieces, end);
        }
    }
}

/// Joins texts in a row that have nothing but their text.
fn join(pieces: &mut Vec<Value>, end: &str) {
    let is_text = |piece: &Value| {
        piece["text"].is_string() && piece.as_object().is_some_and(|piece| piece.len() == 2)
    };
    for piece in std::mem::take(pieces) {
        match pieces.last_mut() {
            Some(last) if is_text(last) && is_text(&piece) => {
                let text = |piece: &Value| piece["text"].as_str().unwrap_or_default().to_owned();
                last["text"] = json!(format!("{}{end}{}", text(last), text(&piece)));
            }
            _ => pieces.push(piece),
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

fn function_by_default(body: &mut Value) {
    for tool in items(body, "tools") {
        without_default(tool, "type", "function");
    }
    if let Some(choice) = body.get_mut("tool_choice") {
        without_default(choice, "type", "function");
    }
}

fn closed_schemas(body: &mut Value) {
    for tool in items(body, "tools") {
        if tool["function"]["strict"] == true
            && let Some(parameters) = tool["function"].get_mut("parameters")
        {
            closed(parameters);
        }
    }
}

fn unnumbered_calls(body: &mut Value) {
    for message in items(body, "messages") {
        for call in items(message, "tool_calls") {
            take(call, "index");
        }
    }
}

/// Mistral's library takes only ids of nine letters and digits, so others are replaced.
fn numbered_ids(body: &mut Value) {
    let mut ids = Numbered::default();
    for message in items(body, "messages") {
        for call in items(message, "tool_calls") {
            ids.number(call, "id");
        }
        ids.number(message, "tool_call_id");
    }
}

/// Clients that do not know which of the two fields a host reads write both.
fn reasoning_once(body: &mut Value) {
    for message in items(body, "messages") {
        if message.get("reasoning") == message.get("reasoning_content") {
            take(message, "reasoning");
        }
    }
}

/// Several model families refuse a second message of instructions, so those in a row are sent as one.
fn instructions_in_a_row(body: &mut Value) {
    let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) else {
        return;
    };
    let is_plain = |message: &Value| {
        message["role"] == "system" && message.as_object().is_some_and(|fields| fields.len() == 2)
    };
    for message in std::mem::take(messages) {
        match messages.last_mut() {
            Some(last) if is_plain(last) && is_plain(&message) => {
                let more = message["content"].as_array().cloned().unwrap_or_default();
                if let Some(pieces) = last["content"].as_array_mut() {
                    pieces.extend(more);
                    join(pieces, "\n\n");
                }
            }
            _ => messages.push(message),
        }
    }
}

/// <https://platform.openai.com/docs/api-reference/chat/create>: "developer messages replace the previous system messages"
fn developer_is_system(body: &mut Value) {
    for message in items(body, "messages") {
        if message["role"] == "developer" {
            message["role"] = json!("system");
        }
    }
}

fn no_alternatives(body: &mut Value) {
    without_default(body, "top_logprobs", 0);
}

/// DeepSeek requires reasoning beside calls of tools, and takes a blank.
fn without_blank_reasoning(body: &mut Value) {
    for message in items(body, "messages") {
        without_default(message, "reasoning_content", "");
        without_default(message, "reasoning_content", " ");
    }
}

fn without_empty_answers(body: &mut Value) {
    if let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) {
        messages.retain(|message| *message != json!({"role": "assistant"}));
    }
}

/// A mark for the cache says how far the prompt is to be kept.
fn marked_pieces(body: &mut Value) {
    for message in items(body, "messages") {
        if let Some(mark) = take(message, "cache_control")
            && let Some(last) = items(message, "content").last()
        {
            last["cache_control"] = mark;
        }
    }
}
