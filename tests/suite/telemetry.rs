//! Do the spans of a call tell what happened, within the caller's trace and nobody else's?

use std::net::SocketAddr;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{GenerateRequest, GenerateResponse, SamplingParams};
use modelway::simulator::{Behaviour, Received};
use opentelemetry::Value;
use opentelemetry::trace::Status as SpanStatus;
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
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::recorder::{Recorder, attribute};
use crate::support::{Gateway, METHODS, Process, ask, details};

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
            "modelway.call.reason=OK",
            "modelway.call.reasoning_tokens=0",
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
            "gen_ai.usage.reasoning.output_tokens=0",
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
    let nobody: SocketAddr = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let endpoint = format!("http://{nobody}");
    let process = Process::serve(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let mut client = GenerationServiceClient::new(process.connect().await);

    let began = Instant::now();
    for _ in 0..3 {
        client.generate(ask("general", "Hello")).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    process.terminate();
    let (status, log) = timeout(Duration::from_secs(15), process.ended())
        .await
        .expect("the end");

    assert_eq!(status.code(), Some(0), "{log}");
}
