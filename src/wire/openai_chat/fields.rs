//! Which fields of an answer in OpenAI Chat Completions are told elsewhere, and which say nothing?

use crate::wire::metadata::AnswerFields;

/// The fields of an answer.
pub(super) const FIELDS: AnswerFields = AnswerFields {
    read: &[
        "choices.finishReason",
        "choices.finish_reason",
        "choices.logprobs.content",
        "choices.message.annotations",
        "choices.message.audio.data",
        "choices.message.audio.format",
        "choices.message.audio.id",
        "choices.message.audio.transcript",
        "choices.message.content",
        "choices.message.executed_tools",
        "choices.message.function_call",
        "choices.message.images",
        "choices.message.reasoning",
        "choices.message.reasoning_content",
        "choices.message.refusal",
        "choices.message.tool_calls.custom",
        "choices.message.tool_calls.function",
        "choices.message.tool_calls.id",
        "choices.text",
        "citations",
        "model",
        "search_results",
        "usage.cached_tokens",
        "usage.completion_tokens",
        "usage.completion_tokens_details.audio_tokens",
        "usage.completion_tokens_details.image_tokens",
        "usage.completion_tokens_details.reasoning_tokens",
        "usage.cost.total_cost",
        "usage.cost_in_usd_ticks",
        "usage.num_cached_tokens",
        "usage.num_search_queries",
        "usage.prompt_tokens",
        "usage.prompt_tokens_details.audio_tokens",
        "usage.prompt_tokens_details.cache_write_tokens",
        "usage.prompt_tokens_details.cached_tokens",
        "usage.prompt_tokens_details.image_tokens",
        "usage.prompt_tokens_details.video_tokens",
        "usage.reasoning_tokens",
        "usage.total_tokens",
    ],
    bookkeeping: &[
        (
            "choices.index",
            "the number of the choice: only the first is read",
        ),
        (
            "choices.message.annotations.type",
            "the other members tell what the annotation is",
        ),
        (
            "choices.message.content.closed",
            "whether more of a piece follows",
        ),
        (
            "choices.message.content.thinking.type",
            "the other members of a piece tell what it is",
        ),
        (
            "choices.message.content.type",
            "the other members of a piece tell what it is",
        ),
        ("choices.message.padding", "hides the length of a piece"),
        (
            "choices.message.reasoning_details.summary",
            "hosts repeat the reasoning here",
        ),
        (
            "choices.message.reasoning_details.text",
            "hosts repeat the reasoning here",
        ),
        ("choices.message.role", "always the assistant"),
        (
            "choices.message.tool_calls.index",
            "the number of the call, which its place tells",
        ),
        (
            "choices.message.tool_calls.type",
            "the other members tell what the call is",
        ),
        ("created", "the time at the provider when the answer began"),
        (
            "id",
            "the first is read: some hosts give every piece its own",
        ),
        ("obfuscation", "hides the length of a piece"),
        ("object", "the name of the object's type"),
    ],
    first_only: &["choices"],
    numbered: &["choices", "choices.message.tool_calls"],
    renamed: &[("choices.delta", "message")],
    moved: &[],
};
