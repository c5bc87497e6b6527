//! How many tokens of each kind of media were counted, and at which tier?

use std::fmt;

use memchr::memchr;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::{ServedTier, ServiceTier};
use crate::wire::json::{Count, MaybeAbsent, Text, nothing_from, object};

/// The counts of a list of `ModalityTokenCount`s, except those of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modalities {
    pub(super) audio: Option<u64>,
    pub(super) image: Option<u64>,
    pub(super) video: Option<u64>,
}

object! {
    struct ModalityTokenCount<'a> {
        modality: Text<'a> = "modality",
        tokens: Count = "tokenCount" | "token_count",
    }
}

impl MaybeAbsent for Modalities {
    fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

impl<'de> Deserialize<'de> for Modalities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        if counts_only_text(json) {
            return Ok(Self::default());
        }
        serde_json::Deserializer::from_str(json)
            .deserialize_any(ModalitiesVisitor)
            .map_err(D::Error::custom)
    }
}

/// Whether each object of a list is plainly a count of text. Every frame repeats the list, and it rarely has others.
fn counts_only_text(json: &str) -> bool {
    let mut rest = json.as_bytes();
    while let Some(at) = memchr(b'{', rest) {
        rest = rest[at + 1..].trim_ascii_start();
        let modality = rest.strip_prefix(br#""modality":"#);
        let is_text =
            modality.is_some_and(|value| value.trim_ascii_start().starts_with(br#""TEXT""#));
        if !is_text {
            return false;
        }
    }
    true
}

struct ModalitiesVisitor;

impl<'de> Visitor<'de> for ModalitiesVisitor {
    type Value = Modalities;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut counts = Modalities::default();
        while let Some(count) = list.next_element::<ModalityTokenCount<'de>>()? {
            let ModalityTokenCount { modality, tokens } = count;
            // The name of a value, or its number where the host is asked for `enum-encoding=int`.
            let total = match &*modality.0 {
                "IMAGE" | "2" => &mut counts.image,
                "VIDEO" | "3" => &mut counts.video,
                "AUDIO" | "4" => &mut counts.audio,
                _ => continue,
            };
            if let Some(tokens) = tokens.0 {
                *total = Some(total.unwrap_or(0).saturating_add(tokens));
            }
        }
        Ok(counts)
    }

    nothing_from!(bool u64 i64 f64 str unit map);
}

/// The tier of a `serviceTier` or a `trafficType`.
pub(super) fn tier(name: &str) -> Option<ServedTier> {
    Some(ServedTier::Known(match name {
        "" | "unspecified" | "SERVICE_TIER_UNSPECIFIED" | "TRAFFIC_TYPE_UNSPECIFIED" => {
            return None;
        }
        "standard" | "STANDARD" | "SERVICE_TIER_STANDARD" | "ON_DEMAND" => ServiceTier::Standard,
        "priority" | "PRIORITY" | "SERVICE_TIER_PRIORITY" | "ON_DEMAND_PRIORITY" => {
            ServiceTier::Priority
        }
        "flex" | "FLEX" | "SERVICE_TIER_FLEX" | "ON_DEMAND_FLEX" => ServiceTier::Flex,
        "batch" | "BATCH" | "SERVICE_TIER_BATCH" => ServiceTier::Batch,
        _ => return Some(ServedTier::Other),
    }))
}
