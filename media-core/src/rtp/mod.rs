//! RFC 3550: headers, order of packets, statistics, reports, and who may speak.

pub mod header;
pub mod latch;
pub mod rtcp;
pub mod sequence;
pub mod stats;
