//! Does what a caller asks reach the provider, and the answer the caller, in every wire format?

mod answer;
mod tools;

use std::fmt::Write as _;

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{FinishReason, GenerateRequest, Media, Role, SamplingParams, media};
use modelway::simulator::{Behaviour, text};
use serde_json::{Value, json};

use crate::support::{Gateway, METHODS, Method, ask, lines, message, parts, text_of};

/// Each format's provider, which is also the name of its scenario and of its model.
const FORMATS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// What the simulator signs reasoning with; OpenAI's format has no signatures.
const SIGNATURE: &str = "c2ltdWxhdGVkIHNpZ25hdHVyZQ==";

/// A scenario for each format, named like it; all models behave like this. Behind `-whole`, answers
/// are not streamed by the provider.
async fn start(behaviour: &str) -> Gateway {
    let mut config = String::new();
    for format in FORMATS {
        for (suffix, mode) in [("", "stream"), ("-whole", "whole")] {
            write!(
                config,
                r#"
                [models."{format}/{format}{suffix}"]
                max_output_tokens = 1000
                upstream_mode = "{mode}"
                price = {{ input = 2.0, output = 10.0 }}
                [scenarios.{format}{suffix}]
                targets = ["{format}/{format}{suffix}"]
                "#
            )
            .unwrap();
        }
    }
    let gateway = Gateway::start(&config).await;
    let behaviour: Behaviour = behaviour.parse().unwrap();
    for format in FORMATS {
        gateway.simulator.set(format, behaviour.clone());
        let whole = format!("{format}-whole");
        gateway.simulator.set(&whole, behaviour.clone());
    }
    gateway
}

/// The body of the last request that the format's provider received.
fn received(gateway: &Gateway, format: &str) -> Value {
    gateway
        .simulator
        .requests_for(format)
        .last()
        .unwrap()
        .json()
}

/// Each row: a format, a place in the body it received, and what must stand there.
fn assert_received(gateway: &Gateway, rows: &[(&str, &str, Value)]) {
    for (format, place, expected) in rows {
        let body = received(gateway, format);
        assert_eq!(body.pointer(place), Some(expected), "{place} of {body:#}");
    }
}

#[tokio::test]
async fn a_text_is_answered_unary_and_streamed_and_read_whole() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        for (suffix, method) in [
            ("", Method::Generate),
            ("", Method::StreamGenerate),
            ("-whole", Method::Generate),
        ] {
            let scenario = format!("{format}{suffix}");

            let response = gateway.call(method, ask(&scenario, "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(24), "{scenario} {method:?}");
            let expected = [format!("1 PRIMARY {format}/{scenario} SUCCEEDED")];
            assert_eq!(lines(&response.attempts), expected);
            assert_eq!(response.scenario, scenario);
            assert_eq!(response.provider, format);
            assert_eq!(response.model, scenario);
            assert_eq!(response.response_model, scenario);
            assert_eq!(response.finish_reason(), FinishReason::Stop);
            assert_eq!(response.warnings, []);
        }
    }
}

#[tokio::test]
async fn an_unary_call_reads_a_stream_unless_the_target_is_to_be_read_whole() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        for suffix in ["", "-whole"] {
            for method in METHODS {
                let scenario = format!("{format}{suffix}");
                gateway.call(method, ask(&scenario, "Hello")).await.unwrap();

                let requests = gateway.simulator.requests_for(&scenario);

                let whole = suffix == "-whole" && method == Method::Generate;
                assert_eq!(requests.last().unwrap().stream, !whole, "{scenario}");
            }
        }
    }
}

#[tokio::test]
async fn instructions_and_earlier_turns_reach_the_provider_in_its_own_spelling() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        let mut request = ask(format, "");
        request.messages = vec![
            message(Role::System, "Be brief."),
            message(Role::User, "One?"),
            message(Role::Assistant, "Two."),
            message(Role::User, "Three?"),
        ];
        gateway.generate(request).await.unwrap();
    }

    let text = |text| json!([{"type": "text", "text": text}]);
    let turn = |role, text| json!({"role": role, "parts": [{"text": text}]});
    assert_received(
        &gateway,
        &[
            (
                "openai",
                "/messages",
                json!([
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "One?"},
                    {"role": "assistant", "content": "Two."},
                    {"role": "user", "content": "Three?"},
                ]),
            ),
            ("anthropic", "/system", text("Be brief.")),
            (
                "anthropic",
                "/messages",
                json!([
                    {"role": "user", "content": text("One?")},
                    {"role": "assistant", "content": text("Two.")},
                    {"role": "user", "content": text("Three?")},
                ]),
            ),
            (
                "gemini",
                "/systemInstruction/parts",
                json!([{"text": "Be brief."}]),
            ),
            (
                "gemini",
                "/contents",
                json!([
                    turn("user", "One?"),
                    turn("model", "Two."),
                    turn("user", "Three?")
                ]),
            ),
        ],
    );
}

