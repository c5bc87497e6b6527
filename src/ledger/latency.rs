//! In which bucket does a latency count? In one that is 12 % wide, so that a percentile is at most so much too high.

/// How much wider each bucket is than the one before.
const GROWTH: f64 = 1.12;

/// The bucket of a latency in microseconds.
pub fn bucket(latency_us: i64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the logarithm of an i64 is small, and its last digits do not matter"
    )]
    let bucket = ((latency_us.max(1) as f64).ln() / GROWTH.ln()).ceil() as i64;
    bucket
}

/// The longest latency of a bucket, in microseconds.
pub fn upper_us(bucket: i64) -> f64 {
    let bucket = i32::try_from(bucket).unwrap_or(i32::MAX);
    GROWTH.powi(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_tells_a_latency_up_to_12_percent_too_high() {
        for latency in [1, 2, 3, 10, 999, 1_000, 250_000, 3_600_000_000] {
            let told = upper_us(bucket(latency));
            let exact = latency as f64;

            assert!(told >= exact * 0.999_999, "{latency}: {told}");
            assert!(told <= exact * 1.120_001, "{latency}: {told}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(-5), 0);
    }
}
