//! Which JSON value does a JSON Schema allow? One is made up, always the same for the same schema and seed.
//!
//! Everything that constrains a place is collected first (`gather`: through `$ref`, `allOf` and a chosen branch of
//! `anyOf`, `oneOf` and `if`), then a value is built that obeys all of it (`build`). What cannot be obeyed by
//! construction (`not`, `oneOf`, `if`, several patterns) is checked afterwards (`check`); if the check fails, other
//! branches are tried.
//!
//! Keywords of the drafts 4 to 2020-12 are understood, and those of OpenAPI: `nullable`, `example`, types in capitals
//! or as numbers, and limits written as strings.
//!
//! # Limits
//!
//! A schema can be hostile, so that the work and the size of a value are bounded ([`WORK`], [`DEEPEST`],
//! [`MOST_ITEMS`], [`LONGEST_STRING`]). If no value is found within them, because the schema contradicts itself, asks
//! for too much or refers to itself without end, the value is built once more and each place that cannot be filled
//! gets the empty value of its type: `""`, `0`, `false`, `[]`, `{}` or `null`. Not obeyed: references to other
//! documents, `$dynamicRef`, patterns with look-around or back references, `contentMediaType`, and formats that are
//! not listed in `format`.

mod array;
mod build;
mod check;
mod composer;
mod document;
mod format;
mod gather;
mod number;
mod object;
mod parts;
mod pattern;
mod string;

#[cfg(test)]
mod tests;

use std::rc::Rc;

use serde_json::Value;

use super::fingerprint::fingerprint;

use self::check::Checker;
use self::composer::Composer;
use self::document::Document;

/// Steps of work that one attempt at a value may take.
const WORK: usize = 60_000;

/// Levels of objects and lists in a value.
const DEEPEST: usize = 40;

/// Items of one list, and fields of one object.
const MOST_ITEMS: usize = 1000;

/// Items of a list, or fields of an object, in a value in which some places stay empty.
const MOST_ITEMS_LENIENT: usize = 20;

/// Characters of one string.
const LONGEST_STRING: usize = 10_000;

/// How often a value is built before it is built without regard to what cannot be obeyed.
const ATTEMPTS: u64 = 6;

/// No value was found that obeys the schema, or the work became too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stuck;

/// A value that obeys this schema, within the limits of the [module](self).
pub(super) fn instance(schema: &Value, seed: u64) -> Value {
    let document = Rc::new(Document::new(schema));
    for attempt in 0..ATTEMPTS {
        let mut composer = Composer::new(Rc::clone(&document), draw(seed, attempt));
        let built = composer.value(&[schema], 0);
        if let Ok(value) = built
            && Checker::new(Rc::clone(&document), WORK).allows(schema, &value)
        {
            return value;
        }
        // Another attempt would be as much work for nothing.
        if composer.is_exhausted() {
            break;
        }
    }
    Composer::lenient(document, draw(seed, ATTEMPTS)).value_or_empty(&[schema], 0)
}

fn draw(seed: u64, attempt: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(fingerprint((seed, attempt)))
}

/// A limit such as `minItems`: the protobuf form of OpenAPI writes it as a string.
fn limit(value: Option<&Value>) -> Option<usize> {
    let value = value?;
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        Value::Number(number) => match number.as_u64() {
            Some(whole) => whole,
            // `2.0` is a whole number, too.
            None => number
                .as_f64()
                .filter(|number| *number >= 0.0 && number.fract() == 0.0)?
                as u64,
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(usize::try_from(number).unwrap_or(usize::MAX))
}