fn media(source: media::Source, media_type: &str, filename: &str) -> Media {
    Media {
        source: Some(source),
        media_type: media_type.to_owned(),
        filename: filename.to_owned(),
        ..Media::default()
    }
}

#[tokio::test]
async fn images_and_documents_reach_the_provider() {
    let gateway = start("tokens=24").await;
    let image = media::Source::Data(b"PNG".as_slice().into());
    let linked = media::Source::Uri("https://example.com/a.png".to_owned());
    let document = media::Source::Data(b"%PDF".as_slice().into());
    for format in FORMATS {
        let shown = [
            Part::Image(media(image.clone(), "image/png", "")),
            Part::Image(media(linked.clone(), "image/png", "")),
            Part::Document(media(document.clone(), "application/pdf", "a.pdf")),
        ];
        let request = GenerateRequest {
            messages: vec![parts(Role::User, shown)],
            ..ask(format, "")
        };
        let response = gateway.generate(request).await.unwrap();

        // Gemini has no place for a file's name, and the caller is told.
        let adapted = response
            .warnings
            .iter()
            .map(|warning| warning.field.as_str());
        let expected = (format == "gemini").then_some("messages.parts.filename");
        assert!(adapted.eq(expected), "{format}: {:?}", response.warnings);
    }

    assert_received(
        &gateway,
        &[
            (
                "openai",
                "/messages/0/content",
                json!([
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,UE5H"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "file", "file": {
                        "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg==",
                    }},
                ]),
            ),
            (
                "anthropic",
                "/messages/0/content",
                json!([
                    {"type": "image", "source": {
                        "type": "base64", "media_type": "image/png", "data": "UE5H",
                    }},
                    {"type": "image", "source": {
                        "type": "url", "url": "https://example.com/a.png",
                    }},
                    {"type": "document", "source": {
                        "type": "base64", "media_type": "application/pdf", "data": "JVBERg==",
                    }, "title": "a.pdf"},
                ]),
            ),
            (
                "gemini",
                "/contents/0/parts",
                json!([
                    {"inlineData": {"mimeType": "image/png", "data": "UE5H"}},
                    {"fileData": {
                        "mimeType": "image/png", "fileUri": "https://example.com/a.png",
                    }},
                    {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
                ]),
            ),
        ],
    );
}

#[tokio::test]
async fn sampling_reaches_the_provider_and_the_token_limit_cuts_the_answer() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        let request = GenerateRequest {
            sampling: Some(SamplingParams {
                max_output_tokens: Some(5),
                temperature: Some(0.5),
                stop_sequences: vec!["END".to_owned()],
                ..SamplingParams::default()
            }),
            ..ask(format, "Hello")
        };

        let response = gateway.generate(request).await.unwrap();

        assert_eq!(text_of(&response).trim_end(), text(5), "{format}");
        assert_eq!(
            response.finish_reason(),
            FinishReason::MaxTokens,
            "{format}"
        );
    }
    assert_received(
        &gateway,
        &[
            ("openai", "/max_completion_tokens", json!(5)),
            ("openai", "/temperature", json!(0.5)),
            ("openai", "/stop", json!(["END"])),
            ("anthropic", "/max_tokens", json!(5)),
            ("anthropic", "/temperature", json!(0.5)),
            ("anthropic", "/stop_sequences", json!(["END"])),
            ("gemini", "/generationConfig/maxOutputTokens", json!(5)),
            ("gemini", "/generationConfig/temperature", json!(0.5)),
            ("gemini", "/generationConfig/stopSequences", json!(["END"])),
        ],
    );
}

#[tokio::test]
async fn a_model_can_be_named_in_place_of_a_scenario_where_that_is_allowed() {
    let allowed = Gateway::start(
        r#"
        catalog.allow_model = true
        models."openai/gpt" = {}
        scenarios.s.targets = ["openai/gpt"]
        "#,
    );
    let request = GenerateRequest {
        model: "openai/gpt".to_owned(),
        ..ask("", "Hello")
    };
    let allowed = allowed.await;

    for method in METHODS {
        let response = allowed.call(method, request.clone()).await.unwrap();

        assert_eq!(text_of(&response), text(24));
        assert_eq!(response.scenario, "");
    }
}
