//! The operator's files from outside: what loads, and what is refused with which words.
#![allow(clippy::unwrap_used)]

mod accepted;
mod folder;
mod refused;
mod rendered;
mod schema;
