//! `modelway man`: prints the manual page, or writes one for each command.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_mangen::{Man, generate_to};

use super::CommandLine;
use super::console::written;

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Write a page for the program and one for each command into this directory, in place of printing the first.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl ManArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            let rendered = Man::new(CommandLine::command()).render(&mut page);
            rendered.map_err(|error| error.to_string())?;
            return written(&page);
        };
        let cannot = |error: io::Error| {
            format!(
                "cannot write manual pages into `{}`: {error}",
                directory.display()
            )
        };
        std::fs::create_dir_all(&directory).map_err(cannot)?;
        generate_to(CommandLine::command(), &directory).map_err(cannot)?;
        Ok(ExitCode::SUCCESS)
    }
}
