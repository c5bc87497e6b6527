//! Do spans reach a collector, and does nobody suffer when they do not?

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{Attempt, AttemptOutcome, GenerateRequest};
use modelway::telemetry::export::OtlpSignal;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::support::collector::{Collector, Manner, trace_id};
use crate::support::exporting::{Exporting, PROTOCOLS};
use crate::support::foreign::authority::{Authority, Purpose};
use crate::support::foreign::front::Front;
use crate::support::{Process, ask, collect, details, nobody, number_from, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Each call of `quick` has two attempts, of which the first fails. A connection lasts longer than any run: when one is
/// asked to end, tonic's channel gives up what it has not sent yet, which other clients send again by themselves.
const CONFIG: &str = r#"
[server]
predrain = "0s"
connection_age = "1h"
[breaker]
min_samples = 1000000
consecutive_failures = 1000000
consecutive_failures_busy = 1000000
[retry]
ratio = 1.0
burst = 100000
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/bad"]
model = "bad+status=503"
[models."sim/good"]
model = "good+tokens=2"
[scenarios.quick]
targets = ["sim/bad", "sim/good"]
"#;

/// Spans of one call: its own and those of two attempts.
const SPANS_OF_CALL: usize = 3;

/// A service that exports nothing but spans, as these settings say besides.
async fn start(telemetry: &str) -> Exporting {
    Exporting::start(&format!(
        "{CONFIG}\n[telemetry]\nmetrics = false\n{telemetry}"
    ))
    .await
}

fn kinds(spans: &[Span]) -> HashMap<i32, usize> {
    let mut kinds = HashMap::new();
    for span in spans {
        *kinds.entry(span.kind).or_default() += 1;
    }
    kinds
}

#[tokio::test]
async fn spans_reach_a_collector_over_either_protocol_with_its_headers_compressed_or_not() {
    for protocol in PROTOCOLS {
        for compression in ["none", "gzip"] {
            let collector = Collector::start(Manner::Takes).await;
            let telemetry = format!(
                "endpoint = 'http://{}'\nprotocol = '{protocol}'\ncompression = '{compression}'\nheaders = {{ X-Tenant = 'search' }}",
                collector.address
            );
            let service = start(&telemetry).await;

            service.calls(2).await;
            let spans = collector.has(2 * SPANS_OF_CALL).await;
            let fates = service.end().await.fates();

            let expected =
                HashMap::from([(SpanKind::Server as i32, 2), (SpanKind::Client as i32, 4)]);
            assert_eq!(kinds(&spans), expected);
            assert_eq!(fates, [6, 0, 0, 0]);
            for export in collector.exports() {
                assert_eq!(export.headers["x-tenant"], "search");
                let path = match protocol {
                    "grpc" => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                    _ => "/v1/traces",
                };
                assert_eq!(export.path, path);
                let resource = &export.request.resource_spans[0];
                let attributes = format!("{:?}", resource.resource);
                for name in ["service.name", "service.version", "service.instance.id"] {
                    assert!(attributes.contains(name), "{attributes}");
                }
                let scope = resource.scope_spans[0].scope.as_ref().unwrap();
                assert_eq!(scope.name, "modelway");
            }
        }
    }
}

#[tokio::test]
async fn a_collector_behind_tls_is_trusted_by_the_authority_that_is_named_and_by_no_other() {
    let (authority, another) = (Authority::new(), Authority::new());
    for (protocol, alpn) in [("grpc", "h2"), ("http", "http/1.1")] {
        let collector = Collector::start(Manner::Takes).await;
        let tls = authority.server(Purpose::Server, &[alpn]);
        let front = Front::before(collector.address, tls).await;
        for (trusted, exported) in [(&authority, true), (&another, false)] {
            let telemetry = format!(
                "endpoint = 'https://{}'\nprotocol = '{protocol}'\nca = {:?}",
                front.address,
                trusted.file()
            );
            let service = start(&telemetry).await;

            service.calls(1).await;
            let fates = service.end().await.fates();

            match exported {
                true => assert_eq!(fates, [3, 0, 0, 0], "{protocol}"),
                false => assert_eq!(fates, [0, 0, 0, 3], "{protocol}"),
            }
        }
        assert_eq!(collector.spans().len(), 3);
    }
}

#[tokio::test]
async fn a_collector_that_takes_a_part_or_nothing_is_counted_span_by_span() {
    for protocol in PROTOCOLS {
        for (manner, expected) in [
            (Manner::Rejects(2), [1, 0, 2, 0]),
            (Manner::Refuses, [0, 0, 3, 0]),
            (Manner::Later, [0, 0, 0, 3]),
        ] {
            let collector = Collector::start(manner).await;
            let telemetry = format!(
                "endpoint = 'http://{}'\nprotocol = '{protocol}'",
                collector.address
            );
            let service = start(&telemetry).await;
            let counts = Arc::clone(&service.seen.counts);

            service.calls(1).await;
            let fates = service.end().await.fates();

            assert_eq!(fates, expected, "{protocol} {manner:?}");
            assert!(counts.failures(OtlpSignal::Traces) > 0);
            assert_eq!(counts.failures(OtlpSignal::Metrics), 0);
        }
    }
}

#[tokio::test]
async fn what_a_collector_asked_to_get_later_is_sent_again_and_taken() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Later).await;
        let telemetry = format!(
            "endpoint = 'http://{}'\nprotocol = '{protocol}'",
            collector.address
        );
        let service = start(&telemetry).await;

        service.calls(1).await;
        let failed = async {
            while service.seen.counts.failures(OtlpSignal::Traces) == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PROMPTLY, failed).await.unwrap();
        collector.behave(Manner::Takes);
        collector.has(SPANS_OF_CALL).await;

        assert_eq!(service.end().await.fates(), [3, 0, 0, 0]);
    }
}

