//! Which fields of an answer in Anthropic's format are told elsewhere, and which say nothing?

use crate::wire::metadata::{AnswerFields, Moved, To};

/// The block that the event is about.
const BLOCK: &[To] = &[To::Member("content"), To::Item("index")];

/// The fields of an answer.
pub(super) const FIELDS: AnswerFields = AnswerFields {
    // Of `content` only what blocks are known to have: a new field of a text or of a call is told here.
    read: &[
        "content.caller",
        "content.citation",
        "content.citations",
        "content.content",
        "content.data",
        "content.encrypted_content",
        "content.id",
        "content.input",
        "content.is_error",
        "content.name",
        "content.partial_json",
        "content.server_name",
        "content.signature",
        "content.text",
        "content.thinking",
        "content.tool_use_id",
        "id",
        "model",
        "stop_reason",
        "stop_sequence",
        "usage.cache_creation.ephemeral_1h_input_tokens",
        "usage.cache_creation_input_tokens",
        "usage.cache_read_input_tokens",
        "usage.input_tokens",
        "usage.output_tokens",
        "usage.output_tokens_details.thinking_tokens",
        "usage.server_tool_use.web_fetch_requests",
        "usage.server_tool_use.web_search_requests",
    ],
    bookkeeping: &[
        (
            "content.type",
            "the kind of a block, which its part tells, or of a delta",
        ),
        ("index", "the number of a block, which its place tells"),
        ("role", "always the assistant"),
        ("type", "the name of the event's or the object's type"),
    ],
    first_only: &[],
    numbered: &[],
    renamed: &[],
    moved: &[
        Moved {
            event: "message_start",
            member: "message",
            to: &[],
        },
        Moved {
            event: "message_delta",
            member: "delta",
            to: &[],
        },
        Moved {
            event: "content_block_start",
            member: "content_block",
            to: BLOCK,
        },
        Moved {
            event: "content_block_delta",
            member: "delta",
            to: BLOCK,
        },
    ],
};
