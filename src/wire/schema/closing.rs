//! Which members does a schema get at its end, when all the others are known?

use std::collections::HashSet;
use std::ops::Range;

use super::writer::Writer;

/// What the members of a schema say about it.
#[derive(Default)]
pub(super) struct Facts {
    /// Whether its type is an object; `None` if it has no type.
    pub(super) is_object: Option<bool>,
    pub(super) has_properties: bool,
    pub(super) is_closed: bool,
    /// Whether other schemas constrain the same value.
    pub(super) is_joined: bool,
    /// Whether some of these are alternatives or parts of it.
    pub(super) is_made_of_others: bool,
    pub(super) properties: Vec<String>,
    pub(super) required: Vec<String>,
    pub(super) constant: Option<String>,
    pub(super) has_enum: bool,
    pub(super) reference: bool,
    /// Where the members with a `$` stand, and whether there are others, and such as count.
    pub(super) dollars: Vec<Range<usize>>,
    pub(super) others: bool,
    pub(super) others_count: bool,
}

/// Adds the members that can be written only at a schema's end.
pub(super) fn finish<E: serde::de::Error>(
    writer: &mut Writer<'_>,
    facts: Facts,
    is_root: bool,
    begin: usize,
) -> Result<(), E> {
    let rules = writer.rules;
    if is_root && rules.plain_root && facts.is_made_of_others {
        return Err(writer.give_up("it is made of other schemas, which the provider refuses"));
    }
    if is_root && rules.object_root && facts.is_object == Some(false) {
        return Err(writer.give_up("it must be the schema of an object"));
    }
    if is_root && rules.object_root && facts.is_object.is_none() && !facts.is_joined {
        writer.is_changed = true;
        writer.member("type", r#""object""#);
    }
    let is_object = facts
        .is_object
        .unwrap_or(facts.has_properties || is_root && rules.object_root);
    if rules.closed && is_object && !facts.is_closed {
        if facts.is_joined {
            return Err(writer.give_up("an object that other schemas add to cannot be closed"));
        }
        writer.is_changed = true;
        writer.is_narrowed = true;
        writer.member("additionalProperties", "false");
    }
    if rules.all_required && (!facts.properties.is_empty() || !facts.required.is_empty()) {
        require_all(writer, facts.properties, facts.required);
    }
    if let Some(constant) = facts.constant {
        if facts.has_enum {
            writer.is_loose = true;
        } else {
            writer.is_changed = true;
            writer.member("enum", &format!("[{constant}]"));
        }
    }
    if rules.lone_refs && facts.reference && facts.others {
        let dollars: Vec<String> = facts
            .dollars
            .into_iter()
            .filter_map(|range| writer.out.get(range))
            .map(|member| member.trim_start_matches(',').to_owned())
            .collect();
        writer.out.truncate(begin);
        writer.out.push('{');
        writer.out.push_str(&dollars.join(","));
        writer.is_changed = true;
        writer.is_loose |= facts.others_count;
    }
    Ok(())
}

/// Writes `required` with every property, first those that it named already.
fn require_all(writer: &mut Writer<'_>, properties: Vec<String>, mut required: Vec<String>) {
    let named: HashSet<String> = required.iter().cloned().collect();
    let count = required.len();
    required.extend(properties.into_iter().filter(|name| !named.contains(name)));
    if required.len() > count {
        writer.is_changed = true;
        writer.is_narrowed = true;
    }
    // A list of strings always has a JSON form.
    if let Ok(list) = serde_json::to_string(&required) {
        writer.member("required", &list);
    }
}
