//! A talk of more than two: who hears whom, and what each of them hears.
//!
//! Everybody's voice is a line of decoded frames on a grid of its own, set so that a frame is taken
//! as soon as it can be there. A listener hears, on the grid of its own stream, the newest frame of
//! everybody else: nobody waits for anybody's grid, and a voice is decoded once however many listen.

use crate::{
    codec::g711,
    frame::{FRAME_MS, Frame, Packed, SAMPLES, SILENCE},
    order::{Law, LegName, Role},
};

/// Parties of one talk, those who only listen included.
pub const PARTIES_MAX: usize = 32;

/// Who is in a talk of more than two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    parties: [Option<(usize, Role)>; PARTIES_MAX],
}

impl Room {
    pub(crate) const EMPTY: Self = Self { parties: [None; PARTIES_MAX] };

    /// Slots and roles of all in it.
    pub(crate) fn parties(&self) -> impl Iterator<Item = (usize, Role)> + '_ {
        self.parties.iter().flatten().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.parties().count()
    }

    pub(crate) fn has(&self, slot: usize) -> bool {
        self.parties().any(|(other, _)| other == slot)
    }

    /// Takes somebody in, or gives them another role. False: it is full.
    pub(crate) fn enter(&mut self, slot: usize, role: Role) -> bool {
        let known = self.parties.iter().position(|party| party.is_some_and(|(at, _)| at == slot));
        let place = known.or_else(|| self.parties.iter().position(Option::is_none));
        let place = place.and_then(|place| self.parties.get_mut(place));
        place.map(|place| *place = Some((slot, role))).is_some()
    }

    pub(crate) fn leave(&mut self, slot: usize) {
        for party in &mut self.parties {
            if party.is_some_and(|(at, _)| at == slot) {
                *party = None;
            }
        }
    }

    /// Whom this party hears. A whisper is for a leg, not for its slot: another leg may have that later.
    pub(crate) fn heard_by(
        &self,
        listener: usize,
        name: LegName,
    ) -> impl Iterator<Item = usize> + '_ {
        self.parties().filter_map(move |(slot, role)| {
            let heard = match role {
                Role::Speaks => true,
                Role::Listens => false,
                Role::Whispers { to } => to == name,
            };
            (heard && slot != listener).then_some(slot)
        })
    }
}

/// What one party says in a talk of more than two, frame by frame.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    /// The millisecond of the 20 ms frame at which a frame is taken.
    pub(crate) phase: u64,
    /// The phase fits what has come; until something has, it is anybody's.
    pub(crate) placed: bool,
    /// The place, on the grid of this phase, of the frame taken last.
    last: Option<u64>,
    /// The place of the newest frame in which something was said.
    word: Option<u64>,
    said: Line<SAMPLES>,
}

/// Frames of a voice by place, `N` samples each or as many as its rate has.
#[derive(Clone, Debug)]
pub(crate) struct Line<const N: usize>([(u64, [i16; N]); DEPTH]);

impl<const N: usize> Line<N> {
    pub(crate) const NONE: Self = Self([(NOWHERE, [0; N]); DEPTH]);

    pub(crate) fn forget(&mut self) {
        self.0.iter_mut().for_each(|(place, _)| *place = NOWHERE);
    }

    pub(crate) fn say(&mut self, place: u64, frame: &[i16]) {
        let Some((at, said)) = self.slot(place) else { return };
        *at = place;
        for (said, sample) in said.iter_mut().zip(frame) {
            *said = *sample;
        }
    }

    pub(crate) fn at(&mut self, place: u64) -> Option<&[i16; N]> {
        let (said, frame) = self.slot(place)?;
        (*said == place).then_some(&*frame)
    }

    fn slot(&mut self, place: u64) -> Option<&mut (u64, [i16; N])> {
        self.0.get_mut(usize::try_from(place % DEPTH as u64).ok()?)
    }
}

impl Voice {
    pub(crate) const NONE: Self =
        Self { phase: 0, placed: false, last: None, word: None, said: Line::NONE };

    /// A line begins; what was said before is nothing of it.
    pub(crate) fn begin(&mut self, phase: u64, placed: bool) {
        (self.phase, self.placed, self.last) = (phase, placed, None);
        self.forget();
    }

    /// Nobody hears what was said until now.
    pub(crate) fn forget(&mut self) {
        self.said.forget();
        self.word = None;
    }

    /// Something is said in the frame at this place: the far side's own words, not what stands where none came.
    pub(crate) const fn has_word(&mut self, place: u64) {
        self.word = Some(place);
    }

    /// Something is said in what is heard at this millisecond since the epoch, or in what follows it.
    pub(crate) fn says_at(&self, ms: u64) -> bool {
        self.word.is_some() && self.word >= self.heard_at(ms)
    }

