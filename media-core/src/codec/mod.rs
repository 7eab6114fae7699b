//! How audio is written in packets.

pub mod g711;
pub(crate) mod g722;
pub(crate) mod opus;
pub(crate) mod resample;

pub use opus::version as opus_version;
