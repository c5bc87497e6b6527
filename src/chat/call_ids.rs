//! Which ids and names do callers see for the tool calls of an answer?

use std::collections::HashSet;

/// Gives each tool call of one answer an id: the provider's, or one of ours if the provider gave none or used the
/// id for an earlier call of the answer. Results are matched by these ids.
#[derive(Debug)]
pub struct CallIds {
    /// The id of our call, which is different for every answer.
    call_id: String,
    given: HashSet<String>,
    count: usize,
}

impl CallIds {
    /// Starts an answer of the call that has this id.
    pub fn new(call_id: String) -> Self {
        Self {
            call_id,
            given: HashSet::new(),
            count: 0,
        }
    }

    /// The id of the next tool call: never empty, never one that was used before.
    pub fn next(&mut self, provider_id: String) -> String {
        let mut id = provider_id;
        if id.is_empty() || self.given.contains(&id) {
            id = format!("{}-{}", self.call_id, self.count);
        }
        while self.given.contains(&id) {
            id.push('-');
        }
        self.count += 1;
        self.given.insert(id.clone());
        id
    }
}

/// The name of a tool call as callers see it: never empty, so that the call can be appended to the next
/// request.
pub fn given_name(name: String) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_name_is_given_out_with_one() {
        assert_eq!(given_name("run".to_owned()), "run");
        assert_eq!(given_name(String::new()), "_");
    }

    #[test]
    fn each_call_of_an_answer_gets_an_id_of_its_own() {
        let mut ids = CallIds::new("c1".to_owned());
        let given =
            ["", "call_7", "call_7", "c1-4", "", "call_7"].map(|id| ids.next(id.to_owned()));

        assert_eq!(given, ["c1-0", "call_7", "c1-2", "c1-4", "c1-4-", "c1-5"]);
    }
}
