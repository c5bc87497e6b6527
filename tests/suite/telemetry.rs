//! Do the spans of a call tell what happened, within the caller's trace and nobody else's?

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::future::join_all;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{GenerateRequest, GenerateResponse, SamplingParams};
use modelway::simulator::{Behaviour, Received};
use modelway::telemetry::names;
use opentelemetry::Value;
use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_sdk::trace::SpanData;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::recorder::{Recorder, attribute};
use crate::support::{Gateway, METHODS, Method, Process, ask, collect, details, nobody};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

const CONFIG: &str = r#"
[models."openai/first"]
[models."anthropic/second"]
max_output_tokens = 1000
price = { input = 2.0, output = 10.0 }
[models."gemini/limited"]
unsupported = ["temperature"]

[providers.foreign]
simulated = true
wire_format = "openai_chat"
[models."foreign/model"]

[scenarios.hedged]
targets = ["anthropic/second", "openai/rival"]
hedge = { min_delay = "10ms", burst = 10, ratio = 1.0, max_cost = 1.0 }
[models."openai/rival"]
price = { input = 2.0, output = 10.0 }

[scenarios.both]
targets = ["openai/first", "anthropic/second"]
[scenarios.skipping]
targets = ["gemini/limited", "openai/first"]
[scenarios.foreign]
targets = ["foreign/model"]
"#;

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

fn traced(request: GenerateRequest, traceparent: &str) -> Request<GenerateRequest> {
    let mut request = Request::new(request);
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", traceparent.parse().unwrap());
    metadata.insert("tracestate", "caller=1".parse().unwrap());
    metadata.insert("baggage", "tenant=secret".parse().unwrap());
    request
}

async fn generate(
    gateway: &Gateway,
    request: Request<GenerateRequest>,
) -> Result<GenerateResponse, Status> {
    let response = gateway.generation().generate(request).await?;
    Ok(response.into_inner())
}

/// Attributes that can be told beforehand, in order of name.
fn attributes(span: &SpanData) -> Vec<String> {
    const DRAWN: [&str; 9] = [
        "gen_ai.response.id",
        "gen_ai.response.time_to_first_chunk",
        "modelway.call.id",
        "modelway.call.time.first_content",
        "modelway.call.time.overhead",
        "modelway.call.time.queue",
        "modelway.call.time.upstream",
        "modelway.provider.request_id",
        "server.port",
    ];
    let mut attributes: Vec<String> = span
        .attributes
        .iter()
        .filter(|attribute| !DRAWN.contains(&attribute.key.as_str()))
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .collect();
    attributes.sort();
    attributes
}

fn ids(span: &SpanData) -> (String, String) {
    let context = &span.span_context;
    (
        context.trace_id().to_string(),
        context.span_id().to_string(),
    )
}

fn last(gateway: &Gateway) -> Received {
    gateway.simulator.requests().pop().unwrap()
}

