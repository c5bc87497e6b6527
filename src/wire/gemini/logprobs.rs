//! How likely were the tokens of a text?

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::{TokenLogprob, TopLogprob};
use crate::wire::json::{Few, MaybeAbsent, Text, nothing_from, object};

/// The most tokens of one piece of an answer whose probability is told: more than any model writes.
const MOST_TOKENS: usize = 256 * 1024;

object! {
    /// `logprobsResult`
    struct LogprobsResult<'a> {
        chosen: Tokens<Likely<'a>> = "chosenCandidates" | "chosen_candidates",
        top: Tokens<Top<'a>> = "topCandidates" | "top_candidates",
    }
}

object! {
    struct Top<'a> {
        candidates: Few<Likely<'a>> = "candidates",
    }
}

object! {
    struct Likely<'a> {
        token: Text<'a> = "token",
        log_probability: Option<&'a RawValue> = "logProbability" | "log_probability",
    }
}

impl MaybeAbsent for Likely<'_> {
    fn is_absent(&self) -> bool {
        self.log_probability.is_none()
    }
}

impl Likely<'_> {
    fn logprob(&self) -> Option<f64> {
        serde_json::from_str(self.log_probability?.get()).ok()
    }
}

/// How likely the tokens of a piece were.
pub(super) fn of_tokens(result: &RawValue) -> Vec<TokenLogprob> {
    let result: LogprobsResult<'_> = serde_json::from_str(result.get()).unwrap_or_default();
    let mut top = result.top.0.into_iter();
    let mut tokens = Vec::with_capacity(result.chosen.0.len());
    for chosen in result.chosen.0 {
        let top = top.next().and_then(|top| top.candidates.all().ok());
        let Some(logprob) = chosen.logprob() else {
            continue;
        };
        let top = top.unwrap_or_default().into_iter().filter_map(|likely| {
            Some(TopLogprob {
                logprob: likely.logprob()?,
                token: likely.token.0.into_owned(),
                bytes: Bytes::new(),
            })
        });
        tokens.push(TokenLogprob {
            logprob,
            top: top.collect(),
            token: chosen.token.0.into_owned(),
            bytes: Bytes::new(),
        });
    }
    tokens
}

/// The elements of a list, one for each token.
struct Tokens<T>(Vec<T>);

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> MaybeAbsent for Tokens<T> {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tokens<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TokensVisitor(PhantomData))
    }
}

struct TokensVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TokensVisitor<T> {
    type Value = Tokens<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut tokens = Vec::new();
        while tokens.len() < MOST_TOKENS {
            match list.next_element()? {
                Some(token) => tokens.push(token),
                None => return Ok(Tokens(tokens)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Tokens(tokens))
    }

    nothing_from!(bool u64 i64 f64 str unit map);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chosen_token_has_the_likeliest_ones_of_its_place() {
        let json = r#"{"logProbabilitySum":-1,
            "chosenCandidates":[{"token":"a","tokenId":1,"logProbability":-0.5},{},{"token":"c","logProbability":-2}],
            "topCandidates":[
                {"candidates":[{"token":"a","logProbability":-0.5},{"token":"b","logProbability":-3}]},
                {"candidates":[{"token":"x","logProbability":-1}]}]}"#;
        let raw: &RawValue = serde_json::from_str(json).unwrap();

        let tokens = of_tokens(raw);

        let likely = |token: &str, logprob| TopLogprob {
            token: token.into(),
            logprob,
            bytes: Bytes::new(),
        };
        let chosen = |token: &str, logprob, top| TokenLogprob {
            token: token.into(),
            logprob,
            bytes: Bytes::new(),
            top,
        };
        assert_eq!(
            tokens,
            [
                chosen("a", -0.5, vec![likely("a", -0.5), likely("b", -3.0)]),
                chosen("c", -2.0, vec![]),
            ]
        );
    }

    #[test]
    fn what_is_no_list_of_probabilities_tells_none() {
        for json in [
            "null",
            "[]",
            "{}",
            r#"{"chosenCandidates":{}}"#,
            r#"{"chosenCandidates":[1,null]}"#,
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();

            assert_eq!(of_tokens(raw), [], "{json}");
        }
    }
}
