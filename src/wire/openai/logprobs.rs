//! How likely were the tokens of a text?

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{TokenLogprob, TopLogprob};

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
