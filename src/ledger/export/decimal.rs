//! How is an amount of money written as decimal text, without loss?

/// Units of 10^-12 USD in one nano-USD.
pub const PICO_OF_NANO: i128 = 1_000;

const PLACES: usize = 12;

/// `pico` as USD with twelve places, such as `0.000000000001` for 1.
pub fn usd(pico: i128) -> String {
    let sign = if pico < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", pico.unsigned_abs(), width = PLACES + 1);
    let (whole, fraction) = digits.split_at(digits.len() - PLACES);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_twelve_places_and_loses_nothing() {
        let table = [
            (0, "0.000000000000"),
            (1, "0.000000000001"),
            (-1, "-0.000000000001"),
            (2_500_000, "0.000002500000"),
            (1_000_000_000_000, "1.000000000000"),
            (-1_234_567_890_123_456, "-1234.567890123456"),
            (
                i128::from(i64::MAX) * PICO_OF_NANO,
                "9223372036.854775807000",
            ),
        ];
        for (pico, text) in table {
            assert_eq!(usd(pico), text);
        }
    }
}
