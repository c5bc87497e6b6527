//! Which fields of an answer in the Responses API are told elsewhere, and which say nothing?

use crate::wire::metadata::{AnswerFields, Moved, To};

/// The item that an event is about.
const ITEM: &[To] = &[To::Member("output"), To::Item("output_index")];

/// The part of an item's content that an event is about.
const PART: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("content"),
    To::Item("content_index"),
];

/// The part of an item's summary that an event is about.
const SUMMARY: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("summary"),
    To::Item("summary_index"),
];

/// The annotation that an event adds.
const ANNOTATION: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("content"),
    To::Item("content_index"),
    To::Member("annotations"),
    To::Item("annotation_index"),
];

/// The probabilities of a piece of text.
const LOGPROBS: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("content"),
    To::Item("content_index"),
    To::Member("logprobs"),
];

/// The text of a part.
const TEXT: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("content"),
    To::Item("content_index"),
    To::Member("text"),
];

/// The refusal in a part.
const REFUSAL: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("content"),
    To::Item("content_index"),
    To::Member("refusal"),
];

/// The text of a part of a summary.
const SUMMARY_TEXT: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("summary"),
    To::Item("summary_index"),
    To::Member("text"),
];

/// The arguments of a call.
const ARGUMENTS: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("arguments"),
];

/// The input of a call.
const INPUT: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("input"),
];

/// The code that is run.
const CODE: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("code"),
];

/// What a command wrote.
const OUTPUT: &[To] = &[
    To::Member("output"),
    To::Item("output_index"),
    To::Member("output"),
];

/// A member of the event of this type stands there in a whole answer.
const fn moved(event: &'static str, member: &'static str, to: &'static [To]) -> Moved {
    Moved { event, member, to }
}

/// The fields of an answer.
pub(super) const FIELDS: AnswerFields = AnswerFields {
    read: &[
        "id",
        "incomplete_details",
        "model",
        "output.action",
        "output.arguments",
        "output.call_id",
        "output.code",
        "output.container_id",
        "output.content.annotations",
        "output.content.refusal",
        "output.content.text",
        "output.environment",
        "output.error",
        "output.execution",
        "output.input",
        "output.name",
        "output.operation",
        "output.output",
        "output.outputs",
        "output.phase",
        "output.queries",
        "output.result",
        "output.results",
        "output.server_label",
        "output.summary.text",
        "output.tools",
        "service_tier",
        "usage.cost",
        "usage.input_tokens",
        "usage.input_tokens_details.cache_write_tokens",
        "usage.input_tokens_details.cached_tokens",
        "usage.output_tokens",
        "usage.total_tokens",
    ],
    bookkeeping: &[
        (
            "annotation_index",
            "the number of an annotation, which its place tells",
        ),
        ("command", "a piece of an item that comes whole at its end"),
        (
            "command_index",
            "the number of a command, which its place tells",
        ),
        (
            "content_index",
            "the number of a part, which its place tells",
        ),
        (
            "created_at",
            "the time at the provider when the answer began",
        ),
        ("delta", "a piece of an item that comes whole at its end"),
        ("diff", "a piece of an item that comes whole at its end"),
        (
            "instructions",
            "repeats the request, with what the configuration of the service adds",
        ),
        ("item_id", "the id of an item, which the item itself tells"),
        ("obfuscation", "hides the length of a piece"),
        ("object", "the name of the object's type"),
        (
            "output.content.logprobs",
            "read with the pieces of the text; the end repeats them rounded otherwise",
        ),
        (
            "output.content.type",
            "the other members of a part tell what it is",
        ),
        (
            "output.encrypted_content",
            "read when the item ends; the end of the answer encrypts it once more",
        ),
        ("output.role", "always the assistant"),
        ("output.summary.type", "always a text"),
        (
            "output.type",
            "the other members of an item tell what it is",
        ),
        (
            "output_index",
            "the number of an item, which its place tells",
        ),
        ("output_text", "repeats the texts of the items"),
        ("sequence_number", "the number of the event"),
        ("status", "the finish reason tells it"),
        (
            "summary_index",
            "the number of a part, which its place tells",
        ),
        ("text.format", "repeats the request"),
        ("tool_choice", "repeats the request"),
        (
            "tools",
            "repeats the request, with what the configuration of the service adds",
        ),
        ("type", "the name of the event's type"),
    ],
    first_only: &[],
    numbered: &[],
    renamed: &[],
    moved: &[
        moved("response.completed", "response", &[]),
        moved("response.created", "response", &[]),
        moved("response.failed", "response", &[]),
        moved("response.in_progress", "response", &[]),
        moved("response.incomplete", "response", &[]),
        moved("response.queued", "response", &[]),
        moved("response.output_item.added", "item", ITEM),
        moved("response.output_item.done", "item", ITEM),
        moved("response.content_part.added", "part", PART),
        moved("response.content_part.done", "part", PART),
        moved("response.reasoning_summary_part.added", "part", SUMMARY),
        moved("response.reasoning_summary_part.done", "part", SUMMARY),
        moved(
            "response.output_text.annotation.added",
            "annotation",
            ANNOTATION,
        ),
        moved("response.output_text.delta", "logprobs", LOGPROBS),
        moved("response.output_text.done", "logprobs", LOGPROBS),
        moved("response.output_text.delta", "delta", TEXT),
        moved("response.output_text.done", "text", TEXT),
        moved("response.reasoning_text.delta", "delta", TEXT),
        moved("response.reasoning_text.done", "text", TEXT),
        moved("response.refusal.delta", "delta", REFUSAL),
        moved("response.refusal.done", "refusal", REFUSAL),
        moved(
            "response.reasoning_summary_text.delta",
            "delta",
            SUMMARY_TEXT,
        ),
        moved("response.reasoning_summary_text.done", "text", SUMMARY_TEXT),
        moved("response.function_call_arguments.delta", "delta", ARGUMENTS),
        moved(
            "response.function_call_arguments.done",
            "arguments",
            ARGUMENTS,
        ),
        moved("response.mcp_call_arguments.delta", "delta", ARGUMENTS),
        moved("response.mcp_call_arguments.done", "arguments", ARGUMENTS),
        moved("response.custom_tool_call_input.delta", "delta", INPUT),
        moved("response.custom_tool_call_input.done", "input", INPUT),
        moved("response.code_interpreter_call_code.delta", "delta", CODE),
        moved("response.code_interpreter_call_code.done", "code", CODE),
        moved("response.shell_call_output_content.done", "output", OUTPUT),
    ],
};
