//! Which names, token counts and finish reason of an answer are still to be reported?

use crate::chat::{ChatEvent, Finish, FinishReason};
use crate::error::{UpstreamError, UpstreamErrorKind};

use super::limits::{MAX_BODY_BYTES, MAX_NAME_BYTES};
use super::tally::Tally;

/// Longest id of a tool call. Some gateways put a signature into it.
const MAX_ID_BYTES: usize = 64 * 1024;

/// What has been reported so far of an answer: whether its names, and which token counts.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// The names so far; empty while there is none.
    id: String,
    model: String,
    /// The counts that the provider sent last.
    last: Tally,
    /// What is known since then.
    counts: Tally,
    /// In nano-USD.
    cost: Option<i64>,
}

impl Reported {
    /// Emits the id of an answer and the name of its model; they may be empty. The first ones stay. Nothing depends
    /// on them, so a name that is too long is ignored.
    pub(super) fn started(&mut self, id: &str, model: &str, events: &mut Vec<ChatEvent>) {
        let unless_known = |known: &str, name| if known.is_empty() { name } else { "" };
        let (id, model) = (unless_known(&self.id, id), unless_known(&self.model, model));
        self.renamed(id, model, events);
    }

    /// As [`Reported::started`] for a family whose later names replace earlier ones.
    pub(super) fn renamed(&mut self, id: &str, model: &str, events: &mut Vec<ChatEvent>) {
        let new = |known: &mut String, name: &str| {
            let is_new = is_name(name) && known != name;
            is_new.then(|| {
                name.clone_into(known);
                name.to_owned()
            })
        };
        let response_id = new(&mut self.id, id);
        let response_model = new(&mut self.model, model);
        if response_id.is_some() || response_model.is_some() {
            events.push(ChatEvent::Started {
                response_id,
                response_model,
            });
        }
    }

    /// Emits the token counts so far: later counts replace earlier ones as [`Tally::or`] says. Unchanged counts,
    /// which some hosts send with every event, are not emitted again.
    pub(super) fn usage(&mut self, counts: Tally, events: &mut Vec<ChatEvent>) {
        // The same counts twice say nothing new: most events of such hosts end here.
        if self.last == counts {
            return;
        }
        self.last = counts;
        let counts = counts.or(self.counts);
        if self.counts != counts {
            self.counts = counts;
            // A tier and runs of tools are told once tokens are.
            if !counts.is_none() {
                tell(ChatEvent::Usage(Box::new(counts.usage())), events);
            }
        }
    }

    /// Emits what the answer cost so far, in nano-USD, if that has changed.
    pub(super) fn cost(&mut self, nanos: i64, events: &mut Vec<ChatEvent>) {
        if self.cost != Some(nanos) {
            self.cost = Some(nanos);
            tell(ChatEvent::Cost(nanos), events);
        }
    }
}

/// Whether a finish reason is absent: some hosts write `null` as a text.
pub(super) fn is_no_reason(reason: &str) -> bool {
    matches!(
        reason,
        "" | "null" | "none" | "None" | "undefined" | "FINISH_REASON_UNSPECIFIED"
    )
}

/// The error if a finish reason says that the provider gave up, so that the answer is not complete. Relays pass
/// on the words of one API family in another.
pub(super) fn given_up(reason: &str) -> Option<UpstreamError> {
    let kind = match reason {
        // Mistral, OpenRouter; vLLM; Z.ai; Cohere.
        "error" | "abort" | "network_error" | "ERROR" => UpstreamErrorKind::ServerError,
        // DeepSeek.
        "insufficient_system_resource" => UpstreamErrorKind::Overloaded,
        _ => return None,
    };
    Some(UpstreamError {
        status: Some(200),
        provider_code: Some(reason.to_owned()),
        ..UpstreamError::new(kind).because("it gave up on the answer")
    })
}

