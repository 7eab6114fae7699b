//! The sockets of the SIP side: datagrams in batches, with where they came from.

pub mod udp;
