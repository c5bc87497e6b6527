//! Reads one table of the file key by key. Mistakes are noted with their place, and reading goes on.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::mistake::Location;
use super::quantity::{parse_bytes, parse_duration};

/// The longest time that a setting may have.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A table that is being read. A table that is not in the file reads as an empty one.
pub(super) struct Table<'a> {
    pub(super) place: Location<'a>,
    entries: Option<&'a DeTable<'a>>,
    known: Vec<&'static str>,
    /// Keys of older versions, which are refused with a remedy of their own.
    former: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn new(place: Location<'a>, entries: Option<&'a DeTable<'a>>) -> Self {
        Self {
            place,
            entries,
            known: Vec::new(),
            former: Vec::new(),
        }
    }

    /// The value of `key`, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (written, value) = self.entries?.get_key_value(key)?;
        Some(Value::new(
            self.place.key(key, start_of(written, value)),
            value,
        ))
    }

    /// Whether `key` is present, with a valid value or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(key))
    }

    /// Refuses `key`, which an older version read. The remedy says what takes its place.
    pub(super) fn refuse_former(&mut self, key: &'static str, remedy: &str) {
        self.former.push(key);
        let written = self.entries.and_then(|entries| entries.get_key_value(key));
        if let Some((written, value)) = written {
            let place = self.place.key(key, start_of(written, value));
            place.wrong("this key no longer exists", remedy);
        }
    }

    /// The value of `key` as `read` returns it; `None` if it is absent or wrong.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).as_ref().and_then(read)
    }

    /// The value of `key` as `read` returns it; `default` if it is absent or wrong.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// Like [`Table::optional`], but an absent `key` is a mistake.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        remedy: &str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key);
        if value.is_none() {
            self.place.absent(format!("`{key}` is missing"), remedy);
        }
        value.as_ref().and_then(read)
    }

    /// The table under `key`; an empty one if it is absent or wrong.
    pub(super) fn section(&mut self, key: &'static str) -> Table<'a> {
        let empty = Self::new(self.place.key(key, 0), None);
        self.or(key, empty, Value::table)
    }

    /// Every key and its value, for tables whose keys are names.
    pub(super) fn named(&self) -> Vec<(&'a str, Value<'a>)> {
        let Some(entries) = self.entries else {
            return Vec::new();
        };
        entries
            .iter()
            .map(|(key, value)| {
                let name: &str = key.get_ref();
                (
                    name,
                    Value::new(self.place.key(name, start_of(key, value)), value),
                )
            })
            .collect()
    }

    /// Notes the keys that were not read: they are unknown.
    pub(super) fn finish(self) {
        for (name, value) in self.named() {
            if !self.known.contains(&name) && !self.former.contains(&name) {
                let advice = value.place.advise(name, self.known.iter().copied());
                value.place.wrong("unknown key", advice);
            }
        }
    }
}

