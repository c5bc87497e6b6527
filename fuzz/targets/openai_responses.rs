#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| modelway_fuzz::response::hold_openai_responses(input));
