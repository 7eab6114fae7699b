//! Both halves of a leg's SRTP, made where memory may be taken.

use super::{Keys, Receiver, Sender};

/// What a leg that speaks SRTP has: its keys, and what was sent and seen under them.
#[derive(Debug)]
pub struct Context {
    keys: Keys,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

impl Context {
    pub fn new(keys: Keys) -> Self {
        Self { keys, sender: Sender::new(&keys.send), receiver: Receiver::new(&keys.receive) }
    }

    pub(crate) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Takes what is new of another: a key that stays goes on with what was sent and seen under it. What
    /// is not wanted any more is left in the other.
    pub(crate) fn renew(&mut self, other: &mut Self) {
        if self.keys.send != other.keys.send {
            std::mem::swap(&mut self.sender, &mut other.sender);
        }
        if self.keys.receive != other.keys.receive {
            std::mem::swap(&mut self.receiver, &mut other.receiver);
        }
        std::mem::swap(&mut self.keys, &mut other.keys);
    }
}
