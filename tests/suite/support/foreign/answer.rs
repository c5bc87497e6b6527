//! The answer of a foreign provider: a short stream of `openai_chat`, which may end a while after its last event.

use std::time::Duration;

/// How requests are answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// How long the first word takes.
    pub(crate) first: Duration,
    /// How much later than the last event the stream ends.
    pub(crate) late_end: Duration,
    /// Bytes of comments in between.
    pub(crate) chatter: usize,
    /// A request is refused as too large after this many bytes, before the rest has arrived.
    pub(crate) refuses_after: Option<usize>,
    /// How many words come one at a time before the rest of the answer, and how far apart they are.
    pub(crate) words: u32,
    pub(crate) apart: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            first: Duration::ZERO,
            late_end: Duration::ZERO,
            chatter: 0,
            refuses_after: None,
            words: 0,
            apart: Duration::ZERO,
        }
    }
}

/// The answer to a request that is too large.
pub(crate) const TOO_LARGE: &str =
    "{\"error\":{\"message\":\"too large\",\"code\":\"request_too_large\"}}";

/// The text of every answer.
pub(crate) const TEXT: &str = "hello from afar";

/// The events of every answer.
pub(crate) fn events() -> String {
    let mut events = event("{\"role\":\"assistant\",\"content\":\"\"}", "null");
    for word in TEXT.split_inclusive(' ') {
        events += &event(&format!("{{\"content\":\"{word}\"}}"), "null");
    }
    events += &event("{}", "\"stop\"");
    events += "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":3,\"total_tokens\":4}}\n\n";
    events + "data: [DONE]\n\n"
}

/// The event of a word that comes by itself.
pub(crate) fn word() -> String {
    event("{\"content\":\"word \"}", "null")
}

fn event(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"a\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}
