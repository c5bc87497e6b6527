//! Which door does a request go through, and do the doors for browsers and JSON treat calls like the gRPC door?

mod cors;
mod docs;
mod http;
mod http1;
mod json;
mod nginx;
mod web;
