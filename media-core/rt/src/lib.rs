//! The media plane's shell: one thread that owns the sockets and the engine, one that writes
//! recordings, and the rings between them and the control side.
//!
//! Start with [`handle::Media`]; then `thread.rs`, which is the loop.

mod clerk;
pub mod counters;
mod form;
pub mod handle;
pub mod headroom;
pub mod ports;
pub mod real_time;
pub mod recorder;
pub mod sealed;
mod socket;
mod sys;
mod tape;
#[cfg(test)]
mod test_folder;
mod thread;
mod tick;
pub mod wav;