    /// Frames to be taken now: one, or a few after a late tick. What a stall has missed is missed: how
    /// many are.
    pub(crate) fn due(&mut self, place: u64) -> (std::ops::RangeInclusive<u64>, u64) {
        let next = self.last.map_or(place, |last| last + 1);
        let first = next.max(place.saturating_sub(DEPTH as u64 - 2));
        (first..=place, first - next)
    }

    pub(crate) fn say(&mut self, place: u64, frame: &Frame) {
        self.last = Some(place);
        self.said.say(place, frame);
    }

    /// What is heard at this millisecond since the epoch; none if nothing was said.
    pub(crate) fn at(&mut self, ms: u64) -> Option<&Frame> {
        let place = self.heard_at(ms)?;
        self.said.at(place)
    }

    /// The place of the frame that is heard at this millisecond since the epoch.
    pub(crate) fn heard_at(&self, ms: u64) -> Option<u64> {
        let place = (ms + FRAME_MS).saturating_sub(self.phase) / FRAME_MS;
        let last = self.last?;
        // On a tick that serves several milliseconds the newest may not have been taken yet.
        Some(if last < place && last + 1 == place { last } else { place })
    }
}

/// The milliseconds of the frame at which those are taken whom one hears, as bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken(u32);

impl Taken {
    pub(crate) const fn add(&mut self, voice: &Voice) {
        if voice.placed {
            self.0 |= 1 << (voice.phase % FRAME_MS);
        }
    }

    fn phases(self) -> impl Iterator<Item = u64> {
        (0..FRAME_MS).filter(move |phase| self.0 >> phase & 1 == 1)
    }

    /// How long the one who waits longest does until this millisecond.
    fn longest(self, phase: u64) -> u64 {
        self.phases().map(|taken| (phase + FRAME_MS - taken) % FRAME_MS).max().unwrap_or(0)
    }

    /// The millisecond until which they wait least, if that is worth a change; a later one where there is much to do
    /// already. `legs`: how many others are spoken to at a millisecond.
    pub(crate) fn better(self, phase: u64, legs: impl Fn(u64) -> usize) -> Option<u64> {
        self.phases().next()?;
        let cost = |phase| self.longest(phase) * LEGS_A_MS + legs(phase) as u64;
        let best = (0..FRAME_MS).min_by_key(|phase| cost(*phase))?;
        (cost(best) + WORTH_MS * LEGS_A_MS <= cost(phase)).then_some(best)
    }
}

/// A stream is not moved for less.
const WORTH_MS: u64 = 3;

/// As many more to speak to are worth a millisecond of waiting: an encoder of Opus takes 0.12 ms for a frame (measured),
/// and far sides may all speak in the same millisecond, as gateways with one timer do.
const LEGS_A_MS: u64 = 8;

/// The place of what was never said.
const NOWHERE: u64 = u64::MAX;

/// Frames of a voice that can be heard: those of a late tick, and the one before.
const DEPTH: usize = 4;

/// What one party hears: the sum of voices, made softer where it would be too loud.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix<const N: usize = SAMPLES> {
    sum: [i32; N],
    voices: u32,
}

impl<const N: usize> Mix<N> {
    pub(crate) const NOTHING: Self = Self { sum: [0; N], voices: 0 };

    pub(crate) fn add(&mut self, frame: &[i16]) {
        for (sum, sample) in self.sum.iter_mut().zip(frame) {
            *sum += i32::from(*sample);
        }
        self.voices += 1;
    }

    /// What several of one rate say.
    pub(crate) fn add_sum(&mut self, other: &Self) {
        for (sum, sample) in self.sum.iter_mut().zip(&other.sum) {
            *sum += sample;
        }
        self.voices += other.voices;
    }

    pub(crate) const fn voices(&self) -> u32 {
        self.voices
    }

    /// The sum as samples of half its loudness, which twice as many voices fit into: for who must pass it
    /// on as samples before it is limited.
    pub(crate) fn halved(&self, samples: &mut [i16]) {
        for (sample, sum) in samples.iter_mut().zip(&self.sum) {
            *sample = narrow(*sum / 2);
        }
    }

    /// Takes back what was given as half.
    pub(crate) fn add_doubled(&mut self, samples: &[i16], voices: u32) {
        for (sum, sample) in self.sum.iter_mut().zip(samples) {
            *sum += i32::from(*sample) * 2;
        }
        self.voices += voices;
    }

