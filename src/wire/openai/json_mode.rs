//! Which instruction must be added so that OpenAI answers with a JSON object?

use crate::chat::{Message, Part, ResponseFormat};
use crate::wire::Adaptations;

/// OpenAI and others accept `json_object` only if some message mentions JSON:
/// <https://platform.openai.com/docs/guides/structured-outputs#json-mode>.
const ANSWER_IN_JSON: &str = "Answer with a JSON object.";

/// The instruction that a request for a JSON object lacks, if it lacks one.
pub(in crate::wire) fn instruction(
    format: &ResponseFormat,
    messages: &[Message],
    adaptations: &mut Adaptations,
) -> Option<&'static str> {
    if *format != ResponseFormat::JsonObject || mention_json(messages) {
        return None;
    }
    adaptations.note(
        "response_format",
        "the instruction to answer in JSON was added: the provider demands that a message says so",
    );
    Some(ANSWER_IN_JSON)
}

fn mention_json(messages: &[Message]) -> bool {
    let mut parts = messages.iter().flat_map(|message| &message.parts);
    parts.any(|part| match part {
        Part::Text(text) => {
            let mut words = text.as_bytes().windows(4);
            words.any(|word| word.eq_ignore_ascii_case(b"json"))
        }
        Part::Image(_)
        | Part::Document(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_)
        | Part::Audio(_)
        | Part::Video(_)
        | Part::Provider(_) => false,
    })
}
