//! What is known of a provider's health, and whether one of its models may be tried now?
//!
//! [`scopes`] is the answer; [`breaker`], [`lock`] and [`throttle`] are its parts, and [`guard`] is the
//! shell that gives it a lock and a clock. All but the shell is pure: time is passed in.

pub mod acceptance;
pub mod breaker;
pub mod guard;
pub(crate) mod latency;
pub mod lock;
pub mod scopes;
pub mod throttle;
mod window;