    /// `gain`: what this party's was made softer by until now, and is from now on. `ramp`: samples over which
    /// it changes, 2 ms.
    pub(crate) fn limit(&self, gain: &mut Gain, ramp: i32, frame: &mut [i16]) {
        if self.voices <= 1 && gain.is_open() {
            for (sample, sum) in frame.iter_mut().zip(&self.sum) {
                *sample = narrow(*sum);
            }
            return;
        }
        let peak = self.sum.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        let (from, to) = gain.step(peak);
        for ((sample, sum), place) in frame.iter_mut().zip(&self.sum).zip(0..) {
            let part = i64::from(if place < ramp { place } else { ramp });
            let gain = i64::from(from) + (i64::from(to) - i64::from(from)) * part / i64::from(ramp);
            *sample = narrow(clamp((i64::from(*sum) * gain) >> GAIN_BITS));
        }
    }
}

impl Mix {
    pub(crate) fn limited(&self, gain: &mut Gain) -> Frame {
        let mut frame = SILENCE;
        self.limit(gain, RAMP, &mut frame);
        frame
    }
}

/// By how much what a party hears is made softer, in 2^-14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gain(i32);

impl Gain {
    pub(crate) const OPEN: Self = Self(ONE);

    const fn is_open(self) -> bool {
        self.0 == ONE
    }

    /// The gain at the beginning of a frame with this peak and the one after its ramp: down at once
    /// where it would be too loud, up again by a twentieth a frame.
    fn step(&mut self, peak: u32) -> (i32, i32) {
        let before = self.0;
        let fits = (i64::from(LOUDEST) << GAIN_BITS) / i64::from(peak.max(1));
        let fits = i32::try_from(fits.min(i64::from(ONE))).unwrap_or(ONE);
        self.0 = fits.min(before + before / 20 + 1).min(ONE);
        (before, self.0)
    }
}

/// As the party's own codec says it.
pub(crate) fn pack(law: Law, frame: &Frame) -> Packed {
    let mut packed = [0; SAMPLES];
    for (code, sample) in packed.iter_mut().zip(frame) {
        *code = g711::encode(law, *sample);
    }
    packed
}

pub(crate) fn unpack(law: Law, packed: &Packed) -> Frame {
    let mut frame = SILENCE;
    for (sample, code) in frame.iter_mut().zip(packed) {
        *sample = g711::decode(law, *code);
    }
    frame
}

fn narrow(sample: i32) -> i16 {
    i16::try_from(sample.clamp(i16::MIN.into(), i16::MAX.into())).unwrap_or_default()
}

fn clamp(sample: i64) -> i32 {
    i32::try_from(sample).unwrap_or(if sample < 0 { i32::MIN } else { i32::MAX })
}

const GAIN_BITS: u32 = 14;
const ONE: i32 = 1 << GAIN_BITS;

/// -0.3 dB of full scale.
const LOUDEST: i32 = 31_650;

