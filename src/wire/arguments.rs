//! How are the arguments of an earlier tool call sent back as the JSON object that hosts require?
//!
//! Models also write other JSON values, and an answer that reached its token limit ends in the middle of
//! them. Hosts that parse the arguments refuse such a conversation, in OpenAI's format as well:
//! vllm-project/vllm#47761, sgl-project/sglang#28035. So such arguments are wrapped in an object.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Adaptations;

/// Arguments that are a JSON object.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Arguments<'a> {
    /// As the model wrote them.
    AsWritten(&'a RawValue),
    /// A value of another kind, in an object.
    Value {
        /// The value.
        arguments: &'a RawValue,
    },
    /// Text that is not JSON, in an object.
    Text {
        /// What the model wrote.
        arguments: &'a str,
    },
    /// None.
    None {},
}

impl<'a> Arguments<'a> {
    /// Reads what a model wrote, and notes if it has to be wrapped.
    pub(super) fn of(written: &'a str, adaptations: &mut Adaptations) -> Self {
        let text = written.trim();
        if text.is_empty() {
            return Self::None {};
        }
        let value = serde_json::from_str::<&RawValue>(text);
        if let Ok(object) = value
            && object.get().starts_with('{')
        {
            return Self::AsWritten(object);
        }
        adaptations.note(
            "messages.parts.tool_call.arguments_json",
            "wrapped as `arguments` of an object: the provider takes only objects",
        );
        match value {
            Ok(arguments) => Self::Value { arguments },
            Err(_) => Self::Text { arguments: text },
        }
    }

    /// The object as JSON text.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::AsWritten(object) => Cow::Borrowed(object.get()),
            Self::None {} => Cow::Borrowed("{}"),
            Self::Value { arguments } => Cow::Owned(format!(r#"{{"arguments":{arguments}}}"#)),
            Self::Text { arguments } => {
                Cow::Owned(serde_json::json!({ "arguments": arguments }).to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_becomes_one_and_objects_stay_as_they_are() {
        for (written, expected, is_wrapped) in [
            ("", "{}", false),
            (" \n", "{}", false),
            ("{}", "{}", false),
            (" {\"a\": 1.0} ", "{\"a\": 1.0}", false),
            ("[1.0]", r#"{"arguments":[1.0]}"#, true),
            ("null", r#"{"arguments":null}"#, true),
            ("\"Bonn\"", r#"{"arguments":"Bonn"}"#, true),
            ("{\"cut", r#"{"arguments":"{\"cut"}"#, true),
            ("{} {}", r#"{"arguments":"{} {}"}"#, true),
        ] {
            let mut adaptations = Adaptations::default();

            let arguments = Arguments::of(written, &mut adaptations);

            assert_eq!(
                serde_json::to_string(&arguments).unwrap(),
                expected,
                "{written}"
            );
            assert_eq!(arguments.into_text(), expected);
            assert_eq!(!adaptations.0.is_empty(), is_wrapped, "{written}");
        }
    }
}
