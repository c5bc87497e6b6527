//! The spelling of calls, byte for byte.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::*;
use crate::caller::{Door, Method, Priority};
use crate::chat::Usage;
use crate::error::{Reason, UpstreamError, UpstreamErrorKind};
use crate::identity::Labels;
use crate::money::Cost;
use crate::telemetry::facts::CallTimes;
use crate::trail::{AttemptKind, BreakerState, Trail};

const PRICED: Option<Cost> = Some(Cost::specimen(4_200_000, CostSource::Prices));

fn attempt(number: u32, target: &str, kind: AttemptKind, outcome: Outcome) -> AttemptRecord {
    let (provider, model) = target.split_once('/').unwrap();
    AttemptRecord {
        number,
        target: target.to_owned(),
        provider: provider.to_owned(),
        model: model.to_owned(),
        kind,
        breaker: BreakerState::Closed,
        outcome,
        started: SystemTime::UNIX_EPOCH,
        began: None,
        latency: Duration::from_micros(812_004),
        first_content: None,
        is_streamed: false,
        usage: None,
        reserved_nanos: None,
        reserved_tokens: None,
        cost: None,
        provider_cost: None,
        diverging_nanos: None,
        is_priceable: false,
        billing: None,
        span_id: String::new(),
        provider_request_id: None,
        response_model: None,
        response_id: None,
        finish: None,
    }
}

fn rescued() -> Trail {
    let overloaded = UpstreamError::new(UpstreamErrorKind::Overloaded);
    let answering = attempt(
        2,
        "anthropic/claude",
        AttemptKind::Failover,
        Outcome::Succeeded,
    );
    let usage = Usage {
        input_tokens: Some(812),
        output_tokens: Some(240),
        cache_read_input_tokens: Some(0),
        reasoning_output_tokens: Some(0),
        ..Usage::default()
    };
    Trail {
        call_id: "01a2".to_owned(),
        trace_id: "5f4f".to_owned(),
        scenario: "general".to_owned(),
        attempts: vec![
            attempt(
                1,
                "openai/gpt",
                AttemptKind::Primary,
                Outcome::Failed(overloaded),
            ),
            AttemptRecord {
                usage: Some(usage),
                cost: PRICED,
                finish: Some(FinishReason::Stop),
                latency: Duration::from_micros(4_307_552),
                ..answering
            },
        ],
    }
}

static NO_LABELS: Labels = Labels::new();

fn facts<'a>(trail: &'a Trail, end: CallEnd, asked_for: &'a AskedFor) -> CallFacts<'a> {
    CallFacts {
        trail,
        caller: Caller::of_peer(Some([10, 0, 0, 1].into())),
        identity: None,
        labels: &NO_LABELS,
        request_id: None,
        method: Method::StreamGenerate,
        door: Door::Grpc,
        asked_for,
        priority: Priority::Default,
        end,
        blame: end.blame(true),
        messages: Some(246),
        replayed: false,
        times: CallTimes {
            total: Duration::from_micros(5_120_004),
            queue: Duration::from_micros(10),
            upstream: Duration::from_micros(5_119_556),
            overhead: Duration::from_micros(438),
            first_content: Some(Duration::from_micros(1_843_120)),
            ..CallTimes::default()
        },
    }
}

fn json(facts: &CallFacts<'_>) -> String {
    let config = Some(0x9f86_d081);
    format!("{:#?}", CallLine { facts, config })
}

fn text(facts: &CallFacts<'_>) -> String {
    let config = None;
    format!("{:?}", CallLine { facts, config })
}

/// The members of the spelled line.
fn read(line: &str) -> Value {
    serde_json::from_str(&format!("{{{}}}", &line[1..])).unwrap()
}

