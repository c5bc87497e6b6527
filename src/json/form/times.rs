//! How are durations and times written in JSON? As `"1.500s"` and as in RFC 3339.

use crate::calendar;

/// The longest duration, in seconds: some 10,000 years.
const MAX_SECONDS: i64 = 315_576_000_000;

const NANOS: u32 = 1_000_000_000;

/// Seconds and nanoseconds of a text such as `-1.5s`; both have the same sign.
pub(super) fn duration_of(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_suffix('s')?;
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => (-1, number),
        None => (1, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    if number.ends_with('.') {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    (seconds <= MAX_SECONDS).then_some((sign * seconds, sign as i32 * nanos))
}

/// A duration as a text.
pub(super) fn duration_text(seconds: i64, nanos: i32) -> String {
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let fraction = fraction_text(nanos.unsigned_abs());
    format!("{sign}{}{fraction}s", seconds.unsigned_abs())
}

/// The time that is this long after 1970 began, in UTC.
pub(super) fn timestamp_text(seconds: i64, nanos: i32) -> String {
    const DAY: i64 = 86_400;
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = calendar::date(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = fraction_text(nanos.unsigned_abs());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// `.500` for half a second: none, three, six or nine digits.
fn fraction_text(nanos: u32) -> String {
    let nanos = nanos % NANOS;
    match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1000) => format!(".{:06}", nanos / 1000),
        _ => format!(".{nanos:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, value, again) in [
            ("1.5s", (1, 500_000_000), "1.500s"),
            ("0s", (0, 0), "0s"),
            ("-0.25s", (0, -250_000_000), "-0.250s"),
            ("-3s", (-3, 0), "-3s"),
            ("0.000000001s", (0, 1), "0.000000001s"),
            ("0.00001s", (0, 10_000), "0.000010s"),
            ("315576000000s", (315_576_000_000, 0), "315576000000s"),
        ] {
            assert_eq!(duration_of(text), Some(value), "{text}");
            assert_eq!(duration_text(value.0, value.1), again);
        }
        for text in [
            "",
            "s",
            "1",
            ".5s",
            "1.s",
            "1.5",
            "+1s",
            "1e3s",
            "--1s",
            "1.0000000001s",
            "315576000001s",
            "1,5s",
            "99999999999999999999s",
        ] {
            assert_eq!(duration_of(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_795_867_203, 120_000_000, "2026-11-28T12:00:03.120Z"),
            (-1, 1, "1969-12-31T23:59:59.000000001Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(timestamp_text(seconds, nanos), text);
        }
    }
}
