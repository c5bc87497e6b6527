//! How are further fields added to a JSON body, without overwriting what it says?
//!
//! No tree of the body is built: a value that only one side has is copied as text, so that numbers, strings and the
//! order of keys stay as they were written. Only objects that both sides have are looked into.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Text;

/// Lists under this name are joined: each side may define tools.
const TOOLS: &str = "tools";

/// Lists under this name are joined without repetitions: each side may name what else the answer is to include
/// (Responses API).
const INCLUDE: &str = "include";

/// How many objects may lie within each other where both sides have them. Each is read once for itself and once for
/// every object around it, so this also bounds the time.
const MOST_DEPTH: usize = 32;

/// The longest path that is shown.
const LONGEST_PATH: usize = 200;

/// Both sides give a value for one field, and the two cannot be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is set twice")]
pub struct Collision {
    /// The names of the field and of the objects around it, outermost first, joined by dots, such as
    /// `generationConfig.seed`. At most 200 bytes of it are kept. Empty if the body or the fields are no object.
    pub path: String,
}

/// The body with the members of these objects, in their order, after its own. Objects that several sides have are
/// merged, lists named `tools` or `include` are joined, and nothing else may be given twice. Takes time in proportion to the size
/// of everything.
///
/// # Errors
/// [`Collision`]: a field is given twice, by the body and the fields or by the fields alone; or one of the texts is no
/// JSON object; or the objects that are to be merged lie too deep in each other.
pub fn merge(body: Vec<u8>, fields: &[&RawValue]) -> Result<Vec<u8>, Collision> {
    if fields.is_empty() {
        return Ok(body);
    }
    let mut path = Path::default();
    let own = std::str::from_utf8(&body).map_err(|_| path.collision())?;
    let mut sides = vec![own];
    sides.extend(fields.iter().map(|object| object.get()));
    merged(&sides, &mut path)
}

/// One object laid over another: what both say is said by the upper one. Otherwise as [`merge`].
///
/// # Errors
/// [`Collision`]: one of the texts is no JSON object, or the objects lie too deep in each other.
pub fn overlay(lower: &RawValue, upper: &RawValue) -> Result<Box<RawValue>, Collision> {
    let mut path = Path {
        last_holds: true,
        ..Path::default()
    };
    let merged = merged(&[lower.get(), upper.get()], &mut path)?;
    let text = String::from_utf8(merged).map_err(|_| path.collision())?;
    RawValue::from_string(text).map_err(|_| path.collision())
}

fn merged<'a>(sides: &[&'a str], path: &mut Path<'a>) -> Result<Vec<u8>, Collision> {
    let mut merged = Vec::with_capacity(sides.iter().map(|side| side.len() + 1).sum());
    objects(sides, path, &mut merged)?;
    Ok(merged)
}

/// Fields that the body of every request to a model gets besides its own: a JSON object.
#[derive(Clone, Debug)]
pub struct ExtraFields(Arc<RawValue>);

impl ExtraFields {
    /// The fields of an object.
    pub fn new(object: Box<RawValue>) -> Self {
        Self(object.into())
    }

    /// The body with these fields, as by [`merge`].
    ///
    /// # Errors
    /// [`Collision`].
    pub fn merge_into(&self, body: Vec<u8>) -> Result<Vec<u8>, Collision> {
        merge(body, &[&self.0])
    }
}

impl PartialEq for ExtraFields {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for ExtraFields {}

/// The names on the way to the field that is looked at.
#[derive(Default)]
struct Path<'a> {
    names: Vec<Cow<'a, str>>,
    /// Whether the last of several values holds, where they cannot be joined.
    last_holds: bool,
}

impl Path<'_> {
    fn collision(&self) -> Collision {
        let mut path = String::new();
        for name in &self.names {
            let dot = (!path.is_empty()).then_some('.');
            for character in dot.into_iter().chain(name.escape_debug()) {
                if path.len() + character.len_utf8() > LONGEST_PATH {
                    return Collision { path };
                }
                path.push(character);
            }
        }
        Collision { path }
    }
}

