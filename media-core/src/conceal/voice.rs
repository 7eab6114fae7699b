//! A voice that goes on: what the mouth does with it is predicted, and the last period of what drives it comes
//! again and again. Told backwards, it leads up to what was said.

/// Linear prediction of a stretch of speech, and what drives it. Allocates nothing.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    /// What of each of the last samples, the newest first, is in the next one.
    mouth: [f32; ORDER],
    last: [f32; ORDER],
    /// What prediction misses: one period of it, of `period` samples.
    drive: [f32; PERIOD_MAX],
    period: usize,
    place: usize,
}

impl Voice {
    pub(super) const NONE: Self = Self {
        mouth: [0.0; ORDER],
        last: [0.0; ORDER],
        drive: [0.0; PERIOD_MAX],
        period: PERIOD_MIN,
        place: 0,
    };

    /// `said`: what was said last, oldest first, [`SAID_MIN`] of it or more.
    pub(super) fn of(said: &[i16]) -> Self {
        let period = period(said);
        let mouth = mouth(said);
        let mut voice = Self { mouth, period, ..Self::NONE };
        let back = |n: usize| said.len().checked_sub(n).and_then(|at| said.get(at)).copied();
        for (sample, n) in voice.last.iter_mut().zip(1..) {
            *sample = back(n).map_or(0.0, f32::from);
        }
        for (drive, place) in voice.drive.iter_mut().zip(0..period) {
            let at = period - place;
            let before = (1..=ORDER).map(|n| back(at + n).map_or(0.0, f32::from));
            let predicted: f32 = mouth.iter().zip(before).map(|(part, said)| part * said).sum();
            *drive = back(at).map_or(0.0, f32::from) - predicted;
        }
        voice.soften(said);
        voice
    }

    /// Where the mouth changed with the last of what was said, and its next period were louder than that was, less
    /// drives it.
    fn soften(&mut self, said: &[i16]) {
        let before: f32 = said.iter().rev().take(self.period).map(|s| f32::from(*s).powi(2)).sum();
        let mut ahead = self.clone();
        let after: f32 = (0..self.period).map(|_| ahead.go_on().powi(2)).sum();
        if after > before {
            let softer = (before / after).sqrt();
            self.drive.iter_mut().for_each(|drive| *drive *= softer);
        }
    }

    pub(super) fn next(&mut self) -> i16 {
        #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
        let sample = self.go_on() as i16;
        sample
    }

    fn go_on(&mut self) -> f32 {
        let drive = self.drive.get(self.place).copied().unwrap_or_default();
        self.place = (self.place + 1) % self.period;
        let parts = self.mouth.iter().zip(&self.last);
        let predicted: f32 = parts.map(|(part, said)| part * said).sum();
        let sample = drive + predicted;
        self.last.rotate_right(1);
        self.last[0] = sample;
        sample
    }

    /// Samples from one period to the next.
    pub(super) const fn period(&self) -> usize {
        self.period
    }
}

/// The shift at which the end of what was said is most like what was said before it.
fn period(said: &[i16]) -> usize {
    let longest = PERIOD_MAX.min(said.len().saturating_sub(COMPARED_MIN));
    // Every second sample finds the neighbourhood; the neighbours decide.
    let coarse = best(said, (PERIOD_MIN..=longest).step_by(2), 2);
    let near = coarse.saturating_sub(1).max(PERIOD_MIN)..=(coarse + 1).min(longest);
    best(said, near, 1)
}

fn best(said: &[i16], shifts: impl Iterator<Item = usize>, step: usize) -> usize {
    let likeness = |shift: usize| {
        let window = WINDOW.min(said.len().saturating_sub(shift));
        let here = said.iter().rev().take(window).step_by(step);
        let there = said.iter().rev().skip(shift).take(window).step_by(step);
        likeness(here.zip(there))
    };
    let all = shifts.map(|shift| (likeness(shift), shift));
    all.max_by(|one, other| one.0.total_cmp(&other.0)).map_or(PERIOD_MIN, |best| best.1)
}

