//! How does the encoding of a message become a JSON text? In one pass, from the bytes that this service has encoded.

use std::fmt;
use std::io::Write as _;
use std::mem;

use prost::encoding::{WireType, decode_key, decode_varint};

use super::base;
use super::times;
use super::types::{JsonField, JsonKind, JsonMessage, JsonTypes, OwnForm, Repeat};

/// The bytes are not the encoding of a message of this type: a defect.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Appends a message of this type. Fields that are not in its encoding, since they have their default, are left out.
///
/// # Errors
/// [`Malformed`].
pub fn write(
    types: &JsonTypes,
    place: usize,
    encoded: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    message(types, place, encoded, out)
}

/// What a stream's message is: the name in JSON of its last top-level field, and its first number.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct JsonEvent<'t> {
    /// Its name.
    pub name: &'t str,
    /// Its number in the stream.
    pub sequence: u64,
}

/// The event in a message whose first field is a sequence number, and whose choice names the event.
pub fn event<'t>(types: &'t JsonTypes, place: usize, encoded: &[u8]) -> Option<JsonEvent<'t>> {
    let of = types.message(place)?;
    let mut found = JsonEvent::default();
    let mut rest = encoded;
    while let Some((number, value)) = next(&mut rest).ok()? {
        let field = of.field_numbered(number)?;
        match (field.choice, value) {
            (Some(_), _) => found.name = &field.key,
            (None, Raw::Varint(sequence)) => found.sequence = sequence,
            (None, _) => {}
        }
    }
    Some(found)
}

/// A value as it is encoded.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Sized(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    decode_varint(bytes).or(Err(Malformed))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// Separates what follows from what stands before it, if anything does.
fn comma(is_first: &mut bool, out: &mut Vec<u8>) {
    if !mem::take(is_first) {
        out.push(b',');
    }
}

/// Number and value of the next field.
fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<(u32, Raw<'a>)>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (number, wire) = decode_key(bytes).or(Err(Malformed))?;
    let value = match wire {
        WireType::Varint => Raw::Varint(varint(bytes)?),
        WireType::SixtyFourBit => {
            let bytes = take(bytes, 8)?.try_into().map_err(|_| Malformed)?;
            Raw::Fixed64(u64::from_le_bytes(bytes))
        }
        WireType::ThirtyTwoBit => {
            let bytes = take(bytes, 4)?.try_into().map_err(|_| Malformed)?;
            Raw::Fixed32(u32::from_le_bytes(bytes))
        }
        WireType::LengthDelimited => {
            let length = usize::try_from(varint(bytes)?).map_err(|_| Malformed)?;
            Raw::Sized(take(bytes, length)?)
        }
        WireType::StartGroup | WireType::EndGroup => return Err(Malformed),
    };
    Ok(Some((number, value)))
}

fn message(
    types: &JsonTypes,
    place: usize,
    encoded: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let of = types.message(place).ok_or(Malformed)?;
    match of.own_form {
        None => {
            out.push(b'{');
            fields(types, of, encoded, out)?;
            out.push(b'}');
            Ok(())
        }
        Some(OwnForm::Any) => any(types, encoded, out),
        Some(OwnForm::Duration | OwnForm::Timestamp) => {
            let (seconds, nanos) = moment(encoded)?;
            let text = match of.own_form {
                Some(OwnForm::Duration) => times::duration_text(seconds, nanos),
                _ => times::timestamp_text(seconds, nanos),
            };
            quoted(&text, out);
            Ok(())
        }
        Some(OwnForm::Object) => {
            out.push(b'{');
            fields_of_object(types, of, encoded, out)?;
            out.push(b'}');
            Ok(())
        }
        Some(OwnForm::Value) => value(types, of, encoded, out),
        Some(OwnForm::List) => {
            out.push(b'[');
            let mut rest = encoded;
            let mut is_first = true;
            while let Some((number, item)) = next(&mut rest)? {
                comma(&mut is_first, out);
                let field = of.field_numbered(number).ok_or(Malformed)?;
                single(types, field, item, out)?;
            }
            out.push(b']');
            Ok(())
        }
    }
}

