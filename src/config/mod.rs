//! Configuration: a TOML file becomes settings, targets and scenarios, or a list of all its mistakes.
//!
//! [`file::File`] reads the text; [`file::File::resolve`] turns it into a [`Config`]. Each table has
//! its reader in a file of its own, and `table` is how all of them read.

mod accounts;
mod address;
mod admission;
mod auth;
mod body;
pub mod check;
mod credential;
pub mod data_directory;
mod dialect;
pub mod difference;
#[cfg(test)]
pub mod documented;
mod doors;
mod family;
pub mod file;
mod headers;
mod health;
mod issuers;
pub mod judge;
mod ledger;
mod limits;
mod link;
mod listeners;
pub mod listens;
mod metrics;
mod mistake;
mod model;
mod overrides;
mod path;
mod price;
mod prices;
mod provider;
mod proxy;
mod quantity;
pub mod reading;
mod references;
mod reload;
mod reservations;
mod scenario;
mod secret;
mod simulate;
mod table;
mod telemetry;
mod unallowed;
mod warnings;

pub use issuers::IssuerLinks;
pub use mistake::{Mistake, Mistakes};
pub use overrides::Overrides;
pub use prices::price_list;
pub use quantity::{parse_duration, parse_long_duration};
pub use references::{References, VariableSecret};
pub use reload::Reload;
pub use secret::{InUse, Surroundings};
pub use warnings::warnings;

use std::sync::Arc;

use crate::certificate::CertificateFile;
use crate::dispatch::retry_budget;
use crate::dispatch::target::Catalog;
use crate::health::scopes;
use crate::money::PlacedPrice;
use crate::server;
use crate::telemetry::export;
use crate::{idempotency, transport};

/// The built-in configuration: simulated providers only, no keys.
pub const KEYLESS: &str = include_str!("keyless.toml");

/// What the files of TLS hold, where a listener has TLS and files are read.
#[derive(Default)]
pub struct TlsMaterials {
    /// Of the listener for callers.
    pub server: Option<Arc<server::TlsMaterial>>,
    /// Of the listener for operators.
    pub admin: Option<Arc<server::TlsMaterial>>,
}

/// Everything that the service needs to know, checked and linked.
pub struct Config {
    /// The address and the limits of the listener.
    pub server: server::Settings,
    /// The listener for operators.
    pub admin: server::AdminSettings,
    /// The listener for probes and scrapes.
    pub probes: server::ProbesSettings,
    /// What the files of their TLS hold.
    pub tls: TlsMaterials,
    /// The certificates in the files that it names: of listeners, of the authorities of clients, and those that providers are
    /// shown. Empty if files are not read.
    pub certificates: Vec<CertificateFile>,
    /// The limits on calls.
    pub admission: crate::admission::Settings,
    /// Who may call.
    pub identity: crate::identity::settings::Settings,
    /// How the keys of the issuers of callers' tokens are fetched.
    pub issuer_links: IssuerLinks,
    /// How much is remembered of calls with idempotency keys.
    pub idempotency: idempotency::Settings,
    /// Where calls and their costs are written down.
    pub ledger: crate::ledger::Settings,
    /// The level and format of logs.
    pub logging: crate::telemetry::Settings,
    /// What is exported to a collector, and where.
    pub telemetry: export::Settings,
    /// What metrics tell of calls.
    pub metrics: crate::telemetry::metrics::Settings,
    /// When targets are closed off and opened again.
    pub scopes: scopes::Settings,
    /// How changes of the file are noticed.
    pub reload: Reload,
    /// How connections to providers are made.
    pub transport: transport::Settings,
    /// The limits on what callers may use.
    pub limits: Vec<crate::limits::Limit>,
    /// Who is told when little is left of a limit.
    pub notify: crate::outbound::notify::Settings,
    /// The models and scenarios.
    pub catalog: Catalog,
    /// All prices, with the places at which they stand.
    pub prices: Vec<PlacedPrice>,
    /// The retry budget of calls that name a model, and of scenarios that have none of their own.
    pub retry: retry_budget::Settings,
    /// Where its secrets come from.
    pub references: References,
}
