//! Keys as RFC 4733 tells them: read out of a source's packets once per press, and told in a
//! leg's own stream.

pub(crate) mod tones;
pub(crate) mod ways;

use crate::order::{Digit, Digits};
use std::time::{Duration, Instant};

/// What a packet of an event says (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) ssrc: u32,
    /// When the event began, in the time of who sent it. All packets of an event share it.
    pub(crate) timestamp: u32,
    pub(crate) event: u8,
    pub(crate) end: bool,
    /// How long it has lasted, in samples of 8 kHz.
    pub(crate) duration: u16,
    /// The longest that a packet can say, in the same.
    pub(crate) longest: u16,
}

impl Told {
    /// Four bytes; more of them are older events, told before.
    pub(crate) fn parse(ssrc: u32, timestamp: u32, payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk::<4>()?;
        let duration = u16::from_be_bytes([high, low]);
        let (end, longest) = (flags & 0x80 != 0, u16::MAX);
        Some(Self { ssrc, timestamp, event, end, duration, longest })
    }

    /// The same where the events' clock is so many times as fast.
    pub(crate) fn at_8_khz(self, factor: u8) -> Self {
        let factor = u16::from(factor.max(1));
        Self { duration: self.duration / factor, longest: self.longest / factor, ..self }
    }
}

/// Reads keys. Allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pressed: Option<Press>,
    /// Presses that are over, and when something was last heard of them.
    over: [Option<(Told, Instant)>; REMEMBERED],
    oldest: usize,
    /// Presses that may still be believed now.
    credit: u32,
    filled: Option<Instant>,
}

/// A key that is down, or up and not told yet.
#[derive(Clone, Copy, Debug)]
struct Press {
    told: Told,
    /// Of the parts of it before this one (RFC 4733 §2.5.1.3).
    earlier: u32,
    began: Instant,
    last: Instant,
}

/// What a packet says of a key that is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Down(Digit),
    Up(Pressed),
}

/// An event that is no key, or that nobody could have pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoKey;

/// A key press that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pressed {
    pub(crate) digit: Digit,
    pub(crate) duration: Duration,
    pub(crate) at: Instant,
}

impl Reader {
    pub(crate) const NEW: Self = Self {
        pressed: None,
        over: [None; REMEMBERED],
        oldest: 0,
        credit: CREDIT_MAX,
        filled: None,
    };

    /// Takes a packet in: what it ends, what it begins, and whether that is over with it. An
    /// error: it is no key, or more of them than anybody presses.
    pub(crate) fn take(&mut self, told: Told, now: Instant) -> Result<[Option<Key>; 3], NoKey> {
        let digit = Digit::from_event(told.event).ok_or(NoKey)?;
        if self.is_over(&told, now) {
            return Ok([None; 3]);
        }
        if let Some(press) = self.pressed.as_mut().filter(|press| press.includes(&told)) {
            press.take(told, now);
            let over = if told.end { self.finish(now) } else { None };
            return Ok([over, None, None]);
        }
        if !self.afford(now) {
            return Err(NoKey);
        }
        // The ends of the one before were lost.
        let before = self.finish(now);
        self.pressed = Some(Press { told, earlier: 0, began: now, last: now });
        let over = if told.end { self.finish(now) } else { None };
        Ok([before, Some(Key::Down(digit)), over])
    }

    /// The key whose packets have stopped without an end.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Key> {
        let press = self.pressed?;
        let forgotten = now.saturating_duration_since(press.last) >= FORGOTTEN;
        if forgotten { self.finish(now) } else { None }
    }

    fn finish(&mut self, now: Instant) -> Option<Key> {
        let press = self.pressed.take()?;
        if let Some(place) = self.over.get_mut(self.oldest) {
            *place = Some((press.told, now));
        }
        self.oldest = (self.oldest + 1) % REMEMBERED;
        let digit = Digit::from_event(press.told.event)?;
        // 125 us a unit: the clock of telephone-event is 8 kHz (RFC 4733 §2.2).
        let duration = Duration::from_micros(u64::from(press.duration()) * 125);
        Some(Key::Up(Pressed { digit, duration, at: press.began }))
    }

    /// Said again after its end, or overtaken by it. Not for ever: some begin at the same time
    /// stamp with every key. A shorter one is no end said again and may begin such a key.
    fn is_over(&mut self, told: &Told, now: Instant) -> bool {
        let known = self.over.iter_mut().flatten().find(|(over, last)| {
            (over.ssrc, over.timestamp, over.event) == (told.ssrc, told.timestamp, told.event)
                && now.saturating_duration_since(*last) < REPEATED
        });
        let Some((over, last)) = known else { return false };
        if told.end || told.duration >= over.duration {
            *last = now;
        }
        true
    }

    /// One more press may be believed.
    pub(crate) fn afford(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let earned = now.saturating_duration_since(filled).as_millis() / CREDIT_MS;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(CREDIT_MAX);
            self.credit = self.credit.saturating_add(earned).min(CREDIT_MAX);
            self.filled = Some(now);
        }
        let affords = self.credit > 0;
        self.credit = self.credit.saturating_sub(1);
        affords
    }
}

