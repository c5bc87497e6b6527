//! How do numbers, times and amounts of money stand in a line? Pure.
//!
//! Every call has a line with a dozen of them, so they are not spelled by the standard library's formatter, which
//! takes several times as long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::calendar;

/// Adds a whole number.
pub(super) fn push_number(out: &mut String, number: u64) {
    push_digits(out, number, 1);
}

/// Adds a duration in milliseconds with three digits behind the point.
pub(super) fn push_millis(out: &mut String, time: Duration) {
    let micros = u64::from(time.subsec_micros());
    let millis = time.as_secs().saturating_mul(1000);
    push_number(out, millis.saturating_add(micros / 1000));
    out.push('.');
    push_digits(out, micros % 1000, 3);
}

/// Adds an amount in USD with nine digits behind the point.
pub(super) fn push_usd(out: &mut String, nanos: i64) {
    const PER_USD: u64 = 1_000_000_000;
    if nanos < 0 {
        out.push('-');
    }
    let nanos = nanos.unsigned_abs();
    push_number(out, nanos / PER_USD);
    out.push('.');
    push_digits(out, nanos % PER_USD, 9);
}

/// Adds a point in time in UTC, to the microsecond, such as `2026-11-28T05:43:08.123456Z`. A time before 1970 counts
/// as its beginning.
pub(super) fn push_time(out: &mut String, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // A quotient by 86,400 always fits.
    let (year, month, day) = calendar::date(days as i64);
    push_digits(out, year.unsigned_abs(), 4);
    for (before, number) in [
        ('-', month.unsigned_abs()),
        ('-', day.unsigned_abs()),
        ('T', second / 3600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        out.push(before);
        push_digits(out, number, 2);
    }
    out.push('.');
    push_digits(out, u64::from(since.subsec_micros()), 6);
    out.push('Z');
}

/// Adds a number with at least so many digits.
fn push_digits(out: &mut String, mut number: u64, least: usize) {
    // The largest number has 20 digits.
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    while number > 0 {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let begin = begin.min(digits.len() - least);
    for digit in &digits[begin..] {
        out.push(char::from(*digit));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracing_subscriber::fmt::format::Writer;
    use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime as Clock};

    use super::*;

    fn pushed(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::from("=");
        push(&mut out);
        out.split_off(1)
    }

    fn time(since_1970: Duration) -> String {
        pushed(|out| push_time(out, UNIX_EPOCH + since_1970))
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let table = [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, 1_000, "2000-03-01T00:00:00.000001Z"),
            (1_795_844_588, 123_456_789, "2026-11-28T05:43:08.123456Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000000Z"),
            (253_402_300_800, 0, "10000-01-01T00:00:00.000000Z"),
        ];
        for (seconds, nanos, expected) in table {
            assert_eq!(time(Duration::new(seconds, nanos)), expected);
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        let spelled = pushed(|out| push_time(out, before));
        assert_eq!(spelled, "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn the_present_is_spelled_as_other_lines_have_it() {
        let mut theirs = String::new();
        let earlier = pushed(|out| push_time(out, SystemTime::now()));
        Clock.format_time(&mut Writer::new(&mut theirs)).unwrap();
        let later = pushed(|out| push_time(out, SystemTime::now()));

        assert!(earlier <= theirs && theirs <= later, "{earlier} {theirs}");
        assert_eq!(theirs.len(), later.len());
    }

    proptest! {
        #[test]
        fn numbers_are_spelled_as_the_standard_library_does(number: u64, nanos: i64, micros: u64) {
            let spelled = pushed(|out| push_number(out, number));
            prop_assert_eq!(spelled, number.to_string());
            let spelled = pushed(|out| push_usd(out, nanos));
            let (sign, amount) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
            let expected = format!("{sign}{}.{:09}", amount / 1_000_000_000, amount % 1_000_000_000);
            prop_assert_eq!(spelled, expected);
            let spelled = pushed(|out| push_millis(out, Duration::from_micros(micros)));
            prop_assert_eq!(spelled, format!("{}.{:03}", micros / 1000, micros % 1000));
        }
    }
}
