//! What must an id look like at a host, and what becomes of one that does not?

use std::borrow::Cow;
use std::fmt::Write as _;

/// What ids must look like at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Form {
    /// Anything: ids are sent as they are.
    Any,
    /// At most 64 bytes (OpenAI Responses).
    Short,
    /// Letters, digits, `_` and `-` (Anthropic).
    LettersAndDigits,
    /// Nine letters or digits (Mistral).
    NineAlphanumerics,
}

impl Form {
    /// The id itself if it has the required form, else one that is derived from it alone.
    pub(super) fn of(self, id: Cow<'_, str>) -> Cow<'_, str> {
        match self {
            Self::Any => id,
            Self::Short => short(id),
            Self::LettersAndDigits => letters_and_digits(id),
            Self::NineAlphanumerics => nine_alphanumerics(id),
        }
    }
}

/// An id with other characters is written in hexadecimal, so that different ids stay different.
fn letters_and_digits(id: Cow<'_, str>) -> Cow<'_, str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !id.is_empty() && id.bytes().all(legal) {
        return id;
    }
    let mut legal = String::with_capacity("toolu_".len() + 2 * id.len());
    legal.push_str("toolu_");
    for byte in id.bytes() {
        // Writing to a string cannot fail.
        let _ = write!(legal, "{byte:02x}");
    }
    Cow::Owned(legal)
}

/// An id that is too long becomes its hash.
fn short(id: Cow<'_, str>) -> Cow<'_, str> {
    match id.len() {
        1..=64 => id,
        _ => Cow::Owned(format!("call_{:016x}", hash(&id))),
    }
}

/// FNV-1a, 64 bits: stable across versions, unlike the hashers of `std`.
fn hash(id: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    id.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// An id of another form becomes nine digits of its hash.
fn nine_alphanumerics(id: Cow<'_, str>) -> Cow<'_, str> {
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id;
    }
    let mut hash = hash(&id);
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut short = String::with_capacity(9);
    for _ in 0..9 {
        short.push(char::from(DIGITS[(hash % 36) as usize]));
        hash /= 36;
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_too_long_becomes_a_short_one() {
        let short = |id: &str| short(Cow::Borrowed(id)).into_owned();
        let (long, longest) = ("i".repeat(65), "i".repeat(64));

        assert_eq!(short(&longest), longest);
        assert_eq!(short(&long).len(), "call_".len() + 16);
        assert_ne!(short(&long), short(&long.replace('i', "j")));
    }

    #[test]
    fn ids_of_other_forms_depend_on_themselves_alone() {
        let short = |id| nine_alphanumerics(Cow::Borrowed(id)).into_owned();

        assert_eq!(short("gSIMJiOkT"), "gSIMJiOkT");
        assert_eq!(short("call_1").len(), 9);
        assert_eq!(short("call_1"), short("call_1"));
        assert_ne!(short("call_1"), short("call_2"));
        assert_ne!(short("functions.weather:0"), short("functions.weather:1"));
        assert_eq!(letters_and_digits(Cow::Borrowed("a.b")), "toolu_612e62");
        assert_eq!(letters_and_digits(Cow::Borrowed("a-b_1")), "a-b_1");
    }
}
