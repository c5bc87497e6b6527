//! Which fields does an object in a provider's own words have, whatever its author does to hide one?
//!
//! A provider may read the first or the last of two fields with one name, may not mind the case of letters, or may know
//! two spellings of a name. So every field counts, and names are compared by their letters and digits alone.

use std::borrow::Cow;

use crate::wire::merge::{members_of, unquoted};

/// Every field of an object and its value, those with equal names included; `None` if the text is no object.
pub(super) fn members(object: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let members = members_of(object).ok()?.into_iter();
    let named = members.map(|(written, value)| (unquoted(written), value));
    Some(named.collect())
}

/// Whether a provider might read `written` as the field `name`: both `generation_config` and `GenerationConfig` as
/// `generationConfig`.
pub(super) fn may_mean(written: &str, name: &str) -> bool {
    let letters = |text: &str| {
        let kept = text.chars().filter(|character| *character != '_');
        kept.flat_map(char::to_lowercase).collect::<String>()
    };
    written == name || letters(written) == letters(name)
}
