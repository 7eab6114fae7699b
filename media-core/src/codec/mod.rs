//! Codecs a leg may speak.

pub mod g711;
