//! What a schema refers to by name: other schemas of its document, and patterns.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use super::pattern::Pattern;

/// How many patterns of one document are compiled. Others are not obeyed.
const MOST_PATTERNS: usize = 200;

/// A schema as a whole.
pub(super) struct Document<'s> {
    root: &'s Value,
    /// Schemas by their `$id` and, with a `#` before it, their `$anchor`.
    named: OnceCell<HashMap<String, &'s Value>>,
    patterns: RefCell<HashMap<String, Option<Rc<Pattern>>>>,
}

impl<'s> Document<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self {
            root,
            named: OnceCell::new(),
            patterns: RefCell::default(),
        }
    }

    /// The schema that a `$ref` means: `#`, `#/a/pointer`, `#anchor`, or an `$id` with or without a pointer.
    pub(super) fn schema(&self, reference: &str) -> Option<&'s Value> {
        let (id, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let schema = match id {
            "" => self.root,
            _ => self.named(id)?,
        };
        match fragment {
            "" => Some(schema),
            _ if fragment.starts_with('/') => {
                let pointer = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
                schema.pointer(&pointer)
            }
            anchor => self.named(&format!("#{anchor}")),
        }
    }

    fn named(&self, name: &str) -> Option<&'s Value> {
        let named = self.named.get_or_init(|| {
            let mut named = HashMap::new();
            collect(self.root, &mut named);
            named
        });
        named.get(name).copied()
    }

    /// A pattern by its text; `None` if it cannot be obeyed.
    pub(super) fn pattern(&self, text: &str) -> Option<Rc<Pattern>> {
        let mut patterns = self.patterns.borrow_mut();
        if let Some(pattern) = patterns.get(text) {
            return pattern.clone();
        }
        if patterns.len() == MOST_PATTERNS {
            return None;
        }
        let pattern = Pattern::new(text).map(Rc::new);
        patterns.insert(text.to_owned(), pattern.clone());
        pattern
    }
}

/// Collects the schemas that have a name. A document is at most as deep as the parser of JSON lets it be.
fn collect<'s>(value: &'s Value, named: &mut HashMap<String, &'s Value>) {
    match value {
        Value::Object(fields) => {
            for (keyword, sign) in [("$id", ""), ("$anchor", "#")] {
                if let Some(name) = fields.get(keyword).and_then(Value::as_str) {
                    named.entry(format!("{sign}{name}")).or_insert(value);
                }
            }
            for field in fields.values() {
                collect(field, named);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, named);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
