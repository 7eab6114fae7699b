//! Extended reports (RFC 3611): the VoIP metrics block, written without allocation, read without
//! belief.

/// One VoIP metrics block (RFC 3611 §4.7), as it stands on the wire but for what is not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoipMetrics {
    /// Whose stream it is about.
    pub ssrc: u32,
    /// 256ths of the packets, since the beginning.
    pub loss_rate: u8,
    pub discard_rate: u8,
    pub burst_density: u8,
    pub gap_density: u8,
    pub burst_ms: u16,
    pub gap_ms: u16,
    /// 0: not known.
    pub round_trip_ms: u16,
    /// From the network to the ear and from the mouth to the network, on the side that reports.
    pub end_system_ms: u16,
    /// Of a conversation, 0 to 100.
    pub r_factor: Option<u8>,
    /// Tenths, 10 to 50: of listening alone, and of a conversation.
    pub mos_lq: Option<u8>,
    pub mos_cq: Option<u8>,
    pub buffer_ms: u16,
    pub buffer_max_ms: u16,
}

/// A block as it was read, and what in it cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub metrics: VoipMetrics,
    /// Values out of their range: they are read as not known.
    pub impossible: u8,
}

/// The report blocks of an extended report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XrBlocks<'a>(pub(super) &'a [u8]);

impl XrBlocks<'_> {
    /// The first VoIP metrics block about this stream. Blocks of other kinds are passed over, and
    /// so is what follows one that is longer than what is there.
    pub fn about(&self, ssrc: u32) -> Option<Told> {
        let mut rest = self.0;
        while let Some(([kind, _, high, low], after)) = rest.split_first_chunk::<4>() {
            let words = usize::from(u16::from_be_bytes([*high, *low]));
            let (body, next) = after.split_at_checked(words * 4)?;
            if *kind == VOIP_METRICS
                && let Ok(body) = <&[u8; BODY]>::try_from(body)
                && let Some(told) = Some(read(body)).filter(|told| told.metrics.ssrc == ssrc)
            {
                return Some(told);
            }
            rest = next;
        }
        None
    }
}

impl VoipMetrics {
    /// The block with its head.
    pub(super) fn bytes(&self) -> [u8; BLOCK] {
        let mut bytes = [0; BLOCK];
        let pair = |value: u16| value.to_be_bytes();
        let [s0, s1, s2, s3] = self.ssrc.to_be_bytes();
        let ([b0, b1], [g0, g1]) = (pair(self.burst_ms), pair(self.gap_ms));
        let ([r0, r1], [e0, e1]) = (pair(self.round_trip_ms), pair(self.end_system_ms));
        let ([n0, n1], [m0, m1]) = (pair(self.buffer_ms), pair(self.buffer_max_ms));
        let or_unknown = |value: Option<u8>| value.unwrap_or(UNKNOWN);
        bytes.copy_from_slice(
            [
                [VOIP_METRICS, 0, 0, WORDS],
                [s0, s1, s2, s3],
                [self.loss_rate, self.discard_rate, self.burst_density, self.gap_density],
                [b0, b1, g0, g1],
                [r0, r1, e0, e1],
                // No level of signal or noise is measured, and no echo.
                [UNKNOWN, UNKNOWN, UNKNOWN, super::bursts::GAP_MIN],
                [
                    or_unknown(self.r_factor),
                    UNKNOWN,
                    or_unknown(self.mos_lq),
                    or_unknown(self.mos_cq),
                ],
                [STANDARD_CONCEALMENT | ADAPTIVE, 0, n0, n1],
                [m0, m1, m0, m1],
            ]
            .as_flattened(),
        );
        bytes
    }
}

fn read(body: &[u8; BODY]) -> Told {
    let byte = |at: usize| body.get(at).copied().unwrap_or_default();
    let pair = |at: usize| u16::from_be_bytes([byte(at), byte(at + 1)]);
    let mut impossible = 0;
    let mut within = |at: usize, low: u8, high: u8| match byte(at) {
        UNKNOWN => None,
        value if (low..=high).contains(&value) => Some(value),
        _ => {
            impossible += 1;
            None
        }
    };
    let (r_factor, mos_lq, mos_cq) = (within(20, 0, 100), within(22, 10, 50), within(23, 10, 50));
    let metrics = VoipMetrics {
        ssrc: u32::from_be_bytes([byte(0), byte(1), byte(2), byte(3)]),
        loss_rate: byte(4),
        discard_rate: byte(5),
        burst_density: byte(6),
        gap_density: byte(7),
        burst_ms: pair(8),
        gap_ms: pair(10),
        round_trip_ms: pair(12),
        end_system_ms: pair(14),
        r_factor,
        mos_lq,
        mos_cq,
        buffer_ms: pair(26),
        buffer_max_ms: pair(28),
    };
    Told { metrics, impossible }
}

/// Not measured, for the fields of one byte.
const UNKNOWN: u8 = 127;

const VOIP_METRICS: u8 = 7;
/// After the block's first word.
const WORDS: u8 = 8;
const BODY: usize = 32;
pub(super) const BLOCK: usize = 4 + BODY;

/// RX config (RFC 3611 §4.7.6): what is lost is made up by a simple way, the buffer adapts.
const STANDARD_CONCEALMENT: u8 = 0b1000_0000;
const ADAPTIVE: u8 = 0b0011_0000;

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: VoipMetrics = VoipMetrics {
        ssrc: 0xBEEF,
        loss_rate: 3,
        discard_rate: 1,
        burst_density: 128,
        gap_density: 2,
        burst_ms: 160,
        gap_ms: 9_000,
        round_trip_ms: 80,
        end_system_ms: 100,
        r_factor: Some(91),
        mos_lq: Some(43),
        mos_cq: Some(42),
        buffer_ms: 60,
        buffer_max_ms: 200,
    };

    #[test]
    fn what_we_write_we_read() {
        let unknown = VoipMetrics { r_factor: None, mos_lq: None, mos_cq: None, ..METRICS };
        for metrics in [METRICS, unknown, VoipMetrics::default()] {
            let bytes = metrics.bytes();
            let told = XrBlocks(&bytes).about(metrics.ssrc);
            assert_eq!(told, Some(Told { metrics, impossible: 0 }));
            assert_eq!(XrBlocks(&bytes).about(1), None);
        }
    }

    #[test]
    fn values_that_cannot_be_are_not_known_and_counted() {
        let mut bytes = METRICS.bytes();
        (bytes[24], bytes[26], bytes[27]) = (101, 9, 51);

        let told = XrBlocks(&bytes).about(METRICS.ssrc).unwrap();

        assert_eq!(told.impossible, 3);
        let unknown = VoipMetrics { r_factor: None, mos_lq: None, mos_cq: None, ..METRICS };
        assert_eq!(told.metrics, unknown);
    }

    #[test]
    fn other_blocks_are_passed_over_and_short_ones_end_the_reading() {
        let voice = METRICS.bytes();
        let other = [4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
        let behind = [&other[..], &voice].concat();
        assert!(XrBlocks(&behind).about(METRICS.ssrc).is_some());

        for cut in 0..voice.len() {
            assert_eq!(XrBlocks(&voice[..cut]).about(METRICS.ssrc), None, "cut at {cut}");
        }
        // One of the right kind and a length that is not its own.
        let mut long = voice.to_vec();
        long[3] = 9;
        long.extend([0; 4]);
        assert_eq!(XrBlocks(&long).about(METRICS.ssrc), None);
        let beyond = [7, 0, 0xFF, 0xFF, 0, 0, 0, 0];
        assert_eq!(XrBlocks(&beyond).about(0), None);
    }
}
