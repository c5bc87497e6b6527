//! What requests look like on the wire, and which are refused.

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::chat::{
    ImageDetail, Media, MediaSource, Reasoning, ReasoningEffort, ReasoningOptions, ResponseFormat,
    Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::WireRequest;
use crate::wire::anthropic::opaque::Opaque;

type Change = fn(&mut ChatRequest);

fn written(format: Anthropic, request: &ChatRequest) -> WireRequest {
    format
        .encode(request, &TO)
        .expect("the request is supported")
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("the body is JSON")
}

/// The fields of the body that `expected` names must be as it says.
fn assert_fields(format: Anthropic, request: &ChatRequest, expected: &str) {
    let body = json(&written(format, request).body);
    for (name, value) in json(expected.as_bytes()).as_object().expect("an object") {
        assert_eq!(&body[name], value, "`{name}` of {body}");
    }
}

fn assert_refused(format: Anthropic, request: &ChatRequest, expected_field: &str) {
    match format.encode(request, &TO) {
        Err(Unsupported::Value { field, .. }) => assert_eq!(field, expected_field),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("`{expected_field}` should be refused"),
    }
}

fn adapted_fields(format: Anthropic, request: &ChatRequest) -> Vec<&'static str> {
    let adaptations = written(format, request).adaptations;
    adaptations
        .iter()
        .map(|adaptation| adaptation.field)
        .collect()
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: "weather".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    })
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.into(),
        tool_name: "weather".into(),
        content,
        is_error: false,
    })
}

fn reasoning(provider: &str, text: &str, signature: Bytes) -> Part {
    Part::Reasoning(Reasoning {
        text: text.into(),
        signature,
        provider: provider.into(),
    })
}

fn media(source: MediaSource, media_type: &str) -> Media {
    Media {
        source,
        media_type: media_type.into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

fn data(bytes: &'static [u8]) -> MediaSource {
    MediaSource::Data(Bytes::from_static(bytes))
}

fn uri(uri: &str) -> MediaSource {
    MediaSource::Uri(uri.into())
}

fn tool(parameters: Option<&str>, strict: bool) -> Tool {
    Tool {
        name: "weather".into(),
        description: String::new(),
        parameters: parameters.map(str::to_owned),
        strict,
    }
}

fn thinking(
    effort: Option<ReasoningEffort>,
    max_tokens: Option<u32>,
    max_output_tokens: u32,
) -> ChatRequest {
    let mut request = hello();
    request.reasoning = ReasoningOptions {
        effort,
        max_tokens,
        include: true,
    };
    request.sampling.max_output_tokens = Some(max_output_tokens);
    request
}

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
fn system_messages_stand_apart_and_turns_alternate() {
    let request = request(vec![
        message(Role::System, vec![text("be brief"), text("be kind")]),
        message(Role::System, vec![text("be right")]),
        message(Role::User, vec![text("a")]),
        message(Role::User, vec![text(""), text("b")]),
        message(Role::Assistant, vec![text("c")]),
        message(Role::Assistant, vec![Part::Refusal("d".into())]),
        message(Role::User, vec![text("e")]),
    ]);

    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"system":[{"type":"text","text":"be brief"},{"type":"text","text":"be kind"},{"type":"text","text":"be right"}],
        "messages":[
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},
            {"role":"user","content":[{"type":"text","text":"e"}]}]}"#,
    );
}

#[test]
fn tool_results_of_a_turn_stand_together_and_first() {
    let request = request(vec![
        message(Role::User, vec![text("weather?")]),
        message(
            Role::Assistant,
            vec![call("toolu_1", r#"{"city": "Bonn"}"#), call("toolu_2", " ")],
        ),
        message(Role::Tool, vec![result("toolu_1", vec![text("rain")])]),
        message(Role::User, vec![text("go on")]),
        message(
            Role::Tool,
            vec![Part::ToolResult(ToolResult {
                tool_call_id: "toolu_2".into(),
                tool_name: "weather".into(),
                content: vec![],
                is_error: true,
            })],
        ),
    ]);

    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"messages":[
            {"role":"user","content":[{"type":"text","text":"weather?"}]},
            {"role":"assistant","content":[
                {"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Bonn"}},
                {"type":"tool_use","id":"toolu_2","name":"weather","input":{}}]},
            {"role":"user","content":[
                {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"rain"}]},
                {"type":"tool_result","tool_use_id":"toolu_2","content":[
                    {"type":"text","text":"The tool failed and did not say why."}],"is_error":true},
                {"type":"text","text":"go on"}]}]}"#,
    );
}

