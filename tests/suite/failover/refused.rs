//! Which targets are not asked: the request is at fault, or they cannot do what it needs.

use std::time::Duration;

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{
    BreakerState, CallLimits, FunctionTool, GenerateRequest, JsonObjectFormat, JsonSchema,
    JsonSchemaFormat, Media, ReasoningEffort, ReasoningOptions, ResponseFormat, Role,
    SamplingParams, SetBreakerRequest, Tool, json_schema, media, response_format, tool,
};
use modelway::simulator::Behaviour;
use tonic::Code;

use crate::support::{Gateway, METHODS, ask, details, lines, message, parts};

use super::config;

/// What the simulator signs reasoning with.
const SIGNATURE: &str = "c2ltdWxhdGVkIHNpZ25hdHVyZQ==";

#[tokio::test]
async fn what_a_provider_refuses_is_not_asked_of_it_again_nor_of_anybody_without_another_provider()
{
    let table = [
        (
            "openai/gpt+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "anthropic/claude+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "gemini/flash+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
    ];
    for (primary, code, reason) in table {
        let (provider, _) = primary.split_once('/').unwrap();
        let backup = format!("{provider}/backup");
        let gateway = Gateway::start(&config(&[primary, &backup])).await;
        for method in METHODS {
            let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

            let failure = details(&failure);
            assert_eq!(failure.code, code, "{primary}");
            assert_eq!(failure.reason, reason, "{primary}");
            let trail = [
                format!("1 PRIMARY {primary} FAILED {reason}"),
                format!("0 FAILOVER {backup} SKIPPED {reason}"),
            ];
            assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        }
        assert_eq!(gateway.simulator.requests_for("backup").len(), 0);
    }
}

#[tokio::test]
async fn a_scenario_may_ask_another_target_after_a_content_filter() {
    for primary in ["openai/gpt+content-filter", "gemini/flash+content-filter"] {
        let mut config = config(&[primary, "openai/backup"]);
        config.push_str("[scenarios.lenient]\ncontent_filter_failover = true\n");
        config.push_str(&format!("targets = [\"{primary}\", \"openai/backup\"]\n"));
        config.push_str("[scenarios.lenient-alone]\ncontent_filter_failover = true\n");
        config.push_str(&format!("targets = [\"{primary}\"]\n"));
        let gateway = Gateway::start(&config).await;
        for method in METHODS {
            let answered = gateway.call(method, ask("lenient", "Hello")).await;
            let failed = gateway.call(method, ask("lenient-alone", "Hello")).await;

            let trail = [
                format!("1 PRIMARY {primary} FAILED CONTENT_BLOCKED"),
                "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&answered.unwrap().attempts), trail);
            let failed = details(&failed.unwrap_err());
            assert_eq!(failed.reason, "CONTENT_BLOCKED");
            assert_eq!(lines(&failed.failure.unwrap().attempts), trail[..1]);
        }
    }
}

/// Requests that need one feature each, by the feature's name.
fn needing() -> Vec<(&'static str, GenerateRequest)> {
    let function = FunctionTool {
        name: "lookup".to_owned(),
        ..FunctionTool::default()
    };
    let tools = GenerateRequest {
        tools: vec![Tool {
            tool: Some(tool::Tool::Function(function)),
            ..Tool::default()
        }],
        ..GenerateRequest::default()
    };
    let schema = JsonSchemaFormat {
        name: "answer".to_owned(),
        schema: Some(JsonSchema {
            schema: Some(json_schema::Schema::Text(r#"{"type":"object"}"#.to_owned())),
        }),
        strict: false,
        ..JsonSchemaFormat::default()
    };
    let formatted = |format| GenerateRequest {
        response_format: Some(ResponseFormat {
            format: Some(format),
        }),
        ..GenerateRequest::default()
    };
    let shown = |source| GenerateRequest {
        messages: vec![parts(
            Role::User,
            [Part::Image(Media {
                source: Some(source),
                media_type: "image/png".to_owned(),
                ..Media::default()
            })],
        )],
        ..GenerateRequest::default()
    };
    let sampled = GenerateRequest {
        sampling: Some(SamplingParams {
            top_k: Some(40),
            ..SamplingParams::default()
        }),
        ..GenerateRequest::default()
    };
    let reasoned = GenerateRequest {
        reasoning: Some(ReasoningOptions {
            effort: ReasoningEffort::Low.into(),
            ..ReasoningOptions::default()
        }),
        ..GenerateRequest::default()
    };
    use response_format::Format;
    vec![
        ("tools", tools),
        (
            "json_object",
            formatted(Format::JsonObject(JsonObjectFormat {})),
        ),
        ("json_schema", formatted(Format::JsonSchema(schema))),
        (
            "image_data",
            shown(media::Source::Data(b"PNG".as_slice().into())),
        ),
        (
            "image_uri",
            shown(media::Source::Uri("https://example.com/a.png".to_owned())),
        ),
        ("top_k", sampled),
        ("reasoning_effort", reasoned),
    ]
}

#[tokio::test]
async fn a_target_that_lacks_a_feature_is_skipped_before_anything_is_sent() {
    for (feature, request) in needing() {
        let gateway = Gateway::start(&format!(
            r#"
            [models."anthropic/without"]
            max_output_tokens = 1000
            unsupported = ["{feature}"]
            [models."gemini/without-too"]
            unsupported = ["{feature}"]
            [models."gemini/flash"]

            [scenarios.s]
            targets = ["anthropic/without", "gemini/without-too", "gemini/flash"]
            [scenarios.none]
            targets = ["anthropic/without", "gemini/without-too"]
            "#
        ))
        .await;
        for method in METHODS {
            let ask = |scenario: &str| {
                let mut asked = ask(scenario, "Hello");
                asked.messages.extend(request.messages.clone());
                GenerateRequest {
                    messages: asked.messages,
                    scenario: asked.scenario,
                    ..request.clone()
                }
            };

            let answered = gateway.call(method, ask("s")).await.unwrap();
            let failed = gateway.call(method, ask("none")).await.unwrap_err();

            let trail = [
                "0 PRIMARY anthropic/without SKIPPED CAPABILITY_UNSUPPORTED",
                "0 FAILOVER gemini/without-too SKIPPED CAPABILITY_UNSUPPORTED",
                "1 FAILOVER gemini/flash SUCCEEDED",
            ];
            assert_eq!(lines(&answered.attempts), trail);
            assert!(answered.attempts[0].detail.contains(feature));
            let failed = details(&failed);
            assert_eq!(failed.code, Code::FailedPrecondition);
            assert_eq!(failed.reason, "CAPABILITY_UNSUPPORTED");
            assert_eq!(failed.preconditions.len(), 2);
            assert_eq!(failed.pushback, None);
        }
        let asked = gateway.simulator.requests();
        assert!(asked.iter().all(|request| request.model == "flash"));
    }
}

#[tokio::test]
async fn a_format_that_cannot_express_a_feature_is_skipped_like_a_model_that_lacks_it() {
    let gateway = Gateway::start(&config(&["openai/gpt", "gemini/flash"])).await;
    let request = GenerateRequest {
        sampling: Some(SamplingParams {
            top_k: Some(40),
            ..SamplingParams::default()
        }),
        ..ask("s", "Hello")
    };

    let answered = gateway.generate(request).await.unwrap();

    let trail = [
        "0 PRIMARY openai/gpt SKIPPED CAPABILITY_UNSUPPORTED",
        "1 FAILOVER gemini/flash SUCCEEDED",
    ];
    assert_eq!(lines(&answered.attempts), trail);
}

#[tokio::test]
async fn a_backup_of_another_provider_gets_no_signature_and_the_caller_is_told() {
    let pairs = [
        ("anthropic", "gemini", "messages.parts.reasoning"),
        ("gemini", "anthropic", "messages.parts.reasoning"),
        ("anthropic", "openai", "messages.parts.reasoning"),
    ];
    for (signer, backup, adapted) in pairs {
        for method in METHODS {
            let primary = format!("{signer}/primary");
            let backup = format!("{backup}/backup");
            let gateway = Gateway::start(&config(&[&primary, &backup])).await;
            gateway.simulator.script(
                "primary",
                ["reasoning=6", "tokens=24", "status=503"].map(behave),
            );
            let mut request = GenerateRequest {
                reasoning: Some(ReasoningOptions {
                    effort: ReasoningEffort::Low.into(),
                    include_reasoning: true,
                    ..ReasoningOptions::default()
                }),
                ..ask("s", "Hello")
            };

            let signed = gateway.call(method, request.clone()).await.unwrap();
            request.messages.push(signed.output.unwrap());
            request.messages.push(message(Role::User, "And then?"));
            let by_signer = gateway.call(method, request.clone()).await.unwrap();
            let by_backup = gateway.call(method, request).await.unwrap();

            let sent = |model| {
                let requests = gateway.simulator.requests_for(model);
                requests.last().unwrap().json().to_string()
            };
            assert!(sent("primary").contains(SIGNATURE), "{signer}");
            assert!(!sent("backup").contains(SIGNATURE), "{backup}");
            assert_eq!(by_signer.warnings, []);
            assert_eq!(by_backup.model, "backup");
            let fields = by_backup.warnings.iter().map(|warning| &warning.field);
            assert!(fields.eq([adapted]), "{backup}: {:?}", by_backup.warnings);
        }
    }
}

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

#[tokio::test]
async fn a_prompt_is_too_long_for_good_only_if_no_larger_target_will_answer_later() {
    let gateway = Gateway::start(
        r#"
        [models."openai/small+context-length"]
        context_window_tokens = 8000
        [models."openai/medium+context-length"]
        context_window_tokens = 80000
        [models."openai/large"]
        context_window_tokens = 800000
        [models."gemini/failing+status=500"]
        context_window_tokens = 800000
        [models."gemini/held"]
        context_window_tokens = 800000

        [scenarios.two-attempts]
        targets = ["openai/small+context-length", "openai/medium+context-length", "openai/large"]
        max_attempts = 2
        [scenarios.failed]
        targets = ["gemini/failing+status=500", "openai/small+context-length"]
        [scenarios.held]
        targets = ["gemini/held", "openai/small+context-length"]
        "#,
    )
    .await;
    let held = SetBreakerRequest {
        provider: "gemini".to_owned(),
        model: "gemini/held".to_owned(),
        state: BreakerState::ForcedOpen.into(),
        ttl: Some(prost_types::Duration {
            seconds: 90,
            nanos: 0,
        }),
        ..SetBreakerRequest::default()
    };
    gateway.operations().set_breaker(held).await.unwrap();
    for method in METHODS {
        let refused = async |scenario| {
            let failure = gateway.call(method, ask(scenario, "Hello")).await;
            details(&failure.unwrap_err())
        };

        let unasked = refused("two-attempts").await;
        let failed = refused("failed").await;
        let held = refused("held").await;

        assert_eq!(unasked.code, Code::InvalidArgument);
        assert_eq!(unasked.reason, "CONTEXT_LENGTH_EXCEEDED");
        let told = "`openai/large`, which may hold it, was not asked: \
                    the call may make no more attempts (`max_attempts`)";
        assert!(unasked.message.ends_with(told), "{}", unasked.message);
        assert_eq!(unasked.failure.unwrap().attempts.len(), 2);
        assert_eq!(failed.code, Code::Unavailable);
        assert_eq!(failed.reason, "PROVIDER_ERROR");
        assert_eq!(held.code, Code::Unavailable);
        assert_eq!(held.reason, "NO_PROVIDER_AVAILABLE");
        assert!(held.retry_after.unwrap() > Duration::from_secs(80));
        assert_eq!(held.pushback, Some(-1), "an attempt was sent");
    }
    let mut limited = ask("two-attempts", "Hello");
    limited.limits = Some(CallLimits {
        max_attempts: Some(1),
        ..CallLimits::default()
    });
    let unasked = details(&gateway.generate(limited).await.unwrap_err());
    assert!(unasked.message.contains("`openai/medium+context-length`"));
    assert_eq!(gateway.simulator.requests_for("large").len(), 0);
}
