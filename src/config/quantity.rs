//! How times and sizes are written: a number and a unit.

use std::time::Duration;

/// Reads a time such as `250ms`, `1.5s`, `2m` or `1h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds_in_unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds_in_unit).ok()
}

/// Reads a time such as `12h` or `365d`, where days make sense.
pub fn parse_long_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    match unit {
        "d" => Duration::try_from_secs_f64(number * 86_400.0).ok(),
        _ => parse_duration(text),
    }
}

/// Reads a size such as `4MiB` or `512KiB`.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let bytes_in_unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let bytes = number * bytes_in_unit as f64;
    let is_exact = bytes.fract() == 0.0 && bytes <= (1_u64 << 53) as f64;
    is_exact.then_some(bytes as u64)
}

/// Splits `1.5s` into the number and the unit. The number has digits and at most one point.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let unit_starts = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_starts);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        let cases = [
            ("250ms", Some(Duration::from_millis(250))),
            ("0.1s", Some(Duration::from_millis(100))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("2m", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3600))),
            ("10", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1 s", None),
            ("1e3s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("99999999999999999999999h", None),
        ];

        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_binary_unit() {
        let cases = [
            ("512B", Some(512)),
            ("1.5KiB", Some(1536)),
            ("4MiB", Some(4 << 20)),
            ("1GiB", Some(1 << 30)),
            ("0.3B", None),
            ("4MB", None),
            ("4", None),
            ("MiB", None),
            ("99999999999999GiB", None),
        ];

        for (text, expected) in cases {
            assert_eq!(parse_bytes(text), expected, "{text:?}");
        }
    }
}
