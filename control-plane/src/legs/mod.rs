//! Each kind of leg translated to inputs and outputs of the switchboard: here SIP and media meet.

pub mod media;
pub mod sip;
