//! Which tool call does each result answer, and has each call its result?

use std::collections::{HashMap, HashSet};

use crate::chat::{Message, Part, Role, ToolCall, ToolResult};

use super::Faults;

/// Gives every tool result the name of the tool that was called, and notes what belongs to nothing.
/// The order of the parts is that of the request.
pub(super) fn link(messages: &mut [Message], faults: &mut Faults<'_>) {
    let names = Links::check(messages, faults);
    let parts = messages.iter_mut().flat_map(|message| &mut message.parts);
    let results = parts.filter_map(|part| match part {
        Part::ToolResult(result) => Some(result),
        Part::Text(_)
        | Part::Image(_)
        | Part::Document(_)
        | Part::ToolCall(_)
        | Part::Reasoning(_)
        | Part::Refusal(_) => None,
    });
    for (result, name) in results.zip(names) {
        result.tool_name = name;
    }
}

/// Calls and results as far as they have been read.
struct Links<'a, 'f, 'l> {
    faults: &'f mut Faults<'l>,
    /// Calls of the last assistant message, in order.
    calls: Vec<Call<'a>>,
    /// Which of them has this id and no result yet.
    open: HashMap<&'a str, usize>,
    /// Ids of all calls of the conversation.
    ids: HashSet<&'a str>,
    /// For each result the name of the tool.
    names: Vec<String>,
}

struct Call<'a> {
    name: &'a str,
    place: Place,
    /// The open call before it with the same id, which is a fault that must not draw others after it.
    same_id: Option<usize>,
    is_answered: bool,
}

/// The numbers of a message and of one of its parts.
type Place = (usize, usize);

impl<'a, 'f, 'l> Links<'a, 'f, 'l> {
    fn check(messages: &'a [Message], faults: &'f mut Faults<'l>) -> Vec<String> {
        let mut links = Self {
            faults,
            calls: Vec::new(),
            open: HashMap::new(),
            ids: HashSet::new(),
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
                    | Part::Refusal(_) => {}
                }
            }
        }
        links.require_results();
        links.names
    }

    fn call(&mut self, call: &'a ToolCall, place: Place) {
        let ToolCall { id, name, .. } = call;
        if !id.is_empty() && !self.ids.insert(id) {
            self.faults.add(
                format_args!("messages[{}].parts[{}].tool_call.id", place.0, place.1),
                "another tool call of the conversation has the same id",
            );
        }
        let same_id = self.open.insert(id, self.calls.len());
        self.calls.push(Call {
            name,
            place,
            same_id,
            is_answered: false,
        });
    }

    fn result(&mut self, result: &'a ToolResult, place: Place) {
        let call = self.open.remove(result.tool_call_id.as_str());
        let Some(call) = call.and_then(|index| self.calls.get_mut(index)) else {
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
        call.is_answered = true;
        if let Some(other) = call.same_id {
            self.open.insert(&result.tool_call_id, other);
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
