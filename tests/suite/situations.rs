//! Does each of the situations that a provider brings a caller into end as it must, with one backup configured?
//!
//! | situation | test |
//! |---|---|
//! | 429 with `Retry-After` 2 s, then fine | `in_time::a_429_with_retry_after_2_s_then_fine` |
//! | endless 429 | `in_time::endless_429` |
//! | one 500 | `one_500` |
//! | endless 503 | `in_time::endless_503` |
//! | reset before the headers | `a_reset_before_the_headers` |
//! | silence | `in_time::silence` |
//! | first token after 20 s | `in_time::the_first_token_after_20_s` |
//! | stream cut after 40 of 60 tokens | `a_stream_cut_after_40_of_60_tokens` |
//! | stall after 20 tokens | `a_stall_after_20_tokens`, and the same `in_time` |
//! | one malformed event in the middle | `one_malformed_event_in_the_middle` |
//! | no `[DONE]` after a complete answer | `no_done_after_a_complete_answer`, and the same `in_time` |
//! | context length exceeded | `refused::context_length_exceeded` |
//! | content filter | `refused::a_content_filter` |
//! | the backup refuses an assistant prefill | `no_backup_is_asked_to_continue_anothers_answer` |
//! | primary down for a minute, then healthy | `in_time::the_primary_is_down_for_a_minute` |
//! | accounting after a failover | `accounting_after_a_failover` |
//!
//! Those in [`in_time`] hold with the default settings and the true times, in virtual time.
//! Each holds for every wire format of the primary, for `Generate` and for `StreamGenerate`. What the
//! trail says of many more faults stands in `failover`.

mod in_time;
mod refused;
mod wires;

use futures_util::future::join_all;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    BillingClass, CostSource, ErrorReason, FinishReason, GenerateRequest, GenerateResponse,
    OnInterruption, StreamOptions,
};
use modelway::simulator::{Behaviour, text};
use tonic::Code;

use crate::support::{Gateway, METHODS, Method, Streamed, ask, details, lines, text_of};

/// Providers of the wire formats, any of which may be the primary's.
const FORMATS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// The provider of the backup: of another wire format.
fn another(format: &str) -> &'static str {
    match format {
        "openai" => "anthropic",
        "anthropic" => "gemini",
        _ => "openai",
    }
}

/// A service whose scenario `s` has a primary of one wire format and a healthy backup of another.
struct Situation {
    gateway: Gateway,
    format: &'static str,
}

impl Situation {
    /// The primary behaves like this, each time but the last once.
    async fn start(format: &'static str, primary: &[&str]) -> Self {
        let backup = another(format);
        let gateway = Gateway::start(&format!(
            r#"
            [models."{format}/primary"]
            max_output_tokens = 1000
            timeouts = {{ byte_idle = "1s" }}
            price = {{ input = 1.0, output = 1.0 }}
            [models."{backup}/backup"]
            max_output_tokens = 1000
            price = {{ input = 2.0, output = 2.0 }}
            [scenarios.s]
            targets = ["{format}/primary", "{backup}/backup"]
            "#
        ))
        .await;
        let primary: Vec<Behaviour> = primary
            .iter()
            .map(|behaviour| behaviour.parse().unwrap())
            .collect();
        gateway.simulator.script("primary", primary);
        Self { gateway, format }
    }

    fn asked(&self, model: &str) -> usize {
        self.gateway.simulator.requests_for(model).len()
    }

    /// Makes a call that the primary fails for this reason and the backup answers, all of it.
    async fn rescued(&self, method: Method, reason: &str) -> GenerateResponse {
        let response = self.gateway.call(method, ask("s", "Hello")).await;
        let response = response.unwrap_or_else(|status| panic!("{}: {status:?}", self.format));
        self.assert_rescued(&response, reason);
        response
    }

    fn assert_rescued(&self, response: &GenerateResponse, reason: &str) {
        let format = self.format;
        assert_eq!(text_of(response), text(24), "{format}");
        let backup = another(format);
        let trail = [
            format!("1 PRIMARY {format}/primary FAILED {reason}"),
            format!("2 FAILOVER {backup}/backup SUCCEEDED"),
        ];
        assert_eq!(lines(&response.attempts), trail);
        assert_eq!(self.asked("primary"), 1);
    }
}

/// Checks every wire format of the primary and both methods at the same time, each with a service of
/// its own.
async fn everywhere(primary: &[&str], check: impl AsyncFn(Situation, Method)) {
    let checks = FORMATS.into_iter().flat_map(|format| {
        METHODS.map(|method| {
            let check = &check;
            async move { check(Situation::start(format, primary).await, method).await }
        })
    });
    join_all(checks).await;
}

#[tokio::test]
async fn one_500() {
    everywhere(&["status=500", "tokens=24"], async |situation, method| {
        situation.rescued(method, "PROVIDER_ERROR").await;

        let next = situation.gateway.call(method, ask("s", "Hello")).await;

        let trail = [format!("1 PRIMARY {}/primary SUCCEEDED", situation.format)];
        assert_eq!(lines(&next.unwrap().attempts), trail);
    })
    .await;
}

