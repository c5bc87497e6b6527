//! `modelway check FILE`: checks a configuration without using it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::check::check;

use super::environment::environment;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The file.
    file: PathBuf,
    /// Do not read the secrets that the file refers to.
    #[arg(long)]
    no_secrets: bool,
}

impl CheckArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let Self { file, no_secrets } = self;
        let (mut out, mut err) = (io::stdout(), io::stderr());
        let checked = check(&file, !no_secrets, &environment(), &mut out, &mut err);
        checked.map_err(|error| error.to_string())
    }
}
