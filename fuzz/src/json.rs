//! Is every text in JSON read or refused with the path of a fault, and is what was read written so that it is read alike?

use std::sync::LazyLock;

use modelway::error::Error;
use modelway::grpc::translated::{REQUEST, descriptors};
use modelway::json::form::{JsonTypes, read, write};

/// The most fields and elements of a request.
const MOST: usize = 500;

/// The most bytes of an encoding for each byte of its text: a number in a list of values takes 15, for two letters.
const GROWTH: usize = 8;

/// The contract's types. They take longer to read than most inputs.
static TYPES: LazyLock<JsonTypes> =
    LazyLock::new(|| JsonTypes::read(descriptors()).expect("the contract"));

/// Holds the reading of a request in JSON to its laws.
///
/// # Panics
/// A law is broken.
pub fn hold(input: &[u8]) {
    let types = &*TYPES;
    let place = types.place(REQUEST).expect("a message of the contract");
    let encoded = match read(types, place, input, MOST, "too many") {
        Ok(encoded) => encoded,
        Err(Error::InvalidRequest(violations)) => {
            for violation in violations {
                assert!(!violation.field.is_empty() && !violation.what.is_empty());
                assert!(violation.what.len() < 4096, "{}", violation.what.len());
            }
            return;
        }
        Err(other) => panic!("{other:?}"),
    };
    assert!(encoded.len() <= GROWTH * input.len() + 64, "{} of {}", encoded.len(), input.len());

    let mut text = Vec::new();
    write(types, place, &encoded, &mut text).expect("an encoding");
    let again = read(types, place, &text, MOST, "too many").expect("what was written is legal");
    let mut text_again = Vec::new();
    write(types, place, &again, &mut text_again).expect("an encoding");

    assert_eq!(text, text_again);
}
