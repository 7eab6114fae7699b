//! Keys as two tones in the audio (ITU-T Q.23): heard by what Q.24 asks of a receiver, and made.
//!
//! Every 5 ms the audio is correlated with the eight frequencies; a window is three such blocks. The
//! phase from window to window says how far a tone is off its frequency more sharply than any level
//! could: 15 ms tell 1.5 % from 3.5 % no other way.

mod make;
mod phasors;

pub(crate) use self::make::Tones;
use self::phasors::{Complex, Phasors, goertzel, narrow};
use super::{Key, Pressed};
use crate::order::Digit;
use std::time::{Duration, Instant};

/// Hears keys in 8 kHz audio. Allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detector {
    /// Of the blocks before, turned to the phase they would have now: the last, the one before.
    before: [Phasors; 2],
    energies: [f32; 2],
    /// The window before this one.
    window: Phasors,
    samples: [i16; WINDOW],
    /// Samples of a block that is not complete.
    part: usize,
    candidate: Option<Candidate>,
    down: Option<Down>,
}

/// A pair of tones that has been there for some windows.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    row: usize,
    column: usize,
    windows: u32,
    /// Windows that may miss it because something was lost in them; the next one follows no window.
    excused: u32,
    apart: bool,
    /// By how much the phase of either turns from window to window, as a sum of complex numbers.
    turns: [Complex; 2],
    powers: [f32; 2],
    energy: f32,
    /// Samples that are as loud as any can be.
    clipped: usize,
}

/// A key that is down.
#[derive(Clone, Copy, Debug)]
struct Down {
    digit: Digit,
    began: Instant,
    /// Blocks it has lasted, and those of them since it was heard last.
    blocks: u32,
    missing: u32,
}

impl Detector {
    pub(crate) const NEW: Self = Self {
        before: [Phasors::ZERO; 2],
        energies: [0.0; 2],
        window: Phasors::ZERO,
        samples: [0; WINDOW],
        part: 0,
        candidate: None,
        down: None,
    };

    /// Takes audio in that came at this instant, 60 ms of it at most: what it ends and begins. More
    /// than one key cannot begin in so short a time.
    pub(crate) fn take(&mut self, audio: &[i16], now: Instant) -> [Option<Key>; 2] {
        let mut keys = [None; 2];
        let mut rest = audio;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK - self.part));
            let from = WINDOW - BLOCK + self.part;
            if let Some(place) = self.samples.get_mut(from..from + piece.len()) {
                place.copy_from_slice(piece);
            }
            (self.part, rest) = (self.part + piece.len(), after);
            if self.part < BLOCK {
                break;
            }
            self.part = 0;
            let ago = u32::try_from(rest.len()).unwrap_or(0);
            let at = now.checked_sub(TIME * ago).unwrap_or(now);
            let free = keys.iter_mut().filter(|key| key.is_none());
            for (to, key) in free.zip(self.block(at).into_iter().flatten()) {
                *to = Some(key);
            }
            self.samples.copy_within(BLOCK.., 0);
        }
        keys
    }

    /// Samples that were lost: nobody knows what they were. A key that is down stays down.
    pub(crate) const fn skip(&mut self, samples: u32) {
        if let Some(candidate) = &mut self.candidate {
            candidate.excused = 3;
        }
        if let Some(down) = &mut self.down {
            down.blocks = down.blocks.saturating_add(samples / BLOCK_LONG);
        }
    }

    /// True: what was taken last belongs to a key that is down.
    pub(crate) fn is_down(&self) -> bool {
        self.down.is_some_and(|down| down.missing < QUIET)
    }

    /// The key that is down ends here: somebody else's audio follows, or none.
    pub(crate) fn stop(&mut self) -> Option<Key> {
        let up = self.up();
        *self = Self::NEW;
        up
    }

    /// One block is complete; it ended at this instant.
    fn block(&mut self, at: Instant) -> [Option<Key>; 2] {
        let (now, energy) = Phasors::of(self.samples.get(WINDOW - BLOCK..).unwrap_or(&[]));
        let [last, first] = self.before;
        let window = now.plus(&last).plus(&first);
        let of_all = energy + self.energies[0] + self.energies[1];
        let turned = self.window.turned();
        self.before = [now.turned(), last.turned()];
        self.energies = [energy, self.energies[0]];
        self.window = window;

        let pair = window.pair(of_all);
        if let Some(down) = &mut self.down {
            down.blocks = down.blocks.saturating_add(1);
            let same = pair.is_some_and(|(row, column)| digit(row, column) == Some(down.digit));
            down.missing = if same { 0 } else { down.missing + 1 };
        }
        let ended =
            if self.down.is_some_and(|down| down.missing >= GONE) { self.up() } else { None };
        let begun = match pair {
            Some((row, column)) => self.weigh(row, column, &window, &turned, of_all),
            None => {
                self.candidate = self.candidate.and_then(Candidate::excuse);
                None
            }
        };
        let Some(digit) = begun.filter(|digit| self.down.is_none_or(|down| down.digit != *digit))
        else {
            return [ended, None];
        };
        let ended = ended.or_else(|| self.up());
        let blocks = ENOUGH + 1;
        let began = at.checked_sub(TIME * (blocks * BLOCK_LONG)).unwrap_or(at);
        self.down = Some(Down { digit, began, blocks, missing: 0 });
        [ended, Some(Key::Down(digit))]
    }

    /// One more window with these two tones: the key, once there have been enough and they are right.
    fn weigh(
        &mut self,
        row: usize,
        column: usize,
        window: &Phasors,
        turned: &Phasors,
        energy: f32,
    ) -> Option<Digit> {
        let known = self.candidate.take().filter(|c| (c.row, c.column) == (row, column));
        let mut candidate = known.unwrap_or_else(|| Candidate::new(row, column));
        candidate.windows += 1;
        let settled = candidate.windows > BEGINNING;
        for (n, at) in [row, column].into_iter().enumerate() {
            let (turn, power) = (&mut candidate.turns[n], window.at(at).power());
            if settled && !candidate.apart {
                *turn = turn.plus(window.at(at).against(turned.at(at)));
            }
            if settled {
                candidate.powers[n] += power;
            }
        }
        if settled {
            candidate.energy += energy;
            let loudest = self.samples.iter().filter(|s| s.unsigned_abs() > CLIPPED);
            candidate.clipped += loudest.count();
        }
        candidate.apart = false;
        if candidate.windows < ENOUGH {
            self.candidate = Some(candidate);
            return None;
        }
        // Whatever it is, what follows is looked at anew.
        let right = candidate.is_right() && self.is_pure(row, column);
        if right { digit(row, column) } else { None }
    }

    fn up(&mut self) -> Option<Key> {
        let Down { digit, began, blocks, missing } = self.down.take()?;
        // The last window in which it was still heard holds a part of what follows.
        let blocks = blocks.saturating_sub(missing + 1).max(1);
        let duration = TIME * (blocks * BLOCK_LONG);
        Some(Key::Up(Pressed { digit, duration, at: began }))
    }

    /// Speech has overtones, a key has none. That of a row may stand where a column is.
    fn is_pure(&self, row: usize, column: usize) -> bool {
        let frequency = |at: usize| FREQUENCIES.get(at).copied().unwrap_or_default();
        [row, column].into_iter().all(|at| {
            let overtone = 2.0 * frequency(at);
            (overtone - frequency(column)).abs() < APART
                || goertzel(&self.samples, overtone) < OVERTONE * self.window.at(at).power()
        })
    }
}

