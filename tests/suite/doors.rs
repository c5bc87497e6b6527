//! Which door does a request go through, and do the doors for browsers and JSON treat calls like the gRPC door?

mod cors;
mod docs;
mod early;
pub(crate) mod http;
mod http1;
mod json;
mod nginx;
mod web;

use crate::support::ONE_MODEL;

/// A stream of which nothing is ready soon opens, and tells that it lives, within this time.
fn soon_open(time: &str) -> String {
    format!("[json]\nopen_after = '{time}'\nkeepalive = '{time}'\n{ONE_MODEL}")
}
