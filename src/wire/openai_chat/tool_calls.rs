//! Which tool call a fragment belongs to, and when a call may be announced.

use std::collections::HashMap;

use bytes::Bytes;

use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::json::too_many_parts;
use crate::wire::reader::MAX_PARTS;
use crate::wire::told::{check_call, check_held};

/// The tool calls of one answer.
///
/// A call is announced when its name is known and every call before it has been: calls are numbered
/// in the order in which they begin, and names come with the first fragment from all hosts but few.
#[derive(Default)]
pub(super) struct ToolCalls {
    calls: Vec<Call>,
    announced: usize,
    /// The last call with each index, and that of the older field.
    by_index: HashMap<u64, usize>,
    function_call: Option<usize>,
    /// Bytes of what is kept of them: ids, signatures, and arguments that cannot be told yet.
    held: usize,
}

#[derive(Default)]
struct Call {
    id: String,
    name: String,
    signature: Bytes,
    /// What has come before the call is announced.
    arguments: String,
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

impl ToolCalls {
    /// Adds a fragment and appends what can be told of it.
    ///
    /// # Errors
    /// `Malformed` for more calls than an answer has, for one that nobody could answer, and for more than
    /// is kept of them.
    pub(super) fn add(
        &mut self,
        fragment: Fragment<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Fragment {
            slot: _,
            id,
            name,
            arguments,
            signature,
        } = fragment;
        check_call(id, name)?;
        let number = match self.number_of(&fragment) {
            Some(number) => number,
            // Some hosts put an empty call beside the real one, or beside none.
            None if id.is_empty() && name.is_empty() && arguments.is_empty() => return Ok(()),
            None => self.begin(fragment.slot)?,
        };
        let call = &mut self.calls[number];
        // Some hosts repeat id and name, some send empty ones with later fragments.
        if call.id.is_empty() {
            self.held += id.len();
            call.id.push_str(id);
        }
        if call.name.is_empty() {
            call.name.push_str(name);
        }
        if call.signature.is_empty() {
            self.held += signature.len();
            call.signature = Bytes::copy_from_slice(signature.as_bytes());
        }
        if number >= self.announced {
            self.held += arguments.len();
            call.arguments.push_str(arguments);
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
            if !call.arguments.is_empty() {
                self.held -= call.arguments.len();
                events.push(ChatEvent::ToolArguments {
                    call: self.announced,
                    fragment: std::mem::take(&mut call.arguments),
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
        match slot {
            Slot::Index(index) => _ = self.by_index.insert(index, number),
            Slot::FunctionCall => self.function_call = Some(number),
            Slot::Unnumbered | Slot::Whole => {}
        }
        self.calls.push(Call::default());
        Ok(number)
    }

    /// The call that a fragment continues; `None` if it begins one.
    fn number_of(&self, fragment: &Fragment<'_>) -> Option<usize> {
        match fragment.slot {
            Slot::Index(index) => {
                let number = *self.by_index.get(&index)?;
                let open = &self.calls[number].id;
                // Gemini's compatible API has numbered every call 0.
                let is_other = !fragment.name.is_empty()
                    && !fragment.id.is_empty()
                    && !open.is_empty()
                    && open != fragment.id;
                (!is_other).then_some(number)
            }
            Slot::Unnumbered => {
                let last = self.calls.len().checked_sub(1)?;
                let goes_on = fragment.id.is_empty() || self.calls[last].id == fragment.id;
                goes_on.then_some(last)
            }
            Slot::FunctionCall => self.function_call,
            Slot::Whole => None,
        }
    }
}
