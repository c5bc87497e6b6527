//! Does a request make sense, whatever door it came through?
//!
//! A door parses: it knows how fields are spelled. What is here judges the neutral request: whether its messages
//! stand in an order that every provider takes, whether each tool result has its call, whether numbers lie within
//! their range. A door checks each section when it has read it, so that faults are told in the order of the request.
//! Fields are named by their path in the contract.

mod conversation;
mod ids;
mod links;
mod options;
mod tools;

use std::fmt::Display;

use crate::error::{Error, Violation};

pub use self::conversation::{RESULT_PARTS, check_conversation, parts_of};
pub use self::ids::check_id;
pub use self::options::{MAX_STOP_SEQUENCES, check_cache, check_response_format, check_sampling};
pub use self::tools::{ToolNames, check_tool, check_tool_choice};

/// What is wrong with a request.
#[derive(Debug, Default)]
pub struct Faults {
    violations: Vec<Violation>,
}

/// The most faults of a request that are reported.
pub const MAX_FAULTS: usize = 32;

impl Faults {
    /// Adds a fault. Faults beyond [`MAX_FAULTS`] are not even formatted.
    pub fn add(&mut self, field: impl Display, what: impl Display) {
        if self.violations.len() < MAX_FAULTS {
            self.violations.push(Violation {
                field: field.to_string(),
                what: what.to_string(),
            });
        }
    }

    /// The value of a request that has no faults.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every fault.
    pub fn or<T>(self, value: T) -> Result<T, Error> {
        if self.violations.is_empty() {
            Ok(value)
        } else {
            Err(Error::InvalidRequest(self.violations))
        }
    }

    fn reported(&self) -> &[Violation] {
        &self.violations
    }
}

/// What [`is_name`] demands.
const NAME: &str = "use 1 to 64 letters, digits, `_` or `-`";

/// Whether a text can be the name of a tool or of a schema.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests;
