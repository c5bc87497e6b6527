//! Which fields may options never set? Those that the service sets itself, and those that the contract has a field for.
//!
//! A table for each wire format names them by their path in what the provider is sent. What else a request says already
//! is found when it is written, since nothing is overwritten.

mod anthropic;
mod gemini;
mod openai_chat;
mod openai_responses;

use super::OptionsPlace;
use super::members::{may_mean, members};

/// The wire formats, by the names that the configuration and the contract use.
pub const WIRE_FORMATS: [&str; 4] = ["openai_chat", "openai_responses", "anthropic", "gemini"];

/// A field that options may not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReservedField {
    place: OptionsPlace,
    path: &'static [&'static str],
    because: Because,
}

/// Why options may not set a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The service sets it.
    Ours,
    /// This field of the contract says it.
    Typed(&'static str),
    /// It asks for several answers.
    OneAnswer,
    /// It asks for an answer that is fetched later.
    Background,
    /// It names something that is stored at one provider, and the options are for a wire format.
    Stored,
}

/// A field of options that they may not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// Its path in the options, as it was written.
    pub path: String,
    /// Why.
    pub because: Because,
}

const fn row(
    place: OptionsPlace,
    path: &'static [&'static str],
    because: Because,
) -> ReservedField {
    ReservedField {
        place,
        path,
        because,
    }
}

/// The first field of these options that no caller may set at this place. `is_shared` says whether several providers
/// may be sent the options: then they must not name what one of them has stored.
pub fn forbidden(
    format: &str,
    place: OptionsPlace,
    fields: &str,
    is_shared: bool,
) -> Option<Forbidden> {
    let table: &[ReservedField] = match format {
        "openai_chat" => openai_chat::RESERVED,
        "openai_responses" => openai_responses::RESERVED,
        "anthropic" => anthropic::RESERVED,
        "gemini" => gemini::RESERVED,
        _ => return None,
    };
    let rows = table
        .iter()
        .filter(|row| row.place == place && (is_shared || row.because != Because::Stored));
    let rows: Vec<_> = rows.map(|row| (row.path, row.because)).collect();
    first(fields, &rows, "")
}

/// The first field that one of the rows names. Each row is the rest of a path and why it is reserved.
fn first(
    object: &str,
    rows: &[(&'static [&'static str], Because)],
    before: &str,
) -> Option<Forbidden> {
    if rows.is_empty() {
        return None;
    }
    for (name, value) in members(object)? {
        let path = format!("{before}{}", name.escape_debug());
        let mut below = Vec::new();
        for (row, because) in rows {
            let [first, rest @ ..] = row else {
                continue;
            };
            if !may_mean(&name, first) {
                continue;
            }
            let is_object = value.starts_with('{');
            match (rest, because) {
                // An object of this name holds settings, and perhaps an id, which has a row of its own.
                ([], Because::Stored) if is_object => {}
                ([], because) => {
                    return Some(Forbidden {
                        path,
                        because: *because,
                    });
                }
                (rest, because) => below.push((rest, *because)),
            }
        }
        if let Some(found) = first(value, &below, &format!("{path}.")) {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::WireFormat;
    use crate::wire::anthropic::Anthropic;
    use crate::wire::gemini::Gemini;
    use crate::wire::openai_chat::OpenAiChat;
    use crate::wire::openai_responses::OpenAiResponses;

    #[test]
    fn every_wire_format_is_named_and_reserves_what_the_service_sets() {
        let formats: [&dyn WireFormat; 4] = [
            &OpenAiChat::default(),
            &OpenAiResponses::default(),
            &Anthropic::default(),
            &Gemini::default(),
        ];
        for (format, name) in formats.iter().zip(WIRE_FORMATS) {
            assert_eq!(format.name(), name);
            let found = forbidden(name, OptionsPlace::Request, r#"{"model":"x"}"#, true);
            let expected = Forbidden {
                path: "model".to_owned(),
                because: Because::Ours,
            };
            assert_eq!(found, Some(expected), "{name}");
        }
    }

    #[test]
    fn a_reserved_field_is_found_however_it_is_written() {
        use Because::{OneAnswer, Ours, Stored, Typed};
        use OptionsPlace::{Part, ProviderTool, Request, Tool};
        let temperature = Typed("sampling.temperature");
        // Format, place, fields, the path and why.
        let table = [
            (
                "openai_chat",
                Request,
                r#"{"a":1,"n":2}"#,
                Some(("n", OneAnswer)),
            ),
            (
                "openai_chat",
                Request,
                r#"{"Model":1}"#,
                Some(("Model", Ours)),
            ),
            (
                "openai_chat",
                Request,
                r#"{"mod\u0065l":1}"#,
                Some(("model", Ours)),
            ),
            (
                "openai_chat",
                Request,
                r#"{"\ud800":1,"model":1}"#,
                Some(("model", Ours)),
            ),
            ("openai_chat", Request, r#"{"models":["x"]}"#, None),
            (
                "openai_chat",
                Request,
                r#"{"top_k":1}"#,
                Some(("top_k", Typed("sampling.top_k"))),
            ),
            ("openai_chat", Tool, r#"{"top_k":1}"#, None),
            (
                "gemini",
                Request,
                r#"{"generationConfig":{"temperature":1}}"#,
                Some(("generationConfig.temperature", temperature)),
            ),
            (
                "gemini",
                Request,
                r#"{"generation_config":{"temperature":1}}"#,
                Some(("generation_config.temperature", temperature)),
            ),
            (
                "gemini",
                Request,
                r#"{"generationConfig":{"temperature":1},"generationConfig":{}}"#,
                Some(("generationConfig.temperature", temperature)),
            ),
            (
                "gemini",
                Request,
                r#"{"generationConfig":{"speechConfig":{"temperature":1}}}"#,
                None,
            ),
            ("gemini", Request, r#"{"temperature":1}"#, None),
            (
                "anthropic",
                Request,
                r#"{"container":"c_1"}"#,
                Some(("container", Stored)),
            ),
            (
                "anthropic",
                Request,
                r#"{"container":{"id":"c_1"}}"#,
                Some(("container.id", Stored)),
            ),
            ("anthropic", Request, r#"{"container":{"skills":[]}}"#, None),
            (
                "anthropic",
                Part,
                r#"{"cache_control":{"type":"ephemeral"}}"#,
                Some(("cache_control", Typed("cache_breakpoint"))),
            ),
            (
                "anthropic",
                ProviderTool,
                r#"{"type":"x","name":"x"}"#,
                None,
            ),
        ];
        for (format, place, fields, expected) in table {
            let found = forbidden(format, place, fields, true);
            let found = found.as_ref().map(|found| (&*found.path, found.because));
            assert_eq!(found, expected, "{format} {fields}");
        }
    }

    #[test]
    fn options_for_one_provider_may_name_what_it_has_stored() {
        let fields = r#"{"previous_response_id":"resp_1"}"#;
        let found = |is_shared| {
            let found = forbidden("openai_responses", OptionsPlace::Request, fields, is_shared);
            found.map(|found| found.because)
        };

        assert_eq!(found(true), Some(Because::Stored));
        assert_eq!(found(false), None);
    }
}