/// A process with this configuration.
fn process(telemetry: &str) -> Process {
    let path = scratch::file(
        "modelway.toml",
        format!("{CONFIG}\n[telemetry]\n{telemetry}"),
    );
    Process::serve(Some(&path), &[("OTLP_KEY", "s3cret-header")])
}

/// How many callers call at once.
const CALLERS: usize = 16;

/// A call whose spans are as large as they get.
fn large() -> GenerateRequest {
    GenerateRequest {
        conversation_id: "c".repeat(128),
        ..ask("quick", "Hello")
    }
}

/// Makes so many calls, of which none may fail.
async fn load(process: &Process, calls: usize) {
    let channel = process.connect().await;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = GenerationServiceClient::new(channel.clone());
        callers.spawn(async move {
            for _ in 0..calls / CALLERS {
                client.generate(large()).await.unwrap();
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
}

/// What the line about lost spans says.
const LOST: &str = "spans were lost";

/// A number that the line about lost spans says.
fn told(log: &str, name: &str) -> usize {
    let line = log.lines().find(|line| line.contains(LOST));
    let line = line.unwrap_or_else(|| panic!("no line about lost spans: {log}"));
    let number = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix(&format!("{name}=")));
    number.unwrap().parse().unwrap()
}

/// Calls of each process: more spans than the queue has room for.
const FLOOD: usize = 4000;

/// What a collector that does not take spans may cost, in KiB.
const MOST_MEMORY: u64 = 16 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_silent_slow_or_refuses_costs_no_call_little_memory_and_one_line()
{
    let quiet = process("");
    load(&quiet, FLOOD).await;
    let without = quiet.peak_kib();
    let mut threads = quiet.threads().into_iter();
    assert!(threads.all(|(name, _)| name != "exports"));

    let silent = Collector::start(Manner::Silent).await;
    let slow = Collector::start(Manner::Slow(Duration::from_millis(700))).await;
    let refusing = Collector::start(Manner::Refuses).await;
    for (name, address, protocol) in [
        ("dead", nobody(), "grpc"),
        ("silent", silent.address, "grpc"),
        ("slow", slow.address, "http"),
        ("refusing", refusing.address, "http"),
    ] {
        let telemetry = format!(
            "endpoint = 'http://{address}'\nprotocol = '{protocol}'\nmetrics = false\nheaders = {{ key = 'env:OTLP_KEY' }}"
        );
        let process = process(&telemetry);

        load(&process, FLOOD).await;

        let memory = process.peak_kib().saturating_sub(without);
        let began = Instant::now();
        process.terminate();
        let (status, log) = timeout(PROMPTLY, process.ended()).await.unwrap();
        println!(
            "{name}: {memory} KiB more, ended after {:?}\n{log}",
            began.elapsed()
        );
        assert_eq!(status.code(), Some(0), "{name}: {log}");
        assert!(memory <= MOST_MEMORY, "{name}: {memory} KiB");
        let warnings = log.matches("the collector does not take exports").count();
        // A silent one is given up after ten seconds, which a quick machine does not need for all calls.
        let expected = match name {
            "slow" => 0..=0,
            "silent" => 0..=1,
            _ => 1..=1,
        };
        assert!(expected.contains(&warnings), "{name}: {warnings} {log}");
        assert!(!log.contains("s3cret"), "{log}");
        let all = FLOOD / CALLERS * CALLERS * SPANS_OF_CALL;
        if name == "slow" && slow.spans().len() == all {
            // The machine was slower, so that nothing was lost.
            assert!(!log.contains(LOST), "{log}");
            continue;
        }
        let fates = ["exported", "queue_full", "refused", "failed"];
        let [exported, queue_full, refused, failed] = fates.map(|fate| told(&log, fate));
        assert_eq!(
            exported + queue_full + refused + failed,
            all,
            "{name}: {log}"
        );
        match name {
            "slow" => assert_eq!(exported, slow.spans().len()),
            "refusing" => assert!(refused > 0 && exported == 0, "{log}"),
            _ => assert!(queue_full > 0 && failed > 0 && exported == 0, "{log}"),
        }
    }
}

/// Ten minutes at 500 calls a second, of which each collector has a quarter: `MODELWAY_SECONDS` and `MODELWAY_RATE`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes"]
async fn minutes_without_a_collector_cost_no_call_little_memory_and_few_lines() {
    let seconds = number_from("MODELWAY_SECONDS", 600);
    let rate = number_from("MODELWAY_RATE", 500) / 4;
    let silent = Collector::start(Manner::Silent).await;
    let slow = Collector::start(Manner::Slow(Duration::from_millis(700))).await;
    let refusing = Collector::start(Manner::Refuses).await;
    let mut runs = JoinSet::new();
    for (name, address, protocol) in [
        ("dead", nobody(), "grpc"),
        ("silent", silent.address, "grpc"),
        ("slow", slow.address, "http"),
        ("refusing", refusing.address, "http"),
    ] {
        let telemetry = format!(
            "endpoint = 'http://{address}'\nprotocol = '{protocol}'\n[logging]\ncalls = 'none'"
        );
        runs.spawn(async move {
            let process = process(&telemetry);
            // What calls need has been taken once the queue of spans is full for the first time.
            load(&process, FLOOD).await;
            let before = process.resident_kib();
            let channel = process.connect().await;
            let mut pace = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
            let (began, lasting) = (Instant::now(), Duration::from_secs(seconds));
            let (mut calls, mut called) = (JoinSet::new(), 0);
            while began.elapsed() < lasting {
                pace.tick().await;
                called += 1;
                let mut client = GenerationServiceClient::new(channel.clone());
                calls.spawn(async move { client.generate(large()).await.map(drop) });
                while let Some(done) = calls.try_join_next() {
                    done.unwrap().expect("no call fails");
                }
            }
            for done in calls.join_all().await {
                done.expect("no call fails");
            }
            let reached = f64::from(called) / began.elapsed().as_secs_f64();
            let memory = process.resident_kib().saturating_sub(before);
            process.terminate();
            let (status, log) = process.ended().await;
            let warnings = log.matches("the collector does not take exports").count();
            println!(
                "{name}: {called} calls, {reached:.0} a second, failed 0; {memory} KiB more, {warnings} warnings, {status}"
            );
            assert!(memory <= MOST_MEMORY, "{name}: {memory} KiB");
            assert!(warnings <= 3, "{name}: {log}");
        });
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

/// Counts an answer's attempts that were sent.
fn sent(attempts: &[Attempt]) -> usize {
    let skipped = AttemptOutcome::Skipped as i32;
    attempts
        .iter()
        .filter(|attempt| attempt.outcome != skipped)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_of_the_program_under_load_every_span_is_received_or_counted_as_lost() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Takes).await;
        let telemetry = format!(
            "endpoint = 'http://{}'\nprotocol = '{protocol}'\nmetrics = false",
            collector.address
        );
        let process = process(&telemetry);
        let channel = process.connect().await;
        let is_over = Arc::new(AtomicBool::new(false));
        let (ready, mut loaded) = tokio::sync::mpsc::unbounded_channel();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let mut client = GenerationServiceClient::new(channel.clone());
            let (is_over, ready) = (Arc::clone(&is_over), ready.clone());
            callers.spawn(async move {
                let (mut ids, mut attempts) = (HashSet::new(), 0);
                while !is_over.load(Ordering::Relaxed) {
                    match client.generate(large()).await {
                        Ok(response) => {
                            let response = response.into_inner();
                            attempts += sent(&response.attempts);
                            assert!(ids.insert(response.call_id));
                            let _ = ready.send(());
                        }
                        Err(status) => {
                            // Where there is no connection any more, there is no call.
                            let Some(failure) = details_of(&status) else {
                                return (ids, attempts);
                            };
                            attempts += sent(&failure.attempts);
                            assert!(ids.insert(failure.call_id));
                        }
                    }
                }
                (ids, attempts)
            });
        }
        for _ in 0..500 {
            loaded.recv().await.unwrap();
        }
        process.terminate();
        let (status, log) = timeout(PROMPTLY, process.ended()).await.unwrap();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(status.code(), Some(0), "{log}");

        let (mut calls, mut attempts) = (HashSet::new(), 0);
        while let Some(caller) = callers.join_next().await {
            let (ids, more) = caller.unwrap();
            calls.extend(ids);
            attempts += more;
        }
        let spans = collector.spans();
        println!(
            "{protocol}: {} calls, {attempts} attempts, {} spans",
            calls.len(),
            spans.len()
        );
        assert!(!log.contains("spans were lost"), "{log}");
        let (mut known, mut others) = (HashSet::new(), 0);
        for span in spans
            .iter()
            .filter(|span| span.kind == SpanKind::Server as i32)
        {
            match calls.remove(&call_id(span)) {
                true => assert!(known.insert(span.span_id.clone())),
                false => others += 1,
            }
        }
        assert!(calls.is_empty(), "calls without a span: {calls:?}");
        // A call whose answer went down with its connection is one, but its caller does not know its id.
        assert!(others <= CALLERS, "{others}");
        let of_known = |span: &&Span| known.contains(&span.parent_span_id);
        assert_eq!(spans.iter().filter(of_known).count(), attempts);
    }
}

/// How many calls an export of metrics counts.
fn calls_in(export: ExportMetricsServiceRequest) -> i64 {
    let resources = export.resource_metrics.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| scope.metrics);
    let mut calls = metrics.filter(|metric| metric.name == "modelway.calls");
    let Some(metric::Data::Sum(sum)) = calls.next().unwrap().data else {
        panic!("it is a sum");
    };
    let points = sum.data_points.into_iter().map(|point| point.value);
    points
        .map(|value| match value {
            Some(number_data_point::Value::AsInt(count)) => count,
            other => panic!("{other:?}"),
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_last_call_its_span_its_count_and_its_line_go_out_while_probes_are_answered() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Takes).await;
        let probes = nobody();
        let telemetry = format!(
            "endpoint = 'http://{}'\nprotocol = '{protocol}'\ninterval = '1h'\n\
             [probes]\nlisten = '{probes}'\n\
             [models.'sim/lasting']\nmodel = 'lasting+tokens=10+gap=30ms'\n\
             [scenarios.lasting]\ntargets = ['sim/lasting']",
            collector.address
        );
        let process = process(&telemetry);
        let mut client = GenerationServiceClient::new(process.connect().await);
        // It has begun once its head is there.
        let stream = client.stream_generate(ask("lasting", "Hello")).await;
        collector.behave(Manner::Slow(Duration::from_millis(700)));

        process.terminate();
        let streamed = collect(stream.unwrap().into_inner()).await;
        assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
        let call_of_client = streamed.into_response().unwrap().call_id;
        // Until nobody listens any more.
        let http = reqwest::Client::builder().no_proxy();
        let http = http.pool_max_idle_per_host(0).build().unwrap();
        let mut early = 0;
        while let Ok(answer) = http.get(format!("http://{probes}/livez")).send().await {
            assert_eq!(answer.status().as_u16(), 200);
            early += usize::from(collector.spans().is_empty());
        }
        let (status, log) = timeout(PROMPTLY, process.ended()).await.unwrap();

        assert_eq!(status.code(), Some(0), "{log}");
        assert!(early > 0, "probes outlast the calls");
        let spans = collector.spans();
        let ended = spans
            .iter()
            .find(|span| span.kind == SpanKind::Server as i32);
        assert_eq!(call_id(ended.expect("its span")), call_of_client);
        let counted = collector.metrics().pop().expect("the last counts");
        assert_eq!(calls_in(counted.request), 1, "{protocol}");
        assert!(log.contains(&format!("call_id={call_of_client}")), "{log}");
        assert!(!log.contains("spans were lost"), "{log}");
    }
}