#[tokio::test]
async fn a_failover_is_one_span_for_the_call_and_one_for_each_attempt() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", behave("status=503"));
    gateway.simulator.set("second", behave("tokens=3"));
    let request = GenerateRequest {
        conversation_id: "talk 7".to_owned(),
        sampling: Some(SamplingParams {
            max_output_tokens: Some(50),
            temperature: Some(0.5),
            ..SamplingParams::default()
        }),
        ..ask("both", "Hello")
    };

    let response = generate(&gateway, traced(request, SAMPLED)).await.unwrap();
    let (call, attempts) = recorder.call().await;

    assert_eq!(call.name, "modelway.v1.GenerationService/Generate");
    assert_eq!(call.parent_span_id.to_string(), CALLER);
    assert_eq!(ids(&call).0, TRACE_ID);
    assert_eq!(call.status, SpanStatus::Unset);
    assert_eq!(
        attributes(&call),
        [
            "gen_ai.conversation.id=talk 7",
            "modelway.call.attempt.count=2",
            "modelway.call.blame=none",
            "modelway.call.cached_tokens=0",
            "modelway.call.caller=127.0.0.1",
            "modelway.call.door=grpc",
            "modelway.call.input_tokens=1",
            "modelway.call.output_tokens=3",
            "modelway.call.priority=default",
            // The provider tells no count of reasoning, which is not 0.
            "modelway.call.reason=OK",
            "modelway.call.rescued_by=failover",
            "modelway.call.scenario=both",
            "modelway.call.target=anthropic/second",
            "modelway.cost.source=price_table",
            "modelway.cost.usd=0.000032",
            "modelway.cost.wasted_usd=0",
            "rpc.method=modelway.v1.GenerationService/Generate",
            "rpc.response.status_code=OK",
            "rpc.system.name=grpc",
        ]
    );
    let call_id = Value::from(response.call_id.clone());
    assert_eq!(attribute(&call, "modelway.call.id"), Some(&call_id));
    let [failed, succeeded] = &attempts[..] else {
        panic!("two attempts: {attempts:?}");
    };
    for attempt in &attempts {
        assert_eq!(attempt.parent_span_id, call.span_context.span_id());
        assert_eq!(ids(attempt).0, TRACE_ID);
    }
    assert_eq!(failed.name, "chat first");
    assert!(matches!(failed.status, SpanStatus::Error { .. }));
    assert_eq!(
        attributes(failed),
        [
            "error.type=503",
            "gen_ai.conversation.id=talk 7",
            "gen_ai.operation.name=chat",
            "gen_ai.provider.name=openai",
            "gen_ai.request.max_tokens=50",
            "gen_ai.request.model=first",
            "gen_ai.request.stream=true",
            "gen_ai.request.temperature=0.5",
            "modelway.attempt.kind=primary",
            "modelway.attempt.number=1",
            "modelway.attempt.outcome=failed",
            "modelway.attempt.reason=PROVIDER_OVERLOADED",
            "modelway.attempt.target=openai/first",
            "modelway.breaker.state=closed",
            // A refusal is not charged for.
            "modelway.cost.source=price_table",
            "modelway.cost.usd=0",
            "server.address=127.0.0.1",
        ]
    );
    assert_eq!(succeeded.name, "chat second");
    assert_eq!(succeeded.status, SpanStatus::Unset);
    assert_eq!(
        attributes(succeeded),
        [
            "gen_ai.conversation.id=talk 7",
            "gen_ai.operation.name=chat",
            "gen_ai.provider.name=anthropic",
            "gen_ai.request.max_tokens=50",
            "gen_ai.request.model=second",
            "gen_ai.request.stream=true",
            "gen_ai.request.temperature=0.5",
            "gen_ai.response.finish_reasons=[\"stop\"]",
            "gen_ai.response.model=second",
            "gen_ai.usage.cache_read.input_tokens=0",
            "gen_ai.usage.cache_write.input_tokens=0",
            "gen_ai.usage.input_tokens=1",
            "gen_ai.usage.output_tokens=3",
            "modelway.attempt.kind=failover",
            "modelway.attempt.number=2",
            "modelway.attempt.outcome=succeeded",
            "modelway.attempt.target=anthropic/second",
            "modelway.breaker.state=closed",
            "modelway.cost.source=price_table",
            "modelway.cost.usd=0.000032",
            "server.address=127.0.0.1",
        ]
    );
    assert!(attribute(succeeded, "gen_ai.response.time_to_first_chunk").is_some());
    let port = Value::from(i64::from(gateway.simulator.address().port()));
    assert_eq!(attribute(succeeded, "server.port"), Some(&port));
}

#[tokio::test]
async fn the_ids_in_the_answer_are_those_of_the_spans_and_of_the_requests_upstream() {
    for method in METHODS {
        let recorder = Recorder::start();
        let gateway = Gateway::start(CONFIG).await;
        gateway.simulator.set("first", behave("status=503"));

        let response = gateway.call(method, ask("both", "Hello")).await.unwrap();
        let (call, attempts) = recorder.call().await;

        assert_eq!(response.trace_id, ids(&call).0);
        let requests = gateway.simulator.requests();
        assert_eq!(requests.len(), 2);
        for ((attempt, told), request) in attempts.iter().zip(&response.attempts).zip(&requests) {
            let (trace_id, span_id) = ids(attempt);
            assert_eq!(told.span_id, span_id);
            let traceparent = format!("00-{trace_id}-{span_id}-01");
            assert_eq!(request.header("traceparent"), Some(traceparent.as_str()));
        }
    }
}

#[tokio::test]
async fn a_trace_goes_only_to_providers_that_take_part_in_it_and_baggage_to_none() {
    let _recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;

    for (scenario, takes_part) in [("both", true), ("foreign", false)] {
        let request = traced(ask(scenario, "Hello"), SAMPLED);
        generate(&gateway, request).await.unwrap();

        let received = last(&gateway);
        assert_eq!(received.header("traceparent").is_some(), takes_part);
        let state = received.header("tracestate");
        assert_eq!(state, takes_part.then_some("caller=1"));
        assert_eq!(received.header("baggage"), None);
        assert_eq!(received.header("x-request-id"), None);
    }
}

