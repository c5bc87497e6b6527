//! Modelway: a typed gRPC gateway between business services and large models.

pub mod chat;
pub mod error;
pub mod features;
pub mod provider;
pub mod simulator;
pub mod wire;
