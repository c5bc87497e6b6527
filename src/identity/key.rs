//! What is an API key, and how is one made? A secret of 53 characters, of which only the SHA-256 is kept.
//!
//! `mwd_` or `mwa_`, 43 characters for 256 random bits, 6 characters for the CRC-32 of all before. The form lets scanners
//! find keys that were published by mistake, and the checksum lets them leave out what only looks like one.

use std::fmt;

use ring::error::Unspecified;
use ring::rand::SecureRandom;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

use crate::hash::sha256;

/// The characters of a key, without its first four, by the value of each.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many characters a key has.
pub const KEY_LENGTH: usize = PREFIX_LENGTH + RANDOM_LENGTH + CHECKSUM_LENGTH;

/// How many characters of a key people may see, to tell keys apart.
pub const SHOWN_LENGTH: usize = 12;

const PREFIX_LENGTH: usize = 4;
/// The fewest characters that hold 256 bits.
const RANDOM_LENGTH: usize = 43;
/// The fewest characters that hold 32 bits.
const CHECKSUM_LENGTH: usize = 6;

/// What every key begins with, whatever its kind.
pub const FAMILY: &[u8] = b"mw";

/// What a key is for. No key is for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// To call models and to read one's own usage.
    Data,
    /// To administer the service.
    Administration,
}

impl KeyKind {
    /// What its keys begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Data => "mwd_",
            Self::Administration => "mwa_",
        }
    }

    /// Its name in the configuration and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Administration => "administration",
        }
    }

    /// The kind that the beginning of a key names.
    pub fn of(secret: &[u8]) -> Option<Self> {
        [Self::Data, Self::Administration]
            .into_iter()
            .find(|kind| secret.starts_with(kind.prefix().as_bytes()))
    }
}

/// The SHA-256 of a whole key, in place of the key. The bytes of a key are never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a secret. `None` unless it has the length of a key: nothing else is hashed, so that the work to
    /// refuse it is bounded.
    pub fn of(secret: &[u8]) -> Option<Self> {
        (secret.len() == KEY_LENGTH).then(|| Self(sha256(secret)))
    }

    /// A hash that was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A hash in 64 hexadecimal digits; `None` for any other text.
    pub fn from_digits(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let value = |digit: u8| (digit as char).to_digit(16);
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let both = value(pair[0])? * 16 + value(pair[1])?;
            *byte = u8::try_from(both).ok()?;
        }
        Some(Self(hash))
    }

    /// Its bytes, to keep them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same, found out in a time that does not depend on their bytes.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A key that was just made. Its secret is shown once and not kept.
pub struct NewKey {
    /// The secret, for whoever asked for the key.
    pub secret: SecretString,
    /// What is kept of it.
    pub hash: KeyHash,
    /// Its first [`SHOWN_LENGTH`] characters, for people.
    pub shown: String,
}

