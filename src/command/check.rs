//! `modelway check`: checks a configuration without using it, and with `--live` its providers.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::config::judge::judge;
use crate::config::{Overrides, Surroundings, check, reading};
use crate::hash::sha256_in_digits;
use crate::serve::simulator_for;

use super::console::{BROKEN, in_runtime, print_error};
use super::environment::environment;
use super::live::LiveCheck;

/// Stands for standard input, and its name in messages.
const STDIN: &str = "-";
const STDIN_NAME: &str = "standard input";

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The file; `-`: standard input. Default: MODELWAY_CONFIG.
    file: Option<PathBuf>,
    /// Do not read the secrets that the file refers to.
    #[arg(long)]
    no_secrets: bool,
    /// Write only the hash that OperationsService/GetConfiguration tells while this configuration runs.
    #[arg(long, conflicts_with = "live")]
    hash: bool,
    /// Ask every target for one token, and say which step fails. What it costs is told before.
    #[arg(long, conflicts_with = "no_secrets")]
    live: bool,
    /// With --live: only this model of the catalogue. May be repeated.
    #[arg(long, value_name = "ID", requires = "live")]
    target: Vec<String>,
    /// With --live: do not ask before requests are sent.
    #[arg(long, requires = "live")]
    yes: bool,
    /// With --live: write JSON.
    #[arg(long, requires = "live")]
    json: bool,
}

impl CheckArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let overrides = environment();
        let Some(path) = self.file.clone().or_else(|| overrides.config.clone()) else {
            print_error("name a file, `-` for standard input, or set MODELWAY_CONFIG".to_owned());
            return Ok(ExitCode::from(BROKEN));
        };
        let is_stdin = path == Path::new(STDIN);
        if !is_stdin && !self.hash && !self.live {
            let (mut out, mut err) = (io::stdout(), io::stderr());
            let checked = check::check(&path, !self.no_secrets, &overrides, &mut out, &mut err);
            return checked.map_err(|error| error.to_string());
        }
        let (name, read) = match is_stdin {
            true => (STDIN_NAME.to_owned(), reading::standard_input()),
            false => (path.display().to_string(), reading::configuration(&path)),
        };
        let text = match read {
            Ok(text) => text,
            Err(error) => return Ok(broken(&[check::unreadable(&name, &error)])),
        };
        if self.live {
            return in_runtime(self.check_live(name, text, overrides, is_stdin));
        }
        let config = match check::checked(&name, &text, !self.no_secrets, &overrides) {
            Ok(config) => config,
            Err(mistakes) => return Ok(broken(&mistakes)),
        };
        let mut out = io::stdout();
        let written = match self.hash {
            true => io::Write::write_all(
                &mut out,
                format!("{}\n", sha256_in_digits(text.as_bytes())).as_bytes(),
            ),
            false => check::summarize(&config, &mut out),
        };
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!(
                "the result of checking `{name}` cannot be written: {error}"
            )),
            Err(_) | Ok(()) => Ok(ExitCode::SUCCESS),
        }
    }

    async fn check_live(
        self,
        name: String,
        text: String,
        overrides: Overrides,
        is_stdin: bool,
    ) -> Result<ExitCode, String> {
        // Simulated providers answer as they do where the configuration is served.
        let simulator = simulator_for(&text)
            .await
            .map_err(|error| error.to_string())?;
        let url = simulator
            .as_ref()
            .map(|simulator| format!("http://{}", simulator.address()));
        let judged = judge(
            &text,
            &Surroundings::of_process(url.as_deref()),
            &overrides,
            None,
        );
        let judged = match judged {
            Ok(judged) => judged,
            Err(unusable) => return Ok(broken(&check::mistakes(&name, unusable))),
        };
        let live = LiveCheck {
            targets: self.target,
            yes: self.yes,
            json: self.json,
            may_ask: !is_stdin,
        };
        live.run(judged).await
    }
}

/// Tells the mistakes of a configuration.
fn broken(mistakes: &[String]) -> ExitCode {
    // There is nobody else to tell that nobody can be told.
    let _ = check::write_mistakes(mistakes, &mut io::stderr());
    ExitCode::from(BROKEN)
}