/// In a header such as `[a.b]` each key has its own place, but the table has none.
fn start_of(key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> usize {
    if value.get_ref().is_table() {
        key.span().start
    } else {
        value.span().start
    }
}

/// A value and its place. Each way of reading it notes why it fails.
pub(super) struct Value<'a> {
    pub(super) place: Location<'a>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    fn new(place: Location<'a>, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { place, value }
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let found = self.value.get_ref().as_bool();
        self.or_not_a(found, "`true` or `false`")
    }

    pub(super) fn string(&self) -> Option<&'a str> {
        let found = self.value.get_ref().as_str();
        self.or_not_a(found, "a string in quotes")
    }

    /// A text that is not empty.
    pub(super) fn filled(&self, remedy: &str) -> Option<&'a str> {
        let text = self.string()?;
        if text.is_empty() {
            self.place.wrong("empty", remedy);
            return None;
        }
        Some(text)
    }

    /// The text that stands here, if it is one. Anything else is no mistake.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// The value in JSON.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        let json = match self.value.get_ref() {
            DeValue::String(text) => Some(Json::from(text.as_ref())),
            DeValue::Integer(written) => i64::from_str_radix(written.as_str(), written.radix())
                .ok()
                .map(Json::from),
            DeValue::Float(written) => written
                .as_str()
                .parse()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Json::Number),
            DeValue::Boolean(flag) => Some(Json::from(*flag)),
            DeValue::Datetime(_) => None,
            DeValue::Array(_) => {
                let items = self.list()?;
                return items.iter().map(Value::json).collect();
            }
            DeValue::Table(_) => {
                let mut object = serde_json::Map::new();
                for (name, value) in self.table()?.named() {
                    object.insert(name.to_owned(), value.json()?);
                }
                return Some(object.into());
            }
        };
        if json.is_none() {
            self.place.wrong(
                "JSON has no such value",
                "write a string, a boolean, a finite number of 64 bits, a list or a table",
            );
        }
        json
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let found = self.value.get_ref().as_table();
        let entries = self.or_not_a(found, "a table")?;
        Some(Table::new(self.place.clone(), Some(entries)))
    }

    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        let found = self.value.get_ref().as_array();
        let items = self
            .or_not_a(found, "a list in brackets")?
            .iter()
            .enumerate();
        Some(
            items
                .map(|(position, item)| {
                    Value::new(self.place.item(position, item.span().start), item)
                })
                .collect(),
        )
    }

    /// A whole number in `range`.
    pub(super) fn whole<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + PartialOrd + std::fmt::Display,
    {
        let written = self.value.get_ref().as_integer();
        let written = self.or_not_a(written, "a whole number")?;
        let number = u64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number.and_then(|number| T::try_from(number).ok());
        self.in_range(number, range)
    }

    /// The text of a decimal number of which no digit may be lost; it may be written as a string, too.
    pub(super) fn decimal(&self) -> Option<&'a str> {
        let written = match self.value.get_ref() {
            DeValue::Integer(written) if written.radix() == 10 => Some(written.as_str()),
            DeValue::Float(written) => Some(written.as_str()),
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        };
        self.or_not_a(written, "a number")
    }

    /// A date, with or without a time; `None` for anything else, which is not noted as a mistake.
    pub(super) fn datetime(&self) -> Option<toml::value::Datetime> {
        match self.value.get_ref() {
            DeValue::Datetime(written) => Some(*written),
            DeValue::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A number in `range`, with or without a fraction.
    pub(super) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let written = match self.value.get_ref() {
            DeValue::Integer(written) if written.radix() == 10 => Some(written.as_str()),
            DeValue::Float(written) => Some(written.as_str()),
            _ => None,
        };
        let number = self.or_not_a(written, "a number")?.parse().ok();
        self.in_range(number, range)
    }

    /// A time above zero and up to a day, such as `250ms`.
    pub(super) fn duration(&self) -> Option<Duration> {
        let duration = self.value.get_ref().as_str().and_then(parse_duration);
        let duration =
            duration.filter(|duration| (Duration::from_millis(1)..=LONGEST).contains(duration));
        if duration.is_none() {
            self.place.wrong(
                "not a time between 1ms and 24h",
                "write it as a number with a unit, such as \"250ms\", \"10s\", \"2m\" or \"1h\"",
            );
        }
        duration
    }

    /// A time up to a day, zero too.
    pub(super) fn duration_or_none(&self) -> Option<Duration> {
        let written = self.value.get_ref().as_str().and_then(parse_duration);
        match written {
            Some(Duration::ZERO) => written,
            _ => self.duration(),
        }
    }

    /// A size in bytes in `range`: a whole number, or a string such as `4MiB`.
    pub(super) fn bytes(&self, range: RangeInclusive<usize>) -> Option<usize> {
        let bytes = match self.value.get_ref() {
            DeValue::String(text) => parse_bytes(text),
            DeValue::Integer(written) => {
                u64::from_str_radix(written.as_str(), written.radix()).ok()
            }
            _ => None,
        };
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| range.contains(bytes));
        if bytes.is_none() {
            self.place.wrong(
                format!("not a size from {} to {} bytes", range.start(), range.end()),
                "write it as a number of bytes or with a unit, such as \"512KiB\" or \"4MiB\"",
            );
        }
        bytes
    }

    /// The one of `choices` that is named here.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let written = self.string()?;
        for (name, choice) in choices {
            if *name == written {
                return Some(*choice);
            }
        }
        // The text is not shown, because it may be an API key in the wrong place.
        self.place.wrong(
            "not one of the known words",
            self.place
                .advise(written, choices.iter().map(|(name, _)| *name)),
        );
        None
    }

    /// A table that is read by serde. Each of its keys is checked separately.
    pub(super) fn deserialize<T: DeserializeOwned>(&self) -> Option<T> {
        let table = self.table()?;
        match T::deserialize(ValueDeserializer::from(self.value.clone())) {
            Ok(read) => Some(read),
            Err(error) => {
                let mut noted = false;
                for (name, value) in table.named() {
                    let mut alone = DeTable::new();
                    alone.insert(Spanned::new(0..0, name.into()), value.value.clone());
                    let alone = Spanned::new(0..0, DeValue::Table(alone));
                    if let Err(error) = T::deserialize(ValueDeserializer::from(alone)) {
                        value
                            .place
                            .wrong(error.message(), "see config.example.toml");
                        noted = true;
                    }
                }
                if !noted {
                    self.place.wrong(error.message(), "see config.example.toml");
                }
                None
            }
        }
    }

    /// The keys of this table over those of `base`, read by serde; `None` if the result is not valid.
    pub(super) fn over<T: DeserializeOwned>(&self, base: &Value<'_>) -> Option<T> {
        let mut entries = base.value.get_ref().as_table()?.clone();
        for (key, value) in self.value.get_ref().as_table()? {
            entries.insert(key.clone(), value.clone());
        }
        let table = Spanned::new(0..0, DeValue::Table(entries));
        T::deserialize(ValueDeserializer::from(table)).ok()
    }

    fn or_not_a<T>(&self, found: Option<T>, wanted: &str) -> Option<T> {
        if found.is_none() {
            let kind = match self.value.get_ref() {
                DeValue::String(_) => "a string",
                DeValue::Integer(_) => "a whole number",
                DeValue::Float(_) => "a fraction",
                DeValue::Boolean(_) => "a boolean",
                DeValue::Datetime(_) => "a date",
                DeValue::Array(_) => "a list",
                DeValue::Table(_) => "a table",
            };
            self.place
                .wrong(format!("{kind} stands here"), format!("write {wanted}"));
        }
        found
    }

    fn in_range<T>(&self, number: Option<T>, range: RangeInclusive<T>) -> Option<T>
    where
        T: PartialOrd + std::fmt::Display,
    {
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.place.wrong(
                "out of range",
                format!("choose from {} to {}", range.start(), range.end()),
            );
        }
        number
    }
}
