//! Packets that came and were not decoded yet, by time stamp. All times in samples of 8 kHz.

/// RTP time stamps of any clock to samples of 8 kHz. The clock's factor divides what 32 bits wrap at
/// badly, so the way from a known stamp is divided, not the stamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    factor: u32,
    known: Option<(u32, u32)>,
}

impl Scale {
    pub(crate) const fn new(factor: u32) -> Self {
        Self { factor, known: None }
    }

    pub(crate) fn take(&mut self, timestamp: u32) -> u32 {
        if self.factor == 1 {
            return timestamp;
        }
        let (stamp, samples) = *self.known.get_or_insert((timestamp, timestamp / self.factor));
        let way = timestamp.wrapping_sub(stamp).cast_signed();
        let factor = self.factor.cast_signed();
        let scaled = way.div_euclid(factor);
        if way.unsigned_abs() > FAR {
            let whole = scaled.wrapping_mul(factor);
            self.known =
                Some((stamp.wrapping_add_signed(whole), samples.wrapping_add_signed(scaled)));
        }
        samples.wrapping_add_signed(scaled)
    }
}

/// A quarter of what a signed way can be.
const FAR: u32 = 1 << 29;

/// Packets that wait. Takes its memory when it is made.
#[derive(Debug)]
pub(super) struct Queue {
    slots: [Option<Waiting>; SLOTS],
    bytes: Vec<u8>,
    slot_bytes: usize,
}

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) timestamp: u32,
    pub(super) duration: u32,
    length: usize,
    slot: usize,
    /// What is missing before it was never said: the sender itself paused.
    pub(super) paused: bool,
}

impl Waiting {
    pub(super) const fn end(&self) -> u32 {
        self.timestamp.wrapping_add(self.duration)
    }
}

impl Queue {
    /// For payloads of so many bytes at most.
    pub(super) fn new(slot_bytes: usize) -> Self {
        Self { slots: [None; SLOTS], bytes: vec![0; slot_bytes * SLOTS], slot_bytes }
    }

    pub(super) const fn payload_max(&self) -> usize {
        self.slot_bytes
    }

    /// False: there is no room for another, or one that waits says some of the same moments. Of those that overlap each
    /// would be decoded whole for what is new in it.
    pub(super) fn put(
        &mut self,
        timestamp: u32,
        duration: u32,
        paused: bool,
        payload: &[u8],
    ) -> bool {
        let end = timestamp.wrapping_add(duration);
        let twice =
            self.slots.iter().flatten().any(|known| {
                signed(known.end(), timestamp) > 0 && signed(end, known.timestamp) > 0
            });
        let free = self.slots.iter().position(Option::is_none);
        let Some(slot) = free.filter(|_| !twice && payload.len() <= self.slot_bytes) else {
            return false;
        };
        let from = slot * self.slot_bytes;
        if let Some(room) = self.bytes.get_mut(from..from + payload.len()) {
            room.copy_from_slice(payload);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Waiting { timestamp, duration, length: payload.len(), slot, paused });
        }
        true
    }

    /// The first packet that ends after this moment.
    pub(super) fn first_after(&self, moment: u32) -> Option<Waiting> {
        let ahead = |waiting: &&Waiting| signed(waiting.end(), moment) > 0;
        let all = self.slots.iter().flatten().filter(ahead);
        all.min_by_key(|waiting| signed(waiting.timestamp, moment)).copied()
    }

    /// How far packets follow each other from this moment on without a hole.
    pub(super) fn run_from(&self, moment: u32) -> u32 {
        let mut at = moment;
        while let Some(next) = self.first_after(at).filter(|next| signed(next.timestamp, at) <= 0) {
            at = next.end();
        }
        at.wrapping_sub(moment)
    }

    pub(super) fn payload(&self, of: &Waiting) -> &[u8] {
        let from = of.slot * self.slot_bytes;
        self.bytes.get(from..from + of.length).unwrap_or_default()
    }

    /// Forgets what ends no later than this moment. How many had never been taken is not known here.
    pub(super) fn drop_before(&mut self, moment: u32) {
        for slot in &mut self.slots {
            if slot.is_some_and(|waiting| signed(waiting.end(), moment) <= 0) {
                *slot = None;
            }
        }
    }

    pub(super) fn forget(&mut self) {
        self.slots = [None; SLOTS];
    }
}

/// How far one time stamp is ahead of another.
pub(super) const fn signed(one: u32, other: u32) -> i32 {
    one.wrapping_sub(other).cast_signed()
}

/// Packets of 20 ms for more than half a second, of 10 ms for a third of one.
const SLOTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_48_khz_is_followed_round_its_wrap_and_back_over_late_packets() {
        let mut scale = Scale::new(6);
        let start = u32::MAX - 960 * 3;
        let first = scale.take(start);

        for n in 0..2_000_000_u32 {
            let scaled = scale.take(start.wrapping_add(n.wrapping_mul(960)));
            assert_eq!(scaled, first.wrapping_add(n.wrapping_mul(160)), "packet {n}");
            if n % 100_000 == 5 {
                let late = scale.take(start.wrapping_add((n - 3) * 960));
                assert_eq!(late, first.wrapping_add((n - 3) * 160));
            }
        }
    }

    #[test]
    fn packets_are_found_by_time_whatever_order_they_came_in() {
        let mut queue = Queue::new(8);
        for n in [3, 1, 0, 5] {
            let timestamp = u32::MAX.wrapping_add(n * 160);
            assert!(queue.put(timestamp, 160, false, &[u8::try_from(n).unwrap(); 4]), "{n}");
        }
        assert!(!queue.put(u32::MAX, 160, false, &[9; 4]), "one of this time waits already");
        assert!(!queue.put(77_000, 160, false, &[9; 9]), "longer than a slot");
        assert!(!queue.put(150, 400, false, &[9; 4]), "says some of what another does");
        assert!(!queue.put(260, 100, false, &[9; 4]), "and this one too");

        let first = queue.first_after(u32::MAX).unwrap();
        assert_eq!((first.timestamp, queue.payload(&first)), (u32::MAX, &[0_u8; 4][..]));
        assert_eq!(queue.run_from(u32::MAX), 320);
        queue.drop_before(u32::MAX.wrapping_add(320));
        let next = queue.first_after(u32::MAX.wrapping_add(320)).unwrap();
        assert_eq!(queue.payload(&next), [3; 4]);
    }

    #[test]
    fn no_more_wait_than_there_are_places() {
        let mut queue = Queue::new(1);
        let taken = (0..100).filter(|n| queue.put(n * 80, 80, false, &[0])).count();

        assert_eq!(taken, SLOTS);
        queue.drop_before(160);
        assert!(queue.put(9_000, 80, false, &[0]));
    }
}
