//! The appliance as a library, so that tests and the demo start it too: sockets, threads and files
//! round the pure cores.

mod address;
mod choice;
pub mod cli;
pub mod client;
pub mod demo;
mod drain;
pub mod error;
mod follower;
pub mod generations;
pub mod http;
pub mod live;
pub mod log;
mod login_key;
pub mod metrics;
pub mod music;
pub mod notify;
pub mod plan;
pub mod pump;
mod recording;
pub mod selftest;
mod start;
pub mod store;
pub mod view;

pub use drain::{Running, Stopped};
pub use follower::CdrCounts;
pub use start::{Appliance, StartError};
