//! How is a model's name written in the path of a URL?

use std::fmt::Write as _;

/// Text as one segment of a path: every byte as `%XX` that is neither unreserved (RFC 3986, section 2.3) nor `@`,
/// which stands before the version of a model on Vertex AI.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
