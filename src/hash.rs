//! What tells two contents apart, and how is it spelled? By their SHA-256, in hexadecimal digits.

use std::fmt;

use ring::digest::{Context, SHA256, digest};

/// The SHA-256 of these bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The SHA-256 of bytes that come one after another.
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

impl Sha256 {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The SHA-256 of all of them.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

/// The SHA-256 of these bytes in hexadecimal digits, as `sha256sum` shows it.
pub fn sha256_in_digits(bytes: &[u8]) -> String {
    in_digits(&sha256(bytes))
}

/// Bytes in hexadecimal digits, of which the letters are small. Every call has several ids that are spelled so: not the
/// standard formatter, which takes several times as long.
pub fn in_digits(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(half)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_two_digits_for_each_byte() {
        assert_eq!(in_digits(&[0x00, 0x0f, 0xa5, 0xff]), "000fa5ff");
        assert_eq!(in_digits(&[]), "");
    }

    #[test]
    fn digits_are_those_that_sha256sum_shows() {
        // printf abc | sha256sum
        let shown = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

        assert_eq!(sha256_in_digits(b"abc"), shown);
        assert_eq!(sha256(b"abc")[..2], [0xba, 0x78]);

        let mut one_by_one = Sha256::default();
        one_by_one.update(b"a");
        one_by_one.update(b"bc");
        assert_eq!(one_by_one.finish(), sha256(b"abc"));
    }
}
