//! The operator's files from outside: what loads, and what is refused with which words.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod accepted;
mod folder;
mod hours;
mod networks;
mod refused;
mod rendered;
mod schema;