/// The product of two stretches, signed and squared, over the strength of both: 1 where they are one tone.
fn likeness<'a>(pairs: impl Iterator<Item = (&'a i16, &'a i16)>) -> f32 {
    let (mut product, mut first, mut second) = (0_i64, 1_i64, 1_i64);
    for (here, there) in pairs {
        let (here, there) = (i64::from(*here), i64::from(*there));
        product += here * there;
        first += here * here;
        second += there * there;
    }
    #[expect(clippy::cast_precision_loss, reason = "a likeness needs three digits")]
    let (product, strength) = (product as f32, first as f32 * second as f32);
    product * product.abs() / strength
}

/// Linear prediction from the end of what was said, by Levinson and Durbin.
fn mouth(said: &[i16]) -> [f32; ORDER] {
    let said = said.get(said.len().saturating_sub(HEARD)..).unwrap_or_default();
    let mut own = own_likeness(said);
    // Noise 40 dB below all keeps what follows from being ill conditioned, and silence from being divided by.
    own[0] += own[0] * FLOOR + 1.0;
    let mut mouth = [0.0_f32; ORDER];
    let mut missed = own[0];
    for order in 0..ORDER {
        let known = mouth.iter().take(order);
        let explained: f32 =
            known.zip(own.iter().skip(1).take(order).rev()).map(|(part, own)| part * own).sum();
        let next = own.get(order + 1).copied().unwrap_or_default() - explained;
        // Below 1, so that no voice ever grows by itself.
        let part = (next / missed).clamp(-PART_MAX, PART_MAX);
        let before = mouth;
        for (place, other) in mouth.iter_mut().take(order).zip(before.iter().take(order).rev()) {
            *place -= part * other;
        }
        if let Some(place) = mouth.get_mut(order) {
            *place = part;
        }
        missed *= 1.0 - part * part;
    }
    let mut narrower = 1.0;
    for part in &mut mouth {
        narrower *= NARROWER;
        *part *= narrower;
    }
    mouth
}

/// How like itself a stretch is when it is shifted by 0, 1 and so on, its middle counting most.
fn own_likeness(said: &[i16]) -> [f32; ORDER + 1] {
    let mut shaped = [0.0_f32; ORDER + HEARD];
    let length = u16::try_from(said.len()).map_or(1.0, f32::from);
    for ((place, sample), n) in shaped.iter_mut().skip(ORDER).zip(said).zip(0_u16..) {
        let off_middle = f32::from(2 * n + 1) / length - 1.0;
        let weight = 1.0 - off_middle * off_middle;
        *place = f32::from(*sample) * weight * weight;
    }
    let mut own = [0.0; ORDER + 1];
    for window in shaped.windows(ORDER + 1) {
        let newest = window.last().copied().unwrap_or_default();
        for (own, sample) in own.iter_mut().zip(window.iter().rev()) {
            *own += newest * sample;
        }
    }
    own
}

/// 200 Hz, a high voice, and 66 Hz, a low one, as a pitch period.
pub(crate) const PERIOD_MIN: usize = 40;
pub(crate) const PERIOD_MAX: usize = 120;

/// Over how much of the end two periods are compared: 10 ms, a voice is another one 20 ms ago; and where less
/// was said.
pub(super) const WINDOW: usize = 80;
const COMPARED_MIN: usize = 40;

/// From fewer samples no voice can be told.
pub(super) const SAID_MIN: usize = PERIOD_MIN + COMPARED_MIN;

/// Two samples for each formant of a telephone, and for the slope.
const ORDER: usize = 10;

/// From how much of the end the mouth is told: 20 ms.
const HEARD: usize = 160;

const FLOOR: f32 = 1e-4;
const PART_MAX: f32 = 0.9999;

/// A formant loses so much of itself with every sample.
const NARROWER: f32 = 0.99;
