//! How does a command tell of a call that failed? Its reason, what to do, and the exit code by who must act.

use std::error::Error as _;
use std::fmt::Write as _;

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::error::{Blame, Reason};
use crate::grpc::translated;
use crate::grpc::v1;
use crate::json::form::{self, JsonTypes};

use super::console::{SILENT, shown};
use super::summary;

/// Exit code for a call whose caller must act.
const OF_CALLER: u8 = 4;

/// Exit code for a call that failed for another reason: the provider, the deadline, the gateway.
const OF_OTHERS: u8 = 5;

/// The exit code of a call that ended with this status.
pub(super) fn exit_code(status: &Status) -> u8 {
    let reason = reason(status);
    let blame = reason
        .as_deref()
        .and_then(Reason::of_name)
        .map(|reason| reason.blame(true));
    match (blame, status.code()) {
        (Some(Blame::Caller), _) => OF_CALLER,
        (Some(_), _) => OF_OTHERS,
        // A reason of a later version.
        (None, Code::InvalidArgument | Code::NotFound) if reason.is_some() => OF_CALLER,
        (None, _) if reason.is_some() => OF_OTHERS,
        (None, Code::DeadlineExceeded) => OF_OTHERS,
        // No service of ours has said this.
        (None, _) => SILENT,
    }
}

fn reason(status: &Status) -> Option<String> {
    Some(status.get_details_error_info()?.reason).filter(|reason| !reason.is_empty())
}

/// What happened, for people.
pub(super) fn message(status: &Status) -> String {
    let mut text = String::new();
    let Some(reason) = reason(status) else {
        let _ = match status.source() {
            Some(_) => writeln!(
                text,
                "the connection to the service failed: {}",
                status.message()
            ),
            None => writeln!(
                text,
                "{:?}: {}; is there a Modelway at this address, and does it want a client certificate (`--cert`, `--key`)?",
                status.code(),
                status.message()
            ),
        };
        return shown(&text).into_owned();
    };
    let _ = writeln!(text, "{reason}: {}", status.message());
    let details = status.get_error_details();
    for violation in details
        .bad_request()
        .iter()
        .flat_map(|it| &it.field_violations)
    {
        if !status.message().contains(&violation.description) {
            let _ = writeln!(text, "  {}: {}", violation.field, violation.description);
        }
    }
    if let Some(wait) = details.retry_info().and_then(|info| info.retry_delay) {
        let _ = writeln!(text, "  try again in {:.1} s", wait.as_secs_f64());
    }
    for link in details.help().iter().flat_map(|help| &help.links) {
        let _ = writeln!(text, "  see {}", link.url);
    }
    if let Some(failure) = call_failure(status) {
        text += &summary::attempts(&failure.attempts);
        text += &summary::cost_line(failure.usage.as_ref(), failure.cost.as_ref());
        text += &summary::ids(&failure.call_id, &failure.trace_id);
    }
    shown(&text).into_owned()
}

fn call_failure(status: &Status) -> Option<v1::CallFailure> {
    let details = tonic_types::Status::decode(status.details()).ok()?;
    let mut details = details.details.iter();
    let own = details.find(|detail| detail.type_url.ends_with("/modelway.v1.CallFailure"))?;
    v1::CallFailure::decode(own.value.as_slice()).ok()
}

/// The status as protobuf's JSON, in one line: `{"error":{…}}`.
pub(super) fn json(status: &Status, types: &JsonTypes) -> Vec<u8> {
    let mut plain = tonic_types::Status::decode(status.details()).unwrap_or_default();
    plain.code = status.code() as i32;
    plain.message = status.message().to_owned();
    let mut out = br#"{"error":"#.to_vec();
    let place = types.place(translated::STATUS).unwrap_or(usize::MAX);
    let start = out.len();
    if form::write(types, place, &plain.encode_to_vec(), &mut out).is_err() {
        // A detail of a type that this version does not know.
        out.truncate(start);
        plain.details.clear();
        let _ = form::write(types, place, &plain.encode_to_vec(), &mut out);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn status(code: Code, reason: &str) -> Status {
        let details = tonic_types::ErrorDetails::with_error_info(reason, "modelway.v1", []);
        Status::with_error_details(code, "what happened", details)
    }

    #[test]
    fn the_exit_code_says_who_must_act() {
        for (code, reason, expected) in [
            (Code::NotFound, "SCENARIO_NOT_FOUND", 4),
            (Code::InvalidArgument, "INVALID_REQUEST", 4),
            (Code::InvalidArgument, "OF_A_LATER_VERSION", 4),
            (Code::Unavailable, "PROVIDER_OVERLOADED", 5),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", 5),
            (Code::Unavailable, "DRAINING", 5),
            (Code::Internal, "OF_A_LATER_VERSION", 5),
        ] {
            assert_eq!(exit_code(&status(code, reason)), expected, "{reason}");
        }
        let mut lost = Status::unknown("transport error");
        lost.set_source(Arc::new(std::io::Error::other("reset")));
        assert_eq!(exit_code(&lost), 3);
        assert_eq!(exit_code(&Status::unimplemented("no such service")), 3);
    }

    #[test]
    fn what_a_status_says_cannot_steer_a_terminal() {
        let mut evil = status(Code::NotFound, "SCENARIO_NOT_FOUND");
        assert!(message(&evil).starts_with("SCENARIO_NOT_FOUND: what happened\n"));
        evil = Status::new(Code::Unknown, "\u{1b}[2J");
        assert!(!message(&evil).contains('\u{1b}'), "{}", message(&evil));
    }

    #[test]
    fn a_failure_is_a_line_of_json_even_if_a_detail_is_unknown() {
        let types = JsonTypes::read(translated::descriptors()).unwrap();
        let known = String::from_utf8(json(&status(Code::NotFound, "R"), &types)).unwrap();
        assert!(
            known.starts_with(r#"{"error":{"code":5,"message":"what happened","#),
            "{known}"
        );
        assert!(known.contains(r#""reason":"R""#), "{known}");
        let mut details = tonic_types::Status::default();
        details.details.push(prost_types::Any {
            type_url: "type.googleapis.com/of.a.later.Version".to_owned(),
            value: vec![8, 1],
        });
        let details = details.encode_to_vec().into();
        let unknown = Status::with_details(Code::NotFound, "m", details);

        let text = String::from_utf8(json(&unknown, &types)).unwrap();

        assert!(
            text.starts_with(r#"{"error":{"code":5,"message":"m""#),
            "{text}"
        );
        assert!(text.ends_with('}') && !text.contains('\n'), "{text}");
    }
}
