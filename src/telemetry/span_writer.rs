//! How is a span written, in the order of its fields? Pure.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use super::names;
use super::protobuf::{
    AttributeValue, attribute_of, bytes_field, fixed32_field, fixed64_field, length_prefix, short,
    text_field, varint_field,
};
use super::trace_context::{TraceContext, TraceState};

/// Fields of `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const TRACE_STATE: u32 = 3;
const PARENT: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START: u32 = 7;
const END: u32 = 8;
const ATTRIBUTES: u32 = 9;
const LINKS: u32 = 13;
const STATUS: u32 = 15;
const FLAGS: u32 = 16;

/// `Status.code` of an error.
const ERROR: u64 = 2;

/// Besides the flags of W3C: that the next one is meant, and that the parent is in another process.
const KNOWS_PARENT: u32 = 0x100;
const REMOTE_PARENT: u32 = 0x200;

/// More than most spans take.
const USUAL_BYTES: usize = 1536;

/// Whether a span is of something that others asked us, or that we ask others.
#[derive(Clone, Copy, Debug)]
pub(super) enum SpanKind {
    Server = 2,
    Client = 3,
}

/// What every span has.
#[derive(Debug)]
pub(super) struct SpanHead<'a> {
    pub(super) context: TraceContext,
    pub(super) state: &'a TraceState,
    pub(super) parent: Option<u64>,
    /// Whether the parent, if there is one, is in another process.
    pub(super) parent_is_remote: bool,
    pub(super) kind: SpanKind,
    /// Two parts, one behind the other.
    pub(super) name: [&'a str; 2],
    pub(super) started: SystemTime,
    pub(super) took: Duration,
}

/// A span that is being written.
#[derive(Debug)]
pub(super) struct SpanWriter {
    bytes: Vec<u8>,
    /// For texts of values that can only be displayed.
    text: String,
}

impl SpanWriter {
    /// Begins with what every span has.
    pub(super) fn begin(head: &SpanHead<'_>) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        let out = &mut bytes;
        bytes_field(out, TRACE_ID, &head.context.trace_id.to_be_bytes());
        bytes_field(out, SPAN_ID, &head.context.span_id.to_be_bytes());
        if let Some(state) = head.state.header() {
            text_field(out, TRACE_STATE, state);
        }
        if let Some(parent) = head.parent {
            bytes_field(out, PARENT, &parent.to_be_bytes());
        }
        let [first, second] = head.name.map(short);
        length_prefix(out, NAME, first.len() + second.len());
        out.extend_from_slice(first.as_bytes());
        out.extend_from_slice(second.as_bytes());
        varint_field(out, KIND, head.kind as u64);
        let started = head.started.duration_since(SystemTime::UNIX_EPOCH);
        let started = started.unwrap_or_default();
        fixed64_field(out, START, nanos(started));
        fixed64_field(out, END, nanos(started.saturating_add(head.took)));
        let remote = match head.parent.is_some() && head.parent_is_remote {
            true => REMOTE_PARENT,
            false => 0,
        };
        fixed32_field(out, FLAGS, w3c_flags(head.context) | KNOWS_PARENT | remote);
        Self {
            bytes,
            text: String::new(),
        }
    }

    /// Adds an attribute.
    pub(super) fn attribute(&mut self, name: &str, value: AttributeValue<'_>) {
        attribute_of(&mut self.bytes, ATTRIBUTES, name, value);
    }

    /// Adds a text, if there is one.
    pub(super) fn text_unless_empty(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.attribute(name, AttributeValue::Text(text));
        }
    }

    /// Adds a value as it is displayed.
    pub(super) fn shown(&mut self, name: &str, value: &impl Display) {
        let text = self.displayed(value);
        attribute_of(
            &mut self.bytes,
            ATTRIBUTES,
            name,
            AttributeValue::Text(&text),
        );
        self.text = text;
    }

    /// Links another span, which is this to it.
    pub(super) fn link(&mut self, other: TraceContext, kind: &str) {
        let mut link = Vec::new();
        bytes_field(&mut link, 1, &other.trace_id.to_be_bytes());
        bytes_field(&mut link, 2, &other.span_id.to_be_bytes());
        let kind = AttributeValue::Text(kind);
        attribute_of(&mut link, 4, names::LINK_KIND, kind);
        fixed32_field(&mut link, 6, w3c_flags(other) | KNOWS_PARENT);
        bytes_field(&mut self.bytes, LINKS, &link);
    }

    /// Marks the span as failed, and says why.
    pub(super) fn fail(&mut self, why: &impl Display) {
        let text = self.displayed(why);
        let mut status = Vec::new();
        if !text.is_empty() {
            text_field(&mut status, 2, short(&text));
        }
        varint_field(&mut status, 3, ERROR);
        bytes_field(&mut self.bytes, STATUS, &status);
        self.text = text;
    }

    /// The whole span.
    pub(super) fn finish(&self) -> &[u8] {
        &self.bytes
    }

    fn displayed(&mut self, value: &impl Display) -> String {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Writing to a string cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{value}"));
        text
    }
}

fn w3c_flags(context: TraceContext) -> u32 {
    u32::from(context.sampled)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
