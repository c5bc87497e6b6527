//! How are lengths that are known late, and bytes as base64, written?

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::encoding::{WireType, encode_key};

/// The bytes of a length that is written before its value is known. Seven bits each are more than any message has.
const LENGTH_BYTES: usize = 5;

/// Begins a value whose length is not known yet. Returns where it begins, for [`close`].
pub(super) fn open(out: &mut Vec<u8>, number: u32) -> usize {
    encode_key(number, WireType::LengthDelimited, out);
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