impl Candidate {
    const fn new(row: usize, column: usize) -> Self {
        let turns = [Complex { re: 0.0, im: 0.0 }; 2];
        Self {
            row,
            column,
            windows: 0,
            excused: 0,
            apart: true,
            turns,
            powers: [0.0; 2],
            energy: 0.0,
            clipped: 0,
        }
    }

    fn excuse(self) -> Option<Self> {
        let excused = self.excused.checked_sub(1)?;
        Some(Self { excused, apart: true, ..self })
    }

    /// Both are as near to their frequencies as they must be, neither too strong beside the other,
    /// and there is little else.
    fn is_right(&self) -> bool {
        let [row, column] = [(0, self.row), (1, self.column)].map(|(n, at)| {
            let turn: Complex = self.turns[n];
            let angle = turn.im.atan2(turn.re);
            let off = angle / (TURN * narrow(FREQUENCIES.get(at).copied().unwrap_or(1.0)));
            // What three blocks lose whose phases do not stand together, and each block by itself.
            let kept = (1.0 + 2.0 * angle.cos()) / 3.0;
            (off.abs() < OFF_MAX).then(|| self.powers[n] / (kept * kept).max(0.1))
        });
        let (Some(row), Some(column)) = (row, column) else { return false };
        let twisted = column > row * TWIST_UP || column < row * TWIST_DOWN;
        let share = if self.clipped > CLIPS { SHARE_CLIPPED } else { SHARE };
        !twisted && (row + column) * 2.0 / WINDOW as f32 > share * self.energy
    }
}

/// What stands where these cross.
fn digit(row: usize, column: usize) -> Option<Digit> {
    let event = EVENTS.get(row)?.get(column.checked_sub(4)?)?;
    Digit::from_event(*event)
}

fn place(digit: Digit) -> (usize, usize) {
    let all = (0..4).flat_map(|row| (4..8).map(move |column| (row, column)));
    let at = |&(row, column): &(usize, usize)| self::digit(row, column) == Some(digit);
    all.into_iter().find(at).unwrap_or((0, 4))
}

/// ITU-T Q.23.
const FREQUENCIES: [f64; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];

/// Rows of a telephone's keys as RFC 4733 counts them.
const EVENTS: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];

const RATE: f64 = 8_000.0;

/// One sample.
const TIME: Duration = Duration::from_micros(125);

/// 5 ms, and three of them.
const BLOCK: usize = 40;
const BLOCK_LONG: u32 = 40;
const WINDOW: usize = 3 * BLOCK;

/// Windows with the same two tones before they are a key. A tone of 40 ms, off by as much as it may
/// be, stands out of six at least; one of 23 ms out of five at most.
const ENOUGH: u32 = 6;

/// Windows at the beginning that hold a part of what was before: they count and are not weighed.
const BEGINNING: u32 = 2;

/// Windows without it before a key is up. A pause of 40 ms has seven at least, a hole of 20 ms five at most.
const GONE: u32 = 6;

/// Blocks without it after which what is heard is something else again.
const QUIET: u32 = 4;

/// Accepted up to 1.5 %, refused from 3.5 % on.
const OFF_MAX: f32 = 0.0225;

/// By how much a block's phase turns per unit of relative frequency error and hertz.
const TURN: f32 = 0.031_415_93;

/// The column may be 4 dB above the row and 8 dB below it; 2 dB more for what cannot be measured exactly.
const TWIST_UP: f32 = 3.98;
const TWIST_DOWN: f32 = 0.1;

/// Of all energy.
const SHARE: f32 = 0.88;

/// Of a tone at 0 dBm0 beside another the peaks are cut, and what that makes of it is much.
const SHARE_CLIPPED: f32 = 0.7;
const CLIPPED: u16 = 31_000;
const CLIPS: usize = 8;

/// Twice the frequency has less than that; nearer to another tone than so many hertz nobody can say.
const OVERTONE: f32 = 0.05;
const APART: f64 = 200.0;

#[cfg(test)]
mod tests;
