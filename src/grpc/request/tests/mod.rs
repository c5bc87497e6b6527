pub(in crate::grpc) mod accepted;
pub(in crate::grpc) mod arbitrary;
mod refused;

use bytes::Bytes;

use super::*;
use v1::content_part::Part as Piece;

fn parse(request: v1::GenerateRequest) -> Result<CallRequest, Error> {
    super::parse(request, &Elements::default())
}

fn say(role: v1::Role, text: &str) -> v1::Message {
    v1::Message {
        role: role.into(),
        text: text.to_owned(),
        parts: Vec::new(),
    }
}

fn message(role: v1::Role, pieces: impl IntoIterator<Item = Piece>) -> v1::Message {
    let part = |piece| v1::ContentPart {
        part: Some(piece),
        ..v1::ContentPart::default()
    };
    v1::Message {
        role: role.into(),
        text: String::new(),
        parts: pieces.into_iter().map(part).collect(),
    }
}

fn user(text: &str) -> v1::Message {
    say(v1::Role::User, text)
}

fn call(id: &str) -> Piece {
    Piece::ToolCall(v1::ToolCall {
        id: id.to_owned(),
        name: "look_up".to_owned(),
        arguments_json: "{}".to_owned(),
        ..v1::ToolCall::default()
    })
}

fn result(id: &str, pieces: impl IntoIterator<Item = Piece>) -> Piece {
    let part = |piece| v1::ContentPart {
        part: Some(piece),
        ..v1::ContentPart::default()
    };
    Piece::ToolResult(v1::ToolResult {
        tool_call_id: id.to_owned(),
        content: pieces.into_iter().map(part).collect(),
        is_error: false,
    })
}

fn found(id: &str) -> Piece {
    result(id, [Piece::Text("found".to_owned())])
}

fn image(source: Option<v1::media::Source>, media_type: &str) -> Piece {
    Piece::Image(v1::Media {
        source,
        media_type: media_type.to_owned(),
        ..v1::Media::default()
    })
}

fn data(bytes: &'static [u8]) -> Option<v1::media::Source> {
    Some(v1::media::Source::Data(Bytes::from_static(bytes)))
}

fn uri(uri: &str) -> Option<v1::media::Source> {
    Some(v1::media::Source::Uri(uri.to_owned()))
}

fn schema(text: &str) -> v1::JsonSchema {
    v1::JsonSchema {
        schema: Some(v1::json_schema::Schema::Text(text.to_owned())),
    }
}

fn function(name: &str, parameters: Option<v1::JsonSchema>) -> v1::Tool {
    v1::Tool {
        tool: Some(v1::tool::Tool::Function(v1::FunctionTool {
            name: name.to_owned(),
            parameters,
            ..v1::FunctionTool::default()
        })),
        ..v1::Tool::default()
    }
}

fn choose(choice: v1::tool_choice::Choice) -> Option<v1::ToolChoice> {
    Some(v1::ToolChoice {
        choice: Some(choice),
    })
}

fn answer_of(name: &str, schema: Option<v1::JsonSchema>) -> Option<v1::response_format::Format> {
    Some(v1::response_format::Format::JsonSchema(
        v1::JsonSchemaFormat {
            description: String::new(),
            name: name.to_owned(),
            schema,
            strict: false,
        },
    ))
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// A request in which nothing is wrong.
fn good() -> v1::GenerateRequest {
    v1::GenerateRequest {
        scenario: "general".to_owned(),
        messages: vec![user("Hello")],
        ..v1::GenerateRequest::default()
    }
}

fn talk(messages: impl IntoIterator<Item = v1::Message>) -> v1::GenerateRequest {
    v1::GenerateRequest {
        messages: messages.into_iter().collect(),
        ..good()
    }
}

fn sampled(sampling: v1::SamplingParams) -> v1::GenerateRequest {
    v1::GenerateRequest {
        sampling: Some(sampling),
        ..good()
    }
}

fn limited(limits: v1::CallLimits) -> v1::GenerateRequest {
    v1::GenerateRequest {
        limits: Some(limits),
        ..good()
    }
}

fn with_tools(tools: impl IntoIterator<Item = v1::Tool>) -> v1::GenerateRequest {
    v1::GenerateRequest {
        tools: tools.into_iter().collect(),
        ..good()
    }
}

fn formatted(format: Option<v1::response_format::Format>) -> v1::GenerateRequest {
    v1::GenerateRequest {
        response_format: Some(v1::ResponseFormat { format }),
        ..good()
    }
}