/// The members of an object, without its braces.
fn fields(
    types: &JsonTypes,
    of: &JsonMessage,
    encoded: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut rest = encoded;
    // The list or map that is open, and how it ends. Its elements are encoded one after the other.
    let mut open: Option<(u32, u8)> = None;
    let mut is_first = true;
    while let Some((number, raw)) = next(&mut rest)? {
        let field = of.field_numbered(number).ok_or(Malformed)?;
        if let Some((of, end)) = open
            && of != number
        {
            out.push(end);
            open = None;
        }
        comma(&mut is_first, out);
        if open.is_none() {
            quoted(&field.key, out);
            out.push(b':');
            let (begin, end) = match field.repeat {
                Repeat::Once => {
                    single(types, field, raw, out)?;
                    continue;
                }
                Repeat::List => (b'[', b']'),
                Repeat::Map => (b'{', b'}'),
            };
            out.push(begin);
            open = Some((number, end));
        }
        match field.repeat {
            Repeat::Map => entry(types, field, raw, out)?,
            Repeat::Once | Repeat::List => elements(types, field, raw, out)?,
        }
    }
    if let Some((_, end)) = open {
        out.push(end);
    }
    Ok(())
}

/// One element of a list, or several numbers that are encoded together.
fn elements(
    types: &JsonTypes,
    field: &JsonField,
    raw: Raw<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let Raw::Sized(mut packed) = raw else {
        return single(types, field, raw, out);
    };
    if matches!(
        field.kind,
        JsonKind::Text | JsonKind::Bytes | JsonKind::Message(_)
    ) {
        return single(types, field, raw, out);
    }
    let mut is_first = true;
    while !packed.is_empty() {
        comma(&mut is_first, out);
        let raw = match field.kind {
            JsonKind::Fixed64 | JsonKind::Sfixed64 | JsonKind::Double => {
                let bytes = take(&mut packed, 8)?.try_into().map_err(|_| Malformed)?;
                Raw::Fixed64(u64::from_le_bytes(bytes))
            }
            JsonKind::Fixed32 | JsonKind::Sfixed32 | JsonKind::Float => {
                let bytes = take(&mut packed, 4)?.try_into().map_err(|_| Malformed)?;
                Raw::Fixed32(u32::from_le_bytes(bytes))
            }
            _ => Raw::Varint(varint(&mut packed)?),
        };
        single(types, field, raw, out)?;
    }
    Ok(())
}

/// An entry of a map.
fn entry(
    types: &JsonTypes,
    field: &JsonField,
    raw: Raw<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let (JsonKind::Message(place), Raw::Sized(mut rest)) = (field.kind, raw) else {
        return Err(Malformed);
    };
    let of = types.message(place).ok_or(Malformed)?;
    let key_field = of.field_numbered(1).ok_or(Malformed)?;
    let value_field = of.field_numbered(2).ok_or(Malformed)?;
    // What has its default is not encoded.
    let (mut key, mut value) = (default_of(key_field), default_of(value_field));
    while let Some((number, raw)) = next(&mut rest)? {
        match number {
            1 => key = raw,
            2 => value = raw,
            _ => return Err(Malformed),
        }
    }
    match key_field.kind {
        JsonKind::Text => single(types, key_field, key, out)?,
        _ => {
            let mut text = Vec::new();
            single(types, key_field, key, &mut text)?;
            let text = String::from_utf8(text).map_err(|_| Malformed)?;
            quoted(text.trim_matches('"'), out);
        }
    }
    out.push(b':');
    single(types, value_field, value, out)
}

fn default_of(field: &JsonField) -> Raw<'static> {
    match field.kind {
        JsonKind::Text | JsonKind::Bytes | JsonKind::Message(_) => Raw::Sized(&[]),
        JsonKind::Double | JsonKind::Fixed64 | JsonKind::Sfixed64 => Raw::Fixed64(0),
        JsonKind::Float | JsonKind::Fixed32 | JsonKind::Sfixed32 => Raw::Fixed32(0),
        _ => Raw::Varint(0),
    }
}

fn fields_of_object(
    types: &JsonTypes,
    of: &JsonMessage,
    encoded: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut rest = encoded;
    let mut is_first = true;
    while let Some((number, raw)) = next(&mut rest)? {
        comma(&mut is_first, out);
        entry(types, of.field_numbered(number).ok_or(Malformed)?, raw, out)?;
    }
    Ok(())
}

/// The content of a `google.protobuf.Value`.
fn value(
    types: &JsonTypes,
    of: &JsonMessage,
    encoded: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut rest = encoded;
    match next(&mut rest)? {
        None => out.extend_from_slice(b"null"),
        Some((number, raw)) => {
            single(types, of.field_numbered(number).ok_or(Malformed)?, raw, out)?
        }
    }
    Ok(())
}

