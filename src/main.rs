//! The command line: serve, check, demo.

fn main() {}
