//! Which arguments do the streamed pieces of a tool call (`partialArgs`) make up?
//!
//! Vertex AI sends them on request: each piece names by `jsonPath` the value that it sets or, for a
//! string whose previous piece had `willContinue`, extends.

use std::collections::HashSet;

use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::UpstreamError;
use crate::wire::json::{Flag, MaybeAbsent, Text, object, values_in};
use crate::wire::limits::MAX_BODY_BYTES;

use super::json_path::{place, steps};

/// The most values that the arguments of a call may have: each takes much more memory than its text.
const MAX_VALUES: usize = 64 * 1024;

object! {
    /// One piece.
    pub(super) struct PartialArg<'a> {
        json_path: Text<'a> = "jsonPath" | "json_path",
        string_value: Option<Text<'a>> = "stringValue" | "string_value",
        number_value: Option<&'a RawValue> = "numberValue" | "number_value",
        bool_value: Option<Flag> = "boolValue" | "bool_value",
        null_value: Present = "nullValue" | "null_value",
        will_continue: Flag = "willContinue" | "will_continue",
    }
}

/// Whether there is a value, null included.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl MaybeAbsent for Present {
    fn is_absent(&self) -> bool {
        !self.0
    }
}

impl MaybeAbsent for PartialArg<'_> {
    /// A piece without a path is an error.
    fn is_absent(&self) -> bool {
        false
    }
}

/// The arguments made of the pieces that have arrived.
#[derive(Default)]
pub(super) struct PartialArgs {
    arguments: Value,
    /// Paths of strings that go on.
    continued: HashSet<String>,
    /// Whether the last piece was of a string that goes on.
    within_string: bool,
    bytes: usize,
    /// Values that were made.
    values: usize,
}

impl PartialArgs {
    /// Adds one piece.
    ///
    /// # Errors
    /// `Malformed` for a path that cannot be read or does not fit what stands there, and for
    /// arguments beyond [`MAX_BODY_BYTES`].
    pub(super) fn add(&mut self, piece: PartialArg<'_>) -> Result<(), UpstreamError> {
        let PartialArg {
            json_path,
            string_value,
            number_value,
            bool_value,
            null_value,
            will_continue,
        } = piece;
        let json_path = json_path.0;
        self.bytes += json_path.len() + string_value.as_ref().map_or(0, |text| text.0.len());
        if self.bytes > MAX_BODY_BYTES {
            return Err(UpstreamError::malformed(
                "the arguments of a tool call are larger than 32 MiB",
            ));
        }
        let unfit = || UpstreamError::malformed("the path of a partial argument does not fit");
        let steps = steps(&json_path).ok_or_else(unfit)?;
        let mut made = 0;
        let target = place(&mut self.arguments, steps, &mut made).ok_or_else(unfit)?;

        let Flag(will_continue) = will_continue;
        let number = number_value
            .and_then(|number| serde_json::from_str(number.get().trim_matches('"')).ok());
        self.within_string = will_continue && string_value.is_some();
        if let Some(Text(text)) = string_value {
            match target {
                Value::String(open) if self.continued.contains(&*json_path) => {
                    open.push_str(&text);
                }
                _ => *target = Value::String(text.into_owned()),
            }
        } else if let Some(number) = number {
            *target = Value::Number(number);
        } else if let Some(Flag(flag)) = bool_value {
            *target = Value::Bool(flag);
        } else if null_value.0 {
            *target = Value::Null;
        }
        if will_continue {
            self.continued.insert(json_path.into_owned());
        } else {
            self.continued.remove(&*json_path);
        }
        self.count(made)
    }

    /// Replaces the arguments by these, which are whole.
    ///
    /// # Errors
    /// `Malformed` for JSON nested too deeply, and for too many values.
    pub(super) fn replace(&mut self, arguments: &RawValue) -> Result<(), UpstreamError> {
        self.count(values_in(arguments.get()))?;
        self.arguments = serde_json::from_str(arguments.get())
            .map_err(|_| UpstreamError::malformed("the arguments of a tool call are not JSON"))?;
        Ok(())
    }

    fn count(&mut self, values: usize) -> Result<(), UpstreamError> {
        self.values = self.values.saturating_add(values);
        match self.values > MAX_VALUES {
            true => Err(UpstreamError::malformed(
                "the arguments of a tool call have more than 65536 values",
            )),
            false => Ok(()),
        }
    }

