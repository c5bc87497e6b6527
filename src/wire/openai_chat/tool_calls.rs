//! Which tool call a fragment belongs to, and when a call may be announced.

use bytes::Bytes;

use crate::chat::ChatEvent;

/// The tool calls of one answer.
///
/// A call is announced when its name is known and every call before it has been: calls are numbered
/// in the order in which they begin, and names come with the first fragment from all hosts but few.
#[derive(Default)]
pub(super) struct ToolCalls {
    calls: Vec<Call>,
    announced: usize,
}

#[derive(Default)]
struct Call {
    slot: Slot,
    id: String,
    name: String,
    signature: Bytes,
    /// What has come before the call is announced.
    arguments: String,
}

/// How a host says which call a fragment belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Slot {
    /// By a number.
    Index(u64),
    /// By an id, or by standing after the fragments of the same call.
    #[default]
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
    pub(super) fn add(&mut self, fragment: Fragment<'_>, events: &mut Vec<ChatEvent>) {
        let Fragment {
            slot,
            id,
            name,
            arguments,
            signature,
        } = fragment;
        let number = match self.number_of(&fragment) {
            Some(number) => number,
            // Some hosts put an empty call beside the real one, or beside none.
            None if id.is_empty() && name.is_empty() && arguments.is_empty() => return,
            None => {
                self.calls.push(Call {
                    slot,
                    ..Call::default()
                });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[number];
        // Some hosts repeat id and name, some send empty ones with later fragments.
        if call.id.is_empty() {
            call.id.push_str(id);
        }
        if call.name.is_empty() {
            call.name.push_str(name);
        }
        if call.signature.is_empty() {
            call.signature = Bytes::copy_from_slice(signature.as_bytes());
        }
        if number >= self.announced {
            call.arguments.push_str(arguments);
        } else if !arguments.is_empty() {
            events.push(ChatEvent::ToolArguments {
                call: number,
                fragment: arguments.to_owned(),
            });
        }
        self.announce(|call| !call.name.is_empty(), events);
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
                events.push(ChatEvent::ToolArguments {
                    call: self.announced,
                    fragment: std::mem::take(&mut call.arguments),
                });
            }
            self.announced += 1;
        }
    }

    /// The call that a fragment continues; `None` if it begins one.
    fn number_of(&self, fragment: &Fragment<'_>) -> Option<usize> {
        match fragment.slot {
            Slot::Index(_) => {
                let number = self.last(|call| call.slot == fragment.slot)?;
                let open = &self.calls[number].id;
                // Gemini's compatible API has numbered every call 0.
                let is_other = !fragment.name.is_empty()
                    && !fragment.id.is_empty()
                    && !open.is_empty()
                    && open != fragment.id;
                (!is_other).then_some(number)
            }
            Slot::Unnumbered if fragment.id.is_empty() => self.last(|_| true),
            Slot::Unnumbered => self
                .last(|_| true)
                .filter(|&last| self.calls[last].id == fragment.id),
            Slot::FunctionCall => self.last(|call| call.slot == Slot::FunctionCall),
            Slot::Whole => None,
        }
    }

    fn last(&self, is_meant: impl Fn(&Call) -> bool) -> Option<usize> {
        self.calls.iter().rposition(is_meant)
    }
}
