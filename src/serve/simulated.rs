//! Who plays the simulated providers of a configuration?

use crate::config::file::File;
use crate::simulator::{self, Simulator};

use super::StartError;

/// Who plays the simulated providers.
pub(super) enum Plays<'a> {
    /// A simulator of the service's own, if there are any.
    Own(Option<Simulator>),
    /// One that the caller scripts.
    Other(&'a Simulator),
}

impl Plays<'_> {
    pub(super) fn url(&self) -> Option<String> {
        let simulator = match self {
            Self::Own(simulator) => simulator.as_ref()?,
            Self::Other(simulator) => simulator,
        };
        Some(format!("http://{}", simulator.address()))
    }

    pub(super) fn into_own(self) -> Option<Simulator> {
        match self {
            Self::Own(simulator) => simulator,
            Self::Other(_) => None,
        }
    }
}

/// A simulator, if the text of this configuration needs one.
pub(crate) async fn simulator_for(text: &str) -> Result<Option<Simulator>, StartError> {
    if !File::parse(text).needs_simulator() {
        return Ok(None);
    }
    let settings = simulator::Settings {
        log_capacity: 0,
        ..simulator::Settings::default()
    };
    let started = Simulator::start(settings).await;
    started.map(Some).map_err(StartError::Simulator)
}
