//! `modelway check FILE`: checks a configuration and summarises it.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use super::judge::{UnusableConfiguration, judge};
use super::{Config, Overrides, Surroundings, reading, warnings};

/// Exit code for a file that cannot be used.
const BROKEN: u8 = 2;

/// Stands for the simulator's address, which is known only where it runs.
pub(crate) const SIMULATOR: &str = "http://127.0.0.1:9";

/// Checks the file at `path`, its secrets too if `with_secrets`, as it is served with `overrides`. Writes a summary to `out` and ends
/// with 0, or writes one line for each mistake to `err` and ends with 2. A reader that closes the pipe early does not
/// change the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written to.
pub fn check(
    path: &Path,
    with_secrets: bool,
    overrides: &Overrides,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let name = path.display();
    let (written, code) = match verdict(path, with_secrets, overrides) {
        Ok(config) => (summarize(&config, out), ExitCode::SUCCESS),
        Err(mistakes) => {
            let lines = mistakes.iter().map(|mistake| format!("{name}:{mistake}\n"));
            let written = err.write_all(lines.collect::<String>().as_bytes());
            (written, ExitCode::from(BROKEN))
        }
    };
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(io::Error::new(
            error.kind(),
            format!("the result of checking `{name}` cannot be written: {error}"),
        )),
        Err(_) | Ok(()) => Ok(code),
    }
}

/// The configuration, or all mistakes of the file.
fn verdict(path: &Path, with_secrets: bool, overrides: &Overrides) -> Result<Config, Vec<String>> {
    let text = reading::configuration(path)
        .map_err(|error| vec![format!(" cannot be read: {}", reading::why(&error))])?;
    let surroundings = match with_secrets {
        true => Surroundings::of_process(Some(SIMULATOR)),
        false => Surroundings::without_secrets(Some(SIMULATOR)),
    };
    match judge(&text, &surroundings, overrides, None) {
        Ok(judged) => Ok(judged.config),
        Err(UnusableConfiguration::Mistakes(mistakes)) => {
            Err(mistakes.iter().map(ToString::to_string).collect())
        }
        Err(error @ (UnusableConfiguration::Transport(_) | UnusableConfiguration::Outbound(_))) => {
            Err(vec![format!(" {error}")])
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
    if let Some(address) = &config.admin.listen {
        writeln!(out, "operators: {address}")?;
    }
    if let Some(address) = &config.probes.listen {
        writeln!(out, "probes: {address}")?;
    }
    for warning in warnings(config, SystemTime::now()) {
        writeln!(out, "warning: {warning}")?;
    }
    for note in config.references.notes() {
        writeln!(out, "note: {note}")?;
    }
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
