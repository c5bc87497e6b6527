//! Rewrites a schema's text in one pass, by a provider's rules.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fate, SchemaRules};

/// What the pass has found.
pub(super) struct Walked {
    /// The schema as it has to be sent, if that differs from what was written.
    pub(super) text: Option<String>,
    pub(super) is_narrowed: bool,
    pub(super) is_loose: bool,
}

pub(super) fn walk(schema: &str, rules: &SchemaRules) -> Result<Walked, &'static str> {
    let mut writer = Writer {
        rules,
        out: String::with_capacity(schema.len() + 64),
        is_changed: false,
        is_narrowed: false,
        is_loose: false,
        joins_schemas: false,
        is_root: true,
        wrong: Cell::new(None),
    };
    let read = Schema(&mut writer).deserialize(&mut serde_json::Deserializer::from_str(schema));
    if let Some(why) = writer.wrong.get() {
        return Err(why);
    }
    read.map_err(|_| "it cannot be read as a schema")?;
    if writer.is_narrowed && writer.joins_schemas {
        return Err("objects that `allOf` joins cannot be closed one by one");
    }
    Ok(Walked {
        text: writer.is_changed.then_some(writer.out),
        is_narrowed: writer.is_narrowed,
        is_loose: writer.is_loose,
    })
}

struct Writer<'r> {
    rules: &'r SchemaRules,
    out: String,
    is_changed: bool,
    is_narrowed: bool,
    is_loose: bool,
    /// Whether some `allOf` has several members.
    joins_schemas: bool,
    is_root: bool,
    /// Why the schema cannot be kept.
    wrong: Cell<Option<&'static str>>,
}

impl Writer<'_> {
    fn give_up<E: serde::de::Error>(&self, why: &'static str) -> E {
        self.wrong.set(Some(why));
        E::custom("it cannot be kept")
    }

    fn string(&mut self, text: &str) {
        // A string always has a JSON form.
        if let Ok(text) = serde_json::to_string(text) {
            self.out.push_str(&text);
        }
    }

    /// Begins a member of the open object or list.
    fn next(&mut self) {
        if !self.out.ends_with(['{', '[']) {
            self.out.push(',');
        }
    }

    fn key(&mut self, key: &str) {
        self.next();
        self.string(key);
        self.out.push(':');
    }

    fn member(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }
}

/// What a keyword holds.
enum Holds {
    /// A schema, or a list of them.
    Schema,
    /// A schema for each name.
    Named,
    /// Anything else.
    Data,
}

fn holds(keyword: &str) -> Holds {
    match keyword {
        "items"
        | "prefixItems"
        | "additionalItems"
        | "contains"
        | "unevaluatedItems"
        | "not"
        | "if"
        | "then"
        | "else"
        | "allOf"
        | "anyOf"
        | "oneOf"
        | "additionalProperties"
        | "propertyNames"
        | "unevaluatedProperties"
        | "contentSchema" => Holds::Schema,
        "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions" => {
            Holds::Named
        }
        _ => Holds::Data,
    }
}

/// What the members of a schema say about it.
#[derive(Default)]
struct Facts {
    /// Whether its type is an object; `None` if it has no type.
    is_object: Option<bool>,
    has_properties: bool,
    is_closed: bool,
    /// Whether other schemas constrain the same value.
    is_joined: bool,
    /// Whether some of these are alternatives or parts of it.
    is_made_of_others: bool,
    properties: Vec<String>,
    required: Vec<String>,
    constant: Option<String>,
    has_enum: bool,
    reference: bool,
    /// Where the members with a `$` stand, and whether there are others, and such as count.
    dollars: Vec<Range<usize>>,
    others: bool,
    others_count: bool,
}

/// One schema.
struct Schema<'w, 'r>(&'w mut Writer<'r>);

impl<'de> DeserializeSeed<'de> for Schema<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The value is the number of members of a list.
impl<'de> Visitor<'de> for Schema<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema")
    }

    fn visit_bool<E>(self, value: bool) -> Result<usize, E> {
        self.0.out.push_str(if value { "true" } else { "false" });
        Ok(0)
    }

    fn visit_unit<E>(self) -> Result<usize, E> {
        self.0.out.push_str("null");
        Ok(0)
    }

    fn visit_i64<E>(self, value: i64) -> Result<usize, E> {
        self.0.out.push_str(&value.to_string());
        Ok(0)
    }

    fn visit_u64<E>(self, value: u64) -> Result<usize, E> {
        self.0.out.push_str(&value.to_string());
        Ok(0)
    }

    fn visit_f64<E>(self, value: f64) -> Result<usize, E> {
        self.0
            .out
            .push_str(&serde_json::Value::from(value).to_string());
        Ok(0)
    }

    fn visit_str<E>(self, value: &str) -> Result<usize, E> {
        self.0.string(value);
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let writer = self.0;
        writer.out.push('[');
        let mut count = 0;
        loop {
            let before = writer.out.len();
            writer.next();
            if list.next_element_seed(Schema(writer))?.is_none() {
                writer.out.truncate(before);
                break;
            }
            count += 1;
        }
        writer.out.push(']');
        Ok(count)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<usize, A::Error> {
        let writer = self.0;
        let is_root = std::mem::take(&mut writer.is_root);
        let begin = writer.out.len();
        writer.out.push('{');
        let mut facts = Facts::default();
        while let Some(key) = members.next_key::<String>()? {
            let start = writer.out.len();
            member(writer, &mut facts, &key, &mut members)?;
            let written = start..writer.out.len();
            if key.starts_with('$') {
                if !written.is_empty() {
                    facts.dollars.push(written);
                }
            } else {
                facts.others = true;
                facts.others_count |= !matches!(&*key, "title" | "description" | "default");
            }
        }
        finish(writer, facts, is_root, begin)?;
        writer.out.push('}');
        Ok(0)
    }
}

