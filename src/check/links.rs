//! Which tool call does each result answer, and has each call its result?

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::chat::{Message, Part, Role, ToolCall, ToolResult};

use super::Faults;

/// Gives every tool result the name of the tool that was called. Adds a fault for each result without a call, and
/// for each call without a result.
pub(super) fn link(messages: &mut [Message], faults: &mut Faults) {
    let names = Links::check(messages, faults);
    let parts = messages.iter_mut().flat_map(|message| &mut message.parts);
    let results = parts.filter_map(|part| match part {
        Part::ToolResult(result) => Some(result),
        Part::Text(_)
        | Part::Image(_)
        | Part::Document(_)
        | Part::ToolCall(_)
        | Part::Reasoning(_)
        | Part::Refusal(_)
        | Part::Audio(_)
        | Part::Video(_)
        | Part::Provider(_) => None,
    });
    for (result, name) in results.zip(names) {
        result.tool_name = name;
    }
}

/// The calls and results of the messages that have been read so far.
struct Links<'a, 'f> {
    faults: &'f mut Faults,
    /// Calls of the last assistant message, in order.
    calls: Vec<LinkedCall<'a>>,
    /// By id, the calls that have no result yet.
    open: HashMap<&'a str, Open>,
    /// The name of the tool for each result, in order.
    names: Vec<String>,
}

struct LinkedCall<'a> {
    name: &'a str,
    place: PartPosition,
    /// The next call of the message with the same id: some hosts give two calls the same id.
    same_id: Option<usize>,
    is_answered: bool,
}

/// The first and the last of the calls of one id that have no result yet.
struct Open {
    first: usize,
    last: usize,
}

/// The numbers of a message and of one of its parts.
type PartPosition = (usize, usize);

impl<'a, 'f> Links<'a, 'f> {
    fn check(messages: &'a [Message], faults: &'f mut Faults) -> Vec<String> {
        let mut links = Self {
            faults,
            calls: Vec::new(),
            open: HashMap::new(),
            names: Vec::new(),
        };
        for (index, Message { role, parts }) in messages.iter().enumerate() {
            if *role != Role::Tool {
                links.require_results();
            }
            for (part_index, part) in parts.iter().enumerate() {
                let place = (index, part_index);
                match part {
                    Part::ToolCall(call) => links.call(call, place),
                    Part::ToolResult(result) => links.result(result, place),
                    Part::Text(_)
                    | Part::Image(_)
                    | Part::Document(_)
                    | Part::Reasoning(_)
                    | Part::Refusal(_)
                    | Part::Audio(_)
                    | Part::Video(_)
                    | Part::Provider(_) => {}
                }
            }
        }
        links.require_results();
        links.names
    }

    fn call(&mut self, call: &'a ToolCall, place: PartPosition) {
        let ToolCall { id, name, .. } = call;
        let number = self.calls.len();
        match self.open.entry(id) {
            Entry::Vacant(none) => {
                none.insert(Open {
                    first: number,
                    last: number,
                });
            }
            Entry::Occupied(mut open) => {
                let before = std::mem::replace(&mut open.get_mut().last, number);
                self.calls[before].same_id = Some(number);
            }
        }
        self.calls.push(LinkedCall {
            name,
            place,
            same_id: None,
            is_answered: false,
        });
    }

    fn result(&mut self, result: &'a ToolResult, place: PartPosition) {
        let Entry::Occupied(mut open) = self.open.entry(&result.tool_call_id) else {
            self.faults.add(
                format_args!(
                    "messages[{}].parts[{}].tool_result.tool_call_id",
                    place.0, place.1
                ),
                "must be the id of a tool call in the assistant message before, each answered once",
            );
            self.names.push(String::new());
            return;
        };
        let call = &mut self.calls[open.get().first];
        call.is_answered = true;
        match call.same_id {
            Some(next) => open.get_mut().first = next,
            None => _ = open.remove(),
        }
        self.names.push(call.name.to_owned());
    }

    /// Providers refuse a conversation that goes on before every tool call has its result.
    fn require_results(&mut self) {
        // Clearing a map costs as much as it has ever held; a new one costs nothing.
        self.open = HashMap::new();
        for call in self.calls.drain(..) {
            if !call.is_answered {
                let (message, part) = call.place;
                self.faults.add(
                    format_args!("messages[{message}].parts[{part}].tool_call"),
                    "has no result; add a ROLE_TOOL message with one right after it",
                );
            }
        }
    }
}
