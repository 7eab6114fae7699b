//! The sockets of the SIP side: datagrams in batches with where they came from, and connections.

pub mod tcp;
pub mod udp;
