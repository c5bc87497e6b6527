//! `modelway explain`.

use modelway::grpc::v1::{BreakerState, SetBreakerRequest};
use modelway::server::ListenAddress;

use super::run;
use crate::support::Gateway;

#[tokio::test]
async fn a_plan_is_shown_with_what_is_skipped_and_nothing_is_sent() {
    let gateway = Gateway::start_scenario(&["openai/first", "gemini/second"], "").await;
    let Some(ListenAddress::Tcp(admin)) = &gateway.admin else {
        panic!("there is a listener for operators");
    };
    let admin = admin.to_string();
    let held = SetBreakerRequest {
        provider: "openai".to_owned(),
        model: "openai/first".to_owned(),
        state: BreakerState::ForcedOpen.into(),
        ..SetBreakerRequest::default()
    };
    gateway.operations().set_breaker(held).await.unwrap();

    let done = run(&["explain", "s", "--address", &admin]).await;

    assert_eq!(done.code, Some(0), "{done:?}");
    let lines: Vec<_> = done.out.lines().collect();
    assert!(
        lines[0].starts_with("  - openai/first  skipped: BREAKER_OPEN"),
        "{done:?}"
    );
    assert!(lines[0].contains("breaker FORCED_OPEN"), "{done:?}");
    assert_eq!(lines[1], " 1. gemini/second", "{done:?}");
    assert!(done.out.contains("at most "), "{done:?}");
    assert!(done.out.contains("retry budget: "), "{done:?}");

    let done = run(&["explain", "s", "--json", "--address", &admin]).await;
    let plan: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        plan["targets"][0]["skipReason"],
        "ERROR_REASON_BREAKER_OPEN"
    );
    assert_eq!(plan["targets"][1]["eligible"], true);

    let done = run(&["explain", "no-such", "--address", &admin]).await;
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.starts_with("SCENARIO_NOT_FOUND"), "{done:?}");
    assert!(gateway.simulator.requests().is_empty());
}
