//! ITU-T G.722 at 64 kbit/s: two bands of 4 kHz, each told by an adaptive difference.
//!
//! After the block diagrams of the Recommendation (§3 to §6, whose names stand beside each step);
//! integers throughout, so that encoder and decoder never drift apart. Allocates nothing.

/// 16 kHz samples to code words, two samples each.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    past: [i32; TAPS],
    low: Band,
    high: Band,
}

/// Code words to 16 kHz samples, two each.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    past: [i32; TAPS],
    low: Band,
    high: Band,
}

impl Encoder {
    pub(crate) const fn new() -> Self {
        Self { past: [0; TAPS], low: Band::low(), high: Band::high() }
    }

    /// One code word for every two samples.
    pub(crate) fn encode(&mut self, samples: &[i16], codes: &mut [u8]) {
        for (pair, code) in samples.as_chunks::<2>().0.iter().zip(codes) {
            let (low, high) = self.split(*pair);
            *code = self.low.write_low(low) | self.high.write_high(high) << 6;
        }
    }

    /// The transmit filter (§3.1).
    fn split(&mut self, pair: [i16; 2]) -> (i32, i32) {
        push(&mut self.past, pair.map(i32::from));
        let (odd, even) = halves(&self.past);
        ((even + odd) >> 14, (even - odd) >> 14)
    }
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        Self { past: [0; TAPS], low: Band::low(), high: Band::high() }
    }

    /// Two samples for every code word.
    pub(crate) fn decode(&mut self, codes: &[u8], samples: &mut [i16]) {
        for (code, pair) in codes.iter().zip(samples.as_chunks_mut::<2>().0) {
            let low = self.low.read_low(code & 0x3F);
            let high = self.high.read_high(code >> 6);
            *pair = self.join(low, high);
        }
    }

    /// The receive filter (§4.4).
    fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        push(&mut self.past, [low + high, low - high]);
        let (odd, even) = halves(&self.past);
        [even >> 11, odd >> 11].map(|sample| narrow(saturate(sample)))
    }
}

/// What both sides know of one band: a predictor and the size of its steps.
#[derive(Clone, Debug)]
struct Band {
    /// What the next sample is expected to be, and the part of it that the zeros give.
    signal: i32,
    zeros: i32,
    /// Logarithm of the step, and the step.
    log: i32,
    step: i32,
    /// Reconstructed samples, and partly reconstructed ones, newest first.
    reconstructed: [i32; 2],
    partial: [i32; 2],
    poles: [i32; 2],
    differences: [i32; 6],
    weights: [i32; 6],
}

impl Band {
    const fn low() -> Self {
        Self::with_step(32)
    }

    const fn high() -> Self {
        Self::with_step(8)
    }

    const fn with_step(step: i32) -> Self {
        Self {
            signal: 0,
            zeros: 0,
            log: 0,
            step,
            reconstructed: [0; 2],
            partial: [0; 2],
            poles: [0; 2],
            differences: [0; 6],
            weights: [0; 6],
        }
    }

    /// SUBTRA, QUANTL, and what follows of them.
    fn write_low(&mut self, sample: i32) -> u8 {
        let error = saturate(sample - self.signal);
        let size = if error >= 0 { error } else { -(error + 1) };
        // Decision levels rise: how many lie at or below the size.
        let level = LEVELS_LOW.iter().take_while(|level| size >= (**level * self.step) >> 12);
        let level = level.count();
        let code = match (error < 0, u8::try_from(level).unwrap_or(29)) {
            // Tables 7: positive 61 down to 32; negative 63, 62, then 31 down to 4.
            (false, level) => 61 - level,
            (true, level @ 0..=1) => 63 - level,
            (true, level) => 33 - level,
        };
        self.adapt_low(code);
        code
    }

    fn read_low(&mut self, code: u8) -> i32 {
        let difference = (self.step * at(&INVERSE_6, code)) >> 15;
        let sample = (self.signal + difference).clamp(-16_384, 16_383);
        self.adapt_low(code);
        sample
    }

    /// INVQAL, LOGSCL, SCALEL, then the predictor, by the four bits both sides are sure to have.
    fn adapt_low(&mut self, code: u8) {
        let code = code >> 2;
        let difference = (self.step * at(&INVERSE_4, code)) >> 15;
        self.log = (((self.log * 127) >> 7) + at(&LOG_LOW, code)).clamp(0, 18_432);
        self.step = scale(self.log, 8);
        self.predict(difference);
    }