impl NewKey {
    /// Makes a key.
    ///
    /// # Errors
    /// `random` has no random numbers.
    pub fn make(kind: KeyKind, random: &dyn SecureRandom) -> Result<Self, Unspecified> {
        let mut bits = [0; 32];
        random.fill(&mut bits)?;
        let mut secret = String::with_capacity(KEY_LENGTH);
        secret.push_str(kind.prefix());
        write_base62(bits, RANDOM_LENGTH, &mut secret);
        let checksum = checksum_of(secret.as_bytes());
        write_base62(checksum, CHECKSUM_LENGTH, &mut secret);
        let hash = KeyHash::of(secret.as_bytes()).ok_or(Unspecified)?;
        let shown = secret.chars().take(SHOWN_LENGTH).collect();
        Ok(Self {
            secret: secret.into(),
            hash,
            shown,
        })
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

/// Whether a text has the form of a key, its checksum included. A key that was issued has it; a key that was mistyped
/// does not.
pub fn is_well_formed(text: &[u8]) -> bool {
    if text.len() != KEY_LENGTH || KeyKind::of(text).is_none() {
        return false;
    }
    let (checked, checksum) = text.split_at(KEY_LENGTH - CHECKSUM_LENGTH);
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric();
    if !checked[PREFIX_LENGTH..].iter().all(is_digit) {
        return false;
    }
    let mut expected = String::with_capacity(CHECKSUM_LENGTH);
    write_base62(checksum_of(checked), CHECKSUM_LENGTH, &mut expected);
    checksum == expected.as_bytes()
}

fn checksum_of(text: &[u8]) -> [u8; 4] {
    let mut checksum = flate2::Crc::new();
    checksum.update(text);
    checksum.sum().to_be_bytes()
}

/// Writes a number, its highest byte first, in this many digits, the highest first.
fn write_base62<const N: usize>(mut number: [u8; N], digits: usize, text: &mut String) {
    let mut written = Vec::with_capacity(digits);
    for _ in 0..digits {
        // Long division by 62, a byte at a time.
        let mut rest = 0_u16;
        for byte in &mut number {
            let value = rest * 256 + u16::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        written.push(ALPHABET[usize::from(rest)]);
    }
    text.extend(written.iter().rev().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn make(kind: KeyKind) -> NewKey {
        NewKey::make(kind, &SystemRandom::new()).unwrap()
    }

    #[test]
    fn a_key_has_its_prefix_43_random_characters_and_a_checksum_and_only_its_beginning_is_shown() {
        for kind in [KeyKind::Data, KeyKind::Administration] {
            let key = make(kind);
            let secret = key.secret.expose_secret();

            assert_eq!(secret.len(), 53);
            assert!(secret.starts_with(kind.prefix()));
            assert_eq!(KeyKind::of(secret.as_bytes()), Some(kind));
            assert!(is_well_formed(secret.as_bytes()));
            assert_eq!(key.shown, secret[..12]);
            assert_eq!(KeyHash::of(secret.as_bytes()), Some(key.hash));
            assert!(!format!("{key:?}").contains(&secret[13..]));
        }
    }

    #[test]
    fn the_smallest_and_the_largest_number_have_the_same_length() {
        let written = |number: [u8; 32]| {
            let mut text = String::new();
            write_base62(number, RANDOM_LENGTH, &mut text);
            text
        };
        assert_eq!(written([0; 32]), "0".repeat(43));
        // 2^256 - 1 and 2^32 - 1, worked out by another program.
        assert_eq!(
            written([255; 32]),
            "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"
        );
        let mut four = String::new();
        write_base62([0xff; 4], CHECKSUM_LENGTH, &mut four);
        assert_eq!(four, "4gfFC3");
        // "123456789" is the check value that definitions of a CRC give: 0xCBF43926.
        assert_eq!(checksum_of(b"123456789"), [0xcb, 0xf4, 0x39, 0x26]);
    }

    #[test]
    fn no_two_keys_are_alike() {
        let made: HashSet<_> = (0..1000).map(|_| make(KeyKind::Data).hash).collect();

        assert_eq!(made.len(), 1000);
    }

    #[test]
    fn every_change_of_one_character_breaks_the_form() {
        let key = make(KeyKind::Data);
        let secret = key.secret.expose_secret().as_bytes();
        let mut tried = 0;
        for at in 0..secret.len() {
            for other in 0..=255 {
                if other == secret[at] {
                    continue;
                }
                let mut changed = secret.to_vec();
                changed[at] = other;
                assert!(!is_well_formed(&changed), "position {at}");
                assert_ne!(KeyHash::of(&changed), Some(key.hash));
                tried += 1;
            }
        }
        println!("changed keys that have the form of a key: 0 of {tried}");
    }

    proptest! {
        #[test]
        fn whatever_is_sent_only_texts_of_the_length_of_a_key_are_hashed(text in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert_eq!(KeyHash::of(&text).is_some(), text.len() == KEY_LENGTH);
            let _ = is_well_formed(&text);
        }

        #[test]
        fn a_hash_reads_back_from_its_digits(bytes: [u8; 32]) {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let hash = KeyHash::from_digits(&digits).unwrap();
            prop_assert_eq!(hash.as_bytes(), &bytes);
            prop_assert!(hash.is(&KeyHash::from_bytes(bytes)));
            prop_assert!(KeyHash::from_digits(&digits[1..]).is_none());
            let broken = format!("{}g", &digits[1..]);
            prop_assert!(KeyHash::from_digits(&broken).is_none());
        }
    }
}
