//! `modelway completions SHELL`: prints what lets a shell complete the command line.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::CommandLine;
use super::console::written;

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

impl CompletionsArguments {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let mut script = Vec::new();
        generate(
            self.shell,
            &mut CommandLine::command(),
            "modelway",
            &mut script,
        );
        written(&script)
    }
}
