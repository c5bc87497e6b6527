//! Why did the model stop, in our terms?

use crate::chat::FinishReason;

/// The reason in our terms, in whatever case a host writes it.
pub(super) fn finish_reason(reason: &str) -> FinishReason {
    // Relays pass on the finish reasons of other API families.
    match reason.to_ascii_lowercase().as_str() {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "complete" | "completed" => {
            FinishReason::Stop
        }
        "length"
        | "max_tokens"
        | "model_length"
        | "max_output_tokens"
        | "model_context_window_exceeded" => FinishReason::MaxTokens,
        "tool_calls" | "tool_call" | "function_call" | "tool_use" => FinishReason::ToolCalls,
        "content_filter"
        | "content_filtered"
        | "safety"
        | "refusal"
        | "sensitive"
        | "guardrail_intervened"
        | "recitation"
        | "prohibited_content"
        | "blocklist"
        | "spii"
        | "error_toxic" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}
