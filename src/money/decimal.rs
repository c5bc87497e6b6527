//! Which whole number of small units does a decimal text stand for? Exact: no floating-point number is involved.

/// The largest exponent that is read. What lies beyond it is no price.
const MOST_EXPONENT: u64 = 30;

/// The most digits of a number that is read.
const MOST_DIGITS: usize = 60;

/// `text` in units of 10^-`places`, such as `"2.5"` with 6 places as 2,500,000; `None` if it is no number, negative, too
/// large, or not a whole number of units.
pub fn exact(text: &str, places: u32) -> Option<u64> {
    let (number, is_exact) = read(text, places)?;
    is_exact.then_some(number)
}

/// As [`exact`], but rounded to the nearest unit, and half a unit up.
pub fn rounded(text: &str, places: u32) -> Option<u64> {
    let (number, _) = read(text, places)?;
    Some(number)
}

/// The nearest whole number of units, and whether it is exact.
fn read(text: &str, places: u32) -> Option<(u64, bool)> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (text, 0_i64),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(fraction.bytes());
    if whole.is_empty() && fraction.is_empty()
        || !digits.clone().all(|byte| byte.is_ascii_digit())
        || whole.len() + fraction.len() > MOST_DIGITS
        || exponent.unsigned_abs() > MOST_EXPONENT
    {
        return None;
    }
    // How many of the digits stand before the point, once the number is written in units.
    let before = i64::try_from(whole.len()).ok()? + exponent + i64::from(places);
    let mut number = 0_u64;
    let mut rest = digits;
    for _ in 0..before {
        let digit = rest.next().map_or(0, |byte| u64::from(byte - b'0'));
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    let is_exact = rest.clone().all(|byte| byte == b'0');
    // A digit further behind the point than the first one rounds nothing up.
    let rounds_up = before >= 0 && rest.next().is_some_and(|byte| byte >= b'5');
    let number = number.checked_add(u64::from(rounds_up))?;
    Some((number, is_exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_text_is_read_without_loss() {
        // The text, the places, the nearest number of units, whether it is exact.
        let table = [
            ("0", 6, Some(0), true),
            ("5", 6, Some(5_000_000), true),
            ("0.1", 6, Some(100_000), true),
            (".1", 6, Some(100_000), true),
            ("5.", 6, Some(5_000_000), true),
            ("+0.000001", 6, Some(1), true),
            ("0.0000005", 6, Some(1), false),
            ("0.0000004999", 6, Some(0), false),
            ("0.00000009", 6, Some(0), false),
            ("1e-6", 6, Some(1), true),
            ("5.37e-06", 9, Some(5_370), true),
            ("0.0001313125", 9, Some(131_313), false),
            ("1.5E3", 0, Some(1_500), true),
            // Two numbers that no binary fraction holds.
            ("4.35", 6, Some(4_350_000), true),
            ("1.1", 9, Some(1_100_000_000), true),
            ("18446744073709551615", 0, Some(u64::MAX), true),
            ("18446744073709551615.5", 0, None, false),
            ("18446744073709551616", 0, None, false),
            ("1e30", 6, None, false),
            ("1e99", 0, None, false),
            ("-1", 6, None, false),
            ("NaN", 6, None, false),
            ("inf", 6, None, false),
            ("", 6, None, false),
            (".", 6, None, false),
            ("e5", 6, None, false),
            ("1,5", 6, None, false),
            ("0x10", 6, None, false),
        ];
        for (text, places, number, is_exact) in table {
            assert_eq!(rounded(text, places), number, "{text}");
            assert_eq!(exact(text, places), number.filter(|_| is_exact), "{text}");
        }
    }
}