#[tokio::test]
async fn a_trace_that_the_caller_does_not_record_is_not_recorded_here_either() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;

    let request = traced(ask("both", "Hello"), NOT_SAMPLED);
    let response = generate(&gateway, request).await.unwrap();

    assert_eq!(response.trace_id, TRACE_ID);
    let traceparent = last(&gateway).header("traceparent").unwrap().to_owned();
    assert_eq!(
        traceparent,
        format!("00-{TRACE_ID}-{}-00", response.attempts[0].span_id)
    );
    assert_eq!(recorder.spans().len(), 0);
}

#[tokio::test]
async fn without_an_exporter_the_callers_trace_goes_on_all_the_same() {
    let gateway = Gateway::start(CONFIG).await;

    let request = traced(ask("both", "Hello"), SAMPLED);
    let response = generate(&gateway, request).await.unwrap();

    assert_eq!(response.trace_id, TRACE_ID);
    let span_id = &response.attempts[0].span_id;
    assert_ne!(span_id, CALLER);
    let traceparent = format!("00-{TRACE_ID}-{span_id}-01");
    let received = last(&gateway);
    assert_eq!(received.header("traceparent"), Some(traceparent.as_str()));
}

#[tokio::test]
async fn a_call_that_fails_says_why_on_its_span() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", behave("cut=3"));

    let streamed = gateway.stream(ask("both", "Hello")).await;
    let (call, attempts) = recorder.call().await;

    let failure = details(&streamed.failure.unwrap()).failure.unwrap();
    assert_eq!(failure.trace_id, ids(&call).0);
    assert_eq!(call.name, "modelway.v1.GenerationService/StreamGenerate");
    assert!(matches!(call.status, SpanStatus::Error { .. }));
    let unavailable = Value::from("UNAVAILABLE");
    assert_eq!(attribute(&call, "error.type"), Some(&unavailable));
    assert_eq!(
        attribute(&call, "rpc.response.status_code"),
        Some(&unavailable)
    );
    let bad_response = Value::from("PROVIDER_BAD_RESPONSE");
    assert_eq!(attribute(&attempts[0], "error.type"), Some(&bad_response));
    assert!(attribute(&attempts[0], "gen_ai.response.time_to_first_chunk").is_some());
}

#[tokio::test]
async fn a_callers_own_mistake_is_no_error_of_the_service() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;

    let request = traced(ask("nonsense", "Hello"), SAMPLED);
    generate(&gateway, request).await.unwrap_err();
    let (call, attempts) = recorder.call().await;

    assert_eq!(ids(&call).0, TRACE_ID);
    assert_eq!(call.status, SpanStatus::Unset);
    let not_found = Value::from("NOT_FOUND");
    assert_eq!(
        attribute(&call, "rpc.response.status_code"),
        Some(&not_found)
    );
    assert_eq!(attribute(&call, "error.type"), None);
    assert!(attempts.is_empty());
}

#[tokio::test]
async fn a_call_that_its_caller_leaves_ends_as_cancelled() {
    for method in METHODS {
        let recorder = Recorder::start();
        let gateway = Gateway::start(CONFIG).await;
        gateway.simulator.set("first", behave("hang"));

        let arrived = |log: &[Received]| !log.is_empty();
        tokio::select! {
            outcome = gateway.call(method, ask("both", "Hello")) => panic!("{outcome:?}"),
            () = gateway.simulator.wait_for(arrived) => {}
        }
        let (call, attempts) = recorder.call().await;

        let cancelled = Value::from("CANCELLED");
        assert_eq!(
            attribute(&call, "rpc.response.status_code"),
            Some(&cancelled)
        );
        assert_eq!(call.status, SpanStatus::Unset);
        let outcome = attribute(&attempts[0], "modelway.attempt.outcome");
        assert_eq!(outcome, Some(&Value::from("cancelled")));
        assert_eq!(attribute(&attempts[0], "error.type"), None);
    }
}

