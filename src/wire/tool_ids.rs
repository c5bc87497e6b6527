//! Which ids do a tool call and its result get on the wire, and which call does a result answer?
//!
//! Some hosts use an id again in a later turn, and some give one id to two calls of an answer. A result belongs
//! to the first earlier call with its id that has no result yet. The ids on the wire depend only on the
//! conversation, so that a provider's prompt cache still matches.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use crate::chat::{Message, Part};

pub(super) use self::form::Form;

mod form;

/// Where no two calls may have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distinct {
    /// Among the calls of one message.
    InMessage,
    /// Among all calls of the conversation.
    InConversation,
}

/// Gives the calls and results of one conversation their ids, in the order of the conversation.
pub(super) struct ToolIds<'a> {
    messages: &'a [Message],
    form: Form,
    distinct: Distinct,
    /// The ids in the conversation, collected only when an id has to be made.
    given: Option<HashSet<&'a str>>,
    /// Ids on the wire that are taken.
    taken: HashSet<Cow<'a, str>>,
    /// How many ids were made for calls without one.
    made: usize,
    /// The number in the last id that was made for a call whose own id was taken.
    repeats: HashMap<&'a str, usize>,
    /// How many calls there are so far.
    count: usize,
    /// The calls of the last assistant message without a result, by id; those without id by name.
    open: HashMap<CallKey<'a>, VecDeque<Linked<'a>>>,
}

#[derive(PartialEq, Eq, Hash)]
enum CallKey<'a> {
    Id(&'a str),
    Name(&'a str),
}

impl<'a> CallKey<'a> {
    fn of(id: &'a str, name: &'a str) -> Self {
        if id.is_empty() {
            Self::Name(name)
        } else {
            Self::Id(id)
        }
    }
}

/// A call as a result refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linked<'a> {
    /// The call's id on the wire.
    pub(super) id: Cow<'a, str>,
    /// The call's number in the conversation, from 0; `None` if there is no such call.
    pub(super) number: Option<usize>,
}

impl<'a> ToolIds<'a> {
    pub(super) fn new(messages: &'a [Message], form: Form, distinct: Distinct) -> Self {
        Self {
            messages,
            form,
            distinct,
            given: None,
            taken: HashSet::new(),
            made: 0,
            repeats: HashMap::new(),
            count: 0,
            open: HashMap::new(),
        }
    }

    /// An assistant message begins: results that come later belong to its calls.
    pub(super) fn begin_message(&mut self) {
        // Clearing a map costs as much as it has ever held; a new one costs nothing.
        self.open = HashMap::new();
        if self.distinct == Distinct::InMessage {
            self.taken = HashSet::new();
            self.repeats = HashMap::new();
        }
    }