#[test]
fn ids_that_the_api_refuses_are_rewritten_alike_in_call_and_result() {
    let request = request(vec![
        message(Role::User, vec![text("weather?")]),
        message(Role::Assistant, vec![call("f.w:0", ""), call("f.w:1", "")]),
        message(
            Role::Tool,
            vec![result("f.w:0", vec![]), result("f.w:1", vec![])],
        ),
    ]);

    let body = json(&written(ADAPTIVE, &request).body);
    let [called, answered] = [1, 2].map(|turn| &body["messages"][turn]["content"]);

    assert_eq!(called[0]["id"], "toolu_662e773a30");
    assert_eq!(called[0]["id"], answered[0]["tool_use_id"]);
    assert_eq!(called[1]["id"], answered[1]["tool_use_id"]);
    assert_ne!(called[0]["id"], called[1]["id"]);
    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages.parts.tool_call.id"]
    );
}

#[test]
fn images_and_documents_are_carried_or_named() {
    let mut titled = media(data(b"%PDF"), "application/pdf");
    titled.filename = "a.pdf".into();
    let table = [
        (
            Part::Image(media(data(b"\x89PNG"), "image/png")),
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw=="}}"#,
        ),
        (
            Part::Image(media(uri("https://x/a.png"), "")),
            r#"{"type":"image","source":{"type":"url","url":"https://x/a.png"}}"#,
        ),
        (
            Part::Document(titled),
            r#"{"type":"document","title":"a.pdf","source":{"type":"base64","media_type":"application/pdf","data":"JVBERg=="}}"#,
        ),
        (
            Part::Document(media(data(b"plain"), "text/plain; charset=utf-8")),
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"}}"#,
        ),
        (
            Part::Document(media(uri("http://x/a.pdf"), "application/pdf")),
            r#"{"type":"document","source":{"type":"url","url":"http://x/a.pdf"}}"#,
        ),
    ];
    for (part, expected) in table {
        let direct = request(vec![message(Role::User, vec![part.clone()])]);
        let in_result = request(vec![
            message(Role::User, vec![text("look")]),
            message(Role::Assistant, vec![call("toolu_1", "")]),
            message(Role::Tool, vec![result("toolu_1", vec![part])]),
        ]);

        let direct = json(&written(ADAPTIVE, &direct).body);
        let in_result = json(&written(ADAPTIVE, &in_result).body);

        let expected = json(expected.as_bytes());
        assert_eq!(direct["messages"][0]["content"][0], expected);
        assert_eq!(
            in_result["messages"][2]["content"][0]["content"][0],
            expected
        );
    }
}

#[test]
fn the_detail_of_an_image_is_left_out_and_told() {
    let mut image = media(uri("https://x/a.png"), "");
    image.detail = ImageDetail::High;
    let request = request(vec![message(
        Role::User,
        vec![Part::Image(image.clone()), Part::Image(image)],
    )]);

    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages.parts.image.detail"]
    );
}

