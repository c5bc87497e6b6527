//! What must hold for every input, whatever its bytes: one function for each fuzz target.
//!
//! Each takes the bytes that the fuzzer has made up and panics where a law is broken. `fuzz/run.sh`
//! runs them; an input that broke a law becomes an ordinary test beside the code that it broke.

pub mod config;
mod cuts;
pub mod failure;
pub mod json;
#[path = "../../tests/replay/laws.rs"]
#[expect(dead_code, reason = "only the replay asks how early an answer is complete")]
mod laws;
mod memory;
pub mod response;
pub mod sse;
pub mod times;
