//! How long is a time that a request names? Any two numbers can arrive in one.

use std::time::Duration;

/// A length of time; `None` if it is negative.
pub(in crate::grpc) fn duration_of(duration: prost_types::Duration) -> Option<Duration> {
    // The conversion negates what is negative, and the most negative number cannot be negated.
    if duration.seconds < 0 {
        return None;
    }
    Duration::try_from(duration).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_numbers_break_it() {
        for seconds in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
            for nanos in [i32::MIN, -1_000_000_000, -1, 0, 1, 1_000_000_000, i32::MAX] {
                let read = duration_of(prost_types::Duration { seconds, nanos });

                let expected = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
                let is_negative = seconds < 0 || expected < 0;
                assert_eq!(read.is_none(), is_negative, "{seconds} {nanos}");
                // Only the longest are cut.
                if let Some(read) = read.filter(|_| seconds < i64::MAX - 1) {
                    assert_eq!(i128::try_from(read.as_nanos()), Ok(expected));
                }
            }
        }
    }
}
