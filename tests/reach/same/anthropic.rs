//! Which requests to the Messages API mean the same?

use serde_json::{Value, json};

use super::{Sameness, items, take, whole_by_default, without_default, without_nulls};

pub(super) const ALL: &[Sameness] = &[
    Sameness::new("a member that is null is absent", without_nulls),
    Sameness::new("an answer is whole by default", whole_by_default),
    Sameness::new("a text is a list of one text block", texts_are_lists),
    Sameness::new("a flag that is false is absent", without_false),
    Sameness::new(
        "an empty description says nothing",
        without_empty_descriptions,
    ),
    Sameness::new("the effort is high by default", high_by_default),
    Sameness::new("the model chooses by default", auto_by_default),
    Sameness::new("`output_format` was moved", moved_format),
    Sameness::new("reasoning is summarised by default", summarized_by_default),
];

fn texts_are_lists(body: &mut Value) {
    text_is_list(body, "system");
    for message in items(body, "messages") {
        text_is_list(message, "content");
        for block in items(message, "content") {
            text_is_list(block, "content");
        }
    }
}

fn text_is_list(object: &mut Value, name: &str) {
    if let Some(content) = object.get_mut(name)
        && let Some(text) = content.as_str()
    {
        *content = json!([{"type": "text", "text": text}]);
    }
}

fn without_false(body: &mut Value) {
    if let Some(choice) = body.get_mut("tool_choice") {
        without_default(choice, "disable_parallel_tool_use", false);
    }
    for message in items(body, "messages") {
        for block in items(message, "content") {
            without_default(block, "is_error", false);
        }
    }
}

fn without_empty_descriptions(body: &mut Value) {
    for tool in items(body, "tools") {
        without_default(tool, "description", "");
    }
}

fn auto_by_default(body: &mut Value) {
    without_default(body, "tool_choice", json!({"type": "auto"}));
}

/// <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>: the older place is deprecated.
fn moved_format(body: &mut Value) {
    if let Some(format) = take(body, "output_format") {
        body["output_config"]["format"] = format;
    }
}

/// <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>
fn summarized_by_default(body: &mut Value) {
    if let Some(thinking) = body.get_mut("thinking") {
        without_default(thinking, "display", "summarized");
    }
}

/// <https://platform.claude.com/docs/en/build-with-claude/effort>: "the same as omitting the parameter"
fn high_by_default(body: &mut Value) {
    if let Some(config) = body.get_mut("output_config") {
        without_default(config, "effort", "high");
    }
    without_default(body, "output_config", json!({}));
}