impl Press {
    /// The same time stamp, or the next part of a key that is down for longer than a packet can
    /// say.
    fn includes(&self, told: &Told) -> bool {
        let Told { ssrc, timestamp, event, longest, .. } = self.told;
        let later = told.timestamp.wrapping_sub(timestamp);
        let same = told.ssrc == ssrc && told.event == event;
        same && (later == 0 || later.abs_diff(longest.into()) <= PACKET)
    }

    fn take(&mut self, told: Told, now: Instant) {
        self.last = now;
        if told.timestamp != self.told.timestamp {
            self.earlier = self.earlier.saturating_add(self.told.longest.into());
            self.told = told;
        } else if told.duration > self.told.duration || told.end {
            let duration = told.duration.max(self.told.duration);
            self.told = Told { duration, ..told };
        }
    }

    fn duration(&self) -> u32 {
        self.earlier.saturating_add(self.told.duration.into())
    }
}

/// Keys on their way to a far side, by its own clock. Allocates nothing. In the order of
/// [`crate::leg::Leg`]'s note.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Teller {
    first: usize,
    waiting: usize,
    now: Option<Telling>,
    /// Frames of audio before the next key.
    rest: u32,
    /// Keys that wait, the first of them at `first`.
    queue: [Option<(Digit, Hold)>; QUEUE_MAX],
}

/// How long a key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Until it is let go, but no longer than that.
    Open,
    Frames(u32),
}

#[derive(Clone, Copy, Debug)]
struct Telling {
    digit: Digit,
    hold: Hold,
    /// Frames it has lasted.
    frames: u32,
}

/// A packet that is due of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Say {
    pub(crate) payload: [u8; 4],
    /// The key began with this frame.
    pub(crate) first: bool,
    /// Its last: said three times (RFC 4733 §2.5.1.4).
    pub(crate) last: bool,
}

impl Teller {
    pub(crate) const NEW: Self =
        Self { first: 0, waiting: 0, now: None, rest: 0, queue: [None; QUEUE_MAX] };

    /// Keys to be told. False: there is no room for all of them, none is taken.
    pub(crate) fn tell(&mut self, digits: &Digits) -> bool {
        let room = self.waiting + digits.iter().count() <= QUEUE_MAX;
        if room {
            digits.iter().for_each(|digit| _ = self.push(digit, Hold::Frames(HOLD)));
        }
        room
    }

    /// A key went down on the other side of a bridge. False: more wait than may, it is not told.
    /// Who presses 16 a second is told ten of them; no finger does that for ten seconds.
    pub(crate) fn down(&mut self, digit: Digit) -> bool {
        self.push(digit, Hold::Open)
    }

    /// A key was pressed and let go; it ends the one that is still down, if one is. False: more wait than
    /// may, it is not told.
    pub(crate) fn pressed(&mut self, digit: Digit, duration: Duration) -> bool {
        if self.is_down() {
            self.up(duration);
            return true;
        }
        let frames = u32::try_from(duration.as_millis() / 20).unwrap_or(HOLD_MAX);
        self.push(digit, Hold::Frames(frames.clamp(HOLD_MIN, BELIEVED)))
    }

    fn is_down(&self) -> bool {
        let waiting = (0..self.waiting).map(|n| (self.first + n) % QUEUE_MAX);
        let mut holds = waiting.filter_map(|place| self.queue.get(place).copied().flatten());
        self.now.is_some_and(|telling| telling.hold == Hold::Open)
            || holds.any(|(_, hold)| hold == Hold::Open)
    }

