//! Looks for bytes that break a promise of `clavija_probes::ogg`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| clavija_probes::ogg(bytes));
