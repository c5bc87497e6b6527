//! Which fields of an answer in Gemini's format are told elsewhere, and which say nothing?

use crate::wire::metadata::AnswerFields;

/// The fields of an answer.
pub(super) const FIELDS: AnswerFields = AnswerFields {
    read: &[
        "candidates.content.parts.functionCall",
        "candidates.content.parts.function_call",
        "candidates.content.parts.text",
        "candidates.content.parts.thought",
        "candidates.content.parts.thoughtSignature",
        "candidates.content.parts.thought_signature",
        "candidates.finishReason",
        "candidates.finish_reason",
        "modelVersion",
        "model_version",
        "responseId",
        "response_id",
        "usageMetadata.cachedContentTokenCount",
        "usageMetadata.candidatesTokenCount",
        "usageMetadata.promptTokenCount",
        "usageMetadata.thoughtsTokenCount",
        "usageMetadata.toolUsePromptTokenCount",
        "usageMetadata.totalTokenCount",
        "usage_metadata.cached_content_token_count",
        "usage_metadata.candidates_token_count",
        "usage_metadata.prompt_token_count",
        "usage_metadata.thoughts_token_count",
        "usage_metadata.tool_use_prompt_token_count",
        "usage_metadata.total_token_count",
    ],
    bookkeeping: &[
        ("candidates.content.role", "always the model"),
        (
            "candidates.index",
            "the number of the candidate: only the first is read",
        ),
    ],
    first_only: &["candidates"],
    numbered: &["candidates"],
    renamed: &[],
    moved: &[],
};
