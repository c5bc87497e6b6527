//! Do the lines about breakers, locks and throttles name the call that has caused the change?

use modelway::grpc::v1::{BreakerState, SetBreakerRequest};
use modelway::simulator::Behaviour;
use serde_json::Value;

use crate::support::log::Log;
use crate::support::{Gateway, ask, details};

/// The id of a call that fails.
async fn failed(gateway: &Gateway) -> String {
    let failure = gateway.generate(ask("s", "Hello")).await.unwrap_err();
    details(&failure).failure.unwrap().call_id
}

fn lines(log: &Log, message: &str) -> Vec<Value> {
    let mut lines = log.lines();
    lines.retain(|line| line["message"] == message);
    lines
}

#[tokio::test]
async fn a_change_that_a_call_causes_has_the_id_of_that_call() {
    for (behaviour, message) in [
        ("status=503", "breaker changed state"),
        ("status=401", "credential locked"),
        ("status=429+retry-after=20s", "model throttled"),
    ] {
        let log = Log::default();
        let _listening = log.listen("info");
        let more = "[breaker]\nconsecutive_failures = 2\n[retry]\nratio = 0.0\nburst = 0\n";
        let gateway = Gateway::start_scenario(&["openai/model"], more).await;
        let behaviour = behaviour.parse::<Behaviour>().unwrap();
        gateway.simulator.set("model", behaviour);

        let mut calls = Vec::new();
        while lines(&log, message).is_empty() {
            assert!(calls.len() < 10, "{message}: {:#?}", log.lines());
            calls.push(failed(&gateway).await);
        }

        let told = lines(&log, message);
        assert_eq!(told[0]["call_id"], **calls.last().unwrap(), "{message}");
    }
}

#[tokio::test]
async fn what_an_operator_decides_is_no_calls_doing() {
    let log = Log::default();
    let _listening = log.listen("info");
    let gateway = Gateway::start_scenario(&["openai/model"], "").await;
    gateway.generate(ask("s", "Hello")).await.unwrap();
    let decision = SetBreakerRequest {
        provider: "openai".to_owned(),
        model: "openai/model".to_owned(),
        state: BreakerState::ForcedOpen.into(),
        ..SetBreakerRequest::default()
    };

    gateway.operations().set_breaker(decision).await.unwrap();

    let told = lines(&log, "breaker changed state");
    assert_eq!(told.len(), 1, "{:#?}", log.lines());
    assert_eq!(told[0]["cause"], "operator");
    assert_eq!(told[0]["call_id"], Value::Null);
}
