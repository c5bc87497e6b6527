//! Behaviour tests over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; clippy exempts only the test functions themselves"
)]

mod simulator;
