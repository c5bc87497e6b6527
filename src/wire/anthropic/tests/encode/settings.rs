//! How are the limits and the sampling settings of a request written?

use super::*;

#[test]
fn a_plain_request_is_as_small_as_can_be() {
    let WireRequest {
        path,
        headers,
        body,
        adaptations,
    } = written(ADAPTIVE, &hello());

    assert_eq!(path, "/messages");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert_eq!(
        std::str::from_utf8(&body).unwrap(),
        r#"{"model":"claude","max_tokens":8192,"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}"#
    );
    assert_eq!(adaptations, []);
}

#[test]
fn settings_stand_where_the_api_wants_them() {
    let mut request = hello();
    request.sampling.max_output_tokens = Some(100);
    request.sampling.temperature = Some(0.5);
    request.sampling.top_p = Some(0.9);
    request.sampling.top_k = Some(40);
    request.sampling.stop_sequences = vec!["END".into()];
    let to = Recipient { stream: true, ..TO };

    let body = ADAPTIVE.encode(&request, &to).unwrap().body;

    assert_eq!(
        json(&body),
        json(
            br#"{"model":"claude","max_tokens":100,"temperature":0.5,"top_p":0.9,"top_k":40,
            "stop_sequences":["END"],"stream":true,
            "messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}"#
        )
    );
}

#[test]
fn the_output_limit_is_the_requests_then_the_models_then_ours() {
    let mut limited = hello();
    limited.sampling.max_output_tokens = Some(5);
    let unknown = Recipient {
        max_output_tokens: None,
        ..TO
    };

    for (request, to, expected, adapted) in [
        (&limited, &TO, 5, 0),
        (&hello(), &TO, 8192, 0),
        (&hello(), &unknown, 4096, 1),
    ] {
        let WireRequest {
            body, adaptations, ..
        } = ADAPTIVE.encode(request, to).unwrap();
        assert_eq!(json(&body)["max_tokens"], expected);
        assert_eq!(adaptations.len(), adapted);
    }
}

#[test]
fn settings_without_a_spelling_are_refused() {
    let with = |change: Change| {
        let mut request = hello();
        change(&mut request);
        request
    };
    assert_refused(
        ADAPTIVE,
        &with(|request| request.sampling.temperature = Some(1.5)),
        "sampling.temperature",
    );
    assert_refused(
        ADAPTIVE,
        &with(|request| request.sampling.stop_sequences = vec![" \n".into()]),
        "sampling.stop_sequences",
    );

    let features: [(Feature, Change); 5] = [
        (Feature::Seed, |request| request.sampling.seed = Some(1)),
        (Feature::FrequencyPenalty, |request| {
            request.sampling.frequency_penalty = Some(1.0);
        }),
        (Feature::PresencePenalty, |request| {
            request.sampling.presence_penalty = Some(1.0);
        }),
        (Feature::JsonObject, |request| {
            request.response_format = ResponseFormat::JsonObject;
        }),
        (Feature::ReasoningBudget, |request| {
            request.reasoning.max_tokens = Some(2048);
        }),
    ];
    for (feature, change) in features {
        assert!(!ADAPTIVE.features().contains(feature));
        assert_eq!(
            ADAPTIVE.encode(&with(change), &TO).err(),
            Some(Unsupported::Feature(feature))
        );
    }
    assert!(BUDGET.features().contains(Feature::ReasoningBudget));
}

#[test]
fn a_dialect_is_read_from_configuration() {
    let read = |text| serde_json::from_str::<Dialect>(text);

    assert_eq!(read("{}").unwrap(), Dialect::default());
    assert_eq!(read(r#"{"thinking":"budget"}"#).unwrap(), BUDGET.dialect);
    assert!(read(r#"{"thinking":"often"}"#).is_err());
    assert!(read(r#"{"thinks":true}"#).is_err());
}

#[test]
fn features_that_claude_cannot_combine_are_told_as_data() {
    use crate::features::Exclusion;
    let older: Dialect = toml::from_str(
        r#"
        thinking = "budget"
        excludes = [["forced_tool_choice", "reasoning"]]
        "#,
    )
    .expect("a dialect");

    assert_eq!(
        Anthropic::default().exclusions(),
        [
            Exclusion::TEMPERATURE_AND_TOP_P,
            Exclusion::FORCED_TOOL_AND_REASONING
        ]
    );
    assert_eq!(
        Anthropic { dialect: older }.exclusions(),
        [Exclusion::FORCED_TOOL_AND_REASONING]
    );
    for wrong in [
        r#"excludes = [["temperature", "topp"]]"#,
        r#"excludes = [["top_p", "top_p"]]"#,
        r#"excludes = [["top_p"]]"#,
    ] {
        assert!(toml::from_str::<Dialect>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn on_vertex_the_path_names_the_model_and_the_body_the_version() {
    let mut vertex = ADAPTIVE;
    vertex.dialect.host = Host::Vertex;
    for (stream, path) in [
        (false, "/models/claude-opus-5@20260101:rawPredict"),
        (true, "/models/claude-opus-5@20260101:streamRawPredict"),
    ] {
        let to = Recipient {
            model: "claude-opus-5@20260101",
            stream,
            ..TO
        };
        let request = vertex.encode(&hello(), &to).expect("supported");

        let body = json(&request.body);
        assert_eq!(request.path, path);
        assert!(!request.headers.contains_key("anthropic-version"));
        assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
        assert_eq!(body.get("model"), None);
        assert_eq!(body.get("stream").is_some(), stream);
    }
}

#[test]
fn vertex_has_neither_stored_files_nor_runs_of_code() {
    let mut vertex = ADAPTIVE;
    vertex.dialect.host = Host::Vertex;
    for feature in [Feature::StoredFile, Feature::CodeExecution] {
        assert!(ADAPTIVE.features().contains(feature));
        assert!(!vertex.features().contains(feature));
    }
    assert!(vertex.features().contains(Feature::WebSearch));
}