    /// How many calls there have been, which is the number of the next.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The id of the next call.
    pub(super) fn of_call(&mut self, id: &'a str, name: &'a str) -> Cow<'a, str> {
        let mut wire = if id.is_empty() {
            self.make()
        } else {
            self.form.of(Cow::Borrowed(id))
        };
        if self.taken.contains(&wire) {
            wire = self.repeated(id);
        }
        self.taken.insert(wire.clone());
        let linked = Linked {
            id: wire.clone(),
            number: Some(self.count),
        };
        self.count += 1;
        let open = self.open.entry(CallKey::of(id, name)).or_default();
        open.push_back(linked);
        wire
    }

    /// The call that the next result answers. A result without an id answers the first call of its
    /// name that has neither id nor result.
    pub(super) fn of_result(&mut self, id: &'a str, name: &'a str) -> Linked<'a> {
        if let Entry::Occupied(mut open) = self.open.entry(CallKey::of(id, name))
            && let Some(linked) = open.get_mut().pop_front()
        {
            return linked;
        }
        Linked {
            id: self.form.of(Cow::Borrowed(id)),
            number: None,
        }
    }

    /// An id for a call without one.
    fn make(&mut self) -> Cow<'a, str> {
        loop {
            let candidate = format!("call_{}", self.made);
            self.made += 1;
            if !self.is_given(&candidate) {
                return self.form.of(Cow::Owned(candidate));
            }
        }
    }

    /// An id for a call whose own id is taken.
    fn repeated(&mut self, id: &'a str) -> Cow<'a, str> {
        let mut number = self.repeats.get(id).copied().unwrap_or(1);
        let wire = loop {
            number += 1;
            let candidate = format!("{id}_{number}");
            if self.is_given(&candidate) {
                continue;
            }
            let candidate = self.form.of(Cow::Owned(candidate));
            if !self.taken.contains(&candidate) {
                break candidate;
            }
        };
        self.repeats.insert(id, number);
        wire
    }

    fn is_given(&mut self, id: &str) -> bool {
        self.given
            .get_or_insert_with(|| ids_of(self.messages))
            .contains(id)
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
        | Part::Refusal(_)
        | Part::Audio(_)
        | Part::Video(_)
        | Part::Provider(_) => None,
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Role, ToolCall};

    /// One assistant message for each list of ids.
    fn conversation(turns: &[&[&str]]) -> Vec<Message> {
        let call = |id: &&str| {
            Part::ToolCall(ToolCall {
                id: (*id).to_owned(),
                name: "run".to_owned(),
                ..ToolCall::default()
            })
        };
        let message = |ids: &&[&str]| Message {
            role: Role::Assistant,
            parts: ids.iter().map(call).collect(),
        };
        turns.iter().map(message).collect()
    }

    /// The ids on the wire of all calls, by turns; each result must find its call.
    fn spelled(turns: &[&[&str]], form: Form, distinct: Distinct) -> Vec<Vec<String>> {
        let messages = conversation(turns);
        let mut ids = ToolIds::new(&messages, form, distinct);
        let mut number = 0;
        let mut all = Vec::new();
        for turn in turns {
            ids.begin_message();
            let calls: Vec<_> = turn.iter().map(|id| ids.of_call(id, "run")).collect();
            for (id, wire) in turn.iter().zip(&calls) {
                let linked = ids.of_result(id, "run");
                assert_eq!(&linked.id, wire, "the result of {id}");
                assert_eq!(linked.number, Some(number));
                number += 1;
            }
            all.push(calls.into_iter().map(Cow::into_owned).collect());
        }
        all
    }

    #[test]
    fn ids_that_are_fit_are_sent_as_they_are() {
        let turns: &[&[&str]] = &[&["run:0", "a"], &["b"]];

        for distinct in [Distinct::InMessage, Distinct::InConversation] {
            assert_eq!(spelled(turns, Form::Any, distinct), turns);
        }
    }

    #[test]
    fn an_id_that_comes_again_in_a_later_message_is_changed_only_where_the_host_minds() {
        let turns: &[&[&str]] = &[&["a"], &["a"], &["a_2", "a"]];

        assert_eq!(spelled(turns, Form::Any, Distinct::InMessage), turns);
        assert_eq!(
            spelled(turns, Form::Any, Distinct::InConversation),
            [vec!["a"], vec!["a_3"], vec!["a_2", "a_4"]]
        );
    }

    #[test]
    fn an_id_that_comes_twice_in_a_message_is_changed_for_every_host() {
        let turns: &[&[&str]] = &[&["a", "a", "a"], &["a"]];

        assert_eq!(
            spelled(turns, Form::Any, Distinct::InMessage),
            [vec!["a", "a_2", "a_3"], vec!["a"]]
        );
        for form in [Form::LettersAndDigits, Form::NineAlphanumerics] {
            let ids = spelled(&[&["f:0", "f:0"], &["f:0"]], form, Distinct::InConversation);
            let distinct: HashSet<_> = ids.iter().flatten().collect();
            assert_eq!(distinct.len(), 3, "{ids:?}");
        }
    }

    #[test]
    fn an_id_is_made_for_a_call_without_one_and_is_none_that_was_given() {
        let ids = spelled(
            &[&["call_0", "", ""]],
            Form::LettersAndDigits,
            Distinct::InConversation,
        );

        assert_eq!(ids, [["call_0", "call_1", "call_2"]]);
    }

    #[test]
    fn results_without_id_find_the_calls_without_id_by_name_and_order() {
        let mut ids = ToolIds::new(&[], Form::Any, Distinct::InMessage);
        let calls = [
            ids.of_call("", "a"),
            ids.of_call("", "b"),
            ids.of_call("", "a"),
        ];

        assert_eq!(ids.of_result("", "b").id, calls[1]);
        assert_eq!(ids.of_result("", "a").id, calls[0]);
        assert_eq!(ids.of_result("given", "a").id, "given");
        assert_eq!(ids.of_result("", "a").id, calls[2]);
        let none = Linked {
            id: "".into(),
            number: None,
        };
        assert_eq!(ids.of_result("", "a"), none);
    }
}
