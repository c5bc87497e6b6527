//! How are the path, the sampling settings and the format of the answer written, and which of them are refused?

use super::*;

#[test]
fn the_path_names_the_model_and_the_method() {
    for (model, stream, expected) in [
        (
            "gemini-2.5-flash",
            false,
            "/models/gemini-2.5-flash:generateContent",
        ),
        (
            "gemini-1.5-pro@001",
            true,
            "/models/gemini-1.5-pro@001:streamGenerateContent?alt=sse",
        ),
        (
            "a/b:c?d é",
            false,
            "/models/a%2Fb%3Ac%3Fd%20%C3%A9:generateContent",
        ),
    ] {
        assert_eq!(path(model, stream), expected);
    }
}

#[test]
fn sampling_and_response_format_are_written() {
    let sampling = Sampling {
        max_output_tokens: Some(50),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(u32::MAX),
        frequency_penalty: Some(-2.0),
        presence_penalty: Some(1.5),
        seed: Some(-7),
        stop_sequences: vec!["END".into()],
        top_logprobs: None,
    };
    let schema = ResponseFormat::JsonSchema {
        description: String::new(),
        name: "answer".into(),
        schema: r#"{"type":"object"}"#.into(),
        strict: true,
    };
    for (request, config) in [
        (ChatRequest::default(), ""),
        (
            ChatRequest {
                sampling,
                ..ChatRequest::default()
            },
            concat!(
                r#"{"maxOutputTokens":50,"temperature":0.5,"topP":0.9,"topK":2147483647,"#,
                r#""frequencyPenalty":-2.0,"presencePenalty":1.5,"seed":-7,"stopSequences":["END"]}"#
            ),
        ),
        (
            ChatRequest {
                response_format: ResponseFormat::JsonObject,
                ..ChatRequest::default()
            },
            r#"{"responseMimeType":"application/json"}"#,
        ),
        (
            ChatRequest {
                response_format: schema,
                ..ChatRequest::default()
            },
            r#"{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}"#,
        ),
    ] {
        let expected = match config {
            "" => "{}".to_owned(),
            config => format!(r#"{{,"generationConfig":{config}}}"#),
        };
        assert_eq!(options(request, Generation::Third), expected);
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let sampled = |sampling| ChatRequest {
        messages: vec![text(Role::User, "hi")],
        sampling,
        ..ChatRequest::default()
    };
    let reasoned = |effort, max_tokens| ChatRequest {
        reasoning: ReasoningOptions {
            effort: Some(effort),
            max_tokens,
            include: false,
        },
        ..sampled(Sampling::default())
    };
    for (request, generation, field) in [
        (
            sampled(Sampling {
                stop_sequences: vec!["x".into(); 6],
                ..Sampling::default()
            }),
            Generation::Third,
            "sampling.stop_sequences",
        ),
        (
            sampled(Sampling {
                seed: Some(1 << 31),
                ..Sampling::default()
            }),
            Generation::Third,
            "sampling.seed",
        ),
        (
            sampled(Sampling {
                presence_penalty: Some(2.0),
                ..Sampling::default()
            }),
            Generation::Third,
            "sampling.presence_penalty",
        ),
        (
            reasoned(ReasoningEffort::None, None),
            Generation::Third,
            "reasoning.effort",
        ),
        (
            reasoned(ReasoningEffort::Low, Some(1)),
            Generation::Third,
            "reasoning",
        ),
        (
            ChatRequest {
                tools: vec![tool(false)],
                response_format: ResponseFormat::JsonObject,
                ..sampled(Sampling::default())
            },
            Generation::Second,
            "response_format",
        ),
        (
            chat(vec![text(Role::User, "")]),
            Generation::Third,
            "messages",
        ),
        (
            chat(vec![message(
                Role::Assistant,
                [Part::Reasoning(Reasoning {
                    signature: Bytes::from_static(&[0xFF]),
                    provider: "gemini".into(),
                    ..Reasoning::default()
                })],
            )]),
            Generation::Third,
            "messages.parts.signature",
        ),
    ] {
        let refused = match encoded(&request, generation) {
            Err(Unsupported::Value { field, .. }) => field,
            Err(Unsupported::Feature(feature)) => feature.name(),
            Err(Unsupported::Together(_)) => "together",
            Err(
                Unsupported::Configured { .. }
                | Unsupported::Options { .. }
                | Unsupported::Elsewhere { .. },
            ) => "others",
            Ok(_) => "",
        };
        assert_eq!(refused, field);
    }
    let serial = ChatRequest {
        parallel_tool_calls: Some(false),
        ..sampled(Sampling::default())
    };
    assert_eq!(
        encoded(&serial, Generation::Third).unwrap_err(),
        Unsupported::Feature(Feature::SerialToolCalls)
    );
}

#[test]
fn probabilities_of_tokens_are_asked_for() {
    for (top, config) in [
        (0, r#"{"responseLogprobs":true}"#),
        (5, r#"{"responseLogprobs":true,"logprobs":5}"#),
    ] {
        let request = ChatRequest {
            sampling: Sampling {
                top_logprobs: Some(top),
                ..Sampling::default()
            },
            ..ChatRequest::default()
        };

        let expected = format!(r#"{{,"generationConfig":{config}}}"#);
        assert_eq!(options(request, Generation::Third), expected);
    }
}

#[test]
fn the_description_of_an_answer_stands_in_its_schema() {
    let request = |schema: &str| ChatRequest {
        response_format: ResponseFormat::JsonSchema {
            description: "what \"it\" is".into(),
            name: "answer".into(),
            schema: schema.into(),
            strict: false,
        },
        ..chat(vec![text(Role::User, "hi")])
    };
    for (schema, expected, told) in [
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","description":"what \"it\" is"}"#,
            &[][..],
        ),
        (
            r#"{"type":"object","description":"its own"}"#,
            r#"{"type":"object","description":"its own"}"#,
            &["response_format.json_schema.description"],
        ),
    ] {
        let written = encoded(&request(schema), Generation::Third).unwrap();

        let body = String::from_utf8(written.body.to_vec()).unwrap();
        let expected = format!(r#""responseJsonSchema":{expected}"#);
        assert!(body.contains(&expected), "{body}");
        assert_eq!(fields(&written), told);
    }
}
