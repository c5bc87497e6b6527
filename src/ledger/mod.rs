//! What happened, and what did it cost? A row for each attempt, written before anything of the attempt is sent.

pub mod call_id;
pub mod latency;
pub mod rows;
pub mod schema;