/// Emits why the model stopped. The provider's word is left out if it is too long.
pub(super) fn finish(
    reason: FinishReason,
    provider_reason: &str,
    stop_sequence: Option<String>,
    events: &mut Vec<ChatEvent>,
) {
    let finish = Finish {
        reason,
        provider_reason: is_name(provider_reason).then(|| provider_reason.to_owned()),
        stop_sequence,
    };
    tell(ChatEvent::Finish(finish), events);
}

/// Whether the id and the name of a tool call can be kept. The caller must send the id back unchanged, and the name
/// must be one of the request's tools, so neither may be cut or left out.
///
/// # Errors
/// `Malformed` if one of them is too long.
pub(super) fn check_call(id: &str, name: &str) -> Result<(), UpstreamError> {
    if id.len() > MAX_ID_BYTES {
        return Err(UpstreamError::malformed(
            "the id of a tool call is longer than 64 KiB",
        ));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(UpstreamError::malformed(
            "the name of a tool is longer than 256 bytes",
        ));
    }
    Ok(())
}

/// Whether so many bytes of tool calls may be held back until they can be emitted, since a stream has no length
/// limit of its own.
///
/// # Errors
/// `Malformed` if they are more than the largest body.
pub(super) fn check_held(bytes: usize) -> Result<(), UpstreamError> {
    match bytes > MAX_BODY_BYTES {
        true => Err(UpstreamError::malformed(
            "more than 32 MiB of tool calls would have to be held back",
        )),
        false => Ok(()),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES
}

fn tell(event: ChatEvent, events: &mut Vec<ChatEvent>) {
    if let Some(event) = event.unless_replacing(events.iter_mut().rev()) {
        events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(input: u64) -> Tally {
        Tally {
            input: Some(input),
            ..Tally::default()
        }
    }

    #[test]
    fn the_first_names_are_told_once() {
        let mut reported = Reported::default();
        let mut events = Vec::new();
        let too_long = "m".repeat(MAX_NAME_BYTES + 1);

        for (id, model) in [("", &*too_long), ("a", ""), ("b", "m"), ("c", "n")] {
            reported.started(id, model, &mut events);
        }

        let started = |id: Option<&str>, model: Option<&str>| ChatEvent::Started {
            response_id: id.map(str::to_owned),
            response_model: model.map(str::to_owned),
        };
        assert_eq!(events, [started(Some("a"), None), started(None, Some("m"))]);
    }

    #[test]
    fn only_a_count_that_has_changed_is_told() {
        let mut reported = Reported::default();
        let mut events = Vec::new();

        for count in [1, 1, 2, 3] {
            reported.usage(counts(count), &mut events);
        }
        events.push(ChatEvent::Text("a".to_owned()));
        for count in [3, 4] {
            reported.usage(counts(count), &mut events);
        }

        assert_eq!(
            events,
            [
                ChatEvent::Usage(Box::new(counts(3).usage())),
                ChatEvent::Text("a".to_owned()),
                ChatEvent::Usage(Box::new(counts(4).usage())),
            ]
        );
    }

    #[test]
    fn a_reason_that_is_no_name_is_not_handed_on() {
        for (reason, expected) in [("stop", Some("stop")), (&"s".repeat(257), None)] {
            let mut events = Vec::new();

            finish(FinishReason::Stop, reason, None, &mut events);

            let ChatEvent::Finish(finish) = &events[0] else {
                panic!("no finish");
            };
            assert_eq!(finish.provider_reason.as_deref(), expected);
        }
    }

    #[test]
    fn a_call_that_cannot_be_answered_is_malformed() {
        let (long_id, long_name) = ("i".repeat(MAX_ID_BYTES), "n".repeat(MAX_NAME_BYTES));

        assert_eq!(check_call(&long_id, &long_name), Ok(()));
        assert!(check_call(&format!("{long_id}i"), "").is_err());
        assert!(check_call("", &format!("{long_name}n")).is_err());
    }
}
