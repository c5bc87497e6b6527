//! How are messages, their parts and their media put together in the contract?

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modelway::grpc::v1;
use serde_json::Value;

use crate::fields::{Fields, Said};
use crate::host::PROVIDER;

pub(crate) use modelway::grpc::v1::content_part::Part;

pub(crate) fn plain(part: Part) -> v1::ContentPart {
    v1::ContentPart {
        part: Some(part),
        ..v1::ContentPart::default()
    }
}

/// A part with what remains of its fields: a mark for the cache, and options.
pub(crate) fn marked(part: Part, mut rest: Fields, wire_format: &str) -> v1::ContentPart {
    v1::ContentPart {
        cache_breakpoint: cache(&mut rest),
        provider_options: rest.into_options(wire_format),
        ..plain(part)
    }
}

/// A mark for the cache as Anthropic spells it, and hosts that pass it on.
pub(crate) fn cache(fields: &mut Fields) -> Option<v1::CacheBreakpoint> {
    fields.take_as("cache_control", |mark| {
        let mark = mark.as_object()?;
        let is_known = mark.keys().all(|name| name == "type" || name == "ttl");
        let retention = match mark.get("ttl").and_then(Value::as_str) {
            None => v1::CacheRetention::Unspecified,
            Some("5m") => v1::CacheRetention::Short,
            Some("1h") => v1::CacheRetention::Long,
            Some(_) => return None,
        };
        (is_known && mark["type"] == "ephemeral").then(|| v1::CacheBreakpoint {
            retention: retention.into(),
        })
    })
}

pub(crate) fn message(role: v1::Role, parts: Vec<v1::ContentPart>) -> v1::Message {
    v1::Message {
        role: role.into(),
        parts,
        ..v1::Message::default()
    }
}

pub(crate) fn tool_result(
    tool_call_id: String,
    content: Vec<v1::ContentPart>,
    is_error: bool,
) -> Part {
    Part::ToolResult(v1::ToolResult {
        tool_call_id,
        content,
        is_error,
    })
}

/// A medium that is carried in the request.
pub(crate) fn data(base64: &str, media_type: &str) -> Said<v1::Media> {
    let bytes = STANDARD
        .decode(base64.trim())
        .map_err(|_| "a medium is not base64".to_owned())?;
    Ok(v1::Media {
        source: Some(v1::media::Source::Data(bytes.into())),
        media_type: media_type.to_owned(),
        ..v1::Media::default()
    })
}

/// A medium behind an address; one whose address is its data is carried in the request.
pub(crate) fn at(url: &str) -> Said<v1::Media> {
    if let Some((media_type, base64)) = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
    {
        return data(base64, media_type);
    }
    Ok(v1::Media {
        source: Some(v1::media::Source::Uri(url.to_owned())),
        ..v1::Media::default()
    })
}

/// A file that the provider keeps.
pub(crate) fn stored(id: String) -> v1::Media {
    let provider = PROVIDER.to_owned();
    v1::Media {
        source: Some(v1::media::Source::File(v1::ProviderFile { provider, id })),
        ..v1::Media::default()
    }
}

pub(crate) fn function(tool: v1::FunctionTool, mut rest: Fields, wire_format: &str) -> v1::Tool {
    v1::Tool {
        cache_breakpoint: cache(&mut rest),
        provider_options: rest.into_options(wire_format),
        tool: Some(v1::tool::Tool::Function(tool)),
    }
}

/// A tool that the provider runs and that the contract has a type for.
pub(crate) fn typed(tool: v1::tool::Tool) -> v1::Tool {
    v1::Tool {
        tool: Some(tool),
        ..v1::Tool::default()
    }
}

/// A tool that only the provider has words for.
pub(crate) fn provider_tool(definition: Fields, wire_format: &str) -> v1::Tool {
    typed(v1::tool::Tool::ProviderTool(v1::ProviderTool {
        definitions: vec![definition.into_definition(wire_format)],
    }))
}

pub(crate) fn mode(mode: v1::ToolChoiceMode) -> v1::ToolChoice {
    v1::ToolChoice {
        choice: Some(v1::tool_choice::Choice::Mode(mode.into())),
    }
}

pub(crate) fn this_function(name: String) -> v1::ToolChoice {
    v1::ToolChoice {
        choice: Some(v1::tool_choice::Choice::FunctionName(name)),
    }
}

pub(crate) fn one_of(function_names: Vec<String>, mode: v1::ToolChoiceMode) -> v1::ToolChoice {
    let mode = mode.into();
    let allowed = v1::AllowedTools {
        function_names,
        mode,
    };
    v1::ToolChoice {
        choice: Some(v1::tool_choice::Choice::Allowed(allowed)),
    }
}

pub(crate) fn json_object() -> v1::ResponseFormat {
    let format = v1::response_format::Format::JsonObject(v1::JsonObjectFormat {});
    v1::ResponseFormat {
        format: Some(format),
    }
}

pub(crate) fn json_schema(format: v1::JsonSchemaFormat) -> v1::ResponseFormat {
    v1::ResponseFormat {
        format: Some(v1::response_format::Format::JsonSchema(format)),
    }
}

pub(crate) fn effort(name: &str) -> Option<v1::ReasoningEffort> {
    v1::ReasoningEffort::from_str_name(&format!("REASONING_EFFORT_{}", name.to_ascii_uppercase()))
        .filter(|effort| *effort != v1::ReasoningEffort::Unspecified)
}

pub(crate) fn verbosity(name: &str) -> Option<v1::Verbosity> {
    v1::Verbosity::from_str_name(&format!("VERBOSITY_{}", name.to_ascii_uppercase()))
        .filter(|verbosity| *verbosity != v1::Verbosity::Unspecified)
}