/// Its type beside its fields.
fn any(types: &JsonTypes, encoded: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (mut name, mut content) = (&b""[..], &b""[..]);
    let mut rest = encoded;
    while let Some((number, raw)) = next(&mut rest)? {
        match (number, raw) {
            (1, Raw::Sized(bytes)) => name = bytes,
            (2, Raw::Sized(bytes)) => content = bytes,
            _ => return Err(Malformed),
        }
    }
    let name = str::from_utf8(name).map_err(|_| Malformed)?;
    out.extend_from_slice(b"{\"@type\":");
    quoted(name, out);
    let place = types
        .place(name.rsplit('/').next().unwrap_or(name))
        .ok_or(Malformed)?;
    let of = types.message(place).ok_or(Malformed)?;
    if of.own_form.is_some() {
        out.extend_from_slice(b",\"value\":");
        message(types, place, content, out)?;
    } else if !content.is_empty() {
        out.push(b',');
        fields(types, of, content, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Seconds and nanoseconds.
fn moment(encoded: &[u8]) -> Result<(i64, i32), Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut rest = encoded;
    while let Some((number, raw)) = next(&mut rest)? {
        match (number, raw) {
            (1, Raw::Varint(value)) => seconds = value as i64,
            (2, Raw::Varint(value)) => nanos = value as i32,
            _ => return Err(Malformed),
        }
    }
    Ok((seconds, nanos))
}

/// One value.
fn single(
    types: &JsonTypes,
    field: &JsonField,
    raw: Raw<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    match (field.kind, raw) {
        (JsonKind::Bool, Raw::Varint(value)) => {
            out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
        }
        (JsonKind::Int32, Raw::Varint(value)) => plain(value as i32, out),
        (JsonKind::Uint32, Raw::Varint(value)) => plain(value as u32, out),
        (JsonKind::Sint32, Raw::Varint(value)) => plain(zigzag(value) as i32, out),
        (JsonKind::Fixed32, Raw::Fixed32(value)) => plain(value, out),
        (JsonKind::Sfixed32, Raw::Fixed32(value)) => plain(value as i32, out),
        (JsonKind::Int64, Raw::Varint(value)) => in_quotes(value as i64, out),
        (JsonKind::Uint64, Raw::Varint(value)) => in_quotes(value, out),
        (JsonKind::Sint64, Raw::Varint(value)) => in_quotes(zigzag(value), out),
        (JsonKind::Fixed64, Raw::Fixed64(value)) => in_quotes(value, out),
        (JsonKind::Sfixed64, Raw::Fixed64(value)) => in_quotes(value as i64, out),
        (JsonKind::Float, Raw::Fixed32(bits)) => {
            let value = f32::from_bits(bits);
            match value.is_finite() {
                // The shortest text that is read as the same number.
                true => real(value.to_string().parse().map_err(|_| Malformed)?, out),
                false => real(value.into(), out),
            }
        }
        (JsonKind::Double, Raw::Fixed64(bits)) => real(f64::from_bits(bits), out),
        (JsonKind::Text, Raw::Sized(bytes)) => {
            quoted(str::from_utf8(bytes).map_err(|_| Malformed)?, out)
        }
        (JsonKind::Bytes, Raw::Sized(bytes)) => {
            out.push(b'"');
            out.extend_from_slice(base::base64(bytes).as_bytes());
            out.push(b'"');
        }
        (JsonKind::Enum(place), Raw::Varint(value)) => {
            let choices = types.choices(place).ok_or(Malformed)?;
            match (choices.is_null, choices.name(value as i32)) {
                (true, _) => out.extend_from_slice(b"null"),
                (false, Some(name)) => quoted(name, out),
                (false, None) => plain(value as i32, out),
            }
        }
        (JsonKind::Message(place), Raw::Sized(bytes)) => message(types, place, bytes, out)?,
        _ => return Err(Malformed),
    }
    Ok(())
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn plain(value: impl fmt::Display, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// 64 bits are more than JavaScript's numbers hold.
fn in_quotes(value: impl fmt::Display, out: &mut Vec<u8>) {
    out.push(b'"');
    plain(value, out);
    out.push(b'"');
}

fn real(value: f64, out: &mut Vec<u8>) {
    /// Whole numbers up to here are written without a fraction.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        let text: &[u8] = if value > 0.0 {
            b"\"Infinity\""
        } else {
            b"\"-Infinity\""
        };
        out.extend_from_slice(text);
    } else if value.fract() == 0.0
        && value.abs() <= EXACT
        && (value != 0.0 || value.is_sign_positive())
    {
        plain(value as i64, out);
    } else {
        json(&value, out);
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    json(text, out);
}

/// Neither texts nor finite numbers can fail, nor can a vector.
fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}
