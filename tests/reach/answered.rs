//! Which parts does an earlier answer have, when a client sends it back?
//!
//! A client of ours has got its earlier answers from us. So they are read here as answers are, and given back as
//! callers get them.

use modelway::chat::{Answer, CallIds};
use modelway::grpc::{answer, v1};
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, WireFormat};
use serde_json::Value;

use crate::fields::Said;
use crate::host::PROVIDER;

/// The parts of an answer whose whole body this is. Calls without an id get one that begins with `call`.
pub(crate) fn parts(
    format: &dyn WireFormat,
    body: &Value,
    call: String,
) -> Said<Vec<v1::ContentPart>> {
    let mut events = Vec::new();
    let mut reader = Reader::new(format, Framing::Json);
    reader
        .push(body.to_string().as_bytes(), &mut events)
        .and_then(|()| reader.end(&mut events))
        .map_err(|error| format!("an earlier answer cannot be read: {error}"))?;
    let mut answer = Answer::default();
    for event in events {
        answer.apply(event);
    }
    let mut ids = CallIds::new(call);
    let parts = answer.parts.into_iter();
    Ok(parts
        .map(|part| answer::spelled(part, PROVIDER, &mut ids))
        .collect())
}
