#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| modelway_fuzz::failure::hold(input));
