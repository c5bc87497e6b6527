//! How does the contract in `proto/` become a request, and how is what comes back spelled?
//!
//! Only this module knows the generated code and tonic. [`door`] takes HTTP requests to the services. [`request`]
//! parses a message; [`answer`] and `stream` spell an answer, [`status`] a failure.

pub mod access;
pub(crate) mod admin;
mod announced;
pub mod answer;
mod arrival;
mod breakers;
mod caller;
pub mod catalog;
mod codec;
mod configuration;
mod conversation;
pub mod door;
pub mod elements;
mod generation;
pub mod health;
mod ledger;
mod length_of_time;
pub mod metadata;
pub mod operations;
mod policy;
mod refusals;
pub mod request;
mod rpc;
pub mod rpcs;
pub mod services;
pub mod spelled;
pub mod status;
mod stream;
mod time_of_day;
pub mod translated;
mod undecoded;
pub mod watched;

/// The generated messages, clients and servers of `modelway.v1`.
#[allow(
    clippy::large_enum_variant,
    reason = "updates of those who watch are few, and are sent as soon as they are made"
)]
pub mod v1 {
    tonic::include_proto!("modelway.v1");

    /// The contract's descriptors, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
}
