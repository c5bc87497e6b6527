//! Rewrites a schema's text in one pass, by a provider's rules.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::closing::{Facts, finish};
use super::keywords::{Holds, holds};
use super::writer::Writer;
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
