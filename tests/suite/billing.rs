//! Does each attempt say what its provider will charge for it?

use futures_util::future::join_all;
use modelway::grpc::v1::{Attempt, BillingClass};
use modelway::simulator::Behaviour;

use crate::support::{Gateway, METHODS, Method, Timerless, ask, details};

/// What becomes of the first target decides; the second answers, and says what it used. The patient
/// one behaves like the first.
const CONFIG: &str = r#"
[models."openai/first"]
[models."anthropic/second"]
max_output_tokens = 1000
[models."openai/patient"]

[scenarios.both]
targets = ["openai/first", "anthropic/second"]
[scenarios.alone]
targets = ["openai/patient"]
"#;

async fn start(behaviour: &str) -> Gateway {
    // Only what never comes ends by a limit that is short.
    let limit = match behaviour {
        "hang" | "silence" => "timeouts = { first_event = '500ms' }",
        "stall=5" => "timeouts = { byte_idle = '500ms' }",
        _ => "",
    };
    let first = "[models.\"openai/first\"]";
    let config = CONFIG.replacen(first, &format!("{first}\n{limit}"), 1);
    let gateway = Gateway::start(&config).await;
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set("first", behaviour.clone());
    gateway.simulator.set("patient", behaviour);
    gateway
}

/// The attempts of a call, however it ended.
async fn attempts(gateway: &Gateway, method: Method, scenario: &str) -> Vec<Attempt> {
    match gateway.call(method, ask(scenario, "Hello")).await {
        Ok(response) => response.attempts,
        Err(status) => details(&status).failure.unwrap().attempts,
    }
}

#[tokio::test]
async fn every_ending_has_its_class() {
    let table = [
        ("tokens=3", BillingClass::Actual),
        ("no-usage", BillingClass::Uncertain),
        ("status=400", BillingClass::Zero),
        ("status=401", BillingClass::Zero),
        ("status=429", BillingClass::Zero),
        ("status=500", BillingClass::Zero),
        ("status=503", BillingClass::Zero),
        ("quota", BillingClass::Zero),
        ("hang", BillingClass::Uncertain),
        ("silence", BillingClass::Uncertain),
        ("reset", BillingClass::Uncertain),
        ("cut=5", BillingClass::Partial),
        ("reset=5", BillingClass::Partial),
        ("stall=5", BillingClass::Partial),
        ("malformed=5", BillingClass::Partial),
        ("error=5", BillingClass::Partial),
    ];
    for (behaviour, expected) in table {
        for method in METHODS {
            let gateway = start(behaviour).await;

            let attempts = attempts(&gateway, method, "both").await;

            assert_eq!(
                attempts[0].billing_class(),
                expected,
                "{behaviour} {method:?}"
            );
            for rescue in &attempts[1..] {
                assert_eq!(rescue.billing_class(), BillingClass::Actual);
            }
        }
    }
}

#[tokio::test]
async fn what_was_not_sent_is_not_charged_for() {
    let gateway = start("status=401").await;
    attempts(&gateway, Method::Generate, "both").await;

    let attempts = attempts(&gateway, Method::Generate, "both").await;

    assert_eq!(attempts[0].number, 0);
    assert_eq!(attempts[0].billing_class(), BillingClass::Unspecified);
}

#[tokio::test]
async fn an_attempt_that_the_deadline_ends_is_charged_for_as_far_as_it_came() {
    // Both have begun long before the deadline, on a busy machine too.
    let table = [
        ("delay=60s", BillingClass::Uncertain),
        ("tokens=1000+gap=10ms", BillingClass::Partial),
    ];
    let cases = table
        .into_iter()
        .flat_map(|case| METHODS.map(|method| (case, method)));
    let checks = cases.map(async |((behaviour, expected), method)| {
        let gateway = start(behaviour).await;
        let client = Timerless::connect(gateway.address).await;

        let outcome = client.call(method, ask("alone", "Hello"), "3S").await;

        let failure = details(&outcome.unwrap_err()).failure.unwrap();
        let class = failure.attempts[0].billing_class();
        assert_eq!(class, expected, "{behaviour} {method:?}");
    });
    join_all(checks).await;
}
