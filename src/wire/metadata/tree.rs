//! Keeps fields at their places, in bounded memory: of each place the last value.

use std::collections::BTreeMap;

use super::walk::ValueStep;

/// The most bytes of names and values that are kept.
const MOST_BYTES: usize = 256 * 1024;

/// The most values, objects and lists that are kept: the smallest of them takes some hundred bytes of memory, and two
/// in an answer.
const MOST_NODES: usize = 4096;

/// What an item takes that stands for none, so that later ones keep their position.
const PADDING: &str = "null";

/// Fields at their places.
#[derive(Default)]
pub(super) struct Tree {
    root: BTreeMap<Box<str>, Node>,
    extent: Extent,
}

/// How much is kept.
#[derive(Default)]
struct Extent {
    /// Bytes of the JSON text.
    bytes: usize,
    nodes: usize,
}

enum Node {
    /// The JSON text of a value.
    Leaf(Box<str>),
    Object(BTreeMap<Box<str>, Node>),
    List(BTreeMap<usize, Node>),
}

impl Tree {
    /// Keeps a value; false if there is no room for it. Whatever was there before is replaced.
    pub(super) fn put(&mut self, place: &[ValueStep<'_>], leaf: &str) -> bool {
        let Some((ValueStep::Member(first), rest)) = place.split_first() else {
            return true;
        };
        let room = MOST_BYTES.saturating_sub(self.extent.bytes);
        let most = place.iter().fold(leaf.len(), |bytes, step| {
            bytes.saturating_add(match step {
                ValueStep::Member(name) => name.len() + OF_MEMBER,
                ValueStep::Item(position) => position.saturating_mul(PADDING.len() + 1) + OF_MEMBER,
            })
        });
        if most > room || self.extent.nodes + place.len() > MOST_NODES {
            // A value that takes no more room than the one before it may still replace it.
            return self.replace(place, leaf);
        }
        let Some(node) = self.node(first, rest) else {
            return false;
        };
        let old = match node {
            Node::Leaf(old) => old.len(),
            Node::Object(_) | Node::List(_) => 0,
        };
        *node = Node::Leaf(leaf.into());
        self.extent.bytes = (self.extent.bytes + leaf.len()).saturating_sub(old);
        true
    }

    /// The node at a place, which is made if it is not there.
    fn node(&mut self, first: &str, rest: &[ValueStep<'_>]) -> Option<&mut Node> {
        let mut node = member(&mut self.root, first, &mut self.extent)?;
        for step in rest {
            node = match step {
                ValueStep::Member(name) => member(node.as_object()?, name, &mut self.extent)?,
                ValueStep::Item(position) => item(node.as_list()?, *position, &mut self.extent)?,
            };
        }
        Some(node)
    }

    /// Replaces a value that is there by one that takes no more room; false if that is not so.
    fn replace(&mut self, place: &[ValueStep<'_>], leaf: &str) -> bool {
        let Some((ValueStep::Member(first), rest)) = place.split_first() else {
            return true;
        };
        let found = rest
            .iter()
            .try_fold(self.root.get_mut(&**first), |node, step| {
                Some(match (node?, step) {
                    (Node::Object(members), ValueStep::Member(name)) => members.get_mut(&**name),
                    (Node::List(items), ValueStep::Item(position)) => items.get_mut(position),
                    _ => None,
                })
            });
        match found.flatten() {
            Some(Node::Leaf(old)) if leaf.len() <= old.len() => {
                self.extent.bytes -= old.len() - leaf.len();
                *old = leaf.into();
                true
            }
            _ => false,
        }
    }

    /// The fields as an object's JSON text; empty if there are none.
    pub(super) fn into_json(self) -> String {
        let mut json = String::new();
        if !self.root.is_empty() {
            json.reserve(self.extent.bytes);
            write_object(&self.root, &mut json);
        }
        json
    }
}

/// Quotes, a colon and a comma.
const OF_MEMBER: usize = 4;

impl Node {
    fn nothing() -> Self {
        Self::Leaf(Box::default())
    }

    /// Its members; if it is no object, it becomes an empty one.
    fn as_object(&mut self) -> Option<&mut BTreeMap<Box<str>, Self>> {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(BTreeMap::new());
        }
        match self {
            Self::Object(members) => Some(members),
            Self::Leaf(_) | Self::List(_) => None,
        }
    }

    /// Its items; if it is no list, it becomes an empty one.
    fn as_list(&mut self) -> Option<&mut BTreeMap<usize, Self>> {
        if !matches!(self, Self::List(_)) {
            *self = Self::List(BTreeMap::new());
        }
        match self {
            Self::List(items) => Some(items),
            Self::Leaf(_) | Self::Object(_) => None,
        }
    }

    fn write(&self, json: &mut String) {
        match self {
            Self::Leaf(text) if text.is_empty() => json.push_str(PADDING),
            Self::Leaf(text) => json.push_str(text),
            Self::Object(members) => write_object(members, json),
            Self::List(items) => {
                json.push('[');
                let mut next = 0;
                for (position, item) in items {
                    for _ in next..*position {
                        json.push_str(PADDING);
                        json.push(',');
                    }
                    item.write(json);
                    json.push(',');
                    next = position + 1;
                }
                if json.ends_with(',') {
                    json.pop();
                }
                json.push(']');
            }
        }
    }
}

fn write_object(members: &BTreeMap<Box<str>, Node>, json: &mut String) {
    json.push('{');
    for (position, (name, value)) in members.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        json.push_str(&serde_json::Value::from(&**name).to_string());
        json.push(':');
        value.write(json);
    }
    json.push('}');
}

/// The member of this name, which is added if it is not there.
fn member<'n>(
    members: &'n mut BTreeMap<Box<str>, Node>,
    name: &str,
    extent: &mut Extent,
) -> Option<&'n mut Node> {
    if !members.contains_key(name) {
        extent.bytes += name.len() + OF_MEMBER;
        extent.nodes += 1;
        members.insert(name.into(), Node::nothing());
    }
    members.get_mut(name)
}

/// The item at this position, which is added if it is not there.
fn item<'n>(
    items: &'n mut BTreeMap<usize, Node>,
    position: usize,
    extent: &mut Extent,
) -> Option<&'n mut Node> {
    if !items.contains_key(&position) {
        let length = items.last_key_value().map_or(0, |(last, _)| last + 1);
        extent.bytes += OF_MEMBER + (PADDING.len() + 1) * position.saturating_sub(length);
        extent.nodes += 1;
        items.insert(position, Node::nothing());
    }
    items.get_mut(&position)
}
