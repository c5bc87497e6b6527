//! Which data directory does a command work on? The one of `--data`, or else the one that the configuration names.

use std::path::PathBuf;

use clap::Args;

use crate::config::data_directory::data_directory;

use super::environment::environment;

/// What to do where nothing names a directory.
const NAMELESS: &str =
    "name the configuration with --config or MODELWAY_CONFIG, or the data directory with --data";

/// Where the ledger and the control store are.
#[derive(Clone, Debug, Args)]
pub(super) struct DataArguments {
    /// The configuration, whose `ledger.path` names the data directory. Default: MODELWAY_CONFIG.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The data directory itself, if no configuration is at hand.
    #[arg(
        long,
        value_name = "DIRECTORY",
        global = true,
        conflicts_with = "config"
    )]
    data: Option<PathBuf>,
}

impl DataArguments {
    /// The directory of `--data`, if it is there.
    pub(super) fn named(&self) -> Option<&PathBuf> {
        self.data.as_ref()
    }

    /// The configuration, if one is named.
    pub(super) fn config(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| environment().config)
    }

    /// The data directory. Of a configuration only `ledger.path` matters.
    ///
    /// # Errors
    /// Nothing names one, or the configuration cannot be read.
    pub(super) fn directory(&self) -> Result<PathBuf, String> {
        match (&self.data, self.config()) {
            (Some(data), _) => Ok(data.clone()),
            (None, Some(config)) => data_directory(&config, &environment()),
            (None, None) => Err(NAMELESS.to_owned()),
        }
    }
}
