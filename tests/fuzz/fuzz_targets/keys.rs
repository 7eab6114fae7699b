//! Looks for bytes that break a promise of `clavija_probes::keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| clavija_probes::keys(bytes));
