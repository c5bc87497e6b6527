//! Do the sums of the metrics equal what the answers say, however calls end?

use std::collections::BTreeMap;
use std::time::Duration;

use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    Attempt, AttemptKind, AttemptOutcome, BillingClass, CostSource, ErrorReason, GenerateResponse,
    TokenUsage,
};
use modelway::simulator::Behaviour;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;

use crate::support::scraped::Scraped;
use crate::support::{Gateway, METHODS, Method, ask, details};

use super::PRICED;

/// Much longer than any of this takes.
const PROMPTLY: Duration = Duration::from_secs(20);

/// What the answers to some calls said.
#[derive(Default)]
struct Told {
    /// Calls by their reason.
    reasons: BTreeMap<String, u32>,
    attempts: Vec<Attempt>,
    /// In nano-USD.
    answered: i64,
    wasted: i64,
    /// Calls that were answered by another attempt than their first one.
    rescued: u32,
}

impl Told {
    fn note(&mut self, outcome: &Result<GenerateResponse, Status>) {
        let (reason, attempts) = match outcome {
            Ok(response) => ("OK".to_owned(), response.attempts.clone()),
            Err(status) => {
                let details = details(status);
                let failure = details.failure;
                let attempts = failure.map(|failure| failure.attempts);
                (details.reason, attempts.unwrap_or_default())
            }
        };
        *self.reasons.entry(reason).or_default() += 1;
        let last = attempts.len().checked_sub(1);
        for (position, attempt) in attempts.iter().enumerate() {
            let nanos = attempt.cost.as_ref().map_or(0, |cost| cost.amount_nanos);
            match outcome.is_ok() && Some(position) == last {
                true => self.answered += nanos,
                false => self.wasted += nanos,
            }
        }
        self.rescued += u32::from(outcome.is_ok() && is_rescued(&attempts));
        self.attempts.extend(attempts);
    }

    fn count(&self, is_counted: impl Fn(&Attempt) -> bool) -> f64 {
        let attempts = self.attempts.iter();
        attempts.filter(|attempt| is_counted(attempt)).count() as f64
    }

    fn tokens(&self, of: impl Fn(&TokenUsage) -> i64) -> f64 {
        let usages = self.attempts.iter();
        let usages = usages.filter_map(|attempt| attempt.usage.as_ref());
        usages.map(of).sum::<i64>() as f64
    }

    /// Compares with what the metrics show.
    fn agrees_with(&self, scraped: &Scraped) {
        for (reason, count) in &self.reasons {
            let shown = scraped.sum("modelway_calls_total", &[("reason", reason)]);
            assert_eq!(shown, f64::from(*count), "{reason}");
        }
        let calls = f64::from(self.reasons.values().sum::<u32>());
        for name in [
            "modelway_calls_total",
            "modelway_door_calls_total",
            "modelway_call_duration_seconds_count",
            "modelway_call_attempts_count",
        ] {
            assert_eq!(scraped.sum(name, &[]), calls, "{name}");
        }
        let sent = self.count(|attempt| attempt.number > 0);
        let genai = "gen_ai_client_inference_duration_seconds_count";
        for name in ["modelway_call_attempts_sum", genai] {
            assert_eq!(scraped.sum(name, &[]), sent, "{name}");
        }
        let all = [
            ("succeeded", AttemptOutcome::Succeeded),
            ("failed", AttemptOutcome::Failed),
            ("skipped", AttemptOutcome::Skipped),
            ("cancelled", AttemptOutcome::Cancelled),
        ];
        for (shown, outcome) in all {
            for provider in ["openai", "anthropic"] {
                let labels = [("outcome", shown), ("provider", provider)];
                let told = self
                    .count(|attempt| attempt.outcome() == outcome && attempt.provider == provider);
                assert_eq!(
                    scraped.sum("modelway_attempts_total", &labels),
                    told,
                    "{shown}"
                );
            }
        }
        let failed = self.count(|attempt| attempt.outcome() == AttemptOutcome::Failed);
        let skipped = self.count(|attempt| attempt.outcome() == AttemptOutcome::Skipped);
        assert_eq!(scraped.sum("modelway_attempt_failures_total", &[]), failed);
        assert_eq!(scraped.sum("modelway_attempt_skips_total", &[]), skipped);
        let tokens = |kind: &str| {
            let name = format!("gen_ai_client_inference_usage_{kind}_tokens_total");
            scraped.sum(&name, &[])
        };
        assert_eq!(tokens("input"), self.tokens(|usage| usage.input_tokens));
        assert_eq!(tokens("output"), self.tokens(|usage| usage.output_tokens));
        let cached = self.tokens(|usage| usage.cache_read_input_tokens);
        assert_eq!(tokens("cache_read_input"), cached);
        let cost = |of| scraped.nanos("modelway_cost_usd_total", &[("use", of)]);
        assert_eq!(cost("answer"), self.answered);
        assert_eq!(cost("wasted"), self.wasted);
        let unknown = self.count(|attempt| {
            let is_free = attempt.billing_class() == BillingClass::Zero;
            let cost = attempt.cost.as_ref();
            cost.map_or(!is_free, |cost| cost.source() == CostSource::Unknown) && attempt.number > 0
        });
        assert_eq!(scraped.sum("modelway_cost_unknown_total", &[]), unknown);
        let rescued = scraped.sum("modelway_calls_rescued_total", &[]);
        assert_eq!(rescued, f64::from(self.rescued));
    }
}

