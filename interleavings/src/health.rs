//! `src/health`: what is known of a provider's health.

#[path = "../../src/health/acceptance.rs"]
pub mod acceptance;
// Its tests, which nobody compiles here, would be looked for in the wrong place.
#[rustfmt::skip]
#[path = "../../src/health/breaker/mod.rs"]
pub mod breaker;
#[path = "../../src/health/guard.rs"]
pub mod guard;
#[path = "../../src/health/lock.rs"]
pub mod lock;
#[path = "../../src/health/scopes.rs"]
pub mod scopes;
#[path = "../../src/health/throttle.rs"]
pub mod throttle;
#[path = "../../src/health/window.rs"]
mod window;

#[path = "permits.rs"]
pub mod permits;
