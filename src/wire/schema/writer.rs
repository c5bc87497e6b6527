//! How is the rewritten schema put down, and what is known of it so far?

use std::cell::Cell;

use super::SchemaRules;

pub(super) struct Writer<'r> {
    pub(super) rules: &'r SchemaRules,
    pub(super) out: String,
    pub(super) is_changed: bool,
    pub(super) is_narrowed: bool,
    pub(super) is_loose: bool,
    /// Whether some `allOf` has several members.
    pub(super) joins_schemas: bool,
    pub(super) is_root: bool,
    /// Why the schema cannot be kept.
    pub(super) wrong: Cell<Option<&'static str>>,
}

impl Writer<'_> {
    pub(super) fn give_up<E: serde::de::Error>(&self, why: &'static str) -> E {
        self.wrong.set(Some(why));
        E::custom("it cannot be kept")
    }

    pub(super) fn string(&mut self, text: &str) {
        // A string always has a JSON form.
        if let Ok(text) = serde_json::to_string(text) {
            self.out.push_str(&text);
        }
    }

    /// Begins a member of the open object or list.
    pub(super) fn next(&mut self) {
        if !self.out.ends_with(['{', '[']) {
            self.out.push(',');
        }
    }

    pub(super) fn key(&mut self, key: &str) {
        self.next();
        self.string(key);
        self.out.push(':');
    }

    pub(super) fn member(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }
}
