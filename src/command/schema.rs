//! `modelway schema`: prints the JSON Schema of the configuration.

use std::process::ExitCode;

use super::console::written;

/// The schema of the configuration, draft 7, which editors of TOML understand.
const SCHEMA: &str = include_str!("../../config.schema.json");

/// Prints the schema.
///
/// # Errors
/// Standard output cannot be written to.
pub(super) fn run() -> Result<ExitCode, String> {
    written(SCHEMA.as_bytes())
}
