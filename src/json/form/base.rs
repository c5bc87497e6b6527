//! How are numbers, lengths and bytes written: in a message's encoding, and as base64?

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// How a value is written in a message's encoding: <https://protobuf.dev/programming-guides/encoding/#structure>.
pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const SIZED: u32 = 2;
pub(super) const FIXED32: u32 = 5;

/// The bytes of a length that is written before its value is known. Seven bits each are more than any message has.
const LENGTH_BYTES: usize = 5;

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_key(out: &mut Vec<u8>, number: u32, wire: u32) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Begins a value whose length is not known yet. Returns where it begins, for [`close`].
pub(super) fn open(out: &mut Vec<u8>, number: u32) -> usize {
    put_key(out, number, SIZED);
    out.extend([0; LENGTH_BYTES]);
    out.len()
}

/// Writes the length of the value that began there. It has always the same number of bytes, so nothing moves: nested
/// messages would otherwise be moved once for each level around them.
pub(super) fn close(out: &mut [u8], began: usize) {
    let mut length = out.len() - began;
    let place = &mut out[began - LENGTH_BYTES..began];
    for byte in place.iter_mut() {
        *byte = (length & 0x7f) as u8 | 0x80;
        length >>= 7;
    }
    place[LENGTH_BYTES - 1] &= 0x7f;
}

const WITH_OR_WITHOUT_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, WITH_OR_WITHOUT_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, WITH_OR_WITHOUT_PADDING);

/// Appends the bytes of a base64 text in either alphabet; false if it is none.
pub(super) fn put_base64(out: &mut Vec<u8>, text: &str) -> bool {
    let is_url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if is_url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode_vec(text, out).is_ok()
}

/// Bytes as a text of base64, in the standard alphabet and padded.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
