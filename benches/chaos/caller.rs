//! What a caller sees of one call.

use std::fmt::Write as _;

use modelway::grpc::v1;
use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{Attempt, AttemptKind, AttemptOutcome, ErrorReason, OnInterruption};
use prost::Message as _;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `Generate`.
    Unary,
    /// `StreamGenerate`, which fails when it breaks off.
    Stream,
    /// `StreamGenerate`, which starts again when it breaks off.
    Restart,
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// When it was made.
    pub(crate) made: Instant,
    /// The provider that wrote the text.
    pub(crate) provider: String,
    /// All text that the caller has not been told to forget.
    pub(crate) text: String,
    pub(crate) ending: Ending,
    pub(crate) attempts: Vec<Attempt>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered,
    Failed { code: Code, reason: String },
}

impl Outcome {
    /// Attempts that were sent.
    pub(crate) fn sent(&self) -> usize {
        let sent = |attempt: &&Attempt| attempt.number > 0;
        self.attempts.iter().filter(sent).count()
    }

    /// Whether it failed for this reason.
    pub(crate) fn fails_for(&self, expected: &str) -> bool {
        matches!(&self.ending, Ending::Failed { reason, .. } if reason == expected)
    }

    /// Whether it has ended because no retry token was left for a further attempt.
    pub(crate) fn is_out_of_budget(&self) -> bool {
        let unpaid = |attempt: &Attempt| {
            attempt.outcome() == AttemptOutcome::Skipped
                && attempt.error_reason() == ErrorReason::RetryBudgetExhausted
        };
        // Refused requests have a separate bucket; if it is empty, the call ends with the refusal.
        self.ending != Ending::Answered
            && !self.fails_for("INVALID_REQUEST")
            && self.attempts.last().is_some_and(unpaid)
    }

    /// Whether it was answered although a target had refused it.
    pub(crate) fn is_answered_after_refusal(&self) -> bool {
        let is_refused = |attempt: &Attempt| attempt.error_reason() == ErrorReason::InvalidRequest;
        self.ending == Ending::Answered && self.attempts.iter().any(is_refused)
    }

    /// Whether the first target was skipped because its breaker was open.
    pub(crate) fn passes_over(&self, provider: &str) -> bool {
        self.attempts.iter().any(|attempt| {
            attempt.provider == provider && attempt.outcome() == AttemptOutcome::Skipped
        })
    }

    /// Whether this provider has answered as the call's ordinary first choice: neither tested nor
    /// as a last resort.
    pub(crate) fn is_answered_at_first_by(&self, provider: &str) -> bool {
        self.attempts.iter().any(|attempt| {
            attempt.provider == provider
                && attempt.kind() == AttemptKind::Primary
                && attempt.outcome() == AttemptOutcome::Succeeded
        })
    }

    /// Its ending and its attempts; of its text only how long it is.
    pub(crate) fn in_words(&self) -> String {
        let mut words = format!("{:?}, {} bytes of text", self.ending, self.text.len());
        for attempt in &self.attempts {
            let outcome = attempt.outcome().as_str_name();
            let reason = attempt.error_reason().as_str_name();
            let Attempt {
                provider, detail, ..
            } = attempt;
            // Writing to a String cannot fail.
            let _ = write!(words, "; {provider} {outcome} {reason} {detail}");
        }
        words
    }
}

/// Makes a call and reads it to its end.
pub(crate) async fn call(mut client: GenerationServiceClient<Channel>, method: Method) -> Outcome {
    let mut outcome = Outcome {
        made: Instant::now(),
        provider: String::new(),
        text: String::new(),
        // What is left if a stream ends in order, but without its last event.
        ending: Ending::Failed {
            code: Code::Ok,
            reason: String::new(),
        },
        attempts: Vec::new(),
    };
    let heard = match method {
        Method::Unary => client.generate(request(method)).await.map(|response| {
            let response = response.into_inner();
            let parts = response.output.iter().flat_map(|output| &output.parts);
            for part in parts {
                if let Some(Part::Text(text)) = &part.part {
                    outcome.text.push_str(text);
                }
            }
            outcome.provider = response.provider;
            outcome.attempts = response.attempts;
            outcome.ending = Ending::Answered;
        }),
        Method::Stream | Method::Restart => read(client, method, &mut outcome).await,
    };
    if let Err(status) = heard {
        let known = status.get_error_details();
        let reason = known.error_info().map(|info| info.reason.clone());
        outcome.ending = Ending::Failed {
            code: status.code(),
            reason: reason.unwrap_or_default(),
        };
        outcome.attempts = attempts_of(&status);
    }
    outcome
}

async fn read(
    mut client: GenerationServiceClient<Channel>,
    method: Method,
    outcome: &mut Outcome,
) -> Result<(), Status> {
    let mut stream = client.stream_generate(request(method)).await?.into_inner();
    while let Some(message) = stream.message().await? {
        match message.event {
            Some(Event::AttemptStarted(attempt)) => outcome.provider = attempt.provider,
            Some(Event::TextDelta(delta)) => outcome.text.push_str(&delta.text),
            // A caller that did not ask for a reset cannot handle one.
            Some(Event::OutputReset(_)) if method == Method::Restart => outcome.text.clear(),
            Some(Event::Completed(completed)) => {
                outcome.ending = Ending::Answered;
                let response = completed.response.unwrap_or_default();
                outcome.attempts = response.attempts;
            }
            _ => {}
        }
    }
    Ok(())
}

fn request(method: Method) -> v1::GenerateRequest {
    let on_interruption = match method {
        Method::Unary | Method::Stream => OnInterruption::Fail,
        Method::Restart => OnInterruption::Restart,
    };
    v1::GenerateRequest {
        scenario: super::stage::SCENARIO.to_owned(),
        messages: vec![v1::Message {
            role: v1::Role::User.into(),
            text: "What does a gateway do?".to_owned(),
            parts: Vec::new(),
        }],
        stream_options: Some(v1::StreamOptions {
            on_interruption: on_interruption.into(),
        }),
        ..v1::GenerateRequest::default()
    }
}

/// The attempts in the status of a failed call.
fn attempts_of(status: &Status) -> Vec<Attempt> {
    const TYPE: &str = "type.googleapis.com/modelway.v1.CallFailure";
    let details = tonic_types::Status::decode(status.details()).unwrap_or_default();
    let failure = details
        .details
        .iter()
        .find(|detail| detail.type_url == TYPE);
    failure
        .and_then(|failure| v1::CallFailure::decode(failure.value.as_slice()).ok())
        .unwrap_or_default()
        .attempts
}
