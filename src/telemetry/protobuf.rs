//! How are spans written as protobuf, without an object for each of their attributes? Pure.
//!
//! Spans are written once, when they end, and are never changed or read again. Field numbers are those of
//! `opentelemetry/proto/trace/v1/trace.proto` and `common/v1/common.proto` (opentelemetry-proto 1.9); a test reads
//! what is written here with the generated code of that contract.

use prost::encoding::{encode_varint, encoded_len_varint};

/// Values after a tag.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// The longest text of an attribute, in bytes. Callers and providers choose some of these texts.
const LONGEST_TEXT: usize = 256;

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AttributeValue<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Texts(&'a [&'a str]),
}

impl AttributeValue<'_> {
    /// The size of an `AnyValue`.
    fn size(self) -> usize {
        match self {
            Self::Text(text) => delimited(short(text).len()),
            Self::Bool(_) => 2,
            Self::Int(number) => 1 + encoded_len_varint(bits(number)),
            Self::Double(_) => 9,
            Self::Texts(texts) => delimited(texts_size(texts)),
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => text_field(out, 1, short(text)),
            Self::Bool(is_true) => varint_field(out, 2, u64::from(is_true)),
            Self::Int(number) => varint_field(out, 3, bits(number)),
            Self::Double(number) => fixed64_field(out, 4, number.to_bits()),
            Self::Texts(texts) => {
                length_prefix(out, 5, texts_size(texts));
                for text in texts {
                    let text = short(text);
                    length_prefix(out, 1, delimited(text.len()));
                    text_field(out, 1, text);
                }
            }
        }
    }
}

/// The size of an `ArrayValue`.
fn texts_size(texts: &[&str]) -> usize {
    let sizes = texts
        .iter()
        .map(|text| delimited(delimited(short(text).len())));
    sizes.sum()
}

/// Adds an attribute with a text, which is not shortened, to the field `tag` of a message.
pub(super) fn attribute(out: &mut Vec<u8>, tag: u32, key: &str, text: &str) {
    let value = delimited(text.len());
    length_prefix(out, tag, delimited(key.len()) + delimited(value));
    text_field(out, 1, key);
    length_prefix(out, 2, value);
    text_field(out, 1, text);
}

/// Adds an attribute to the field `tag` of a message.
pub(super) fn attribute_of(out: &mut Vec<u8>, tag: u32, key: &str, value: AttributeValue<'_>) {
    let size = value.size();
    length_prefix(out, tag, delimited(key.len()) + delimited(size));
    text_field(out, 1, key);
    length_prefix(out, 2, size);
    value.write(out);
}

/// Adds a text.
pub(super) fn text_field(out: &mut Vec<u8>, tag: u32, text: &str) {
    bytes_field(out, tag, text.as_bytes());
}

/// Adds bytes, or a message that is encoded already.
pub(super) fn bytes_field(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    length_prefix(out, tag, bytes.len());
    out.extend_from_slice(bytes);
}

/// Begins a field of so many bytes.
pub(super) fn length_prefix(out: &mut Vec<u8>, tag: u32, length: usize) {
    key(out, tag, LENGTH);
    encode_varint(length as u64, out);
}

/// Adds a whole number or an enum.
pub(super) fn varint_field(out: &mut Vec<u8>, tag: u32, value: u64) {
    key(out, tag, VARINT);
    encode_varint(value, out);
}

/// Adds eight bytes.
pub(super) fn fixed64_field(out: &mut Vec<u8>, tag: u32, value: u64) {
    key(out, tag, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Adds four bytes.
pub(super) fn fixed32_field(out: &mut Vec<u8>, tag: u32, value: u32) {
    key(out, tag, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

fn key(out: &mut Vec<u8>, tag: u32, kind: u32) {
    encode_varint(u64::from(tag << 3 | kind), out);
}

/// The size of a field with a tag below 16 and this many bytes.
fn delimited(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// How protobuf sees an `int64`.
fn bits(number: i64) -> u64 {
    u64::from_ne_bytes(number.to_ne_bytes())
}

/// The beginning of a text, in whole characters.
pub(super) fn short(text: &str) -> &str {
    if text.len() <= LONGEST_TEXT {
        return text;
    }
    let end = (0..=LONGEST_TEXT)
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
