//! Does a caller that asked for it get a whole answer after its stream broke off, and does it learn what is void?

use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{ErrorReason, GenerateRequest, OnInterruption, StreamOptions};
use modelway::simulator::{Behaviour, Fault, text};
use tonic::Code;

use crate::support::{Gateway, Streamed, ask, details};

const CONFIG: &str = r#"
[models."openai/first"]
timeouts = { byte_idle = "3s" }
[models."anthropic/second"]
max_output_tokens = 1000
[models."gemini/third"]

[scenarios.s]
targets = ["openai/first", "anthropic/second", "gemini/third"]
[scenarios.thrifty]
targets = ["openai/first", "anthropic/second"]
retry = { ratio = 0.0, burst = 0 }
[scenarios.once]
targets = ["openai/first", "anthropic/second"]
max_attempts = 1
"#;

/// Sixty tokens of an answer, of which forty arrive.
fn cut() -> Behaviour {
    Behaviour {
        tokens: 60,
        ..Fault::Cut { after: 40 }.into()
    }
}

/// The second target's answer, which is another one.
fn second() -> Behaviour {
    Behaviour {
        text: Some("quite another answer".to_owned()),
        ..Behaviour::default()
    }
}

async fn start() -> Gateway {
    let gateway = Gateway::start(CONFIG).await;
    gateway.simulator.set("first", cut());
    gateway.simulator.set("second", second());
    gateway
}

fn restarting(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        stream_options: Some(StreamOptions {
            on_interruption: OnInterruption::Restart.into(),
        }),
        ..ask(scenario, "Hello")
    }
}

/// The reason of each reset.
fn resets(streamed: &Streamed) -> Vec<ErrorReason> {
    let reset = |event: &Event| match event {
        Event::OutputReset(reset) => Some(reset.reason()),
        _ => None,
    };
    streamed.events.iter().filter_map(reset).collect()
}

/// The text before the reset and after it.
fn texts(streamed: &Streamed) -> [String; 2] {
    let mut texts = [String::new(), String::new()];
    let mut after = 0;
    for event in &streamed.events {
        match event {
            Event::OutputReset(_) => after = 1,
            Event::TextDelta(delta) => texts[after].push_str(&delta.text),
            _ => {}
        }
    }
    texts
}

#[tokio::test]
async fn every_way_of_breaking_off_is_followed_by_a_whole_answer() {
    for fault in [
        "gap=2ms+disconnect=5",
        "gap=2ms+reset=5",
        "gap=2ms+error=5",
        "gap=2ms+malformed=5",
        "gap=2ms+stall=5",
    ] {
        let gateway = start().await;
        let behaviour: Behaviour = fault.parse().unwrap();
        gateway.simulator.set("first", behaviour);

        let streamed = gateway.stream(restarting("s")).await;

        assert_eq!(resets(&streamed).len(), 1, "{fault}");
        let [before, after] = texts(&streamed);
        assert!(text(24).starts_with(before.trim_end()), "{fault}: {before}");
        assert_eq!(after, "quite another answer", "{fault}");
        assert!(streamed.failure.is_none());
    }
}

/// What happened, in a word each.
fn told(streamed: &Streamed) -> Vec<String> {
    let mut told = Vec::new();
    for event in &streamed.events {
        let event = match event {
            Event::Started(_) => "started".to_owned(),
            Event::AttemptStarted(attempt) => format!("{} started", attempt.number),
            Event::AttemptEnded(ended) => {
                let number = ended.attempt.as_ref().unwrap().number;
                match ended.will_continue {
                    true => format!("{number} ended"),
                    false => format!("{number} ended the call"),
                }
            }
            Event::OutputReset(_) => "reset".to_owned(),
            Event::Completed(_) => "completed".to_owned(),
            _ => "deltas".to_owned(),
        };
        if told.last() != Some(&event) {
            told.push(event);
        }
    }
    told
}

#[tokio::test]
async fn the_events_tell_which_attempt_is_void_before_the_next_one_begins() {
    let gateway = start().await;
    let broken: Behaviour = "status=500".parse().unwrap();
    gateway.simulator.set("second", broken);

    let streamed = gateway.stream(restarting("s")).await;

    let expected = [
        "started",
        "1 started",
        "deltas",
        "1 ended",
        "2 started",
        "2 ended",
        "reset",
        "3 started",
        "deltas",
        "3 ended the call",
        "completed",
    ];
    assert_eq!(told(&streamed), expected);
}

#[tokio::test]
async fn what_was_tried_before_the_void_answer_is_not_told_again() {
    let gateway = start().await;
    let broken: Behaviour = "status=500".parse().unwrap();
    gateway.simulator.set("first", broken);
    gateway.simulator.set("second", cut());

    let streamed = gateway.stream(restarting("s")).await;

    let expected = [
        "started",
        "1 started",
        "1 ended",
        "2 started",
        "deltas",
        "2 ended",
        "reset",
        "3 started",
        "deltas",
        "3 ended the call",
        "completed",
    ];
    assert_eq!(told(&streamed), expected);
}

/// The call failed by an interruption after so many attempts.
fn assert_interrupted(streamed: &Streamed, attempts: usize) {
    let failure = details(streamed.failure.as_ref().unwrap());
    assert_eq!(failure.code, Code::Unavailable);
    assert_eq!(failure.reason, "STREAM_INTERRUPTED");
    assert_eq!(failure.pushback, Some(-1));
    let sent = failure.failure.unwrap().attempts;
    let sent = sent.iter().filter(|attempt| attempt.number > 0).count();
    assert_eq!(sent, attempts);
}

#[tokio::test]
async fn a_second_interruption_fails_the_call() {
    let gateway = start().await;
    gateway.simulator.set("second", cut());

    let streamed = gateway.stream(restarting("s")).await;

    assert_eq!(resets(&streamed).len(), 1);
    let [before, after] = texts(&streamed);
    assert_eq!(before.trim_end(), text(40));
    assert_eq!(after.trim_end(), text(40));
    assert_interrupted(&streamed, 2);
    assert_eq!(gateway.simulator.requests_for("third").len(), 0);
}

#[tokio::test]
async fn where_no_attempt_may_be_added_the_interruption_is_told_without_a_reset() {
    for scenario in ["thrifty", "once"] {
        let gateway = start().await;

        let streamed = gateway.stream(restarting(scenario)).await;

        assert_eq!(resets(&streamed), [], "{scenario}");
        assert_eq!(streamed.text().trim_end(), text(40));
        assert_interrupted(&streamed, 1);
        assert_eq!(gateway.simulator.requests_for("second").len(), 0);
    }
}

#[tokio::test]
async fn where_no_other_target_answers_the_interruption_is_reported_without_a_reset() {
    let gateway = start().await;
    for model in ["second", "third"] {
        let broken: Behaviour = "status=500".parse().unwrap();
        gateway.simulator.set(model, broken);
    }

    let streamed = gateway.stream(restarting("s")).await;

    assert_eq!(resets(&streamed), []);
    assert_eq!(streamed.text().trim_end(), text(40));
    assert_interrupted(&streamed, 3);
}

#[tokio::test]
async fn a_whole_answer_has_nothing_to_reset() {
    let gateway = start().await;

    let response = gateway.generate(restarting("s")).await.unwrap();

    assert_eq!(crate::support::text_of(&response), "quite another answer");
    assert_eq!(response.attempts.len(), 2);
}
