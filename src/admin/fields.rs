//! Which rules hold for fields that many requests have?

use crate::check::Faults;

/// The most characters of a comment.
const MOST_COMMENT: usize = 256;

/// The most characters of a name for people.
const MOST_NAME: usize = 128;

/// Checks the reason that an administrator gives.
pub(super) fn check_comment(comment: &str, faults: &mut Faults) {
    check_text("comment", comment, MOST_COMMENT, faults);
}

/// Checks a name for people.
pub(super) fn check_name(field: &str, name: &str, faults: &mut Faults) {
    check_text(field, name, MOST_NAME, faults);
}

fn check_text(field: &str, text: &str, most: usize, faults: &mut Faults) {
    let characters = text.chars().count();
    if characters > most {
        let what = format!("it has {characters} characters; at most {most} are allowed");
        faults.add(field, what);
    }
    if text.chars().any(char::is_control) {
        faults.add(field, "it has control characters; leave them out");
    }
}