/// Samples over which a gain changes: 2 ms.
pub(crate) const RAMP: i32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(room: &Room, by: usize) -> Vec<usize> {
        room.heard_by(by, LegName(by as u64 * 10)).collect()
    }

    #[test]
    fn everybody_hears_everybody_else_a_listener_is_not_heard_and_a_whisper_by_one_only() {
        let mut room = Room::EMPTY;
        for (slot, role) in [
            (1, Role::Speaks),
            (2, Role::Speaks),
            (3, Role::Listens),
            (4, Role::Whispers { to: LegName(20) }),
        ] {
            assert!(room.enter(slot, role));
        }

        assert_eq!(heard(&room, 1), [2]);
        assert_eq!(heard(&room, 2), [1, 4]);
        assert_eq!(heard(&room, 3), [1, 2]);
        assert_eq!(heard(&room, 4), [1, 2]);

        assert!(room.enter(3, Role::Speaks), "barges in");
        assert_eq!(heard(&room, 1), [2, 3]);
        room.leave(2);
        assert_eq!((heard(&room, 1), heard(&room, 4)), (vec![3], vec![1, 3]));
        let another: Vec<_> = room.heard_by(2, LegName(99)).collect();
        assert_eq!(another, [1, 3], "a whisper is for a leg, not for who has its slot later");
        assert_eq!(heard(&room, 2), [1, 3, 4], "and goes on when that one is back");
    }

    #[test]
    fn a_room_takes_32_and_who_is_in_it_may_change_role_when_it_is_full() {
        let mut room = Room::EMPTY;
        assert!((0..PARTIES_MAX).all(|slot| room.enter(slot, Role::Speaks)));

        assert!(!room.enter(99, Role::Listens));
        assert!(room.enter(5, Role::Listens));
        assert_eq!((room.len(), room.has(99), heard(&room, 0).len()), (32, false, 30));
        room.leave(5);
        assert!(room.enter(99, Role::Listens));
    }

    #[test]
    fn what_was_said_in_another_room_is_heard_by_nobody() {
        let mut voice = Voice::NONE;
        voice.begin(3, true);
        (5..8).for_each(|place| voice.say(place, &[1_000; SAMPLES]));

        voice.begin(4, true);
        voice.say(8, &[7; SAMPLES]);

        let heard: Vec<_> = (80..180).filter_map(|ms| voice.at(ms).map(|frame| frame[0])).collect();
        assert!(!heard.is_empty() && heard.iter().all(|sample| *sample == 7), "{heard:?}");
    }

    #[test]
    fn one_is_spoken_to_when_the_last_was_taken_for_whom_the_others_waited_least() {
        let taken = |phases: &[u64]| {
            let mut taken = Taken::default();
            for phase in phases {
                taken.add(&Voice { phase: *phase, placed: true, ..Voice::NONE });
            }
            taken
        };
        let nobody = |_| 0;

        assert_eq!(taken(&[7]).better(5, nobody), Some(7));
        assert_eq!(taken(&[7]).better(9, nobody), None, "two milliseconds are not worth it");
        assert_eq!(taken(&[18, 3]).better(1, nobody), Some(3), "round the end of the frame");
        assert_eq!(taken(&[0, 8, 13]).better(8, nobody), Some(0), "before the widest gap");
        assert_eq!(taken(&[]).better(4, nobody), None);
        let crowded = |phase| if phase == 7 { 17 } else { 1 };
        assert_eq!(taken(&[7]).better(2, crowded), Some(8), "sixteen are worth a millisecond");
        let mut none = Taken::default();
        none.add(&Voice::NONE);
        assert_eq!(none.better(4, nobody), None, "who has said nothing has no place yet");
    }

    #[test]
    fn what_a_stall_has_missed_is_counted() {
        let mut voice = Voice::NONE;
        voice.begin(0, true);
        assert_eq!(voice.due(10), (10..=10, 0));
        voice.say(10, &SILENCE);

        assert_eq!(voice.due(12), (11..=12, 0));
        assert_eq!(voice.due(20), (18..=20, 7));
    }

    #[test]
    fn one_voice_is_heard_as_it_is_and_several_never_wrap_round() {
        let loud = [i16::MAX; SAMPLES];
        let mut gain = Gain::OPEN;
        let mut one = Mix::<SAMPLES>::NOTHING;
        one.add(&loud);
        assert_eq!(one.limited(&mut gain), loud);

        let mut many = Mix::<SAMPLES>::NOTHING;
        (0..31).for_each(|_| many.add(&loud));
        let first = many.limited(&mut gain);
        let then = many.limited(&mut gain);
        assert!(first.iter().all(|sample| *sample > 30_000), "{first:?}");
        assert!(then.iter().all(|sample| (31_000..=31_700).contains(sample)), "{then:?}");
        let mut deep = Mix::NOTHING;
        (0..31).for_each(|_| deep.add(&[i16::MIN; SAMPLES]));
        assert!(deep.limited(&mut gain).iter().all(|sample| *sample < -30_000));
    }

    #[test]
    fn what_was_made_softer_comes_back_slowly_and_without_a_step() {
        let (mut gain, tone) = (Gain::OPEN, [10_000; SAMPLES]);
        let mut loud = Mix::NOTHING;
        (0..8).for_each(|_| loud.add(&tone));
        loud.limited(&mut gain);

        let mut levels = vec![];
        for _ in 0..60 {
            let mut mix = Mix::NOTHING;
            mix.add(&tone);
            let frame = mix.limited(&mut gain);
            let steepest = frame.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
            assert!(steepest < 64, "{steepest}");
            levels.push(frame[SAMPLES - 1]);
        }

        assert!(levels.is_sorted() && levels[0] < 4_500, "{levels:?}");
        assert_eq!(levels[59], 10_000);
        assert!(levels.iter().position(|level| *level == 10_000).unwrap() > 10);
    }

    #[test]
    fn a_voice_is_heard_on_anybodys_grid_one_frame_each() {
        let mut voice = Voice::NONE;
        voice.begin(7, true);
        let mut heard = vec![];
        for ms in 0..200 {
            let place = (ms + FRAME_MS - 7) / FRAME_MS;
            if ms % 20 == 7 {
                for place in voice.due(place).0 {
                    voice.say(place, &[i16::try_from(place).unwrap(); SAMPLES]);
                }
            }
            if ms % 20 == 3 {
                heard.extend(voice.at(ms).map(|frame| frame[0]));
            }
        }

        assert_eq!(heard, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(voice.at(900), None, "long ago");
    }
}
