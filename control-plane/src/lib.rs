//! Who talks to whom, and why: seats, queues, calls and the one log they are derived from.
//!
//! No sockets, no clock, no files. [`exchange::Exchange`] is the whole box without IO; the
//! [`switchboard::Switchboard`] inside it alone changes calls and seats.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests need one clock read for an epoch")
)]

pub mod calendar;
pub mod call;
pub mod cdr;
pub mod config;
pub mod door;
pub mod exchange;
pub mod explain;
pub mod fact;
pub mod headroom;
pub mod ids;
pub mod journal;
pub mod legs;
pub mod ports;
pub mod queue;
pub mod route;
pub mod seats;
pub mod succession;
pub mod switchboard;
pub mod time;
pub mod voice;