#[tokio::test]
async fn targets_that_are_passed_over_stand_on_the_calls_span() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;
    let request = GenerateRequest {
        sampling: Some(SamplingParams {
            temperature: Some(0.5),
            ..SamplingParams::default()
        }),
        ..ask("skipping", "Hello")
    };

    gateway.generate(request).await.unwrap();
    let (call, attempts) = recorder.call().await;

    let skipped = attribute(&call, "modelway.call.skipped").unwrap();
    assert_eq!(
        skipped.to_string(),
        r#"["gemini/limited: CAPABILITY_UNSUPPORTED"]"#
    );
    assert_eq!(attempts.len(), 1);
}

#[tokio::test]
async fn a_repeat_is_linked_to_the_call_whose_answer_it_gets() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;
    let keyed = || GenerateRequest {
        idempotency_key: "order-7".to_owned(),
        ..ask("both", "Hello")
    };

    let first = gateway.generate(keyed()).await.unwrap();
    // One while the call is under way would be linked in the same way.
    let again = gateway.generate(keyed()).await.unwrap();

    assert!(again.replayed, "{again:?}");
    let calls = server_spans(&recorder, 2).await;
    let of = |trace: &str| calls.iter().find(|span| ids(span).0 == trace);
    // The answer that is given again has the ids of its own call.
    let original = of(&first.trace_id).unwrap();
    let repeat = calls
        .iter()
        .find(|span| ids(span) != ids(original))
        .unwrap();
    assert!(original.links.is_empty());
    assert_eq!(attribute(original, "modelway.call.replayed"), None);
    let [link] = &repeat.links.links[..] else {
        panic!("one link: {repeat:?}");
    };
    assert_eq!(
        link.span_context.trace_id(),
        original.span_context.trace_id()
    );
    assert_eq!(link.span_context.span_id(), original.span_context.span_id());
    assert_eq!(link.attributes[0].value, Value::from("original"));
    let replayed = attribute(repeat, "modelway.call.replayed");
    assert_eq!(replayed, Some(&Value::from(true)));
    let attempts = attribute(repeat, "modelway.call.attempt.count");
    assert_eq!(attempts, Some(&Value::from(0_i64)));
}

/// The spans of calls, once there are so many.
async fn server_spans(recorder: &Recorder, count: usize) -> Vec<SpanData> {
    let ended = async {
        loop {
            let mut spans = recorder.spans();
            spans.retain(|span| span.span_kind == SpanKind::Server);
            if spans.len() >= count {
                return spans;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), ended).await.unwrap()
}

#[tokio::test]
async fn a_rival_is_linked_to_the_attempt_that_is_late() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;
    // What is usual must be known before an attempt can be late.
    for _ in 0..200 {
        gateway.generate(ask("hedged", "Hello")).await.unwrap();
    }
    server_spans(&recorder, 200).await;
    gateway.simulator.set("second", behave("hang"));
    let request = GenerateRequest {
        sampling: Some(SamplingParams {
            max_output_tokens: Some(10),
            ..SamplingParams::default()
        }),
        ..ask("hedged", "Hello")
    };

    let response = gateway
        .generate(traced(request, SAMPLED).into_inner())
        .await;

    let response = response.unwrap();
    let told: Vec<_> = response
        .attempts
        .iter()
        .map(|attempt| &attempt.span_id)
        .collect();
    assert_eq!(told.len(), 2, "{response:?}");
    server_spans(&recorder, 201).await;
    let mut spans = recorder.spans();
    spans.retain(|span| span.span_kind == SpanKind::Client && ids(span).0 == response.trace_id);
    spans.sort_by_key(|span| span.links.len());
    let [late, rival] = &spans[..] else {
        panic!("two attempts: {spans:?}");
    };
    assert!(told.contains(&&ids(late).1) && told.contains(&&ids(rival).1));
    let kind = attribute(rival, "modelway.attempt.kind");
    assert_eq!(kind, Some(&Value::from("hedge")));
    assert_eq!(rival.links.len(), 1);
    assert_eq!(
        rival.links[0].span_context.span_id(),
        late.span_context.span_id()
    );
    assert_eq!(rival.links[0].attributes[0].value, Value::from("rival"));
    let outcome = attribute(late, "modelway.attempt.outcome");
    assert_eq!(outcome, Some(&Value::from("cancelled")));
    assert_eq!(late.status, SpanStatus::Unset);
}

