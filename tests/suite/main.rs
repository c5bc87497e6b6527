//! Behaviour of the whole, one file per behaviour.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; clippy exempts only the test functions themselves"
)]

mod able;
mod abuse;
mod admission;
mod architecture;
mod billing;
mod breaker;
mod cancel_storm;
mod cancellation;
mod catalog;
mod chat;
mod compressed_answers;
mod compression;
mod config;
mod connections;
mod cores;
mod cut_short;
mod deadline_storm;
mod deadlines;
mod demo;
mod dialects;
mod drain;
mod errors;
mod failover;
mod files;
mod hardening;
mod health;
mod hedging;
mod idempotency;
mod key_files;
mod large_requests;
mod last_resort;
mod linear;
mod locks;
mod logging;
mod malformed;
mod memory;
mod no_connection;
mod odd_hosts;
mod operator;
mod process;
mod proxies;
mod proxy;
mod redaction;
mod reflection;
mod restart;
mod retry;
mod retry_budget;
mod room;
mod schemas_anthropic;
mod schemas_gemini;
mod schemas_openai;
mod scopes;
mod severed;
mod simulation;
mod simulator;
mod situations;
mod stuck;
mod support;
mod telemetry;
mod tls;
mod untaken;
mod uploads;
