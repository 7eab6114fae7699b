//! Audio as pure state: orders, packets and the time in; packets, recorder frames and events out.
//!
//! No sockets, no clock, no threads; after start nothing here allocates. This crate does not know
//! what SIP, an agent or a queue is.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod broadcast;
pub mod clock;
pub mod codec;
pub mod coder;
mod comfort;
mod conceal;
pub mod counters;
mod digits;
pub mod engine;
pub mod frame;
mod jitter;
mod leg;
pub mod music;
pub mod order;
pub mod quality;
pub mod record;
pub mod room;
pub mod rtp;
mod session;
pub mod srtp;
mod touch;
mod tunes;
