//! One call by a gRPC client, and its result as the caller sees it.

use std::time::Duration;

use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::caller::Method;
use crate::grpc::v1::generation_service_client::GenerationServiceClient;
use crate::grpc::v1::stream_generate_response::Event;
use crate::grpc::v1::{self, AttemptOutcome};
use crate::simulator;

use super::acts::TOKENS;
use super::{PRIMARY, SCENARIO};

/// The caller's deadline, far beyond what any call should take.
const DEADLINE: Duration = Duration::from_secs(15);

/// A call that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) fate: Fate,
    /// Attempts that were sent for it, according to the response or the status.
    pub(super) attempts: usize,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The primary answered.
    Primary,
    /// The backup answered at once: the primary was passed over.
    Backup,
    /// An attempt failed, another one answered.
    Rescued,
    /// A stream broke off after a part of its text and ended with an error.
    Interrupted,
    /// No right answer, and why.
    Lost(String),
}

/// Makes a call and waits for its end.
pub(super) async fn call(
    mut client: GenerationServiceClient<Channel>,
    method: Method,
    number: usize,
) -> Ended {
    let mut request = Request::new(v1::GenerateRequest {
        scenario: SCENARIO.to_owned(),
        messages: vec![v1::Message {
            role: v1::Role::User.into(),
            text: format!("Question {number}"),
            parts: Vec::new(),
        }],
        ..v1::GenerateRequest::default()
    });
    request.set_timeout(DEADLINE);
    match method {
        Method::Generate => match client.generate(request).await {
            Ok(response) => {
                let response = response.into_inner();
                answered(&text_of(&response), &response)
            }
            Err(status) => failed("", &status),
        },
        Method::StreamGenerate => {
            let mut text = String::new();
            match stream(client, request, &mut text).await {
                Ok(Some(response)) => answered(&text, &response),
                Ok(None) => lost("a stream ended with OK, but without `completed`", 0),
                Err(status) => failed(&text, &status),
            }
        }
    }
}

/// Reads a stream to its end and collects its text.
async fn stream(
    mut client: GenerationServiceClient<Channel>,
    request: Request<v1::GenerateRequest>,
    text: &mut String,
) -> Result<Option<v1::GenerateResponse>, Status> {
    let mut events = client.stream_generate(request).await?.into_inner();
    let mut completed = None;
    while let Some(message) = events.message().await? {
        match message.event {
            Some(Event::TextDelta(delta)) => text.push_str(&delta.text),
            Some(Event::Completed(last)) => completed = last.response,
            // `completed` lists all attempts again.
            _ => {}
        }
    }
    Ok(completed)
}

fn text_of(response: &v1::GenerateResponse) -> String {
    let mut text = String::new();
    let parts = response.output.iter().flat_map(|output| &output.parts);
    for part in parts {
        if let Some(v1::content_part::Part::Text(piece)) = &part.part {
            text.push_str(piece);
        }
    }
    text
}

/// Judges a call that ended with OK: the answer must be the simulator's, to the last word.
fn answered(text: &str, response: &v1::GenerateResponse) -> Ended {
    let attempts = sent(&response.attempts);
    if text != simulator::text(TOKENS) {
        return lost("the answer is not what the provider said", attempts);
    }
    let has_failed = |attempt: &v1::Attempt| attempt.outcome() == AttemptOutcome::Failed;
    let fate = if response.attempts.iter().any(has_failed) {
        Fate::Rescued
    } else if response.provider == PRIMARY {
        Fate::Primary
    } else {
        Fate::Backup
    };
    Ended { fate, attempts }
}

/// Judges a call that ended with another status, after this text.
fn failed(text: &str, status: &Status) -> Ended {
    let attempts = sent(&attempts_in(status));
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    let is_beginning = !text.is_empty() && simulator::text(TOKENS).starts_with(text);
    if reason == "STREAM_INTERRUPTED" && is_beginning {
        return Ended {
            fate: Fate::Interrupted,
            attempts,
        };
    }
    let code = format!("{:?}", status.code());
    let what = if reason.is_empty() { code } else { reason };
    lost(format!("{what}: {}", status.message()), attempts)
}

fn lost(why: impl Into<String>, attempts: usize) -> Ended {
    Ended {
        fate: Fate::Lost(why.into()),
        attempts,
    }
}

/// The attempts in the details of a failed call.
fn attempts_in(status: &Status) -> Vec<v1::Attempt> {
    let Ok(details) = tonic_types::Status::decode(status.details()) else {
        return Vec::new();
    };
    let failure = details
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("/modelway.v1.CallFailure"))
        .and_then(|detail| v1::CallFailure::decode(detail.value.as_slice()).ok());
    failure.map_or_else(Vec::new, |failure| failure.attempts)
}

fn sent(attempts: &[v1::Attempt]) -> usize {
    let was_sent = |attempt: &&v1::Attempt| attempt.outcome() != AttemptOutcome::Skipped;
    attempts.iter().filter(was_sent).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use AttemptOutcome::{Failed, Skipped, Succeeded};

    fn attempts(outcomes: &[AttemptOutcome]) -> Vec<v1::Attempt> {
        let attempt = |outcome: &AttemptOutcome| v1::Attempt {
            outcome: (*outcome).into(),
            ..v1::Attempt::default()
        };
        outcomes.iter().map(attempt).collect()
    }

    fn interruption() -> Status {
        let details =
            tonic_types::ErrorDetails::with_error_info("STREAM_INTERRUPTED", "modelway.v1", []);
        let plain = Status::with_error_details(tonic::Code::Unavailable, "broke off", details);
        let mut details = tonic_types::Status::decode(plain.details()).unwrap();
        let failure = v1::CallFailure {
            attempts: attempts(&[Skipped, Failed]),
            ..v1::CallFailure::default()
        };
        details.details.push(prost_types::Any {
            type_url: "type.googleapis.com/modelway.v1.CallFailure".to_owned(),
            value: failure.encode_to_vec(),
        });
        Status::with_details(plain.code(), "broke off", details.encode_to_vec().into())
    }

    #[test]
    fn an_answer_is_judged_by_what_was_tried_for_it() {
        let table = [
            ("primary", &[Succeeded][..], Fate::Primary, 1),
            ("backup", &[Skipped, Succeeded], Fate::Backup, 1),
            ("backup", &[Failed, Succeeded], Fate::Rescued, 2),
        ];
        for (provider, outcomes, fate, sent) in table {
            let response = v1::GenerateResponse {
                provider: provider.to_owned(),
                attempts: attempts(outcomes),
                ..v1::GenerateResponse::default()
            };

            let ended = answered(&simulator::text(TOKENS), &response);

            assert_eq!((ended.fate, ended.attempts), (fate, sent), "{outcomes:?}");
        }
    }

    #[test]
    fn an_answer_that_lacks_a_word_counts_as_lost() {
        let ended = answered(
            &simulator::text(TOKENS - 1),
            &v1::GenerateResponse::default(),
        );

        assert!(matches!(ended.fate, Fate::Lost(_)));
    }

    #[test]
    fn only_a_stream_that_had_begun_rightly_counts_as_interrupted() {
        let interrupted = failed(&simulator::text(3), &interruption());

        assert_eq!(interrupted.fate, Fate::Interrupted);
        assert_eq!(interrupted.attempts, 1);
        for text in ["", "something else"] {
            assert!(matches!(failed(text, &interruption()).fate, Fate::Lost(_)));
        }
        let other = failed(&simulator::text(3), &Status::internal("broken"));
        assert_eq!(other.fate, Fate::Lost("Internal: broken".to_owned()));
    }
}
