//! What tells two contents apart? Their SHA-256.

use ring::digest::{SHA256, digest};

/// The SHA-256 of these bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The SHA-256 of these bytes in hexadecimal digits, as `sha256sum` shows it.
pub fn sha256_in_digits(bytes: &[u8]) -> String {
    let hash = sha256(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_sha256sum_shows() {
        // printf abc | sha256sum
        let shown = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

        assert_eq!(sha256_in_digits(b"abc"), shown);
        assert_eq!(sha256(b"abc")[..2], [0xba, 0x78]);
    }
}