    /// SUBTRA, QUANTH.
    fn write_high(&mut self, sample: i32) -> u8 {
        let error = saturate(sample - self.signal);
        let size = if error >= 0 { error } else { -(error + 1) };
        let large = size >= (LEVEL_HIGH * self.step) >> 12;
        let code = match (error < 0, large) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        self.adapt_high(code);
        code
    }

    fn read_high(&mut self, code: u8) -> i32 {
        let difference = (self.step * at(&INVERSE_2, code)) >> 15;
        let sample = (self.signal + difference).clamp(-16_384, 16_383);
        self.adapt_high(code);
        sample
    }

    /// INVQAH, LOGSCH, SCALEH.
    fn adapt_high(&mut self, code: u8) {
        let difference = (self.step * at(&INVERSE_2, code)) >> 15;
        self.log = (((self.log * 127) >> 7) + at(&LOG_HIGH, code)).clamp(0, 22_528);
        self.step = scale(self.log, 10);
        self.predict(difference);
    }

    /// PARREC, RECONS, UPPOL2, UPPOL1, UPZERO, DELAYA, FILTEP, FILTEZ, PREDIC.
    fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.signal + difference);
        let partial = saturate(self.zeros + difference);
        let same = |other: i32| (partial >> 15) == (other >> 15);

        let [first, second] = self.poles;
        let slope = saturate(first << 2);
        let turned = if same(self.partial[0]) { -slope } else { slope }.min(32_767);
        let towards = if same(self.partial[1]) { 128 } else { -128 };
        let second = ((turned >> 7) + towards + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        let step = if same(self.partial[0]) { 192 } else { -192 };
        let bound = saturate(15_360 - second);
        let first = saturate(step + ((first * 32_640) >> 15)).clamp(-bound, bound);
        self.poles = [first, second];

        let step = if difference == 0 { 0 } else { 128 };
        for (weight, past) in self.weights.iter_mut().zip(&self.differences) {
            let step = if (past >> 15) == (difference >> 15) { step } else { -step };
            *weight = saturate(step + ((*weight * 32_640) >> 15));
        }
        self.differences.rotate_right(1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];

        let doubled = |sample: i32| saturate(sample << 1);
        let by = |weight: i32, sample: i32| (weight * doubled(sample)) >> 15;
        let poles = by(first, self.reconstructed[0]) + by(second, self.reconstructed[1]);
        let zeros = self.weights.iter().zip(&self.differences).map(|(w, d)| by(*w, *d)).sum();
        self.zeros = saturate(zeros);
        self.signal = saturate(saturate(poles) + self.zeros);
    }
}

/// Two more samples, the oldest two fewer.
fn push(past: &mut [i32; TAPS], pair: [i32; 2]) {
    past.copy_within(2.., 0);
    if let Some(end) = past.last_chunk_mut::<2>() {
        *end = pair;
    }
}

/// The two halves of the quadrature mirror filter: samples of even place, and of odd.
fn halves(past: &[i32; TAPS]) -> (i32, i32) {
    let pairs = past.as_chunks::<2>().0;
    let first = pairs.iter().zip(&MIRROR).map(|(pair, weight)| pair[0] * weight).sum();
    let second = pairs.iter().zip(MIRROR.iter().rev()).map(|(pair, weight)| pair[1] * weight);
    (first, second.sum())
}

/// SCALEL and SCALEH: the antilogarithm, by table and shift.
fn scale(log: i32, bias: i32) -> i32 {
    let mantissa = at(&ANTILOG, u8::try_from((log >> 6) & 31).unwrap_or(0));
    let shift = bias - (log >> 11);
    (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2
}

fn at(table: &[i32], place: u8) -> i32 {
    table.get(usize::from(place)).copied().unwrap_or(0)
}

fn saturate(sample: i32) -> i32 {
    sample.clamp(-32_768, 32_767)
}

fn narrow(sample: i32) -> i16 {
    i16::try_from(sample).unwrap_or_default()
}

/// Coefficients of the quadrature mirror filter are 24, symmetrical (Table 11).
const TAPS: usize = 24;
const MIRROR: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// Decision levels of the low band (Table 7).
const LEVELS_LOW: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];

/// The one of the high band (Table 8).
const LEVEL_HIGH: i32 = 564;

/// Output levels by code word: 6, 4 and 2 bits (Tables 9 and 10).
const INVERSE_6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];
const INVERSE_4: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];
const INVERSE_2: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

/// By how much the logarithm of the step grows, by code word (Tables 12 and 13).
const LOG_LOW: [i32; 16] =
    [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];
const LOG_HIGH: [i32; 4] = [798, -214, 798, -214];

/// 2^(n/32) in 2^-11 (Table 14).
const ANTILOG: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

#[cfg(test)]
mod tests;
