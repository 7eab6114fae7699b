//! What was seen of the calls: how many, how long each step took, what failed.

use crate::load::delays::Delays;
use std::collections::BTreeMap;

/// What was seen since it was asked for last.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub placed: u64,
    /// Set up and torn down at both ends.
    pub whole: u64,
    /// By kind; a call counts once.
    pub failed: BTreeMap<String, u64>,
    /// From the caller's INVITE to the callee's.
    pub passed_on: Delays,
    /// To the 180 at the caller.
    pub ring: Delays,
    /// To the 200 at the caller; the callee answers at once.
    pub answer: Delays,
    /// From the caller's BYE to its 200.
    pub bye: Delays,
    /// Messages that had to be said again by us, and that were heard again.
    pub said_again: u64,
    pub heard_again: u64,
    /// How late a call was placed or hung up, by ourselves.
    pub late: Delays,
}
