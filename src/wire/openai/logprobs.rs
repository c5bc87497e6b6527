//! How likely were the tokens of a text?

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{TokenLogprob, TopLogprob};
use crate::wire::json::{MaybeAbsent, nothing_from};

/// How likely the tokens of a list were. Elements that do not tell it are skipped.
#[derive(Default)]
pub(in crate::wire) struct TokenLogprobs(pub(in crate::wire) Vec<TokenLogprob>);

impl MaybeAbsent for TokenLogprobs {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for TokenLogprobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = TokenLogprobs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut logprobs = Vec::new();
        while let Some(written) = list.next_element::<&RawValue>()? {
            logprobs.extend(logprob(written));
        }
        Ok(TokenLogprobs(logprobs))
    }

    nothing_from!(bool u64 i64 f64 str unit map);
}

/// How likely a token was; `None` if that is not told.
pub(in crate::wire) fn logprob(written: &RawValue) -> Option<TokenLogprob> {
    let read: Value = serde_json::from_str(written.get()).ok()?;
    let top = read["top_logprobs"].as_array();
    let top = top.into_iter().flatten().filter_map(|likely| {
        Some(TopLogprob {
            token: likely["token"].as_str()?.to_owned(),
            logprob: likely["logprob"].as_f64()?,
            bytes: bytes(&likely["bytes"]),
        })
    });
    Some(TokenLogprob {
        token: read["token"].as_str()?.to_owned(),
        logprob: read["logprob"].as_f64()?,
        bytes: bytes(&read["bytes"]),
        top: top.collect(),
    })
}

fn bytes(list: &Value) -> Bytes {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
        .collect()
}
