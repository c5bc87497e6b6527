//! How is a body framed, judging by its first bytes and its content type?

use crate::error::UpstreamError;
use crate::wire::Framing;

/// The framing of a body, by its first bytes that are not blank; `None` while they are too few.
pub(super) fn framing(head: &[u8], otherwise: Framing) -> Option<Result<Framing, UpstreamError>> {
    const FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    match head.first()? {
        // No field of an event begins so.
        b'{' | b'[' => return Some(Ok(Framing::Json)),
        b'<' => return Some(Err(UpstreamError::malformed("the body is a markup page"))),
        _ if otherwise == Framing::Sse => return Some(Ok(Framing::Sse)),
        _ => {}
    }
    // No answer as JSON begins like an event, so this is one however it is labelled.
    if FIELDS.iter().any(|field| head.starts_with(field)) {
        return Some(Ok(Framing::Sse));
    }
    let may_be_field = FIELDS.iter().any(|field| field.starts_with(head));
    (!may_be_field).then_some(Ok(otherwise))
}

pub(super) fn names_events(content_type: Option<&str>) -> bool {
    const EVENTS: &str = "text/event-stream";
    content_type
        .and_then(|content_type| content_type.trim_start().get(..EVENTS.len()))
        .is_some_and(|beginning| beginning.eq_ignore_ascii_case(EVENTS))
}

pub(super) fn is_blank(byte: u8) -> bool {
    // OpenRouter and DeepSeek keep a connection alive with blank lines before the JSON.
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The byte order mark with which a body may begin.
pub(super) const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Skips a byte order mark, of which so many bytes have been read.
pub(super) fn without_mark<'a>(mut bytes: &'a [u8], mark: &mut usize) -> &'a [u8] {
    while let (Some(expected), [first, rest @ ..]) = (MARK.get(*mark), bytes) {
        if first != expected {
            break;
        }
        *mark += 1;
        bytes = rest;
    }
    bytes
}
