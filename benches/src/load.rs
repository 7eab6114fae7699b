//! The whole box beside its peers: who is measured, the generator that calls and talks, and what came of it.

pub mod calls;
pub mod delays;
pub mod ng;
pub mod report;
pub mod runs;
pub mod sip;
mod street;
pub mod talk;
pub mod target;
pub mod voice;
