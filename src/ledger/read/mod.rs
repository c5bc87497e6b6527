//! How is the ledger asked? Read-only, on connections of its own: by a running service and by the command line.

pub mod calls;
pub mod error;
pub mod files;
pub mod filter;
pub mod interval;
mod limit;
pub mod question;
pub mod readers;
pub mod record;
mod sums;
pub mod texts;
mod token;
pub mod usage;

#[cfg(test)]
mod large;
#[cfg(test)]
mod tests;
