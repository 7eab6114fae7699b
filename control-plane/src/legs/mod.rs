//! Each kind of leg translated to inputs and outputs of the switchboard: here SIP and media meet.

mod codecs;
mod dtmf;
mod keys;
pub mod media;
pub mod sip;

pub use codecs::shared_codings;
