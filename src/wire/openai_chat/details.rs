//! As which entries of OpenRouter's `reasoning_details` is a piece of reasoning sent back?

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::body::ReasoningDetail;

/// The entries of `reasoning_details` for one piece of reasoning. The decoder stored the entry with the
/// signature as the signature, and the text of the entries before it as the text.
pub(super) fn details<'a>(text: &'a str, signature: &'a [u8]) -> Vec<ReasoningDetail<'a>> {
    let plain = ReasoningDetail::Plain {
        r#type: "reasoning.text",
        text,
    };
    let Some((entry, head)) = entry(signature) else {
        return Vec::from_iter((!text.is_empty()).then_some(plain));
    };
    let signed = ReasoningDetail::Signed(Cow::Borrowed(entry));
    let Head {
        kind,
        has_text,
        has_summary,
    } = head;
    let lacking = match kind {
        Kind::Text => (!has_text).then_some("text"),
        Kind::Summary => (!has_summary).then_some("summary"),
        Kind::Other if text.is_empty() => None,
        Kind::Other => return vec![plain, signed],
    };
    let completed = lacking.and_then(|field| with(entry, field, text));
    vec![completed.map_or(signed, |entry| ReasoningDetail::Signed(Cow::Owned(entry)))]
}

/// An entry as it was received, and the fields that decide how it is sent back.
fn entry(signature: &[u8]) -> Option<(&RawValue, Head)> {
    let entry: &RawValue = serde_json::from_slice(signature).ok()?;
    let head = serde_json::from_str(entry.get()).ok()?;
    Some((entry, head))
}

/// An object with one more member at its end.
fn with(object: &RawValue, name: &str, text: &str) -> Option<Box<RawValue>> {
    let members = object.get().strip_suffix('}')?;
    let comma = if members.trim_end().ends_with('{') {
        ""
    } else {
        ","
    };
    let text = serde_json::to_string(text).ok()?;
    RawValue::from_string(format!("{members}{comma}\"{name}\":{text}}}")).ok()
}

/// The fields of an entry that matter; the others are skipped.
#[derive(Default)]
struct Head {
    kind: Kind,
    has_text: bool,
    has_summary: bool,
}

#[derive(Default)]
enum Kind {
    Text,
    Summary,
    #[default]
    Other,
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of reasoning_details")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Head, A::Error> {
        let mut head = Head::default();
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            match &*name {
                "type" => {
                    let kind: &RawValue = members.next_value()?;
                    head.kind = match serde_json::from_str::<Cow<'_, str>>(kind.get()).as_deref() {
                        Ok("reasoning.text") => Kind::Text,
                        Ok("reasoning.summary") => Kind::Summary,
                        Ok(_) | Err(_) => Kind::Other,
                    };
                    continue;
                }
                "text" => head.has_text = true,
                "summary" => head.has_summary = true,
                _ => {}
            }
            let _: IgnoredAny = members.next_value()?;
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sent(text: &str, signature: &str) -> Value {
        serde_json::to_value(details(text, signature.as_bytes())).unwrap()
    }

    #[test]
    fn an_entry_gets_the_text_that_it_lacks() {
        for (signature, expected) in [
            (
                r#"{"type":"reasoning.text"}"#,
                json!([{"type": "reasoning.text", "text": "hm"}]),
            ),
            (
                r#"{"type":"reasoning.summary","a":[1]}"#,
                json!([{"type": "reasoning.summary", "a": [1], "summary": "hm"}]),
            ),
            (
                r#" {"text":null,"type":"reasoning.text"} "#,
                json!([{"text": null, "type": "reasoning.text"}]),
            ),
            (
                r#"{"type":"x"}"#,
                json!([{"type": "reasoning.text", "text": "hm"}, {"type": "x"}]),
            ),
            (
                r#"{}"#,
                json!([{"type": "reasoning.text", "text": "hm"}, {}]),
            ),
            (
                r#"{"type":7}"#,
                json!([{"type": "reasoning.text", "text": "hm"}, {"type": 7}]),
            ),
            ("[1]", json!([{"type": "reasoning.text", "text": "hm"}])),
            (
                "not JSON",
                json!([{"type": "reasoning.text", "text": "hm"}]),
            ),
        ] {
            assert_eq!(sent("hm", signature), expected, "{signature}");
        }
        assert_eq!(sent("", "not JSON"), json!([]));
        assert_eq!(sent("", r#"{"type":"x"}"#), json!([{"type": "x"}]));
    }
}
