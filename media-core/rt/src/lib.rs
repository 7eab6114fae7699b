//! The media plane's shell: threads that own an engine and the sockets of its legs, one that writes
//! recordings, and the rings between them and the control side.
//!
//! Start with [`handle::Media`]; then `thread.rs`, which is the loop, and `router.rs`, which knows on
//! which thread a leg lives.

mod arrivals;
mod clerk;
pub mod counters;
mod form;
pub mod handle;
pub mod headroom;
mod lane;
pub mod opus;
mod outbox;
mod placing;
pub mod ports;
mod pressure;
pub mod real_time;
pub mod recorder;
mod router;
pub mod sealed;
mod share;
mod socket;
mod sys;
mod tape;
#[cfg(test)]
mod test_disk;
#[cfg(test)]
mod test_folder;
mod thread;
mod tick;
mod unheard;
pub mod wav;
mod worker;
