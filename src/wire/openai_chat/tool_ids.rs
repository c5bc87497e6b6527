//! Which id a tool call and its result bear on the wire.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use crate::chat::{Message, Part};

use super::ToolCallIds;

/// Gives ids to calls that have none or one that the host would refuse, and to their results the same.
///
/// The ids depend on nothing but the conversation, so that a provider's prompt cache still matches.
pub(super) struct ToolIds<'a> {
    messages: &'a [Message],
    form: ToolCallIds,
    /// The ids that the conversation gives, known once one has to be invented.
    given: Option<HashSet<&'a str>>,
    invented: usize,
    /// Invented ids of calls whose result has not come, by name.
    unanswered: HashMap<&'a str, VecDeque<String>>,
}

impl<'a> ToolIds<'a> {
    pub(super) fn new(messages: &'a [Message], form: ToolCallIds) -> Self {
        Self {
            messages,
            form,
            given: None,
            invented: 0,
            unanswered: HashMap::new(),
        }
    }

    /// The id of the next call.
    pub(super) fn of_call(&mut self, id: &'a str, name: &'a str) -> Cow<'a, str> {
        if !id.is_empty() {
            return self.in_form(Cow::Borrowed(id));
        }
        let given = self.given.get_or_insert_with(|| ids_of(self.messages));
        let id = loop {
            let candidate = format!("call_{}", self.invented);
            self.invented += 1;
            if !given.contains(candidate.as_str()) {
                break candidate;
            }
        };
        self.unanswered
            .entry(name)
            .or_default()
            .push_back(id.clone());
        self.in_form(Cow::Owned(id))
    }

    /// The id of the call that the next result answers; without an id of its own, the first call of
    /// that name that has neither id nor result.
    pub(super) fn of_result(&mut self, id: &'a str, name: &str) -> Cow<'a, str> {
        if id.is_empty()
            && let Some(invented) = self.unanswered.get_mut(name)
            && let Some(id) = invented.pop_front()
        {
            return self.in_form(Cow::Owned(id));
        }
        self.in_form(Cow::Borrowed(id))
    }

    fn in_form(&self, id: Cow<'a, str>) -> Cow<'a, str> {
        match self.form {
            ToolCallIds::Any => id,
            ToolCallIds::NineAlphanumerics => nine_alphanumerics(id),
        }
    }
}

fn ids_of(messages: &[Message]) -> HashSet<&str> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    let ids = parts.filter_map(|part| match part {
        Part::ToolCall(call) => Some(call.id.as_str()),
        Part::Text(_)
        | Part::Image(_)
        | Part::Document(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_) => None,
    });
    ids.collect()
}

/// The id itself if it is nine letters or digits, else nine that depend on nothing but it.
fn nine_alphanumerics(id: Cow<'_, str>) -> Cow<'_, str> {
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id;
    }
    // FNV-1a, 64 bits: stable across versions, unlike the hashers of `std`.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut short = String::with_capacity(9);
    for _ in 0..9 {
        short.push(char::from(DIGITS[(hash % 36) as usize]));
        hash /= 36;
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Role, ToolCall};

    #[test]
    fn an_invented_id_is_no_id_that_was_given() {
        let call = |id: &str| {
            Part::ToolCall(ToolCall {
                id: id.to_owned(),
                ..ToolCall::default()
            })
        };
        let messages = [Message {
            role: Role::Assistant,
            parts: vec![call("call_0"), call("")],
        }];
        let mut ids = ToolIds::new(&messages, ToolCallIds::Any);

        assert_eq!(ids.of_call("call_0", "a"), "call_0");
        assert_eq!(ids.of_call("", "b"), "call_1");
    }

    #[test]
    fn results_without_id_find_the_calls_without_id_by_name_and_order() {
        let mut ids = ToolIds::new(&[], ToolCallIds::Any);
        let calls = [
            ids.of_call("", "a"),
            ids.of_call("", "b"),
            ids.of_call("", "a"),
        ];

        assert_eq!(ids.of_result("", "b"), calls[1]);
        assert_eq!(ids.of_result("", "a"), calls[0]);
        assert_eq!(ids.of_result("given", "a"), "given");
        assert_eq!(ids.of_result("", "a"), calls[2]);
        assert_eq!(ids.of_result("", "a"), "");
    }

    #[test]
    fn ids_of_other_forms_become_nine_characters_that_depend_on_them_alone() {
        let short = |id| nine_alphanumerics(Cow::Borrowed(id)).into_owned();

        assert_eq!(short("gSIMJiOkT"), "gSIMJiOkT");
        assert_eq!(short("call_1").len(), 9);
        assert_eq!(short("call_1"), short("call_1"));
        assert_ne!(short("call_1"), short("call_2"));
        assert_ne!(short("functions.weather:0"), short("functions.weather:1"));
    }
}
