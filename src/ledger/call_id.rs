//! In which file is a call? In that of the UTC day on which the call arrived. Its id holds that time.

use std::fmt;

use crate::calendar;
use crate::hash::in_digits;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The id of a call: a UUID of version 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId([u8; 16]);

impl CallId {
    /// Reads the 32 hexadecimal digits of an id.
    pub fn parse(text: &str) -> Option<Self> {
        bytes_of(text).map(Self)
    }

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, which sort by time.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// When the call came, in milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        let mut bytes = [0; 8];
        bytes[2..].copy_from_slice(&self.0[..6]);
        i64::from_be_bytes(bytes)
    }

    /// The UTC day in which the call came.
    pub fn day(self) -> Day {
        Day(self.unix_ms().div_euclid(DAY_MS))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_digits(&self.0))
    }
}

/// The bytes that these hexadecimal digits stand for.
pub fn bytes_of<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let half = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(half(pair[0])? * 16 + half(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// A UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(
    /// Days since 1970 began.
    pub i64,
);

impl Day {
    /// The day of this moment, in microseconds since 1970.
    pub fn of_us(unix_us: i64) -> Self {
        Self(unix_us.div_euclid(DAY_MS * 1_000))
    }

    /// When it begins, in microseconds since 1970.
    pub fn begin_us(self) -> i64 {
        self.0.saturating_mul(DAY_MS * 1_000)
    }

    /// Reads a day such as `2026-11-28`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-').map(str::parse::<i64>);
        let (year, month, day) = (
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next()?.ok()?,
        );
        let number = Self(calendar::days(year, month, day));
        (number.to_string() == text).then_some(number)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = calendar::date(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_call_tells_its_day() {
        // 2026-11-28T23:59:59.999Z, and a millisecond later.
        for (millis, day) in [
            (1_795_910_399_999_u64, "2026-11-28"),
            (1_795_910_400_000, "2026-11-29"),
        ] {
            let id = uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid();
            let text = in_digits(id.as_bytes());

            let id = CallId::parse(&text).unwrap();

            assert_eq!(id.to_string(), text);
            assert_eq!(id.day().to_string(), day);
            assert_eq!(Day::parse(day), Some(id.day()));
            assert_eq!(Day::of_us(id.day().begin_us()), id.day());
        }
    }

    #[test]
    fn what_is_no_id_and_no_day_is_none() {
        for text in ["", "00", "g0000000000000000000000000000000", "é"] {
            assert_eq!(CallId::parse(text), None, "{text}");
        }
        for text in ["", "2026-1-2", "2026-02-30", "2026-11-28-1", "x-y-z"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