#[test]
fn a_rescued_call_says_what_was_tried_and_where_its_time_went() {
    let trail = rescued();
    let facts = facts(&trail, CallEnd::Answered, &AskedFor::Scenario);

    let expected = concat!(
        r#","call_id":"01a2","trace_id":"5f4f","caller":"10.0.0.1","method":"StreamGenerate","door":"grpc","#,
        r#""scenario":"general","priority":"default","code":"OK","reason":"OK","blame":"none","#,
        r#""provider":"anthropic","model":"claude","finish_reason":"stop","#,
        r#""attempts":2,"skipped":0,"rescued":true,"tried":["#,
        r#"{"target":"openai/gpt","kind":"primary","outcome":"failed","reason":"PROVIDER_OVERLOADED","ms":812.004},"#,
        r#"{"target":"anthropic/claude","kind":"failover","outcome":"succeeded","ms":4307.552}],"#,
        r#""input_tokens":812,"output_tokens":240,"cached_tokens":0,"reasoning_tokens":0,"#,
        r#""cost_usd":"0.004200000","wasted_usd":"0.000000000","cost_source":"price_table","#,
        r#""first_content_ms":1843.120,"total_ms":5120.004,"queue_ms":0.010,"upstream_ms":5119.556,"#,
        r#""overhead_ms":0.438,"messages":246,"config":"9f86d081""#,
    );
    assert_eq!(json(&facts), expected);
    assert_eq!(
        text(&facts),
        "OK general anthropic/claude attempts=2 rescued=true tokens=812/240 cost=0.004200000 \
         first=1843.120ms total=5120.004ms own=0.438ms caller=10.0.0.1 call_id=01a2 trace_id=5f4f"
    );
    read(&json(&facts));
    let page = include_str!("../../../../docs/logs.md");
    assert!(page.contains(expected), "the example of the page");
    assert!(page.contains(&text(&facts)), "the example of the page");
}

#[test]
fn what_is_not_known_is_absent_and_an_unknown_name_is_not_repeated() {
    let trail = Trail::default();
    let end = CallEnd::Failed(Reason::ScenarioNotFound);
    let facts = CallFacts {
        caller: Caller::Unknown,
        request_id: Some("a \"b\""),
        messages: None,
        method: Method::Generate,
        replayed: true,
        times: CallTimes::default(),
        ..facts(&trail, end, &AskedFor::UnknownScenario)
    };

    let line = read(&json(&facts));
    let names: Vec<_> = line.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "call_id",
            "trace_id",
            "request_id",
            "method",
            "door",
            "scenario",
            "priority",
            "code",
            "reason",
            "blame",
            "attempts",
            "skipped",
            "rescued",
            "total_ms",
            "queue_ms",
            "upstream_ms",
            "overhead_ms",
            "replayed",
            "config"
        ]
    );
    assert_eq!(line["scenario"], "unknown");
    assert_eq!(line["request_id"], "a \"b\"");
    assert_eq!(line["blame"], "caller");
    assert!(text(&facts).contains(r#" request_id="a \"b\"" "#));
}

#[test]
fn a_line_that_would_be_too_long_loses_what_was_tried_and_stays_json() {
    let long = |number| AttemptRecord {
        provider_request_id: Some("\u{1}".repeat(250)),
        ..attempt(
            number,
            "p/m",
            AttemptKind::Retry,
            Outcome::Failed(UpstreamError::new(UpstreamErrorKind::ServerError)),
        )
    };
    for (count, shown, is_cut) in [(1, 1, false), (4, 4, false), (8, 4, true), (10, 4, true)] {
        let trail = Trail {
            attempts: (1..=count).map(long).collect(),
            ..Trail::default()
        };
        let end = CallEnd::Failed(Reason::ProviderError);
        let line = json(&facts(&trail, end, &AskedFor::Unread));

        assert!(line.len() <= MAX_BYTES, "{}", line.len());
        let line = read(&line);
        assert_eq!(line["tried"].as_array().unwrap().len(), shown, "{count}");
        assert_eq!(line.get("cut").is_some(), is_cut, "{count}");
        assert_eq!(line["attempts"], count);
    }
}

#[test]
fn only_a_defect_is_an_error_and_what_its_caller_did_is_no_warning() {
    let trail = Trail::default();
    let of = |end| gravity(&facts(&trail, end, &AskedFor::Unread));

    assert_eq!(of(CallEnd::Answered), Gravity::Info);
    assert_eq!(of(CallEnd::Cancelled), Gravity::Info);
    for reason in Reason::ALL {
        let expected = match (reason, reason.blame(true)) {
            (Reason::Internal, _) => Gravity::Error,
            (_, Blame::Caller) => Gravity::Info,
            _ => Gravity::Warn,
        };
        assert_eq!(of(CallEnd::Failed(reason)), expected, "{reason:?}");
    }
}