/// A name in some of the objects.
struct Member<'a> {
    /// As the first of them writes it, in quotes.
    written: &'a str,
    name: Cow<'a, str>,
    /// The value that each of them gives.
    values: Vec<&'a str>,
}

fn objects<'a>(
    sides: &[&'a str],
    path: &mut Path<'a>,
    merged: &mut Vec<u8>,
) -> Result<(), Collision> {
    let mut members: Vec<Member<'a>> = Vec::new();
    let mut known: HashMap<Cow<'a, str>, usize> = HashMap::new();
    for side in sides {
        for (written, value) in members_of(side).map_err(|_| path.collision())? {
            let name = unquoted(written);
            match known.get(&name) {
                Some(at) => {
                    if let Some(member) = members.get_mut(*at) {
                        member.values.push(value);
                    }
                }
                None => {
                    known.insert(name.clone(), members.len());
                    members.push(Member {
                        written,
                        name,
                        values: vec![value],
                    });
                }
            }
        }
    }
    merged.push(b'{');
    for (position, member) in members.into_iter().enumerate() {
        if position > 0 {
            merged.push(b',');
        }
        merged.extend_from_slice(member.written.as_bytes());
        merged.push(b':');
        if let [value] = *member.values {
            merged.extend_from_slice(value.as_bytes());
            continue;
        }
        let are_lists = member.values.iter().all(|value| value.starts_with('['));
        let is_joined = are_lists && member.name == TOOLS;
        let is_united = are_lists && member.name == INCLUDE;
        path.names.push(member.name);
        if member.values.iter().all(|value| value.starts_with('{')) && path.names.len() < MOST_DEPTH
        {
            objects(&member.values, path, merged)?;
        } else if is_joined {
            joined(&member.values, merged);
        } else if is_united {
            united(&member.values, merged).map_err(|_| path.collision())?;
        } else if let (true, Some(last)) = (path.last_holds, member.values.last()) {
            merged.extend_from_slice(last.as_bytes());
        } else {
            return Err(path.collision());
        }
        path.names.pop();
    }
    merged.push(b'}');
    Ok(())
}

/// Writes the items of all lists.
fn joined(sides: &[&str], merged: &mut Vec<u8>) {
    let items = sides
        .iter()
        .filter_map(|list| list.strip_prefix('[')?.strip_suffix(']'))
        .map(str::trim_ascii)
        .filter(|items| !items.is_empty());
    merged.push(b'[');
    for (position, items) in items.enumerate() {
        if position > 0 {
            merged.push(b',');
        }
        merged.extend_from_slice(items.as_bytes());
    }
    merged.push(b']');
}

/// Writes each of the items of all lists once.
fn united(sides: &[&str], merged: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut written = HashSet::new();
    merged.push(b'[');
    for side in sides {
        for item in serde_json::from_str::<Vec<&RawValue>>(side)? {
            if !written.insert(item.get()) {
                continue;
            }
            if written.len() > 1 {
                merged.push(b',');
            }
            merged.extend_from_slice(item.get().as_bytes());
        }
    }
    merged.push(b']');
    Ok(())
}

/// The names and values of an object, as they are written.
pub(super) fn members_of(object: &str) -> serde_json::Result<Vec<(&str, &str)>> {
    let mut json = serde_json::Deserializer::from_str(object);
    let members = json.deserialize_map(Members)?;
    json.end()?;
    Ok(members)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de str, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = object.next_entry::<&'de RawValue, &'de RawValue>()? {
            members.push((name.get(), value.get()));
        }
        Ok(members)
    }
}

/// The text that a name in quotes stands for.
pub(super) fn unquoted(written: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Text<'_>>(written) {
        Ok(name) => name.0,
        // Half of a surrogate pair is allowed in JSON, but not in a text.
        Err(_) => Cow::Borrowed(written),
    }
}

#[cfg(test)]
mod tests;