    /// The key that went down last was let go.
    pub(crate) fn up(&mut self, duration: Duration) {
        let frames = u32::try_from(duration.as_millis() / 20).unwrap_or(HOLD_MAX);
        // What a packet claims is believed for half a second; longer must have been held.
        let believed = |told: u32| Hold::Frames(frames.clamp(HOLD_MIN, told.max(BELIEVED)));
        if let Some(telling) = self.now.as_mut().filter(|telling| telling.hold == Hold::Open) {
            telling.hold = believed(telling.frames);
            return;
        }
        let place = (0..self.waiting)
            .map(|n| (self.first + n) % QUEUE_MAX)
            .find(|place| matches!(self.queue.get(*place), Some(Some((_, Hold::Open)))));
        let open = place.and_then(|place| self.queue.get_mut(place)).and_then(Option::as_mut);
        if let Some((_, hold)) = open {
            *hold = believed(0);
        }
    }

    /// True: a key is being told, or follows: no audio meanwhile.
    pub(crate) const fn is_busy(&self) -> bool {
        self.now.is_some() || (self.rest == 0 && self.waiting > 0)
    }

    /// A frame of something else left.
    pub(crate) const fn rested(&mut self) {
        self.rest = self.rest.saturating_sub(1);
    }

    /// One frame passes; what is due of a key in it.
    pub(crate) fn next(&mut self) -> Option<Say> {
        if self.now.is_none() {
            if self.rest > 0 {
                return None;
            }
            let (digit, hold) = self.pop()?;
            self.now = Some(Telling { digit, hold, frames: 0 });
        }
        let telling = self.now.as_mut()?;
        telling.frames += 1;
        let Telling { digit, hold, frames } = *telling;
        let last = match hold {
            Hold::Open => frames >= HOLD_MAX,
            Hold::Frames(length) => frames >= length,
        };
        if last {
            (self.now, self.rest) = (None, REST);
        }
        let [high, low] = u16::try_from(frames * 160).unwrap_or(u16::MAX).to_be_bytes();
        let end = if last { 0x80 } else { 0 };
        Some(Say { payload: [digit.event(), end | VOLUME, high, low], first: frames == 1, last })
    }

    /// The far side hears somebody else: the key that is being told ends with its next frame, and
    /// none that waits is told. Gives how many those are.
    pub(crate) const fn stop(&mut self) -> usize {
        if let Some(telling) = &mut self.now {
            telling.hold = Hold::Frames(telling.frames);
        }
        self.leave_waiting()
    }

    /// The far side hears nothing. Gives how many waited.
    pub(crate) const fn forget(&mut self) -> usize {
        (self.now, self.rest) = (None, 0);
        self.leave_waiting()
    }

    /// Every leg that is told no keys comes here every frame: the queue itself is not touched.
    const fn leave_waiting(&mut self) -> usize {
        std::mem::replace(&mut self.waiting, 0)
    }

    fn push(&mut self, digit: Digit, hold: Hold) -> bool {
        let free = self.queue.get_mut((self.first + self.waiting) % QUEUE_MAX);
        let Some(free) = free.filter(|_| self.waiting < QUEUE_MAX) else { return false };
        *free = Some((digit, hold));
        self.waiting += 1;
        true
    }

    fn pop(&mut self) -> Option<(Digit, Hold)> {
        self.waiting = self.waiting.checked_sub(1)?;
        let next = self.queue.get(self.first).copied().flatten();
        self.first = (self.first + 1) % QUEUE_MAX;
        next
    }
}

/// Presses whose end may be said again.
const REMEMBERED: usize = 4;

/// How long after the last word about a press its time stamp is not believed anew.
const REPEATED: Duration = Duration::from_secs(1);

/// No packet for so long: the key is up and its ends were lost. Three periods of 50 ms, the
/// longest of RFC 4733 §2.5.1.2, and the jitter we put up with.
const FORGOTTEN: Duration = Duration::from_millis(350);

/// By how much the next part of a long event may begin beside its time: ten frames.
const PACKET: u32 = 1_600;

/// Nobody presses more than 16 keys a second for long.
const CREDIT_MAX: u32 = 16;
const CREDIT_MS: u128 = 62;

/// Keys that may wait to be told; one takes 100 ms at least.
const QUEUE_MAX: usize = 64;

/// A key of ours is held for 100 ms, and 100 ms pass to the next: what gateways take for sure.
const HOLD: u32 = 5;
const REST: u32 = 3;

/// The shortest that is told, 40 ms, and the longest that fits one event, 8 s.
const HOLD_MIN: u32 = 2;
const HOLD_MAX: u32 = 400;

/// 500 ms.
const BELIEVED: u32 = 25;

/// -10 dBm0.
const VOLUME: u8 = 10;

#[cfg(test)]
mod tests;
