//! Which tool call does a fragment belong to, and when is a call announced?
//!
//! Some hosts number the calls of an answer, some use ids, some do neither; some give every call the number 0,
//! some give every fragment its own id. But every call has one name, and its arguments are one JSON object. So a
//! name after complete arguments begins another call, and a fragment that completes arguments does not.

use std::collections::HashMap;

use bytes::Bytes;

use super::extent::{Arrived, Extent};
use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::json::too_many_parts;
use crate::wire::limits::MAX_PARTS;
use crate::wire::reported::{check_call, check_held};

/// The tool calls of one answer.
///
/// A call is announced when its name is known and every call before it was announced, because calls are numbered
/// in the order in which they begin. Nearly all hosts send the name with the first fragment.
#[derive(Default)]
pub(super) struct ToolCalls {
    calls: Vec<Call>,
    announced: usize,
    /// The last call with each index, and that of each id: numbers of calls.
    by_index: HashMap<u64, usize>,
    by_id: HashMap<String, usize>,
    /// How many calls had begun before the message that is being read.
    before_message: usize,
    /// Bytes that are kept of the calls: ids, signatures, and arguments of calls that are not announced yet.
    held: usize,
}

#[derive(Default)]
struct Call {
    id: String,
    name: String,
    signature: Bytes,
    /// The arguments that arrived before the call is announced.
    waiting: String,
    /// How complete the arguments are.
    arguments: Arrived,
    /// Whether it is the one call of the older `function_call` field.
    is_function_call: bool,
    /// Whether its name came again once its arguments were complete: the next arguments are another call's.
    is_named_again: bool,
}

/// How a host says which call a fragment belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    /// By a number.
    Index(u64),
    /// By an id, or by standing after the fragments of the same call.
    Unnumbered,
    /// The one call of the older `function_call` field.
    FunctionCall,
    /// Each fragment is a call of its own.
    Whole,
}

/// A piece of a tool call, or all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) slot: Slot,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    pub(super) signature: &'a str,
}

/// How a fragment relates to the calls before it.
enum Standing {
    /// The beginning of a call. If it has no name, it has the name of this other call.
    First { named_like: Option<usize> },
    /// More of a call.
    More(usize),
    /// A repetition of earlier fragments.
    Repeated,
}

impl ToolCalls {
    /// The fragments of another message follow: another event of a stream, or a whole answer.
    pub(super) fn next_message(&mut self) {
        self.before_message = self.calls.len();
    }

    /// Adds a fragment and appends its events, as far as its call is announced.
    ///
    /// # Errors
    /// `Malformed` for too many calls, for an id or a name that is too long, and for more bytes than may be kept.
    pub(super) fn add(
        &mut self,
        fragment: Fragment<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Fragment {
            slot,
            id,
            name,
            arguments,
            signature,
        } = fragment;
        check_call(id, name)?;
        let (number, name) = match self.part(&fragment) {
            Standing::Repeated => return Ok(()),
            Standing::More(number) => (number, name.to_owned()),
            Standing::First { named_like } => {
                let name = match named_like.and_then(|number| self.calls.get(number)) {
                    Some(other) => other.name.clone(),
                    None => name.to_owned(),
                };
                (self.begin(slot)?, name)
            }
        };
        self.remember(slot, id, number);
        let call = &mut self.calls[number];
        // Some hosts repeat id and name, some send empty ones with later fragments.
        if call.id.is_empty() {
            self.held += id.len();
            call.id.push_str(id);
        }
        if call.name.is_empty() {
            call.name = name;
        } else if !name.is_empty() && call.arguments.extent() == Extent::Complete {
            call.is_named_again = true;
        }
        if call.signature.is_empty() {
            self.held += signature.len();
            call.signature = Bytes::copy_from_slice(signature.as_bytes());
        }
        call.arguments.add(arguments);
        if number >= self.announced {
            self.held += arguments.len();
            call.waiting.push_str(arguments);
        } else if !arguments.is_empty() {
            events.push(ChatEvent::ToolArguments {
                call: number,
                fragment: arguments.to_owned(),
            });
        }
        self.announce(|call| !call.name.is_empty(), events);
        check_held(self.held)
    }

    /// No more fragments will come: announces the calls whose name never came, too.
    pub(super) fn finish(&mut self, events: &mut Vec<ChatEvent>) {
        self.announce(|_| true, events);
    }

