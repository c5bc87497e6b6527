//! How are amounts of limits written on the command line, and how are they shown?

use std::str::FromStr;

use crate::grpc::v1::LimitUnit;
use crate::money::decimal;

/// Decimals of a dollar that count.
const PLACES: u32 = 9;

/// An amount as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrittenAmount {
    /// In nano-USD.
    Money(i64),
    /// A count.
    Count(i64),
}

impl FromStr for WrittenAmount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SPELLED: &str = "write a whole number, or USD with at most 9 decimals and below 9 billion, such as \"50 USD\"";
        let (sign, size) = match text.strip_prefix('-') {
            Some(size) => (-1, size),
            None => (1, text),
        };
        let amount = match size.strip_suffix("USD") {
            Some(dollars) => {
                let nanos = decimal::exact(dollars.trim_end(), PLACES);
                nanos
                    .and_then(|nanos| i64::try_from(nanos).ok())
                    .map(Self::Money)
            }
            None => {
                let is_number = size.bytes().all(|byte| byte.is_ascii_digit());
                let count = Some(size).filter(|_| is_number);
                count.and_then(|count| count.parse().ok()).map(Self::Count)
            }
        };
        match amount {
            Some(Self::Money(nanos)) => Ok(Self::Money(sign * nanos)),
            Some(Self::Count(count)) => Ok(Self::Count(sign * count)),
            None => Err(SPELLED),
        }
    }
}

impl WrittenAmount {
    /// The amount in this unit.
    ///
    /// # Errors
    /// It is written as one of another unit.
    pub(super) fn of(self, unit: LimitUnit) -> Result<i64, String> {
        let is_money = matches!(unit, LimitUnit::Money | LimitUnit::Waste);
        match (self, is_money) {
            (Self::Money(amount), true) | (Self::Count(amount), false) => Ok(amount),
            (Self::Count(_), true) => {
                Err("the limit counts money: write an amount like \"50 USD\"".to_owned())
            }
            (Self::Money(_), false) => {
                Err("the limit does not count money: write a whole number".to_owned())
            }
        }
    }

    /// The amount in the unit in which it is written.
    pub(super) fn written(self) -> i64 {
        match self {
            Self::Money(amount) | Self::Count(amount) => amount,
        }
    }
}

/// An amount in this unit, for people.
pub(super) fn spelled(unit: LimitUnit, amount: i64) -> String {
    match unit {
        LimitUnit::Money | LimitUnit::Waste => {
            let sign = if amount < 0 { "-" } else { "" };
            let nanos = amount.unsigned_abs();
            let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            let decimals = format!("{part:09}");
            // Cents are always shown, smaller parts if there are any.
            let decimals = match decimals.trim_end_matches('0') {
                "" => "",
                short if short.len() <= 2 => &decimals[..2],
                long => long,
            };
            match decimals {
                "" => format!("{sign}{whole} USD"),
                decimals => format!("{sign}{whole}.{decimals} USD"),
            }
        }
        LimitUnit::Requests
        | LimitUnit::Tokens
        | LimitUnit::ConcurrentCalls
        | LimitUnit::Unspecified => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_shown() {
        for (text, amount) in [
            ("50 USD", WrittenAmount::Money(50_000_000_000)),
            ("0.25 USD", WrittenAmount::Money(250_000_000)),
            ("0.000000001 USD", WrittenAmount::Money(1)),
            ("-5.50 USD", WrittenAmount::Money(-5_500_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(amount), "{text}");
            assert_eq!(spelled(LimitUnit::Money, amount.written()), text);
        }
        for (text, count) in [("1000", 1_000), ("-7", -7), ("0", 0)] {
            assert_eq!(text.parse(), Ok(WrittenAmount::Count(count)), "{text}");
            assert_eq!(spelled(LimitUnit::Tokens, count), text);
        }
    }

    #[test]
    fn what_is_no_amount_says_how_to_write_one() {
        for text in [
            "",
            "USD",
            "fifty USD",
            "1.5",
            "--1",
            "+1",
            "0.0000000001 USD",
            "10000000000 USD",
            "99999999999999999999",
            "-",
        ] {
            assert!(text.parse::<WrittenAmount>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_amount_of_another_unit_is_refused() {
        assert!(WrittenAmount::Count(50).of(LimitUnit::Money).is_err());
        assert!(WrittenAmount::Money(50).of(LimitUnit::Tokens).is_err());
        assert_eq!(WrittenAmount::Money(50).of(LimitUnit::Waste), Ok(50));
    }
}
