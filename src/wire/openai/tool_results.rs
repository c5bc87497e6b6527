//! How does a tool result say to OpenAI that the tool failed? Its text has to.

use crate::wire::Adaptations;

/// The result of a tool that failed without any text.
pub(in crate::wire) const WORDLESS_FAILURE: &str = "The tool failed and did not say why.";

/// Records that the mark of a failure is not sent.
pub(in crate::wire) fn note_failure(adaptations: &mut Adaptations) {
    adaptations.note(
        "messages.parts.tool_result.is_error",
        "left out: the API cannot mark a tool result as failed; its text has to say so",
    );
}
