//! How are the contract's messages written in JSON, and read? As protobuf defines it: <https://protobuf.dev/programming-guides/json/>.
//!
//! Both directions go between JSON and a message's encoding, without a tree between them: a request is counted and
//! limited in its encoding like one that came over gRPC, and an event costs one pass.

mod base;
mod read;
mod times;
mod types;
mod write;

#[cfg(test)]
mod tests;

pub use self::read::read;
pub use self::types::JsonTypes;
pub use self::write::{Malformed, event, write};
