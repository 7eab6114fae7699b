//! One end of a call: what it says next, and what it makes of what it hears.

use super::seen::Seen;
use crate::callers::PACKET_BYTES;
use crate::load::{
    sip::Format,
    street::ROOM,
    voice::{self, Voice},
};
use media_core::srtp::{MasterKey, Receiver, Sender};
use nix::time::{ClockId, clock_gettime};
use std::{net::SocketAddrV4, ops::Range, time::Duration};

/// How often each end speaks.
pub(super) const FRAME: Duration = Duration::from_millis(20);
/// RFC 3550 §5.1.
const HEADER_BYTES: usize = 12;
/// Begins the audio of every packet of ours: what does not have it was put in by somebody else.
const MARK: [u8; 4] = *b"load";
/// Mark, number, time: what the first bytes of the audio hold.
const STAMP_BYTES: usize = MARK.len() + 4 + 8;

pub(super) struct End {
    pub(super) to: Option<SocketAddrV4>,
    packet: Vec<u8>,
    format: Format,
    voice: Voice,
    keys: Option<Keys>,
    /// Whose impulses it hears.
    pub(super) hears: usize,
    /// When its last impulse was to be heard.
    pub(super) impulse_at: Duration,
    last_travel: Duration,
    last_at: Option<Duration>,
    pub(super) number: u32,
    sequence: u16,
    /// Which of the other end's measured numbers were heard.
    ticked: Vec<bool>,
    highest: u32,
    last_sequence: Option<u16>,
}

/// What it encrypts with, and what the other side does.
struct Keys {
    own: Sender,
    theirs: Receiver,
}

impl End {
    pub(super) fn new(place: u16) -> Self {
        let mut packet = vec![0xD5; PACKET_BYTES];
        packet[..HEADER_BYTES].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet[10..HEADER_BYTES].copy_from_slice(&place.to_be_bytes());
        Self {
            to: None,
            packet,
            format: Format::G711,
            voice: Voice::Stamped,
            keys: None,
            hears: usize::from(place ^ 1),
            impulse_at: Duration::ZERO,
            last_travel: Duration::ZERO,
            last_at: None,
            number: 0,
            sequence: 0,
            ticked: Vec::new(),
            highest: 0,
            last_sequence: None,
        }
    }

    pub(super) fn speak_as(&mut self, format: Format, voice: Voice) {
        self.packet.truncate(HEADER_BYTES);
        self.packet.resize(PACKET_BYTES, 0xD5);
        (self.format, self.voice) = (format, voice);
    }

    pub(super) fn encrypt(&mut self, own: &MasterKey, theirs: &MasterKey) {
        self.keys = Some(Keys { own: Sender::new(own), theirs: Receiver::new(theirs) });
    }

    /// What follows is measured: so many of the other end's packets.
    pub(super) fn begin(&mut self, numbers: &Range<u32>) {
        self.ticked = vec![false; numbers.len()];
        (self.highest, self.last_sequence, self.last_at) = (0, None, None);
    }

    /// How many of the other end's measured packets were heard.
    pub(super) fn heard(&self) -> u64 {
        self.ticked.iter().filter(|&&heard| heard).count() as u64
    }

    /// Writes its next packet. How long it is.
    pub(super) fn speak(&mut self, into: &mut [u8; ROOM]) -> usize {
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        let timestamp = self.number.wrapping_mul(self.format.step());
        self.packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        match &self.voice {
            Voice::Stamped => {
                let stamp = &mut self.packet[HEADER_BYTES..HEADER_BYTES + STAMP_BYTES];
                stamp[..4].copy_from_slice(&MARK);
                stamp[4..8].copy_from_slice(&self.number.to_be_bytes());
                stamp[8..].copy_from_slice(&nanoseconds(wall()).to_be_bytes());
            }
            Voice::Canned(canned) => {
                let (said, impulse) = canned.packet(self.number);
                self.packet[1] = self.format.payload_type();
                self.packet.truncate(HEADER_BYTES);
                self.packet.extend_from_slice(said);
                if let Some(offset) = impulse {
                    self.impulse_at = wall() + offset;
                }
            }
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.number += 1;
        let length = self.packet.len();
        into[..length].copy_from_slice(&self.packet);
        match &mut self.keys {
            // Its own numbers, each once, and a room with space for the tag: nothing to refuse.
            Some(keys) => keys.own.protect_rtp(into, length).unwrap_or(0),
            None => length,
        }
    }

    /// A packet came. `said_at`: when the last impulse of whom it hears was to be heard, if it hears any.
    pub(super) fn hear(
        &mut self,
        bytes: &mut [u8],
        at: Duration,
        said_at: Option<Duration>,
        numbers: &Range<u32>,
        seen: &mut Seen,
    ) {
        self.came(at, seen);
        let length = match &mut self.keys {
            Some(keys) => keys.theirs.unprotect_rtp(bytes),
            None => Ok(bytes.len()),
        };
        let Some(bytes) = length.ok().and_then(|length| bytes.get(..length)) else {
            seen.unopened += 1;
            return;
        };
        if let Some(said_at) = said_at {
            self.hear_impulse(bytes, at, said_at, seen);
        }
        self.hear_stamp(bytes, at, numbers, seen);
    }

    fn came(&mut self, at: Duration, seen: &mut Seen) {
        if let Some(last) = self.last_at.replace(at) {
            // A pause of the talk itself is no distance.
            let distance = at.saturating_sub(last);
            if distance < 10 * FRAME {
                seen.spacing.add(distance.abs_diff(FRAME));
            }
        }
    }

    fn hear_impulse(&mut self, bytes: &[u8], at: Duration, said_at: Duration, seen: &mut Seen) {
        let Some(offset) = bytes.get(HEADER_BYTES..).and_then(voice::impulse) else { return };
        // One impulse may ring on into the next packet.
        if self.format == Format::G711 && said_at > self.last_travel {
            self.last_travel = said_at;
            seen.travel.add((at + offset).saturating_sub(said_at));
        }
    }

    fn hear_stamp(&mut self, bytes: &[u8], at: Duration, numbers: &Range<u32>, seen: &mut Seen) {
        let Some((number, sent_at)) = read_stamp(bytes) else {
            seen.put_in += 1;
            return;
        };
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let expected = self.last_sequence.replace(sequence).map(|last| last.wrapping_add(1));
        seen.gaps += u64::from(expected.is_some_and(|expected| expected != sequence));
        seen.overtaken += u64::from(number < self.highest);
        self.highest = self.highest.max(number);
        if numbers.contains(&number) {
            let ticked = &mut self.ticked[(number - numbers.start) as usize];
            seen.doubled += u64::from(std::mem::replace(ticked, true));
            seen.latency.add(at.saturating_sub(sent_at));
        }
    }
}

/// The number of a packet of ours and when it was sent.
fn read_stamp(packet: &[u8]) -> Option<(u32, Duration)> {
    let stamp = packet.get(HEADER_BYTES..)?.first_chunk::<STAMP_BYTES>()?;
    let &[a, b, c, d, n0, n1, n2, n3, t0, t1, t2, t3, t4, t5, t6, t7] = stamp;
    let sent_at = Duration::from_nanos(u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]));
    ([a, b, c, d] == MARK).then(|| (u32::from_be_bytes([n0, n1, n2, n3]), sent_at))
}

/// The clock the kernel stamps arrivals with.
fn wall() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).expect("Linux always has a wall clock").into()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
