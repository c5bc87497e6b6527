//! What is a field of the contract called on the command line? A message that names it must name what its reader typed.

/// Fields that have a name of their own as an option. Any other one is spelled as its option.
const NAMED: [(&str, &str); 14] = [
    ("start_time", "--since"),
    ("end_time", "--until"),
    ("group_by", "--by"),
    ("group_by_labels", "--by"),
    ("page_size", "--limit"),
    ("labels", "--label"),
    ("trace_id", "--trace"),
    ("key_id", "--key"),
    ("call_id", "CALL_ID"),
    // The time of a filter as a whole.
    ("filter", "--since"),
    ("account", "--account"),
    ("key.account", "--caller"),
    ("key.display_name", "--name"),
    ("key.expire_time", "--expires"),
];

/// Words about the contract that stand in messages, and what they are on the command line.
const WORDS: [(&str, &str); 5] = [
    ("start_time", "--since"),
    ("end_time", "--until"),
    ("`require_latency`", "--require-latency"),
    ("QueryUsage", "`modelway usage`"),
    // On the command line nothing stands for a default but leaving the option out.
    ("; 0 stands for 1000", ""),
];

/// The option for a field of a question about the ledger, such as `filter.start_time`.
pub(super) fn option_of(field: &str) -> String {
    let field = field.strip_prefix("filter.").unwrap_or(field);
    named(field).unwrap_or_else(|| format!("--{}", field.replace('_', "-")))
}

/// The option for a field of an administrator's request; the field itself if there is none.
pub(super) fn option_or_field(field: &str) -> String {
    match field {
        "comment" | "overlap" | "amount" => format!("--{field}"),
        _ => named(field).unwrap_or_else(|| field.to_owned()),
    }
}

fn named(field: &str) -> Option<String> {
    let found = NAMED.into_iter().find(|(name, _)| *name == field);
    found.map(|(_, option)| option.to_owned())
}

/// A message in whose words the options stand in place of the fields.
pub(super) fn in_options(message: &str) -> String {
    let mut text = message.to_owned();
    for (word, option) in WORDS {
        text = text.replace(word, option);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_questions_are_told_by_their_options() {
        for (field, option) in [
            ("filter.start_time", "--since"),
            ("end_time", "--until"),
            ("group_by", "--by"),
            ("filter.labels", "--label"),
            ("filter.account", "--account"),
            ("filter.cost_unknown", "--cost-unknown"),
            ("max_rows", "--max-rows"),
            ("time_zone", "--time-zone"),
            ("filter", "--since"),
        ] {
            assert_eq!(option_of(field), option);
        }
    }

    #[test]
    fn fields_of_changes_without_an_option_keep_their_names() {
        assert_eq!(option_or_field("key.account"), "--caller");
        assert_eq!(option_or_field("comment"), "--comment");
        assert_eq!(option_or_field("limit.window"), "limit.window");
    }

    #[test]
    fn words_of_the_contract_are_those_of_the_command_line() {
        let told = in_options("it is not after start_time; QueryUsage shows it");

        assert_eq!(told, "it is not after --since; `modelway usage` shows it");
    }
}
