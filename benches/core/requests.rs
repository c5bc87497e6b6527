//! Requests of three sizes.

use bytes::Bytes;
use modelway::grpc::v1;
use modelway::grpc::v1::content_part::Part;

/// A question, a long conversation with tools, a question about a picture.
pub(crate) fn all() -> [(&'static str, v1::GenerateRequest); 3] {
    [("text", text()), ("history", history()), ("image", image())]
}

fn text() -> v1::GenerateRequest {
    v1::GenerateRequest {
        scenario: "general".to_owned(),
        messages: vec![
            message(v1::Role::System, "You answer in one short sentence."),
            message(v1::Role::User, "What does a gateway do?"),
        ],
        sampling: Some(v1::SamplingParams {
            max_output_tokens: Some(1000),
            temperature: Some(0.2),
            ..v1::SamplingParams::default()
        }),
        ..v1::GenerateRequest::default()
    }
}

/// 40 messages: instructions and ten rounds of a question, a tool call, its result and an answer, the
/// last of which is to be given.
fn history() -> v1::GenerateRequest {
    let mut request = text();
    request.messages.truncate(1);
    for round in 0..10 {
        let id = format!("call_{round}");
        let call = Part::ToolCall(v1::ToolCall {
            id: id.clone(),
            name: "get_weather".to_owned(),
            arguments_json: r#"{"city":"Paris","unit":"celsius"}"#.to_owned(),
            ..v1::ToolCall::default()
        });
        let result = Part::ToolResult(v1::ToolResult {
            tool_call_id: id,
            content: vec![part(Part::Text(
                r#"{"degrees":21,"sky":"clear"}"#.to_owned(),
            ))],
            ..v1::ToolResult::default()
        });
        request.messages.extend([
            message(v1::Role::User, &"How is the weather there? ".repeat(8)),
            with_part(v1::Role::Assistant, call),
            with_part(v1::Role::Tool, result),
            message(
                v1::Role::Assistant,
                &"It is \"clear\" and 21 °C.\n".repeat(12),
            ),
        ]);
    }
    request.messages.truncate(40);
    let function = v1::FunctionTool {
        name: "get_weather".to_owned(),
        description: "The weather of a city".to_owned(),
        parameters: Some(v1::JsonSchema {
            schema: Some(v1::json_schema::Schema::Text(SCHEMA.to_owned())),
        }),
        ..v1::FunctionTool::default()
    };
    request.tools = vec![v1::Tool {
        tool: Some(v1::tool::Tool::Function(function)),
        ..v1::Tool::default()
    }];
    request
}

const SCHEMA: &str = r#"{"type":"object","properties":{"city":{"type":"string"},"unit":{"type":"string","enum":["celsius","fahrenheit"]}},"required":["city"]}"#;

/// Requests of up to 30 MiB, near the limits of what is accepted.
pub(crate) fn large() -> [(&'static str, v1::GenerateRequest); 8] {
    let said = |text: String| v1::GenerateRequest {
        messages: vec![message(v1::Role::User, &text)],
        ..v1::GenerateRequest::default()
    };
    let piece = part(Part::Text("x".repeat(600)));
    let mut parts = said(String::new());
    parts.messages[0].parts = vec![piece; 50_000];
    [
        ("image, 30 MiB", picture(30 << 20)),
        ("ASCII, 1 MiB", said("a".repeat(1 << 20))),
        ("ASCII, 8 MiB", said("a".repeat(8 << 20))),
        ("ASCII, 30 MiB", said("a".repeat(30 << 20))),
        ("two-byte characters, 8 MiB", said("é".repeat(4 << 20))),
        ("two-byte characters, 30 MiB", said("é".repeat(15 << 20))),
        ("50,000 parts", parts),
        ("schema of 200,000 values", wide_schema(200_000)),
    ]
}

fn wide_schema(values: usize) -> v1::GenerateRequest {
    let value = |number| (format!("m{number}"), prost_types::Value::from(1.0));
    let fields = (0..values).map(value).collect();
    let schema = v1::json_schema::Schema::Object(prost_types::Struct { fields });
    let function = v1::FunctionTool {
        name: "wide".to_owned(),
        parameters: Some(v1::JsonSchema {
            schema: Some(schema),
        }),
        ..v1::FunctionTool::default()
    };
    v1::GenerateRequest {
        tools: vec![v1::Tool {
            tool: Some(v1::tool::Tool::Function(function)),
            ..v1::Tool::default()
        }],
        ..text()
    }
}

/// A picture of 1 MB.
fn image() -> v1::GenerateRequest {
    picture(1 << 20)
}

fn picture(bytes: usize) -> v1::GenerateRequest {
    let mut request = text();
    let picture = Part::Image(v1::Media {
        source: Some(v1::media::Source::Data(Bytes::from(vec![0xA5; bytes]))),
        media_type: "image/png".to_owned(),
        ..v1::Media::default()
    });
    let mut question = message(v1::Role::User, "");
    question.parts = vec![
        part(picture),
        part(Part::Text("What is to be seen?".to_owned())),
    ];
    request.messages = vec![question];
    request
}

fn message(role: v1::Role, text: &str) -> v1::Message {
    v1::Message {
        role: role.into(),
        text: text.to_owned(),
        parts: Vec::new(),
    }
}

fn with_part(role: v1::Role, content: Part) -> v1::Message {
    v1::Message {
        parts: vec![part(content)],
        ..message(role, "")
    }
}

fn part(part: Part) -> v1::ContentPart {
    v1::ContentPart {
        part: Some(part),
        ..v1::ContentPart::default()
    }
}