#[tokio::test]
async fn the_state_of_a_trace_is_kept_on_all_spans() {
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;

    let request = traced(ask("both", "Hello"), SAMPLED);
    generate(&gateway, request).await.unwrap();
    let (call, attempts) = recorder.call().await;

    assert_eq!(attempts.len(), 1);
    for span in attempts.iter().chain([&call]) {
        assert_eq!(span.span_context.trace_state().header(), "caller=1");
    }
    assert!(call.parent_span_is_remote);
    assert!(!attempts[0].parent_span_is_remote);
}

#[tokio::test]
async fn the_former_names_of_the_genai_conventions_are_used_where_they_are_asked_for() {
    for (names, current, former) in [
        ("current", true, false),
        ("v1_41", false, true),
        ("both", true, true),
    ] {
        let recorder = Recorder::start();
        let config = format!("{CONFIG}\n[telemetry]\ngenai_names = '{names}'");
        let gateway = Gateway::start(&config).await;
        let request = GenerateRequest {
            sampling: Some(SamplingParams {
                top_k: Some(7),
                ..SamplingParams::default()
            }),
            ..ask("hedged", "Hello")
        };

        gateway.generate(request).await.unwrap();
        let (_, attempts) = recorder.call().await;

        let has = |name| attribute(&attempts[0], name).is_some();
        assert_eq!(has("gen_ai.usage.cache_write.input_tokens"), current);
        assert_eq!(has("gen_ai.usage.cache_creation.input_tokens"), former);
        let top_k = match names {
            "v1_41" => Value::from(7.0),
            _ => Value::from(7_i64),
        };
        assert_eq!(
            attribute(&attempts[0], "gen_ai.request.top_k"),
            Some(&top_k)
        );
    }
}

/// The names in the tables of the documentation.
fn documented() -> BTreeSet<&'static str> {
    let rows = include_str!("../../docs/traces.md").lines();
    let names = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    // A key of the configuration has no point.
    names.filter(|name| name.contains('.')).collect()
}

#[test]
fn the_documentation_lists_every_attribute_and_no_other() {
    let lists = [
        names::ONLY_OF_CALLS,
        names::ONLY_OF_ATTEMPTS,
        names::OF_BOTH,
        names::OF_LINKS,
    ];
    let known: BTreeSet<&str> = lists.concat().into_iter().collect();

    assert_eq!(documented(), known);
}

/// How many calls end at random.
const RANDOM_CALLS: u64 = 2000;

/// How many of them are under way at the same time.
const AT_ONCE: u64 = 20;

#[tokio::test]
async fn however_calls_end_each_has_one_span_and_each_attempt_in_an_answer_has_one() {
    const BEHAVIOURS: [&str; 8] = [
        "tokens=2",
        "tokens=5",
        "status=503",
        "status=400",
        "status=429",
        "cut=1",
        "hang",
        "tokens=50+gap=1ms",
    ];
    const SCENARIOS: [&str; 4] = ["both", "skipping", "foreign", "nonsense"];
    let recorder = Recorder::start();
    let gateway = Gateway::start(CONFIG).await;
    let mut random = fastrand::Rng::with_seed(7);
    let (mut answered, mut cancelled) = (HashMap::new(), 0);
    for batch in 0..RANDOM_CALLS / AT_ONCE {
        for model in ["first", "second", "limited", "model"] {
            let behaviour = random.choice(BEHAVIOURS).unwrap();
            gateway.simulator.set(model, behave(behaviour));
        }
        let calls = (0..AT_ONCE).map(|number| {
            let mut request = ask(random.choice(SCENARIOS).unwrap(), "Hello");
            if random.u8(..) < 20 {
                request.messages.clear();
            }
            let mut request = Request::new(request);
            let trace = format!("{:032x}", 1 + batch * AT_ONCE + number);
            let traceparent = format!("00-{trace}-{CALLER}-01").parse().unwrap();
            request.metadata_mut().insert("traceparent", traceparent);
            let mut time = |hurries: bool, longest| {
                Duration::from_millis(if hurries { random.u64(0..30) } else { longest })
            };
            let hurries = number % 4;
            request.set_timeout(time(hurries == 0, 400) + Duration::from_millis(1));
            let patience = time(hurries == 1, 5000);
            let method = *random.choice(&METHODS).unwrap();
            let outcome = timeout(patience, call(&gateway, method, request));
            async { (trace, outcome.await) }
        });
        for (trace, outcome) in join_all(calls.collect::<Vec<_>>()).await {
            match outcome {
                Ok(Some(attempts)) => {
                    answered.insert(trace, attempts);
                }
                // Its caller went away, or its deadline passed before the service said anything.
                Ok(None) | Err(_) => cancelled += 1,
            }
        }
    }
    // Whatever still ends has ended when the service has.
    let mut gateway = gateway;
    gateway.stop();
    gateway.stopped().await;

    let spans = recorder.spans();
    let (mut calls, mut attempts) = (HashMap::new(), HashMap::new());
    for span in &spans {
        let (trace, id) = ids(span);
        match span.span_kind {
            SpanKind::Server => assert_eq!(calls.insert(trace, id), None, "{span:?}"),
            _ => assert_eq!(attempts.insert(id, (trace, span)), None, "{span:?}"),
        }
    }
    for (trace, told) in &answered {
        let call = calls
            .get(trace)
            .unwrap_or_else(|| panic!("no span of {trace}"));
        for attempt in told {
            let (in_trace, span) = &attempts[attempt];
            assert_eq!(in_trace, trace);
            assert_eq!(span.parent_span_id.to_string(), *call);
        }
    }
    // Every attempt belongs to a call that has a span.
    for (trace, span) in attempts.values() {
        assert_eq!(span.parent_span_id.to_string(), calls[trace]);
    }
    println!(
        "{} calls answered or refused, {cancelled} left, {} spans of calls, {} of attempts",
        answered.len(),
        calls.len(),
        attempts.len()
    );
    // Enough of them to compare; on a busy machine many deadlines pass before anything is said.
    assert!(
        answered.len() as u64 > RANDOM_CALLS / 10,
        "{}",
        answered.len()
    );
    assert!(calls.len() as u64 <= RANDOM_CALLS);
    assert!(calls.len() >= answered.len());
}