/// Whether the last of the attempts came to the rescue of its call.
fn is_rescued(attempts: &[Attempt]) -> bool {
    let Some((answering, others)) = attempts.split_last() else {
        return false;
    };
    let failed = |attempt: &Attempt| match attempt.outcome() {
        AttemptOutcome::Failed => true,
        // Of targets that are passed over, those that are ill.
        AttemptOutcome::Skipped => matches!(
            attempt.error_reason(),
            ErrorReason::BreakerOpen | ErrorReason::ProviderAuthFailed
        ),
        _ => false,
    };
    answering.kind() != AttemptKind::Primary && others.iter().any(failed)
}

/// Nothing is under way any more.
fn is_at_rest(scraped: &Scraped) -> bool {
    ["modelway_admission_inflight", "modelway_throttle_inflight"]
        .iter()
        .all(|name| scraped.sum(name, &[]) == 0.0)
}

/// What the metrics show when nothing is under way any more.
async fn at_rest(gateway: &Gateway, calls: usize) -> Scraped {
    let resting = async {
        loop {
            let scraped = gateway.scraped_after(calls).await;
            if is_at_rest(&scraped) {
                return scraped;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PROMPTLY, resting).await.expect("all comes to rest")
}

/// The number that comes after this one in a fixed sequence without a visible order.
fn next(seed: &mut u64) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap()
}

/// Breakers that open for a short time.
const LENIENT: &str = "[breaker]\nopen_base = '100ms'\nopen_max = '100ms'";

#[tokio::test]
async fn thousands_of_calls_that_end_in_every_way_add_up_to_what_their_answers_say() {
    const CALLS: usize = 2_000;
    // Breakers would keep most attempts away, for as long as the calls take on a quick machine.
    let config = format!("{PRICED}\n{LENIENT}");
    let gateway = Gateway::start(&config).await;
    let behaviours = [
        "tokens=3",
        "tokens=9",
        "reasoning=4",
        "no-usage",
        "status=400",
        "status=503",
        "status=401",
        "context-length",
        "content-filter",
        "cut=2",
        "reset=1",
        "disconnect=0",
        "malformed=1",
        "error=2",
        "empty",
        "html",
        "tokens=5",
        "tokens=7",
    ];
    let mut seed = 7;
    let mut told = Told::default();
    for _ in 0..CALLS / 20 {
        for model in ["first", "second"] {
            let behaviour = behaviours[next(&mut seed) % behaviours.len()];
            let behaviour = behaviour.parse::<Behaviour>().unwrap();
            gateway.simulator.set(model, behaviour);
        }
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let method = METHODS[next(&mut seed) % 2];
            let request = match next(&mut seed) % 10 {
                0 => ask("unknown", "Hello"),
                1 => ask("", "Hello"),
                _ => ask("s", "Hello"),
            };
            let mut generation = gateway.generation();
            calls.spawn(async move { call(&mut generation, method, request).await });
        }
        while let Some(outcome) = calls.join_next().await {
            told.note(&outcome.unwrap());
        }
    }

    let scraped = at_rest(&gateway, CALLS).await;

    assert!(told.reasons.len() > 6, "{:?}", told.reasons);
    let Told {
        answered,
        wasted,
        rescued,
        ..
    } = told;
    assert!(
        wasted > 0 && answered > 0 && rescued > 0,
        "{answered} {wasted} {rescued}"
    );
    told.agrees_with(&scraped);
}

