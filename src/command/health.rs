//! `modelway health`: asks a running service whether it takes calls.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::console::{SILENT, print_error};
use super::readiness::{Readiness, readiness};

#[derive(Debug, Args)]
pub(super) struct HealthArguments {
    /// Its listener for probes, or the one for operators if that is plaintext.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50053")]
    address: SocketAddr,
}

impl HealthArguments {
    pub(super) fn run(self) -> ExitCode {
        let Self { address } = self;
        match readiness(address) {
            Ok(Readiness::Ready) => ExitCode::SUCCESS,
            Ok(Readiness::NotReady) => {
                print_error(format!("{address} takes no calls now"));
                ExitCode::FAILURE
            }
            Err(error) => {
                print_error(format!("{address} does not answer: {error}"));
                ExitCode::from(SILENT)
            }
        }
    }
}
