#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| modelway_fuzz::json::hold(input));
