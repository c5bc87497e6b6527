//! What becomes of an answer that is complete and says nothing?

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{
    BillingClass, FinishReason, GenerateRequest, GenerateResponse, OnInterruption, Role,
    StreamOptions, ToolCall, ToolResult,
};
use modelway::simulator::{Behaviour, text};

use super::raw::{EVENTS, Host, JSON};
use crate::support::{Gateway, METHODS, Method, ask, details, lines, part, parts, text_of};

/// A completion of nothing, for which tokens are charged.
const NOTHING: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

/// Every way to say nothing: wire format, head and body.
#[rustfmt::skip] // a table is read by its columns
const EMPTY: [(&str, &str, &str); 7] = [
    ("openai_chat", EVENTS, NOTHING),
    ("openai_chat", JSON, r#"{"choices":[{"index":0,"message":{"content":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#),
    ("openai_chat", EVENTS, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"),
    ("anthropic", EVENTS, "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7}}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\ndata: {\"type\":\"message_stop\"}\n\n"),
    ("anthropic", JSON, r#"{"content":[],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":2}}"#),
    ("gemini", EVENTS, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":2}}\n\n"),
    ("gemini", EVENTS, "data: {\"candidates\":[{\"content\":{},\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":2}}\n\n"),
];

/// A service in front of the host. In `s` and `tolerant` there is a healthy backup, in `alone` none
/// that works.
async fn before(host: &Host, wire_format: &str) -> Gateway {
    let gateway = Gateway::start(&format!(
        r#"
        [providers.odd]
        wire_format = "{wire_format}"
        base_url = "http://{}/v1"
        auth = "none"
        [models."odd/m"]
        max_output_tokens = 1000
        [models."odd/whole"]
        max_output_tokens = 1000
        upstream_mode = "whole"
        [models."openai/backup"]
        [models."openai/down"]
        [scenarios.s]
        targets = ["odd/m", "openai/backup"]
        [scenarios.whole]
        targets = ["odd/whole", "openai/backup"]
        [scenarios.alone]
        targets = ["odd/m", "openai/down"]
        max_attempts = 2
        [scenarios.both]
        targets = ["odd/m", "odd/whole"]
        max_attempts = 2
        [models."openai/cut"]
        [scenarios.cut]
        targets = ["openai/cut", "odd/m"]
        max_attempts = 2
        [scenarios.tolerant]
        targets = ["odd/m", "openai/backup"]
        empty_answer_failover = false
        "#,
        host.address
    ))
    .await;
    gateway
        .simulator
        .set("down", "status=500".parse::<Behaviour>().unwrap());
    gateway
        .simulator
        .set("cut", "cut=5".parse::<Behaviour>().unwrap());
    gateway
}

/// A host that answers with this body.
async fn host(head: &str, body: &str) -> Host {
    Host::saying(&format!("{head}{body}")).await
}

fn warnings(response: &GenerateResponse) -> Vec<&str> {
    let codes = response.warnings.iter().map(|warning| &*warning.code);
    codes.collect()
}

#[tokio::test]
async fn another_target_is_asked_and_the_tokens_are_counted() {
    for (wire_format, head, body) in EMPTY {
        let host = host(head, body).await;
        let gateway = before(&host, wire_format).await;
        for (mode, scenario, method) in [
            ("m", "s", Method::Generate),
            ("m", "s", Method::StreamGenerate),
            ("whole", "whole", Method::Generate),
        ] {
            let response = gateway.call(method, ask(scenario, "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(24), "{body}");
            let trail = [
                format!("1 PRIMARY odd/{mode} FAILED PROVIDER_BAD_RESPONSE"),
                "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&response.attempts), trail, "{body}");
            let empty = &response.attempts[0];
            assert_eq!(empty.usage.unwrap().input_tokens, 7, "{body}");
            assert_eq!(empty.usage.unwrap().output_tokens, 2, "{body}");
            assert_eq!(empty.billing_class(), BillingClass::Actual);
            assert_eq!(warnings(&response), [""; 0]);
        }
    }
}

#[tokio::test]
async fn if_no_other_says_more_the_empty_answer_is_the_answer_with_a_warning() {
    for (wire_format, head, body) in EMPTY {
        let host = host(head, body).await;
        let gateway = before(&host, wire_format).await;
        for method in METHODS {
            let response = gateway.call(method, ask("alone", "Hello")).await.unwrap();

            assert_eq!(text_of(&response), "", "{body}");
            assert_eq!(response.model, "m");
            assert_eq!(warnings(&response), ["EMPTY_ANSWER"]);
            assert_eq!(response.usage.unwrap().input_tokens, 7, "billed once");
            assert_eq!(
                lines(&response.attempts),
                [
                    "2 FAILOVER openai/down FAILED PROVIDER_ERROR",
                    "1 PRIMARY odd/m SUCCEEDED",
                ],
                "{body}"
            );
            assert_eq!(response.attempts[1].billing_class(), BillingClass::Actual);
        }
    }
}

#[tokio::test]
async fn of_several_empty_answers_the_first_is_the_answer() {
    let host = host(EVENTS, NOTHING).await;
    let gateway = before(&host, "openai_chat").await;
    for method in METHODS {
        let response = gateway.call(method, ask("both", "Hello")).await.unwrap();

        assert_eq!(warnings(&response), ["EMPTY_ANSWER"]);
        assert_eq!(
            lines(&response.attempts),
            [
                "2 FAILOVER odd/whole FAILED PROVIDER_BAD_RESPONSE",
                "1 PRIMARY odd/m SUCCEEDED",
            ]
        );
        assert_eq!(response.usage.unwrap().input_tokens, 14, "both were billed");
    }
}

#[tokio::test]
async fn after_a_tools_result_nothing_may_be_all_there_is_to_say() {
    let host = host(EVENTS, NOTHING).await;
    let gateway = before(&host, "openai_chat").await;
    let called = Part::ToolCall(ToolCall {
        id: "c".into(),
        name: "save".into(),
        arguments_json: "{}".into(),
        ..ToolCall::default()
    });
    let result = Part::ToolResult(ToolResult {
        tool_call_id: "c".into(),
        content: vec![part(Part::Text("saved".into()))],
        ..ToolResult::default()
    });
    for method in METHODS {
        let mut request = ask("s", "Save it");
        request.messages.extend([
            parts(Role::Assistant, [called.clone()]),
            parts(Role::Tool, [result.clone()]),
        ]);

        let response = gateway.call(method, request).await.unwrap();

        assert_eq!(text_of(&response), "");
        assert_eq!(lines(&response.attempts), ["1 PRIMARY odd/m SUCCEEDED"]);
        assert_eq!(warnings(&response), [""; 0]);
    }
}

#[tokio::test]
async fn what_a_limit_or_a_filter_ended_or_what_says_little_is_no_empty_answer() {
    let table = [
        (
            r#"{"delta":{},"finish_reason":"length"}"#,
            FinishReason::MaxTokens,
        ),
        (
            r#"{"delta":{},"finish_reason":"content_filter"}"#,
            FinishReason::ContentFilter,
        ),
        (
            r#"{"delta":{"reasoning":"hm"},"finish_reason":"stop"}"#,
            FinishReason::Stop,
        ),
        (
            r#"{"delta":{"refusal":"no"},"finish_reason":"stop"}"#,
            FinishReason::Stop,
        ),
        (
            r#"{"delta":{"content":" "},"finish_reason":"stop"}"#,
            FinishReason::Stop,
        ),
    ];
    for (choice, expected) in table {
        let body = format!("data: {{\"choices\":[{choice}]}}\n\ndata: [DONE]\n\n");
        let host = host(EVENTS, &body).await;
        let gateway = before(&host, "openai_chat").await;
        for method in METHODS {
            let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

            assert_eq!(response.finish_reason(), expected, "{choice}");
            assert_eq!(lines(&response.attempts), ["1 PRIMARY odd/m SUCCEEDED"]);
            assert_eq!(warnings(&response), [""; 0]);
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_counted_and_cannot_be_read_is_never_a_success() {
    let table = [
        (
            "openai_chat",
            "data: {\"choices\":[{\"delta\":{\"speech\":\"Hello\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":20}}\n\ndata: [DONE]\n\n",
        ),
        (
            "anthropic",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":7,\"output_tokens\":20}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        (
            "gemini",
            "data: {\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":20}}\n\n",
        ),
    ];
    for (wire_format, body) in table {
        let host = host(EVENTS, body).await;
        let gateway = before(&host, wire_format).await;
        for method in METHODS {
            let failure = gateway
                .call(method, ask("alone", "Hello"))
                .await
                .unwrap_err();
            let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

            let trail = &details(&failure).failure.unwrap().attempts;
            assert_eq!(
                lines(trail)[0],
                "1 PRIMARY odd/m FAILED PROVIDER_BAD_RESPONSE"
            );
            assert_eq!(text_of(&response), text(24), "{body}");
            let lost = &response.attempts[0];
            assert_eq!(lost.usage.unwrap().output_tokens, 20, "{body}");
        }
    }
}

#[tokio::test]
async fn thought_up_to_the_limit_that_is_not_counted_apart_is_an_empty_answer() {
    let body = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":20}}\n\ndata: [DONE]\n\n";
    let host = host(EVENTS, body).await;
    let gateway = before(&host, "openai_chat").await;

    let asked_on = gateway.generate(ask("s", "Hello")).await.unwrap();
    let alone = gateway.generate(ask("alone", "Hello")).await.unwrap();

    assert_eq!(text_of(&asked_on), text(24));
    assert_eq!(alone.finish_reason(), FinishReason::MaxTokens);
    assert_eq!(warnings(&alone), ["EMPTY_ANSWER"]);
}

#[tokio::test]
async fn an_answer_that_broke_off_does_not_begin_anew_with_an_empty_one() {
    let host = host(EVENTS, NOTHING).await;
    let gateway = before(&host, "openai_chat").await;
    let request = GenerateRequest {
        stream_options: Some(StreamOptions {
            on_interruption: OnInterruption::Restart.into(),
        }),
        ..ask("cut", "Hello")
    };

    let streamed = gateway.stream(request).await;

    let failure = details(&streamed.failure.unwrap());
    assert_eq!(failure.reason, "STREAM_INTERRUPTED");
    assert_eq!(
        lines(&failure.failure.unwrap().attempts),
        [
            "1 PRIMARY openai/cut FAILED PROVIDER_BAD_RESPONSE",
            "2 FAILOVER odd/m FAILED PROVIDER_BAD_RESPONSE",
        ]
    );
}

#[tokio::test]
async fn only_a_target_that_mostly_says_nothing_is_closed_off() {
    const FEW: usize = 15;
    const MANY: usize = 30;
    let host = host(EVENTS, NOTHING).await;
    let gateway = before(&host, "openai_chat").await;
    let mut first = Vec::new();

    for _ in 0..MANY {
        let response = gateway.generate(ask("s", "Hello")).await.unwrap();
        first.push(lines(&response.attempts).swap_remove(0));
    }

    let failed = "1 PRIMARY odd/m FAILED PROVIDER_BAD_RESPONSE";
    assert!(first[..FEW].iter().all(|line| line == failed), "{first:#?}");
    assert!(first[MANY - 1].contains("BREAKER_OPEN"), "{first:#?}");
}

#[tokio::test]
async fn a_scenario_may_take_an_empty_answer_for_an_answer() {
    let host = host(EVENTS, NOTHING).await;
    let gateway = before(&host, "openai_chat").await;
    for method in METHODS {
        let response = gateway
            .call(method, ask("tolerant", "Hello"))
            .await
            .unwrap();

        assert_eq!(text_of(&response), "");
        assert_eq!(response.finish_reason(), FinishReason::Stop);
        assert_eq!(lines(&response.attempts), ["1 PRIMARY odd/m SUCCEEDED"]);
        assert_eq!(warnings(&response), [""; 0]);
    }
}
