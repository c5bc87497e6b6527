//! `modelway check FILE`: whether a configuration would be accepted, and what it says.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::file::File;
use super::{Config, Surroundings, reading};

/// Exit code for a file that cannot be used.
const BROKEN: u8 = 2;

/// Stands for the simulator's address, which is known only where it runs.
const SIMULATOR: &str = "http://127.0.0.1:9";

/// Checks the file at `path`, its secrets too if `with_secrets`. Writes a summary to `out` and ends
/// with 0, or writes one line for each mistake to `err` and ends with 2.
///
/// # Errors
/// When `out` or `err` cannot be written to.
pub fn check(
    path: &Path,
    with_secrets: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let name = path.display();
    let text = match reading::configuration(path) {
        Ok(text) => text,
        Err(error) => {
            writeln!(err, "{name}: cannot be read: {error}")?;
            return Ok(ExitCode::from(BROKEN));
        }
    };
    let surroundings = match with_secrets {
        true => Surroundings::of_process(Some(SIMULATOR)),
        false => Surroundings::without_secrets(Some(SIMULATOR)),
    };
    match File::parse(&text).resolve(&surroundings) {
        Ok(config) => {
            summarize(&config, out)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            for mistake in mistakes.iter() {
                writeln!(err, "{name}:{mistake}")?;
            }
            Ok(ExitCode::from(BROKEN))
        }
    }
}

fn summarize(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let catalog = &config.catalog;
    let mut providers: Vec<_> = catalog
        .targets
        .values()
        .map(|target| target.provider.name.as_str())
        .collect();
    providers.sort_unstable();
    providers.dedup();
    writeln!(out, "listens on {}", config.server.listen)?;
    writeln!(out, "providers: {}", providers.join(", "))?;
    writeln!(out, "models: {}", catalog.targets.len())?;
    writeln!(out, "scenarios:")?;
    for scenario in catalog.scenarios.values() {
        let targets: Vec<_> = scenario
            .targets
            .iter()
            .map(|target| target.id.as_str())
            .collect();
        writeln!(out, "  {}: {}", scenario.name, targets.join(", then "))?;
    }
    Ok(())
}