#[test]
fn content_without_a_spelling_is_refused() {
    let user = |part| request(vec![message(Role::User, vec![part])]);
    let after_hello = |role, part| {
        request(vec![
            message(Role::User, vec![text("hello")]),
            message(role, vec![part]),
        ])
    };
    let table = [
        (request(vec![]), "messages"),
        (
            request(vec![message(Role::System, vec![text("be brief")])]),
            "messages",
        ),
        (
            request(vec![message(Role::Assistant, vec![text("hi")])]),
            "messages",
        ),
        (
            after_hello(Role::System, Part::Image(media(uri("https://x"), ""))),
            "messages.parts",
        ),
        (
            after_hello(Role::Assistant, Part::Image(media(uri("https://x"), ""))),
            "messages.parts",
        ),
        (
            user(Part::Image(media(data(b"x"), "image/tiff"))),
            "messages.parts.image.media_type",
        ),
        (
            user(Part::Image(media(uri("gs://x/a.png"), ""))),
            "messages.parts.image.uri",
        ),
        (
            user(Part::Document(media(data(b"x"), "application/zip"))),
            "messages.parts.document.media_type",
        ),
        (
            user(Part::Document(media(data(b"\xff"), "text/plain"))),
            "messages.parts.document.data",
        ),
        (
            user(Part::Document(media(uri("https://x"), "text/plain"))),
            "messages.parts.document.media_type",
        ),
        (
            user(Part::Document(media(uri("file:///x"), ""))),
            "messages.parts.document.uri",
        ),
        (
            after_hello(
                Role::Tool,
                result("toolu_1", vec![Part::Refusal("no".into())]),
            ),
            "messages.parts.tool_result.content",
        ),
    ];
    for (request, field) in table {
        assert_refused(ADAPTIVE, &request, field);
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
fn tools_and_schemas_keep_their_text() {
    let mut request = hello();
    request.tools = vec![
        tool(None, false),
        tool(
            Some(r#"{ "type":"object","properties":{"z":{},"a":{}},"additionalProperties":false}"#),
            true,
        ),
    ];
    request.tools[1].description = "tells the weather".into();
    request.response_format = ResponseFormat::JsonSchema {
        name: "answer".into(),
        schema: r#"{ "type":"object","z":1.0,"a":2,"additionalProperties":false}"#.into(),
        strict: true,
    };

    let body = written(ADAPTIVE, &request).body;
    let body = std::str::from_utf8(&body).unwrap();

    let tools = concat!(
        r#""tools":[{"name":"weather","input_schema":{"type":"object"}},"#,
        r#"{"name":"weather","description":"tells the weather","#,
        r#""input_schema":{ "type":"object","properties":{"z":{},"a":{}},"additionalProperties":false},"#,
        r#""strict":true}]"#
    );
    let format = concat!(
        r#""output_config":{"format":{"type":"json_schema","#,
        r#""schema":{ "type":"object","z":1.0,"a":2,"additionalProperties":false}}}"#
    );
    assert!(body.contains(tools), "{body}");
    assert!(body.contains(format), "{body}");

    request.tools[0].parameters = Some("{".into());
    assert_refused(ADAPTIVE, &request, "tools.parameters");
}

#[test]
fn every_tool_choice_has_its_spelling() {
    let function = || ToolChoice::Function("weather".into());
    let table = [
        (ToolChoice::Auto, None, "null"),
        (
            ToolChoice::Auto,
            Some(false),
            r#"{"type":"auto","disable_parallel_tool_use":true}"#,
        ),
        (
            ToolChoice::Auto,
            Some(true),
            r#"{"type":"auto","disable_parallel_tool_use":false}"#,
        ),
        (ToolChoice::None, Some(false), r#"{"type":"none"}"#),
        (ToolChoice::Required, None, r#"{"type":"any"}"#),
        (
            ToolChoice::Required,
            Some(false),
            r#"{"type":"any","disable_parallel_tool_use":true}"#,
        ),
        (function(), None, r#"{"type":"tool","name":"weather"}"#),
        (
            function(),
            Some(false),
            r#"{"type":"tool","name":"weather","disable_parallel_tool_use":true}"#,
        ),
    ];
    for (tool_choice, parallel_tool_calls, expected) in table {
        let mut request = hello();
        request.tools = vec![tool(None, false)];
        request.tool_choice = tool_choice;
        request.parallel_tool_calls = parallel_tool_calls;

        assert_fields(
            ADAPTIVE,
            &request,
            &format!(r#"{{"tool_choice":{expected}}}"#),
        );
    }
}

#[test]
fn without_tools_no_tool_choice_is_made() {
    for tool_choice in [ToolChoice::Auto, ToolChoice::None] {
        let mut request = hello();
        request.tool_choice = tool_choice;
        request.parallel_tool_calls = Some(false);

        assert_fields(ADAPTIVE, &request, r#"{"tool_choice":null}"#);
    }
}

#[test]
fn an_effort_is_a_name_or_a_share_of_the_output_limit() {
    use ReasoningEffort::{High, Low, Max, Medium, Minimal, None as Off};
    for (effort, name, budget) in [
        (Minimal, "low", 1024),
        (Low, "low", 2000),
        (Medium, "medium", 5000),
        (High, "high", 8000),
        (Max, "max", 9500),
    ] {
        let request = thinking(Some(effort), None, 10_000);
        assert_fields(
            ADAPTIVE,
            &request,
            &format!(
                r#"{{"thinking":{{"type":"adaptive","display":"summarized"}},"output_config":{{"effort":"{name}"}}}}"#
            ),
        );
        assert_fields(
            BUDGET,
            &request,
            &format!(
                r#"{{"thinking":{{"type":"enabled","budget_tokens":{budget},"display":"summarized"}},"output_config":null}}"#
            ),
        );
    }
    for format in [ADAPTIVE, BUDGET] {
        assert_fields(
            format.clone(),
            &thinking(Some(Off), None, 10_000),
            r#"{"thinking":{"type":"disabled"},"output_config":null}"#,
        );
        assert_fields(format, &hello(), r#"{"thinking":null}"#);
    }
}

#[test]
fn a_thinking_budget_stays_within_its_limits() {
    use ReasoningEffort::{High, Max};
    let budget = |request: &ChatRequest| {
        json(&written(BUDGET, request).body)["thinking"]["budget_tokens"].clone()
    };

    assert_eq!(budget(&thinking(None, Some(3000), 10_000)), 3000);
    assert_eq!(budget(&thinking(Some(High), Some(3000), 10_000)), 3000);
    assert_eq!(budget(&thinking(Some(High), Some(9000), 10_000)), 8000);
    assert_eq!(budget(&thinking(Some(Max), None, 1025)), 1024);

    let too_small = thinking(None, Some(1023), 10_000);
    assert_refused(BUDGET, &too_small, "reasoning.max_reasoning_tokens");
    for (effort, limit) in [(None, Some(10_000)), (Some(High), None)] {
        let limited = thinking(effort, limit, if effort.is_some() { 1024 } else { 10_000 });
        assert_refused(BUDGET, &limited, "sampling.max_output_tokens");
    }
}

#[test]
fn what_the_api_refuses_beside_thinking_is_refused_before() {
    let changes: [(&str, Change); 3] = [
        ("sampling.temperature", |request| {
            request.sampling.temperature = Some(0.7);
        }),
        ("sampling.top_k", |request| request.sampling.top_k = Some(5)),
        ("sampling.top_p", |request| {
            request.sampling.top_p = Some(0.5);
        }),
    ];
    for (field, change) in changes {
        let mut on = thinking(Some(ReasoningEffort::High), None, 8192);
        change(&mut on);
        let mut off = thinking(Some(ReasoningEffort::None), None, 8192);
        change(&mut off);

        for format in [ADAPTIVE, BUDGET] {
            assert!(format.encode(&off, &TO).is_ok());
            assert_refused(format, &on, field);
        }
    }
}

#[test]
fn reasoning_goes_back_only_to_the_provider_that_signed_it() {
    let signed = Opaque::Signature("EqQB").to_bytes();
    let redacted = Opaque::Redacted("EmwK").to_bytes();
    let foreign = Bytes::from_static(b"EqQB");
    let request = request(vec![
        message(Role::User, vec![text("why?")]),
        message(
            Role::Assistant,
            vec![
                reasoning("anthropic", "because", signed.clone()),
                reasoning("anthropic", "", redacted),
                reasoning("other", "x", signed),
                reasoning("anthropic", "x", foreign),
                reasoning("anthropic", "x", Bytes::new()),
                text("so"),
            ],
        ),
        message(Role::User, vec![text("really?")]),
    ]);

    let body = json(&written(ADAPTIVE, &request).body);
    let adaptations = written(ADAPTIVE, &request).adaptations;

    assert_eq!(
        body["messages"][1]["content"],
        json(
            br#"[{"type":"thinking","thinking":"because","signature":"EqQB"},
            {"type":"redacted_thinking","data":"EmwK"},{"type":"text","text":"so"}]"#
        )
    );
    assert_eq!(adaptations.len(), 2);
}

#[test]
fn a_turn_of_nothing_but_foreign_reasoning_vanishes() {
    let request = request(vec![
        message(Role::User, vec![text("a")]),
        message(
            Role::Assistant,
            vec![reasoning("other", "x", Bytes::from_static(b"y"))],
        ),
        message(Role::User, vec![text("b")]),
    ]);

    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
    );
}

#[test]
fn a_budget_is_refused_for_a_turn_that_began_without_thinking() {
    let mut request = thinking(Some(ReasoningEffort::High), None, 8192);
    request.messages.extend([
        message(Role::Assistant, vec![call("toolu_1", "")]),
        message(Role::Tool, vec![result("toolu_1", vec![text("rain")])]),
    ]);

    assert_refused(BUDGET, &request, "reasoning");
    assert!(ADAPTIVE.encode(&request, &TO).is_ok());

    let signed = reasoning("anthropic", "hm", Opaque::Signature("EqQB").to_bytes());
    request.messages[1].parts.insert(0, signed);
    assert!(BUDGET.encode(&request, &TO).is_ok());
}

#[test]
fn a_token_of_another_provider_at_a_tool_call_is_left_out_and_told() {
    let request = request(vec![
        message(Role::User, vec![text("weather?")]),
        message(
            Role::Assistant,
            vec![Part::ToolCall(ToolCall {
                id: "toolu_1".into(),
                name: "weather".into(),
                arguments: "{}".into(),
                signature: Bytes::from_static(b"thought"),
                provider: "gemini".into(),
            })],
        ),
        message(Role::Tool, vec![result("toolu_1", vec![])]),
    ]);

    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages.parts.tool_call.signature"]
    );
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
fn ids_that_come_again_differ_on_the_wire_and_results_follow_their_calls() {
    let turn = |answer: &str| {
        [
            message(
                Role::Assistant,
                vec![call("f:0", "[1]"), call("f:0", r#"{"cut"#)],
            ),
            message(Role::Tool, vec![result("f:0", vec![text(answer)])]),
            message(Role::Tool, vec![result("f:0", vec![text("second")])]),
        ]
    };
    let mut request = hello();
    request
        .messages
        .extend(["a", "b"].into_iter().flat_map(turn));

    let body = json(&written(Anthropic::default(), &request).body);

    let blocks = |turn: usize| {
        body["messages"][turn]["content"]
            .as_array()
            .expect("a list")
    };
    let mut ids = std::collections::HashSet::new();
    for turn in [1, 3] {
        for (made, result) in blocks(turn).iter().zip(blocks(turn + 1)) {
            assert!(ids.insert(made["id"].to_string()), "{body:#}");
            assert_eq!(made["id"], result["tool_use_id"], "{body:#}");
        }
        assert_eq!(blocks(turn)[0]["input"], json(br#"{"arguments":[1]}"#));
        assert_eq!(blocks(turn)[1]["input"], json(br#"{"arguments":"{\"cut"}"#));
    }
    assert_eq!(ids.len(), 4);
    assert_eq!(
        adapted_fields(Anthropic::default(), &request),
        [
            "messages.parts.tool_call.id",
            "messages.parts.tool_call.arguments_json"
        ]
    );
}

#[test]
fn an_image_by_another_name_of_its_type_is_the_same_image() {
    for written in ["image/jpg", "IMAGE/JPEG", "image/pjpeg; charset=binary"] {
        let mut request = hello();
        request.messages[0]
            .parts
            .push(Part::Image(media(data(b"jpeg"), written)));

        let body = json(&self::written(Anthropic::default(), &request).body);

        let source = &body["messages"][0]["content"][1]["source"];
        assert_eq!(source["media_type"], "image/jpeg", "{written}");
    }
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
fn texts_of_white_space_are_left_out_and_what_stands_beside_them_stays() {
    let mut request = hello();
    request.messages.extend([
        message(Role::Assistant, vec![text("\n\n")]),
        message(Role::User, vec![text(" "), text("and now?")]),
        message(
            Role::Assistant,
            vec![text("\u{3000}\n"), call("toolu_1", "{}")],
        ),
        message(Role::Tool, vec![result("toolu_1", vec![text("\t")])]),
    ]);

    assert_fields(
        Anthropic::default(),
        &request,
        r#"{"messages":[
            {"role":"user","content":[{"type":"text","text":"hello"},{"type":"text","text":"and now?"}]},
            {"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"}]}]}"#,
    );
    assert_eq!(
        adapted_fields(Anthropic::default(), &request),
        ["messages.parts.text"]
    );
}

#[test]
fn a_last_message_that_says_nothing_is_refused_since_the_answer_would_be_continued() {
    let mut request = hello();
    request.messages.extend([
        message(Role::Assistant, vec![text("Hi")]),
        message(Role::User, vec![text(" \n")]),
    ]);

    assert_refused(Anthropic::default(), &request, "messages");
}

#[test]
fn a_failed_tool_has_words_and_its_images_stand_beside_its_result() {
    let failed = |content| {
        Part::ToolResult(ToolResult {
            tool_call_id: "toolu_1".into(),
            tool_name: "weather".into(),
            content,
            is_error: true,
        })
    };
    let image = || Part::Image(media(data(b"png"), "image/png"));
    for (content, said) in [
        (vec![], "The tool failed and did not say why."),
        (vec![text(" ")], "The tool failed and did not say why."),
        (vec![text("timeout"), image()], "timeout"),
        (vec![image()], "The tool failed and did not say why."),
    ] {
        let is_shown = content.iter().any(|part| matches!(part, Part::Image(_)));
        let mut request = hello();
        request.messages.extend([
            message(Role::Assistant, vec![call("toolu_1", "{}")]),
            message(Role::Tool, vec![failed(content)]),
        ]);

        let body = json(&written(Anthropic::default(), &request).body);

        let blocks = body["messages"][2]["content"].as_array().expect("blocks");
        assert_eq!(
            blocks[0]["content"],
            serde_json::json!([{"type": "text", "text": said}])
        );
        assert_eq!(blocks.len(), 1 + usize::from(is_shown), "{body:#}");
    }
}

#[test]
fn a_schema_is_narrowed_with_a_warning_and_refused_where_that_would_change_it() {
    let asking = |schema: &str, tool: &str| {
        let mut request = hello();
        request.response_format = ResponseFormat::JsonSchema {
            name: "answer".into(),
            schema: schema.into(),
            strict: false,
        };
        request.tools = vec![self::tool(Some(tool), true)];
        request
    };
    let open = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let closed = r#"{"type":"object","additionalProperties":false}"#;
    let wanting_more = r#"{"type":"object","additionalProperties":true}"#;

    let body = json(&written(ADAPTIVE, &asking(open, open)).body);
    let schema = &body["output_config"]["format"]["schema"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(&body["tools"][0]["input_schema"], schema);
    assert_eq!(
        adapted_fields(ADAPTIVE, &asking(open, open)),
        ["tools.parameters", "response_format.json_schema.schema"]
    );
    assert_eq!(adapted_fields(ADAPTIVE, &asking(closed, closed)), [""; 0]);
    assert_refused(
        ADAPTIVE,
        &asking(wanting_more, closed),
        "response_format.json_schema.schema",
    );
    assert_refused(ADAPTIVE, &asking(closed, wanting_more), "tools.parameters");
}
