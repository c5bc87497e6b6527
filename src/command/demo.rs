//! `modelway demo`: shows failover and circuit breaking.

use std::process::ExitCode;

use clap::Args;

use crate::demo::{self, Pace};

use super::console::in_runtime;

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Play a shorter version.
    #[arg(long)]
    fast: bool,
}

impl DemoArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let pace = if self.fast { Pace::Fast } else { Pace::Normal };
        in_runtime(async move { demo::run(pace).await.map_err(|error| error.to_string()) })
    }
}
