//! Which fields of an answer, of its items and of the events of a stream are read?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::UpstreamError;
use crate::wire::json::{Count, Few, MaybeAbsent, Text, compact, object};

object! {
    /// The answer: the body of a whole one, and in events of a stream what is known of it.
    pub(super) struct Response<'a> {
        pub(super) object: Text<'a> = "object",
        pub(super) id: Text<'a> = "id",
        pub(super) model: Text<'a> = "model",
        pub(super) status: Text<'a> = "status",
        pub(super) output: Option<Few<&'a RawValue>> = "output",
        // Some relays write the text alone.
        pub(super) output_text: Text<'a> = "output_text",
        pub(super) incomplete_details: Option<IncompleteDetails<'a>> = "incomplete_details",
        pub(super) usage: Option<&'a RawValue> = "usage",
        pub(super) service_tier: Text<'a> = "service_tier",
        pub(super) error: Option<&'a RawValue> = "error",
    }
}

object! {
    pub(super) struct IncompleteDetails<'a> {
        pub(super) reason: Text<'a> = "reason",
    }
}

object! {
    /// An item of the output, of any kind.
    pub(super) struct Item<'a> {
        pub(super) kind: Text<'a> = "type",
        pub(super) id: Text<'a> = "id",
        pub(super) call_id: Text<'a> = "call_id",
        pub(super) name: Text<'a> = "name",
        pub(super) arguments: Option<&'a RawValue> = "arguments",
        pub(super) input: Text<'a> = "input",
        pub(super) content: Option<&'a RawValue> = "content",
        pub(super) summary: Option<&'a RawValue> = "summary",
        pub(super) encrypted_content: Text<'a> = "encrypted_content",
        // Of a message: whether it comments on the work or answers.
        pub(super) phase: Text<'a> = "phase",
        // Of a picture.
        pub(super) result: Text<'a> = "result",
        pub(super) output_format: Text<'a> = "output_format",
    }
}

/// An item, and how it is written.
pub(super) struct Sent<'a> {
    pub(super) item: Item<'a>,
    pub(super) raw: &'a RawValue,
}

impl<'a> Sent<'a> {
    /// Reads an item. A value of another kind is one without a type.
    pub(super) fn read(raw: &'a RawValue) -> Self {
        let item = serde_json::from_str(raw.get()).unwrap_or_default();
        Self { item, raw }
    }
}

object! {
    /// A part of an item's content or summary.
    pub(super) struct Part<'a> {
        pub(super) kind: Text<'a> = "type",
        pub(super) text: Text<'a> = "text",
        pub(super) refusal: Text<'a> = "refusal",
        pub(super) annotations: Option<&'a RawValue> = "annotations",
        pub(super) logprobs: Option<&'a RawValue> = "logprobs",
    }
}

impl MaybeAbsent for Part<'_> {
    fn is_absent(&self) -> bool {
        false
    }
}

object! {
    /// Any event of a stream. One struct for all kinds: an internally tagged enum would buffer every event before it
    /// reads it.
    pub(super) struct Event<'a> {
        pub(super) kind: Text<'a> = "type",
        pub(super) sequence_number: Count = "sequence_number",
        pub(super) output_index: Count = "output_index",
        pub(super) item_id: Text<'a> = "item_id",
        pub(super) content_index: Count = "content_index",
        pub(super) summary_index: Count = "summary_index",
        pub(super) delta: Text<'a> = "delta",
        pub(super) text: Text<'a> = "text",
        pub(super) refusal: Text<'a> = "refusal",
        pub(super) arguments: Option<&'a RawValue> = "arguments",
        pub(super) input: Text<'a> = "input",
        pub(super) part: Option<Part<'a>> = "part",
        pub(super) item: Option<&'a RawValue> = "item",
        pub(super) annotation: Option<&'a RawValue> = "annotation",
        pub(super) logprobs: Option<&'a RawValue> = "logprobs",
        pub(super) response: Option<Response<'a>> = "response",
        pub(super) error: Option<&'a RawValue> = "error",
        // Of a whole answer that a relay sends as one event.
        pub(super) object: Text<'a> = "object",
    }
}

/// The parts of a list, or the one part that a text stands for.
///
/// # Errors
/// There are too many.
pub(super) fn parts(list: Option<&RawValue>) -> Result<Vec<Part<'_>>, UpstreamError> {
    let Some(list) = list else {
        return Ok(Vec::new());
    };
    if list.get().starts_with('"') {
        let text = serde_json::from_str(list.get()).unwrap_or_default();
        return Ok(vec![Part {
            text,
            ..Part::default()
        }]);
    }
    serde_json::from_str::<Few<Part<'_>>>(list.get())
        .unwrap_or_default()
        .all()
}

/// The text of a call's arguments. Some relays write them as an object.
pub(super) fn arguments(written: Option<&RawValue>) -> Cow<'_, str> {
    let Some(written) = written else {
        return Cow::Borrowed("");
    };
    match written.get().as_bytes().first() {
        Some(b'{') => Cow::Owned(compact(written.get())),
        _ => {
            serde_json::from_str::<Text<'_>>(written.get())
                .unwrap_or_default()
                .0
        }
    }
}
