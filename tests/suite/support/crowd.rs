//! Makes many calls at once, and collects what each caller has received at the end.

use std::collections::HashMap;
use std::time::Duration;

use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    Attempt, GenerateRequest, GenerateResponse, OnInterruption, StreamOptions,
};
use modelway::simulator::Received;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;

use super::streamed::collect_with;
use super::{Gateway, Streamed, ask, details, text_of};

/// Much longer than any crowd takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `Generate`.
    Whole,
    /// `StreamGenerate` that fails where it is interrupted.
    Failing,
    /// `StreamGenerate` that starts again where it is interrupted.
    Restarting,
}

/// Half of the calls are whole.
const KINDS: [Kind; 4] = [Kind::Whole, Kind::Failing, Kind::Whole, Kind::Restarting];

/// What a caller has received.
#[derive(Debug)]
pub(crate) struct CallResult {
    pub(crate) scenario: String,
    pub(crate) kind: Kind,
    /// All text since the last reset, of a complete answer or a part of one.
    pub(crate) text: String,
    pub(crate) resets: usize,
    pub(crate) outcome: Result<GenerateResponse, Status>,
}

/// Calls under way.
pub(crate) struct Crowd {
    calls: JoinSet<CallResult>,
    /// Words that each stream has received.
    words: watch::Sender<Vec<usize>>,
}

impl Crowd {
    /// Begins this many calls, of all kinds in turn.
    pub(crate) fn of(gateway: &Gateway, scenario: &str, count: usize) -> Self {
        let mut crowd = Self {
            calls: JoinSet::new(),
            words: watch::Sender::default(),
        };
        crowd.join(gateway, scenario, count);
        crowd
    }

    /// Begins this many further calls.
    pub(crate) fn join(&mut self, gateway: &Gateway, scenario: &str, count: usize) {
        for kind in KINDS.into_iter().cycle().take(count) {
            let mut client = gateway.generation();
            let request = request(scenario, kind);
            let scenario = scenario.to_owned();
            if kind == Kind::Whole {
                self.calls.spawn(async move {
                    let answer = client.generate(request).await;
                    whole(scenario, answer.map(tonic::Response::into_inner))
                });
                continue;
            }
            let words = self.words.clone();
            let stream = words.borrow().len();
            words.send_modify(|words| words.push(0));
            self.calls.spawn(async move {
                let on_event = |event: &Event| {
                    let more = words_in(event);
                    words.send_if_modified(|words| {
                        words[stream] += more;
                        more > 0
                    });
                };
                let streamed = match client.stream_generate(request).await {
                    Ok(response) => collect_with(response.into_inner(), on_event).await,
                    Err(status) => Streamed::failed(status),
                };
                of_stream(scenario, kind, streamed)
            });
        }
    }

    /// Waits until this condition on the words that each stream has received is met.
    pub(crate) async fn has_received(&self, enough: impl FnMut(&Vec<usize>) -> bool) {
        let mut words = self.words.subscribe();
        let received = timeout(PROMPTLY, words.wait_for(enough)).await;
        received.expect("the streams receive more").unwrap();
    }

    /// Waits until every call has ended.
    pub(crate) async fn results(self) -> Vec<CallResult> {
        let all = self.calls.join_all();
        timeout(PROMPTLY, all).await.expect("every call ends")
    }
}

impl CallResult {
    /// The sent attempts that were reported to the caller.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = match &self.outcome {
            Ok(response) => response.attempts.clone(),
            Err(status) => details(status).failure.unwrap().attempts,
        };
        attempts.retain(|attempt| attempt.number > 0);
        attempts
    }
}

/// Attempts beyond the first of their calls, in a scenario.
pub(crate) fn added(results: &[CallResult], scenario: &str) -> usize {
    let in_scenario = results.iter().filter(|result| result.scenario == scenario);
    let more = |result: &CallResult| result.attempts().len().saturating_sub(1);
    in_scenario.map(more).sum()
}

/// Every attempt that was reported to any caller, by the id of its span.
pub(crate) fn attempts(results: &[CallResult]) -> HashMap<String, Attempt> {
    let mut attempts = HashMap::new();
    for attempt in results.iter().flat_map(CallResult::attempts) {
        let span = attempt.span_id.clone();
        assert!(attempts.insert(span, attempt).is_none());
    }
    attempts
}

/// The id of the span to which a request belongs.
pub(crate) fn span_of(request: &Received) -> String {
    let traceparent = request.header("traceparent").unwrap();
    traceparent.split('-').nth(2).unwrap().to_owned()
}

fn request(scenario: &str, kind: Kind) -> GenerateRequest {
    let on_interruption = match kind {
        Kind::Whole => return ask(scenario, "Hello"),
        Kind::Failing => OnInterruption::Fail,
        Kind::Restarting => OnInterruption::Restart,
    };
    GenerateRequest {
        stream_options: Some(StreamOptions {
            on_interruption: on_interruption.into(),
        }),
        ..ask(scenario, "Hello")
    }
}

fn words_in(event: &Event) -> usize {
    match event {
        Event::TextDelta(delta) => delta.text.split_whitespace().count(),
        _ => 0,
    }
}

fn whole(scenario: String, outcome: Result<GenerateResponse, Status>) -> CallResult {
    CallResult {
        scenario,
        kind: Kind::Whole,
        text: outcome.as_ref().map(text_of).unwrap_or_default(),
        resets: 0,
        outcome,
    }
}

fn of_stream(scenario: String, kind: Kind, streamed: Streamed) -> CallResult {
    let is_reset = |event: &Event| matches!(event, Event::OutputReset(_));
    let since_reset = streamed.events.rsplit(is_reset).next().unwrap_or_default();
    let texts = since_reset.iter().map(|event| match event {
        Event::TextDelta(delta) => delta.text.as_str(),
        _ => "",
    });
    CallResult {
        scenario,
        kind,
        text: texts.collect(),
        resets: streamed
            .events
            .iter()
            .filter(|event| is_reset(event))
            .count(),
        outcome: streamed.into_response(),
    }
}
