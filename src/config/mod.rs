//! Configuration: a TOML file becomes settings, targets and scenarios, or a list of all its mistakes.
//!
//! [`file::File`] reads the text; [`file::File::resolve`] turns it into a [`Config`]. Each table has
//! its reader in a file of its own, and `table` is how all of them read.

mod address;
pub mod check;
pub mod file;
mod mistake;
mod model;
mod name;
mod provider;
mod quantity;
mod scenario;
mod secret;
mod table;

pub use mistake::{Mistake, Mistakes};
pub use secret::Surroundings;

use crate::dispatch::breaker;
use crate::dispatch::target::Catalog;
use crate::grpc::server;
use crate::{telemetry, transport};

/// The built-in configuration: simulated providers only, no keys.
pub const KEYLESS: &str = include_str!("keyless.toml");

/// Everything that the service needs to know, checked and linked.
pub struct Config {
    /// What the listener allows.
    pub server: server::Settings,
    /// What is logged and how.
    pub logging: telemetry::Settings,
    /// When breakers open and close.
    pub breaker: breaker::Settings,
    /// How connections to providers are made.
    pub transport: transport::Settings,
    /// Everything that can be asked.
    pub catalog: Catalog,
}