fn call_id(span: &Span) -> String {
    let mut attributes = span.attributes.iter();
    let id = attributes.find(|attribute| attribute.key == "modelway.call.id");
    match id.unwrap().value.as_ref().unwrap().value.as_ref().unwrap() {
        any_value::Value::StringValue(id) => id.clone(),
        other => panic!("{other:?}"),
    }
}

fn details_of(status: &tonic::Status) -> Option<modelway::grpc::v1::CallFailure> {
    if status.details().is_empty() {
        return None;
    }
    details(status).failure
}

#[tokio::test]
async fn the_share_that_is_sampled_is_that_of_the_trace_ids() {
    let collector = Collector::start(Manner::Takes).await;
    let telemetry = format!("endpoint = 'http://{}'\nsample = 0.25", collector.address);
    let service = start(&telemetry).await;
    let (mut expected, mut traceparent) = (HashSet::new(), String::new());
    for number in 0..200_u64 {
        // A caller's decision is kept, and without one the trace's own id decides.
        let mut request = tonic::Request::new(ask("quick", "Hello"));
        let flag = (number % 3).min(1);
        if number % 3 < 2 {
            traceparent.clear();
            write!(
                traceparent,
                "00-{:032x}-{:016x}-0{flag}",
                number + 1,
                number + 1
            )
            .unwrap();
            let metadata = request.metadata_mut();
            metadata.insert("traceparent", traceparent.parse().unwrap());
        }
        let mut client = service.client.clone();
        let response = client.generate(request).await.unwrap().into_inner();
        let by_id = || {
            let trace = u128::from_str_radix(&response.trace_id, 16).unwrap();
            ((trace as u64) >> 1) < 1 << 61
        };
        if (number % 3 == 1) || (number % 3 == 2 && by_id()) {
            expected.insert(response.trace_id.clone());
        }
    }
    service.end().await;

    let spans = collector.spans();
    let recorded: HashSet<String> = spans.iter().map(trace_id).collect();
    assert_eq!(recorded, expected);
    assert!((70..120).contains(&recorded.len()), "{}", recorded.len());
    assert_eq!(spans.len(), recorded.len() * SPANS_OF_CALL);
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_still_waits() {
    let address = nobody();
    let service = start(&format!("endpoint = 'http://{address}'")).await;

    service.calls(1).await;
    let failed = async {
        while service.seen.counts.failures(OtlpSignal::Traces) == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PROMPTLY, failed).await.unwrap();
    let collector = Collector::start_at(address, Manner::Takes).await;
    collector.has(SPANS_OF_CALL).await;

    assert_eq!(service.end().await.fates(), [3, 0, 0, 0]);
}
