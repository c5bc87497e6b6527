//! What does a host say that an answer cost?

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::money::decimal;
use crate::wire::json::{MaybeAbsent, Text, object};

/// A million USD, which no answer costs.
const MOST_NANOS: i64 = 1_000_000_000_000_000;

/// The nano-USD of a cost: a number of USD (OpenRouter, Vercel), or an object with the sum (Perplexity) or the currency
/// (Venice). `None` for what no answer costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::wire) struct Usd(Option<i64>);

object! {
    struct Sum<'a> {
        total: Text<'a> = "total_cost" | "usd",
    }
}

object! {
    /// What the maker of the model takes from the caller's own account there (OpenRouter's BYOK).
    pub(in crate::wire) struct ByokCost {
        upstream: Usd = "upstream_inference_cost",
    }
}

impl Usd {
    /// A decimal number of USD, of which no digit is lost before it is rounded.
    pub(in crate::wire) fn of(text: &str) -> Self {
        let nanos = decimal::rounded(text, 9).and_then(|nanos| i64::try_from(nanos).ok());
        Self(nanos.filter(|nanos| *nanos < MOST_NANOS))
    }

    /// In nano-USD; `None` for what no answer costs.
    pub(in crate::wire) fn nanos(self) -> Option<i64> {
        self.0
    }
}

impl ByokCost {
    pub(super) fn nanos(&self) -> Option<i64> {
        self.upstream.nanos()
    }
}

impl MaybeAbsent for Usd {
    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        Ok(match json.starts_with('{') {
            true => {
                let sum: Sum<'_> = serde_json::from_str(json).unwrap_or_default();
                Self::of(&sum.total.0)
            }
            false => Self::of(json.trim_matches('"')),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_read_as_each_host_writes_it() {
        for (json, nanos) in [
            ("0.0002444", Some(244_400)),
            ("5.37e-06", Some(5_370)),
            ("0", Some(0)),
            (r#""0.003576""#, Some(3_576_000)),
            (
                r#"{"input_tokens_cost":5e-05,"total_cost":0.0051}"#,
                Some(5_100_000),
            ),
            (r#"{"diem":0,"usd":0.0001313125}"#, Some(131_313)),
            (r#"{"diem":1}"#, None),
            ("-1", None),
            ("1e300", None),
            (r#""NaN""#, None),
            ("null", None),
            ("[1]", None),
        ] {
            let cost: Usd = serde_json::from_str(json).unwrap();

            assert_eq!(cost.nanos(), nanos, "{json}");
        }
    }
}