type Generation = modelway::grpc::v1::generation_service_client::GenerationServiceClient<
    tonic::transport::Channel,
>;

async fn call(
    generation: &mut Generation,
    method: Method,
    request: modelway::grpc::v1::GenerateRequest,
) -> Result<GenerateResponse, Status> {
    match method {
        Method::Generate => generation.generate(request).await.map(|it| it.into_inner()),
        Method::StreamGenerate => match generation.stream_generate(request).await {
            Ok(response) => {
                let streamed = crate::support::collect(response.into_inner()).await;
                streamed.into_response()
            }
            Err(status) => Err(status),
        },
    }
}

#[tokio::test]
async fn a_stream_that_its_caller_leaves_at_any_event_counts_the_tokens_that_were_reported() {
    // This provider reports the tokens of the prompt with its first event.
    let config = r#"
        [models."anthropic/model"]
        max_output_tokens = 1000
        price = { input = 3.0, output = 15.0 }
        [scenarios.s]
        targets = ["anthropic/model"]
    "#;
    let gateway = Gateway::start(config).await;
    let behaviour = "tokens=6+gap=5ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("model", behaviour);
    let whole = gateway.stream(ask("s", "Hello")).await;
    let events = whole.events.len();
    let response = whole.into_response().unwrap();
    let input = response.usage.unwrap().input_tokens as f64;
    assert!(input > 0.0);

    for taken in 0..events {
        let before = at_rest(&gateway, 1 + taken).await;
        let mut stream = gateway
            .generation()
            .stream_generate(ask("s", "Hello"))
            .await
            .unwrap()
            .into_inner();
        for _ in 0..taken {
            stream.message().await.unwrap().unwrap();
        }
        drop(stream);

        let after = at_rest(&gateway, 2 + taken).await;

        let more = |name: &str, labels: &[(&str, &str)]| {
            after.sum(name, labels) - before.sum(name, labels)
        };
        assert_eq!(more("modelway_calls_total", &[]), 1.0, "{taken}");
        assert_eq!(more("modelway_attempts_total", &[]), 1.0, "{taken}");
        let tokens = "gen_ai_client_inference_usage_input_tokens_total";
        assert_eq!(more(tokens, &[]), input, "{taken}");
    }
    let shown = gateway.scraped();
    let cancelled = [("reason", "CANCELLED"), ("blame", "caller")];
    let cancelled = shown.sum("modelway_calls_total", &cancelled);
    // The last events may all be there before the caller leaves.
    assert!(cancelled >= (events / 2) as f64, "{cancelled} of {events}");
}

#[tokio::test]
async fn the_gaps_between_the_events_of_a_stream_are_counted_once_each() {
    let config = "[models.\"openai/model\"]\n[scenarios.s]\ntargets = [\"openai/model\"]\n";
    let gateway = Gateway::start(config).await;
    let behaviour = "tokens=12+gap=100ms".parse::<Behaviour>().unwrap();
    gateway.simulator.set("model", behaviour);

    let streamed = gateway.stream(ask("s", "Hello")).await;

    let scraped = gateway.scraped_after(1).await;
    let is_piece = |event: &&Event| matches!(event, Event::TextDelta(_));
    let pieces = streamed.events.iter().filter(is_piece).count();
    // The usage comes last, so that there are as many gaps as pieces.
    let gaps = scraped.sum("modelway_attempt_gap_seconds_count", &[]);
    assert_eq!(gaps, pieces as f64);
    let below = |bound| scraped.sum("modelway_attempt_gap_seconds_bucket", &[("le", bound)]);
    // What is read late comes with what follows it; most gaps are as long as the provider makes them.
    assert!(below("0.01") <= gaps / 2.0, "{} of {gaps}", below("0.01"));
    let sum = scraped.sum("modelway_attempt_gap_seconds_sum", &[]);
    assert!(sum >= 1.0, "{sum}");
    let first = "gen_ai_client_inference_time_to_first_chunk_seconds_count";
    assert_eq!(scraped.sum(first, &[]), 1.0);
}
