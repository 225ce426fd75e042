#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kubectl_mrunner_fuzz::requirements(data));