/// Reads one member of a schema and writes what the rules make of it.
fn member<'de, A: MapAccess<'de>>(
    writer: &mut Writer<'_>,
    facts: &mut Facts,
    key: &str,
    members: &mut A,
) -> Result<(), A::Error> {
    let rules = writer.rules;
    facts.is_joined |= matches!(
        key,
        "$ref" | "allOf" | "anyOf" | "oneOf" | "if" | "then" | "else" | "dependentSchemas"
    );
    facts.is_made_of_others |= matches!(key, "allOf" | "anyOf" | "oneOf");
    facts.reference |= key == "$ref";
    if key == "additionalProperties" && rules.closed {
        let value: &RawValue = members.next_value()?;
        if value.get() != "false" {
            return Err(writer.give_up(
                "it requires keys that are not among its properties, which the provider refuses",
            ));
        }
        facts.is_closed = true;
        writer.member(key, "false");
        return Ok(());
    }
    match holds(key) {
        Holds::Data => {
            let value: &RawValue = members.next_value()?;
            data(writer, facts, key, value.get())
        }
        Holds::Schema => {
            if !is_sent(writer, key, "")? {
                members.next_value::<IgnoredAny>()?;
                return Ok(());
            }
            writer.key(key);
            let count = members.next_value_seed(Schema(writer))?;
            writer.joins_schemas |= key == "allOf" && count > 1;
            Ok(())
        }
        Holds::Named => {
            if !is_sent(writer, key, "")? {
                members.next_value::<IgnoredAny>()?;
                return Ok(());
            }
            facts.has_properties |= key == "properties";
            let names =
                (key == "properties" && rules.all_required).then_some(&mut facts.properties);
            writer.key(key);
            members.next_value_seed(Named { writer, names })
        }
    }
}

/// Writes a member that holds no schema.
fn data<E: serde::de::Error>(
    writer: &mut Writer<'_>,
    facts: &mut Facts,
    key: &str,
    value: &str,
) -> Result<(), E> {
    match key {
        "type" => facts.is_object = Some(names_object(value)),
        "enum" => facts.has_enum = true,
        "required" if writer.rules.all_required => {
            // A value that is not a list of names requires nothing.
            facts
                .required
                .extend(serde_json::from_str::<Vec<String>>(value).unwrap_or_default());
            return Ok(()); // written at the end
        }
        "const" if writer.rules.const_as_enum && is_text_or_number(value) => {
            facts.constant = Some(value.to_owned());
            return Ok(()); // written at the end
        }
        _ => {}
    }
    if is_sent(writer, key, value)? {
        writer.member(key, value);
    }
    Ok(())
}

/// Whether a keyword is sent.
fn is_sent<E: serde::de::Error>(
    writer: &mut Writer<'_>,
    key: &str,
    value: &str,
) -> Result<bool, E> {
    match (writer.rules.keyword)(key, value) {
        Fate::Kept => Ok(true),
        Fate::Ignored => {
            writer.is_loose = true;
            Ok(true)
        }
        Fate::LeftOut => {
            writer.is_changed = true;
            Ok(false)
        }
        Fate::Refused(why) => Err(writer.give_up(why)),
    }
}

/// Adds the members that can be written only at a schema's end.
fn finish<E: serde::de::Error>(
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

fn names_object(r#type: &str) -> bool {
    match serde_json::from_str(r#type) {
        Ok(serde_json::Value::String(name)) => name == "object",
        Ok(serde_json::Value::Array(names)) => names.iter().any(|name| name == "object"),
        _ => false,
    }
}

fn is_text_or_number(value: &str) -> bool {
    value.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// Schemas by name.
struct Named<'w, 'r, 'n> {
    writer: &'w mut Writer<'r>,
    names: Option<&'n mut Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Named<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("schemas by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { writer, mut names } = self;
        writer.out.push('{');
        while let Some(name) = members.next_key::<String>()? {
            writer.key(&name);
            members.next_value_seed(Schema(writer))?;
            if let Some(names) = &mut names {
                names.push(name);
            }
        }
        writer.out.push('}');
        Ok(())
    }
}
