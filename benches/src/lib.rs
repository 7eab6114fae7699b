//! What the benches share: CPU clocks, contenders that run in turns, bare relays, callers.
//!
//! Speed is a ratio here, against a peer or a floor in the same run, in CPU time: other work on
//! the machine makes everything slower and changes little between two that take turns.

pub mod allocations;
pub mod callers;
pub mod cpu;
pub mod floor;
pub mod race;
