//! Which fields does an event of a stream have?

use serde_json::value::RawValue;

use super::pieces::Tokens;
use crate::wire::json::{Boxed, Count, MaybeAbsent, Text, object};

object! {
    /// Any event of a stream. One struct for all kinds: an internally tagged enum would buffer every event
    /// before it reads it.
    pub(super) struct Event<'a> {
        pub(super) kind: Text<'a> = "type",
        pub(super) index: Count = "index",
        pub(super) delta: Boxed<Delta<'a>> = "delta",
        pub(super) content_block: Option<&'a RawValue> = "content_block",
        pub(super) message: Boxed<Start<'a>> = "message",
        pub(super) usage: Boxed<Tokens> = "usage",
        pub(super) error: Option<&'a RawValue> = "error",
    }
}

object! {
    pub(super) struct Delta<'a> {
        pub(super) kind: Text<'a> = "type",
        pub(super) text: Text<'a> = "text",
        pub(super) thinking: Text<'a> = "thinking",
        pub(super) signature: Text<'a> = "signature",
        pub(super) partial_json: Text<'a> = "partial_json",
        pub(super) citation: Option<&'a RawValue> = "citation",
        // The delta of a `message_delta`.
        pub(super) stop_reason: Text<'a> = "stop_reason",
        pub(super) stop_sequence: Text<'a> = "stop_sequence",
    }
}

object! {
    pub(super) struct Start<'a> {
        pub(super) id: Text<'a> = "id",
        pub(super) model: Text<'a> = "model",
        pub(super) usage: Boxed<Tokens> = "usage",
    }
}

impl Delta<'_> {
    /// The kind. If the `type` is missing, the other fields show it.
    pub(super) fn kind(&self) -> &str {
        if !self.kind.is_absent() {
            &self.kind.0
        } else if !self.text.is_absent() {
            "text_delta"
        } else if !self.thinking.is_absent() {
            "thinking_delta"
        } else if !self.partial_json.is_absent() {
            "input_json_delta"
        } else if self.citation.is_some() {
            "citations_delta"
        } else {
            ""
        }
    }
}
