//! Every fault of a provider, in every format: failed over before the first content, reported after it.

use std::fmt::Write as _;
use std::sync::Arc;

use modelway::simulator::text;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Gateway, METHODS, Method, ask, details, lines, text_of};

use super::{FORMATS, SHORT_WAITS};

/// What the trail says of a fault before the first content, for each of [`FORMATS`].
const EARLY_FAULTS: &[(&str, [&str; 3])] = &[
    ("status=401", ["PROVIDER_AUTH_FAILED"; 3]),
    ("status=402", ["PROVIDER_QUOTA_EXHAUSTED"; 3]),
    ("status=403", ["PROVIDER_AUTH_FAILED"; 3]),
    ("status=404", ["PROVIDER_ERROR"; 3]),
    ("status=418", ["PROVIDER_ERROR"; 3]),
    ("status=429", ["PROVIDER_RATE_LIMITED"; 3]),
    ("status=429+retry-after=1s", ["PROVIDER_RATE_LIMITED"; 3]),
    ("quota", ["PROVIDER_QUOTA_EXHAUSTED"; 3]),
    ("status=500", ["PROVIDER_ERROR"; 3]),
    ("status=502", ["PROVIDER_ERROR"; 3]),
    ("status=503", ["PROVIDER_OVERLOADED"; 3]),
    ("status=503+retry-after=30s", ["PROVIDER_OVERLOADED"; 3]),
    ("status=529", ["PROVIDER_OVERLOADED"; 3]),
    ("hang", ["PROVIDER_TIMEOUT"; 3]),
    ("silence", ["PROVIDER_TIMEOUT"; 3]),
    ("pings=20ms", ["PROVIDER_TIMEOUT"; 3]),
    ("role-only", ["PROVIDER_TIMEOUT"; 3]),
    ("stall=0", ["PROVIDER_TIMEOUT"; 3]),
    ("reset", ["PROVIDER_UNREACHABLE"; 3]),
    ("disconnect=0", ["PROVIDER_UNREACHABLE"; 3]),
    ("reset=0", ["PROVIDER_UNREACHABLE"; 3]),
    (
        "error=0",
        [
            "PROVIDER_ERROR",
            "PROVIDER_OVERLOADED",
            "PROVIDER_OVERLOADED",
        ],
    ),
    ("cut=0", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("malformed=0", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("html", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("empty", ["PROVIDER_BAD_RESPONSE"; 3]),
    // These arrive together with the first content, which no caller has seen then.
    ("malformed=5", ["PROVIDER_BAD_RESPONSE"; 3]),
];

/// The same for faults after five tokens, which come one by one: what comes in one breath with the
/// first is before it.
const LATE_FAULTS: &[(&str, [&str; 3])] = &[
    (
        "gap=2ms+error=5",
        [
            "PROVIDER_ERROR",
            "PROVIDER_OVERLOADED",
            "PROVIDER_OVERLOADED",
        ],
    ),
    ("gap=2ms+cut=5", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("gap=2ms+disconnect=5", ["PROVIDER_UNREACHABLE"; 3]),
    ("gap=2ms+reset=5", ["PROVIDER_UNREACHABLE"; 3]),
    ("gap=2ms+stall=5", ["PROVIDER_TIMEOUT"; 3]),
    ("gap=2ms+malformed=5", ["PROVIDER_BAD_RESPONSE"; 3]),
    // All tokens, but not the provider's own end.
    ("gap=2ms+cut=24", ["PROVIDER_BAD_RESPONSE"; 3]),
];

/// For silence in the middle of an answer, and longer than a busy machine is silent in the midst of one.
const SHORT_IDLE: &str = r#"{ byte_idle = "3s" }"#;

/// A scenario for each fault, format and method: a primary that suffers it, of a provider of its own
/// because some faults are held against the provider, and a healthy backup.
fn matrix(faults: &[(&str, [&str; 3])]) -> String {
    let mut config = r#"[models."openai/backup"]"#.to_owned();
    for format in FORMATS {
        for (fault, reasons) in faults {
            let wire_format = match format {
                "openai" => "openai_chat",
                other => other,
            };
            let timeouts = match (reasons[0], fault.ends_with("stall=5")) {
                ("PROVIDER_TIMEOUT", false) => SHORT_WAITS,
                ("PROVIDER_TIMEOUT", true) => SHORT_IDLE,
                _ => "{}",
            };
            for method in METHODS {
                let scenario = scenario(format, fault, method);
                let primary = format!("{scenario}/{format}+{fault}");
                write!(
                    config,
                    r#"
                    [providers.{scenario}]
                    simulated = true
                    wire_format = "{wire_format}"
                    [models."{primary}"]
                    max_output_tokens = 1000
                    timeouts = {timeouts}
                    [scenarios.{scenario}]
                    targets = ["{primary}", "openai/backup"]
                    "#
                )
                .unwrap();
            }
        }
    }
    config
}

/// Name of the scenario and of its primary's provider.
fn scenario(format: &str, fault: &str, method: Method) -> String {
    let method = match method {
        Method::Generate => "unary",
        Method::StreamGenerate => "stream",
    };
    format!("{format}-{}-{method}", fault.replace(['=', '+'], "-"))
}

/// Runs `check` for every fault and format, all at the same time.
async fn for_each_fault<F>(
    faults: &'static [(&str, [&'static str; 3])],
    check: impl Fn(Arc<Gateway>, &'static str, &'static str, &'static str) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let gateway = Arc::new(Gateway::start(&matrix(faults)).await);
    let mut checks = JoinSet::new();
    for (fault, reasons) in faults {
        for (format, reason) in FORMATS.into_iter().zip(*reasons) {
            checks.spawn(check(Arc::clone(&gateway), format, fault, reason));
        }
    }
    while let Some(checked) = checks.join_next().await {
        checked.unwrap();
    }
}

#[tokio::test]
async fn every_fault_before_the_first_content_is_answered_by_the_backup() {
    for_each_fault(EARLY_FAULTS, |gateway, format, fault, reason| async move {
        let primary = format!("{format}+{fault}");
        for method in METHODS {
            let scenario = scenario(format, fault, method);

            let response = gateway.call(method, ask(&scenario, "Hello")).await;

            let response = response.unwrap_or_else(|status| panic!("{primary}: {status:?}"));
            assert_eq!(text_of(&response), text(24), "{primary} {method:?}");
            let trail = [
                format!("1 PRIMARY {scenario}/{primary} FAILED {reason}"),
                "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&response.attempts), trail, "{method:?}");
            assert_eq!(response.provider, "openai");
            assert_eq!(response.model, "backup");
        }
        let asked = gateway.simulator.requests_for(&primary).len();
        assert_eq!(
            asked,
            METHODS.len(),
            "{primary} is asked once for each call"
        );
    })
    .await;
}

#[tokio::test]
async fn a_unary_answer_that_breaks_off_is_replaced_by_a_whole_one() {
    for_each_fault(LATE_FAULTS, |gateway, format, fault, reason| async move {
        let primary = format!("{format}+{fault}");
        let scenario = scenario(format, fault, Method::Generate);

        let response = gateway.generate(ask(&scenario, "Hello")).await;

        let response = response.unwrap_or_else(|status| panic!("{primary}: {status:?}"));
        assert_eq!(text_of(&response), text(24), "{primary}");
        let trail = [
            format!("1 PRIMARY {scenario}/{primary} FAILED {reason}"),
            "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
        ];
        assert_eq!(lines(&response.attempts), trail);
        assert_eq!(gateway.simulator.requests_for(&primary).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so_and_is_never_continued_by_another() {
    for_each_fault(LATE_FAULTS, |gateway, format, fault, reason| async move {
        let primary = format!("{format}+{fault}");
        let scenario = scenario(format, fault, Method::StreamGenerate);

        let streamed = gateway.stream(ask(&scenario, "Hello")).await;

        let received = streamed.text();
        let begun = text(24).starts_with(&received) && !received.is_empty();
        assert!(begun, "{primary}: {received}");
        let failure = details(&streamed.failure.unwrap());
        assert_eq!(failure.code, Code::Unavailable, "{primary}");
        assert_eq!(failure.reason, "STREAM_INTERRUPTED", "{primary}");
        assert_eq!(failure.pushback, Some(-1));
        let trail = [format!("1 PRIMARY {scenario}/{primary} FAILED {reason}")];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        assert_eq!(gateway.simulator.requests_for("backup").len(), 0);
    })
    .await;
}