/// Makes a call to its end. The span ids of the attempts that were sent, if the service said how the call ended.
async fn call(
    gateway: &Gateway,
    method: Method,
    request: Request<GenerateRequest>,
) -> Option<Vec<String>> {
    let sent = |attempts: Vec<modelway::grpc::v1::Attempt>| {
        let ids = attempts.into_iter().map(|attempt| attempt.span_id);
        ids.filter(|id| !id.is_empty()).collect()
    };
    let outcome = match method {
        Method::Generate => generate(gateway, request).await,
        Method::StreamGenerate => match gateway.generation().stream_generate(request).await {
            Ok(response) => collect(response.into_inner()).await.into_response(),
            Err(status) => Err(status),
        },
    };
    match outcome {
        Ok(response) => Some(sent(response.attempts)),
        Err(status) if status.details().is_empty() => None,
        Err(status) => Some(sent(details(&status).failure?.attempts)),
    }
}

/// Where spans arrive in the real world.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn the_program_sends_its_spans_to_a_collector_before_it_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut exports) = mpsc::unbounded_channel();
    let collector = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Collector(sender)))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let mut tasks = JoinSet::new();
    tasks.spawn(collector);
    let process = Process::serve(
        None,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_SERVICE_NAME", "the-gateway"),
        ],
    );
    let mut client = GenerationServiceClient::new(process.connect().await);

    let request = traced(ask("forced-failover", "Hello"), SAMPLED);
    client.generate(request).await.unwrap();
    process.terminate();
    let (status, log) = process.ended().await;

    assert_eq!(status.code(), Some(0), "{log}");
    let mut names = Vec::new();
    while let Ok(export) = exports.try_recv() {
        for resource in export.resource_spans {
            let attributes = format!("{:?}", resource.resource);
            assert!(attributes.contains("the-gateway"), "{attributes}");
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            // What follows in a simulated model's name is how it behaves.
            names.extend(spans.map(|span| span.name.split('+').next().unwrap().to_owned()));
        }
    }
    names.sort();
    assert_eq!(
        names,
        [
            "chat sim-claude",
            "chat sim-gpt",
            "modelway.v1.GenerationService/Generate",
        ]
    );
}

#[tokio::test]
async fn a_collector_that_is_not_there_harms_no_call_and_not_the_end() {
    let endpoint = format!("http://{}", nobody());
    let process = Process::serve(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let mut client = GenerationServiceClient::new(process.connect().await);

    for _ in 0..3 {
        client.generate(ask("general", "Hello")).await.unwrap();
    }
    process.terminate();
    let (status, log) = timeout(Duration::from_secs(30), process.ended())
        .await
        .expect("the end");

    assert_eq!(status.code(), Some(0), "{log}");
}
