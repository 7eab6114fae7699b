//! What became of the packets of a span.

use crate::load::delays::Delays;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub sent: u64,
    pub heard: u64,
    /// Sent and never heard.
    pub lost: u64,
    pub doubled: u64,
    /// Heard after one with a higher number.
    pub overtaken: u64,
    /// Steps of the RTP sequence that were not +1, as the far end counts them.
    pub gaps: u64,
    /// Audio that is not ours: silence or music put in, strangers.
    pub put_in: u64,
    /// All that came, whatever was in it.
    pub came: u64,
    /// Encrypted, and our keys do not open it.
    pub unopened: u64,
    /// From the sender's call to the kernel until the packet lay in the receiver's socket.
    pub latency: Delays,
    /// From when an impulse was to be heard at the sender's until it was at the receiver's.
    pub travel: Delays,
    /// How far from 20 ms a packet came after the one before it.
    pub spacing: Delays,
    /// How late a packet was sent, by ourselves.
    pub late: Delays,
    /// The latest one before the span, since the talk began.
    pub late_before: Duration,
    /// CPU time of the generator itself.
    pub own: Duration,
}
