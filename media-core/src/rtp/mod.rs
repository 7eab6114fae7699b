//! RFC 3550 and RFC 3611: headers, order of packets, statistics, reports, and who may speak.

pub mod bursts;
pub mod header;
pub mod latch;
pub mod rtcp;
pub mod sequence;
pub mod stats;
pub mod xr;
