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
    let name = path.display().to_string();
    let checked = reading::configuration(path)
        .map_err(|error| vec![unreadable(&name, &error)])
        .and_then(|text| checked(&name, &text, with_secrets, overrides));
    let written = match &checked {
        Ok(config) => summarize(config, out),
        Err(mistakes) => write_mistakes(mistakes, err),
    };
    let code = match checked {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(BROKEN),
    };
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(io::Error::new(
            error.kind(),
            format!("the result of checking `{name}` cannot be written: {error}"),
        )),
        Err(_) | Ok(()) => Ok(code),
    }
}

/// Writes a line for each mistake of a configuration.
///
/// # Errors
/// `err` cannot be written to.
pub fn write_mistakes(mistakes: &[String], err: &mut impl Write) -> io::Result<()> {
    let lines = mistakes.iter().map(|mistake| format!("{mistake}\n"));
    err.write_all(lines.collect::<String>().as_bytes())
}

/// Why the configuration of this name cannot be read, as a mistake of the whole.
pub fn unreadable(name: &str, error: &io::Error) -> String {
    format!("{name}: cannot be read: {}", reading::why(error))
}

/// The configuration that a text says, with the prices in the file that it names; secrets and other files are not looked at.
///
/// # Errors
/// The mistakes, each with its place in the file of this name.
pub fn checked_with_prices(
    name: &str,
    text: &str,
    overrides: &Overrides,
) -> Result<Config, Vec<String>> {
    let unchecked = Surroundings::without_secrets(Some(SIMULATOR));
    let prices = toml::from_str::<toml::Table>(text).ok();
    let prices = prices
        .as_ref()
        .and_then(|root| root.get("prices")?.get("file")?.as_str());
    let read = |path: &Path| match prices {
        Some(prices) if Path::new(prices) == path => reading::named(path),
        Some(_) | None => (unchecked.read_file)(path),
    };
    let surroundings = Surroundings {
        read_file: &read,
        ..Surroundings::without_secrets(Some(SIMULATOR))
    };
    let judged = judge(text, &surroundings, overrides, None);
    judged
        .map(|judged| judged.config)
        .map_err(|unusable| mistakes(name, unusable))
}

/// The configuration that a text says, or all its mistakes.
///
/// # Errors
/// The mistakes, each with its place in the file of this name.
pub fn checked(
    name: &str,
    text: &str,
    with_secrets: bool,
    overrides: &Overrides,
) -> Result<Config, Vec<String>> {
    let surroundings = match with_secrets {
        true => Surroundings::of_process(Some(SIMULATOR)),
        false => Surroundings::without_secrets(Some(SIMULATOR)),
    };
    let judged = judge(text, &surroundings, overrides, None);
    judged
        .map(|judged| judged.config)
        .map_err(|unusable| mistakes(name, unusable))
}

/// What keeps a configuration from being used, each with its place in the file of this name.
pub fn mistakes(name: &str, unusable: UnusableConfiguration) -> Vec<String> {
    match unusable {
        UnusableConfiguration::Mistakes(mistakes) => mistakes
            .iter()
            .map(|mistake| mistake.of_file(name))
            .collect(),
        error @ (UnusableConfiguration::Transport(_) | UnusableConfiguration::Outbound(_)) => {
            vec![format!("{name}: {error}")]
        }
    }
}

/// Writes what a configuration says: addresses, warnings, callers, providers, scenarios.
///
/// # Errors
/// `out` cannot be written to.
pub fn summarize(config: &Config, out: &mut impl Write) -> io::Result<()> {
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
    summarize_callers(config, out)?;
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

/// Writes who may call, what is written down of calls, and which limits they are held to.
fn summarize_callers(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let identity = &config.identity;
    match &identity.anonymous {
        Some(account) => writeln!(out, "calls without a credential: as `{account}`")?,
        None => writeln!(out, "calls without a credential: refused")?,
    }
    let (accounts, keys) = (identity.accounts.len(), identity.keys.len());
    if accounts > 0 {
        writeln!(out, "accounts: {accounts}, with {keys} keys in this file")?;
    }
    if let Some(data) = &config.ledger.path {
        writeln!(out, "ledger and keys: in `{}`", data.display())?;
    }
    if !config.limits.is_empty() {
        let limits: Vec<_> = config.limits.iter().map(|limit| &*limit.id).collect();
        writeln!(out, "limits: {}", limits.join(", "))?;
    }
    Ok(())
}