    /// The arguments as compact JSON text.
    pub(super) fn whole(self) -> String {
        match self.arguments {
            Value::Null => "{}".to_owned(),
            arguments => arguments.to_string(),
        }
    }

    /// The beginning of the arguments' JSON text, up to the last piece that has arrived: arguments that broke off must
    /// not look complete. Empty if no piece has arrived.
    pub(super) fn beginning(self) -> String {
        if self.arguments.is_null() {
            return String::new();
        }
        let mut json = self.arguments.to_string();
        json.truncate(json.trim_end_matches(['}', ']']).len());
        if self.within_string {
            json.pop();
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(pieces: &str) -> Result<String, UpstreamError> {
        let pieces: Vec<PartialArg<'_>> = serde_json::from_str(pieces).unwrap();
        let mut arguments = PartialArgs::default();
        for piece in pieces {
            arguments.add(piece)?;
        }
        Ok(arguments.whole())
    }

    #[test]
    fn pieces_are_set_at_their_paths() {
        for (pieces, json) in [
            ("[]", "{}"),
            (r#"[{"jsonPath":"$.a","stringValue":"x"}]"#, r#"{"a":"x"}"#),
            (
                r#"[{"jsonPath":"$.a","numberValue":1.5},{"jsonPath":"$.b","boolValue":false},{"jsonPath":"$.c","nullValue":null}]"#,
                r#"{"a":1.5,"b":false,"c":null}"#,
            ),
            (
                r#"[{"jsonPath":"$.a[0].b","numberValue":1},{"jsonPath":"$.a[1]","numberValue":2}]"#,
                r#"{"a":[{"b":1},2]}"#,
            ),
            (
                r#"[{"jsonPath":"$['a.b'][\"c]\"]","numberValue":1}]"#,
                r#"{"a.b":{"c]":1}}"#,
            ),
        ] {
            assert_eq!(sum(pieces).unwrap(), json, "{pieces}");
        }
    }

    #[test]
    fn a_string_goes_on_only_where_its_previous_piece_said_so() {
        let continued = r#"[
            {"jsonPath":"$.a","stringValue":"x","willContinue":true},
            {"jsonPath":"$.b","stringValue":"1"},
            {"jsonPath":"$.a","stringValue":"y"},
            {"jsonPath":"$.b","stringValue":"2"}]"#;

        assert_eq!(sum(continued).unwrap(), r#"{"a":"xy","b":"2"}"#);
    }

    #[test]
    fn arguments_that_broke_off_are_no_valid_json() {
        for (piece, json) in [
            (
                r#"{"jsonPath":"$.a[0].b","stringValue":"}x\"","willContinue":true}"#,
                r#"{"a":[{"b":"}x\""#,
            ),
            (r#"{"jsonPath":"$.a","stringValue":"x"}"#, r#"{"a":"x""#),
            (r#"{"jsonPath":"$.a","numberValue":1}"#, r#"{"a":1"#),
        ] {
            let mut arguments = PartialArgs::default();

            arguments.add(serde_json::from_str(piece).unwrap()).unwrap();

            assert_eq!(arguments.beginning(), json);
        }
        assert_eq!(PartialArgs::default().beginning(), "");
    }

    #[test]
    fn a_path_that_does_not_fit_is_malformed() {
        let deep = format!(
            r#"[{{"jsonPath":"${}","numberValue":1}}]"#,
            ".a".repeat(101)
        );
        for pieces in [
            r#"[{"stringValue":"x"}]"#,
            r#"[{"jsonPath":"$a","stringValue":"x"}]"#,
            r#"[{"jsonPath":"$[","stringValue":"x"}]"#,
            r#"[{"jsonPath":"$['a","stringValue":"x"}]"#,
            r#"[{"jsonPath":"$[-1]","stringValue":"x"}]"#,
            r#"[{"jsonPath":"$.a[4000000000]","stringValue":"x"}]"#,
            r#"[{"jsonPath":"$.a","stringValue":"x"},{"jsonPath":"$.a.b","stringValue":"x"}]"#,
            &deep,
        ] {
            assert!(sum(pieces).is_err(), "{pieces}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics_and_what_fits_is_json(path in "\\$[.\\[\\]'\"a0é]{0,12}") {
            let piece = PartialArg {
                json_path: Text(path.into()),
                string_value: Some(Text("x".into())),
                ..PartialArg::default()
            };
            let mut arguments = PartialArgs::default();

            if arguments.add(piece).is_ok() {
                serde_json::from_str::<Value>(&arguments.whole()).unwrap();
            }
        }
    }
}
