//! Which requests did clients send to providers? They are read from recorded exchanges.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An API that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    OpenAiChat,
    OpenAiResponses,
    Anthropic,
    Gemini,
}

impl Family {
    pub(crate) const ALL: [Self; 4] = [
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
    ];

    /// Its name in the recordings, for Gemini without the method.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai.chat",
            Self::OpenAiResponses => "openai.responses",
            Self::Anthropic => "anthropic.messages",
            Self::Gemini => "gemini",
        }
    }

    fn of(api: &str) -> Option<Self> {
        let is = |family: &Self| {
            let rest = api.strip_prefix(family.name());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Self::ALL.into_iter().find(is)
    }
}

/// One request as it was recorded.
pub(crate) struct Recorded {
    /// The path of its recording.
    pub(crate) name: String,
    pub(crate) family: Family,
    pub(crate) url: String,
    pub(crate) body: Value,
    /// Whether the answer was asked for as a stream, in the body or in the path.
    pub(crate) streams: bool,
    /// Whether the provider refused it as invalid.
    pub(crate) is_refused: bool,
}

impl Recorded {
    /// The model's name at the provider, which stands in the body or in the path.
    pub(crate) fn model(&self) -> &str {
        let in_path = || {
            let (_, after) = self.url.rsplit_once("/models/")?;
            after.split([':', '?']).next()
        };
        let named = match self.family {
            Family::Gemini => in_path(),
            Family::OpenAiChat | Family::OpenAiResponses | Family::Anthropic => {
                self.body["model"].as_str()
            }
        };
        named.unwrap_or_default()
    }
}

/// Every request of the families that we speak, in the order of the index. Recordings without a request, or without
/// its body, are left out.
pub(crate) fn requests(directory: &Path) -> Vec<Recorded> {
    let index = json(&directory.join("index.json"));
    let entries = index.as_array().expect("the index is a list");
    let named = entries.iter().filter_map(|entry| {
        let family = Family::of(text(&entry["api"]))?;
        Some((text(&entry["path"]), family))
    });
    named
        .filter_map(|(name, family)| request(directory, name, family))
        .collect()
}

fn request(directory: &Path, name: &str, family: Family) -> Option<Recorded> {
    let mut exchange = json(&directory.join(name));
    let streams = exchange["stream"].as_bool().expect("a flag");
    let mut body = exchange["request"]["body"].take();
    if let Value::String(text) = &body {
        body = serde_json::from_str(text).ok()?;
    }
    let status = exchange["response"]["status"].as_u64();
    if !body.is_object() {
        return None;
    }
    restore_media(&mut body);
    Some(Recorded {
        name: name.to_owned(),
        family,
        url: text(&exchange["request"]["url"]).to_owned(),
        body,
        streams,
        is_refused: matches!(status, Some(400 | 422)),
    })
}

/// Puts bytes in place of those that the recordings leave out, so that a medium is base64 again.
fn restore_media(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((before, after)) = text.split_once("<elided ")
                && let Some((elided, "")) = after.split_once('>')
                && elided.contains("base64")
            {
                *text = format!("{before}{}", STANDARD.encode(elided));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(restore_media),
        Value::Object(members) => members.values_mut().for_each(restore_media),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn json(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