    fn announce(&mut self, is_known: impl Fn(&Call) -> bool, events: &mut Vec<ChatEvent>) {
        while let Some(call) = self.calls.get_mut(self.announced) {
            if !is_known(call) {
                return;
            }
            events.push(ChatEvent::ToolCall {
                id: call.id.clone(),
                name: call.name.clone(),
                signature: call.signature.clone(),
            });
            if !call.waiting.is_empty() {
                self.held -= call.waiting.len();
                events.push(ChatEvent::ToolArguments {
                    call: self.announced,
                    fragment: std::mem::take(&mut call.waiting),
                });
            }
            self.announced += 1;
        }
    }

    fn begin(&mut self, slot: Slot) -> Result<usize, UpstreamError> {
        let number = self.calls.len();
        if number == MAX_PARTS {
            return Err(too_many_parts());
        }
        self.calls.push(Call {
            is_function_call: matches!(slot, Slot::FunctionCall),
            ..Call::default()
        });
        Ok(number)
    }

    fn remember(&mut self, slot: Slot, id: &str, number: usize) {
        if let Slot::Index(index) = slot {
            self.by_index.insert(index, number);
        }
        if !id.is_empty() && self.by_id.get(id) != Some(&number) {
            self.by_id.insert(id.to_owned(), number);
            self.held += id.len();
        }
    }

    fn part(&self, fragment: &Fragment<'_>) -> Standing {
        let first = Standing::First { named_like: None };
        let Some(number) = self.candidate(fragment) else {
            // Some hosts put an empty call beside the real one, or beside none.
            let is_empty =
                fragment.id.is_empty() && fragment.name.is_empty() && fragment.arguments.is_empty();
            // The older field repeats what the newer one says.
            let is_repeated = matches!(fragment.slot, Slot::FunctionCall)
                && self.calls.iter().any(|call| !call.is_function_call);
            return match is_empty || is_repeated {
                true => Standing::Repeated,
                false => first,
            };
        };
        let call = &self.calls[number];
        let is_same_id = !fragment.id.is_empty() && fragment.id == call.id;
        let is_other_id = !fragment.id.is_empty() && !call.id.is_empty() && fragment.id != call.id;
        let is_other_name =
            !fragment.name.is_empty() && !call.name.is_empty() && fragment.name != call.name;
        let extent = call.arguments.extent();
        let is_complete = extent == Extent::Complete;
        let has_arguments = !fragment.arguments.trim_ascii().is_empty();
        // A whole answer has each call once, and a list in one event names each of its calls.
        let is_listed_apart = matches!(fragment.slot, Slot::Whole)
            || (number >= self.before_message
                && !fragment.name.is_empty()
                && !is_same_id
                && (is_other_name || extent != Extent::Part));
        if is_same_id && is_complete && !is_other_name && has_arguments {
            return match call.arguments.is(fragment.arguments) {
                true => Standing::Repeated,
                false if matches!(fragment.slot, Slot::Whole) || !fragment.name.is_empty() => first,
                false => Standing::More(number),
            };
        }
        let begins = match (fragment.name.is_empty(), call.name.is_empty()) {
            _ if is_listed_apart => true,
            _ if is_same_id => false,
            // An id without a name begins a call only after a complete one, and only with arguments.
            (true, false) => is_other_id && is_complete && has_arguments,
            (true, true) => is_other_id,
            // A name for an open call that has none yet.
            (false, true) => is_other_id,
            (false, false) => is_other_name || (is_complete && (has_arguments || is_other_id)),
        };
        let is_of_another = call.is_named_again && has_arguments && fragment.name.is_empty();
        match (begins, is_of_another) {
            (true, _) => first,
            (false, true) => Standing::First {
                named_like: Some(number),
            },
            (false, false) => Standing::More(number),
        }
    }

    /// The call that a fragment continues, if it continues one.
    fn candidate(&self, fragment: &Fragment<'_>) -> Option<usize> {
        let of_id = self.by_id.get(fragment.id).copied();
        match fragment.slot {
            Slot::Index(index) => {
                let of_index = self.by_index.get(&index).copied()?;
                // Calls that share a number are told apart by their ids.
                Some(of_id.unwrap_or(of_index))
            }
            Slot::Unnumbered => of_id.or(self.calls.len().checked_sub(1)),
            Slot::FunctionCall => self.calls.iter().position(|call| call.is_function_call),
            Slot::Whole => of_id,
        }
    }
}
