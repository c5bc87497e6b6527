//! Modelway: a typed gRPC gateway between business services and large models.
//!
//! The way of a call: [`server`] accepts its connection; [`grpc`], [`grpc_web`] or [`json`] parses it into [`chat`]'s neutral terms;
//! [`check`] judges the request; [`idempotency`] knows whether it is a repeat; [`admission`] lets it in;
//! [`serving`] leads it from there to its end; [`dispatch`] plans and retries; [`wire`] spells the request and reads
//! the answer; [`transport`] carries both.

pub mod admin;
pub mod admission;
pub mod audit;
pub mod calendar;
pub mod caller;
pub mod certificate;
pub mod chat;
pub mod check;
pub mod command;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod error;
pub mod features;
pub mod grpc;
pub mod grpc_web;
pub mod hash;
pub mod health;
pub mod idempotency;
pub mod identity;
pub mod json;
pub mod ledger;
pub mod limits;
mod locked;
pub mod meter;
pub mod money;
mod name;
pub mod outbound;
pub mod provider;
pub mod serve;
pub mod server;
pub mod serving;
pub mod simulator;
mod spread;
pub mod store;
mod sync;
pub mod telemetry;
pub mod terminal;
pub mod trail;
pub mod transport;
pub mod wire;
mod workshop;