#[tokio::test]
async fn a_reset_before_the_headers() {
    everywhere(&["reset"], async |situation, method| {
        situation.rescued(method, "PROVIDER_UNREACHABLE").await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_cut_after_40_of_60_tokens() {
    assert_broken_off(
        "tokens=60+gap=2ms+cut=40",
        40,
        ErrorReason::ProviderBadResponse,
    )
    .await;
}

#[tokio::test]
async fn a_stall_after_20_tokens() {
    assert_broken_off(
        "tokens=60+gap=2ms+stall=20",
        20,
        ErrorReason::ProviderTimeout,
    )
    .await;
}

#[tokio::test]
async fn one_malformed_event_in_the_middle() {
    assert_broken_off(
        "tokens=60+gap=2ms+malformed=30",
        30,
        ErrorReason::ProviderBadResponse,
    )
    .await;
}

/// An answer breaks off after some tokens: a unary call gets a whole one all the same, and so does a
/// stream that may begin anew; any other stream ends with a typed interruption.
async fn assert_broken_off(primary: &str, arrived: usize, reason: ErrorReason) {
    let name = reason.as_str_name();
    let name = name.trim_start_matches("ERROR_REASON_");
    everywhere(&[primary], async |situation, method| {
        if method == Method::Generate {
            let response = situation.rescued(method, name).await;
            assert_eq!(response.attempts[0].billing_class(), BillingClass::Partial);
        } else {
            let request = with_interruption(OnInterruption::Restart);
            let streamed = situation.gateway.stream(request).await;
            let (before, why) = void(&streamed);
            assert_eq!(before.trim_end(), text(arrived));
            assert_eq!(why, reason);
            situation.assert_rescued(&streamed.into_response().unwrap(), name);
        }
    })
    .await;
    for format in FORMATS {
        let situation = Situation::start(format, &[primary]).await;
        let request = with_interruption(OnInterruption::Fail);

        let streamed = situation.gateway.stream(request).await;

        assert_eq!(streamed.text().trim_end(), text(arrived));
        let failure = details(&streamed.failure.unwrap());
        assert_eq!(failure.code, Code::Unavailable);
        assert_eq!(failure.reason, "STREAM_INTERRUPTED");
        let trail = [format!("1 PRIMARY {format}/primary FAILED {name}")];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        assert_eq!(situation.asked("backup"), 0);
    }
}

fn with_interruption(on_interruption: OnInterruption) -> GenerateRequest {
    GenerateRequest {
        stream_options: Some(StreamOptions {
            on_interruption: on_interruption.into(),
        }),
        ..ask("s", "Hello")
    }
}

/// What a caller had received when a reset said, once, that it is void and why.
fn void(streamed: &Streamed) -> (String, ErrorReason) {
    let mut before = String::new();
    let mut reasons = Vec::new();
    for event in &streamed.events {
        match event {
            Event::TextDelta(delta) if reasons.is_empty() => before.push_str(&delta.text),
            Event::OutputReset(reset) => reasons.push(reset.reason()),
            _ => {}
        }
    }
    assert_eq!(reasons.len(), 1);
    (before, reasons[0])
}

#[tokio::test]
async fn no_done_after_a_complete_answer() {
    // The connection is closed, or stays open.
    for primary in ["no-end", "open-end"] {
        everywhere(&[primary], async |situation, method| {
            let response = situation
                .gateway
                .call(method, ask("s", "Hello"))
                .await
                .unwrap();

            assert_eq!(text_of(&response), text(24));
            assert_eq!(response.finish_reason(), FinishReason::Stop);
            assert_eq!(response.usage.unwrap().output_tokens, 24);
            assert_eq!(response.attempts[0].billing_class(), BillingClass::Actual);
            let trail = [format!("1 PRIMARY {}/primary SUCCEEDED", situation.format)];
            assert_eq!(lines(&response.attempts), trail);
        })
        .await;
    }
}

/// A provider that refuses an assistant prefill cannot refuse ours: there is none.
#[tokio::test]
async fn no_backup_is_asked_to_continue_anothers_answer() {
    let script = ["tokens=60+gap=2ms+cut=40", "status=503"];
    everywhere(&script, async |situation, method| {
        for _ in 0..2 {
            let request = with_interruption(OnInterruption::Restart);
            situation.gateway.call(method, request).await.unwrap();
        }

        let [after_tokens, after_none] = &situation.gateway.simulator.requests_for("backup")[..]
        else {
            panic!("the backup is asked twice")
        };
        assert_eq!(after_tokens.json(), after_none.json());
    })
    .await;
}

#[tokio::test]
async fn accounting_after_a_failover() {
    let table = [
        ("status=500", BillingClass::Zero),
        ("tokens=60+gap=2ms+cut=40", BillingClass::Partial),
    ];
    for (primary, billing) in table {
        everywhere(&[primary], async |situation, method| {
            let request = with_interruption(OnInterruption::Restart);

            let response = situation.gateway.call(method, request).await.unwrap();

            assert_eq!(response.provider, another(situation.format));
            assert_eq!(response.model, "backup");
            assert_eq!(response.response_model, "backup");
            let [failed, answered] = &response.attempts[..] else {
                panic!("two attempts")
            };
            assert_eq!(failed.billing_class(), billing);
            assert_eq!(answered.billing_class(), BillingClass::Actual);
            let tokens = answered.usage.as_ref().unwrap();
            assert_eq!((tokens.input_tokens, tokens.output_tokens), (1, 24));
            assert_eq!(answered.cost.as_ref().unwrap().amount_nanos, 50_000);
            if billing == BillingClass::Zero {
                assert_eq!(failed.usage, None);
                let cost = failed.cost.as_ref().unwrap();
                assert_eq!(
                    (cost.amount_nanos, cost.source()),
                    (0, CostSource::PriceTable)
                );
                assert_eq!(response.usage, answered.usage);
                assert_eq!(response.cost, answered.cost);
            }
        })
        .await;
    }
}
