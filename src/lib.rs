//! Modelway: a typed gRPC gateway between business services and large models.

pub mod chat;
pub mod config;
pub mod dispatch;
pub mod error;
pub mod features;
pub mod grpc;
pub mod provider;
pub mod telemetry;
pub mod trail;
pub mod transport;
pub mod wire;
