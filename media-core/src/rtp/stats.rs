//! What one source's stream went through: RFC 3550 §A.3 (loss) and §A.8 (jitter).

use super::{
    header::Header,
    sequence::{Place, Sequence},
};

/// Statistics of one source (one SSRC).
#[derive(Clone, Copy, Debug)]
pub struct Source {
    pub ssrc: u32,
    sequence: Sequence,
    /// Late and duplicate ones included, as §A.3 counts.
    received: u64,
    duplicates: u64,
    /// Sixteenths of a sample (§A.8, the integer version).
    jitter: u32,
    /// Arrival less time stamp of the last packet, wrapping.
    transit: Option<u32>,
    /// At the last report.
    expected_prior: u64,
    received_prior: u64,
}

/// One source as a report block tells it (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    pub ssrc: u32,
    /// 256ths of what was expected since the last report.
    pub fraction_lost: u8,
    /// Negative when duplicates outnumber losses; 24 bits on the wire.
    pub lost: i32,
    pub highest: u32,
    /// In samples.
    pub jitter: u32,
}

impl Source {
    pub const fn new(ssrc: u32, first: u16) -> Self {
        Self {
            ssrc,
            sequence: Sequence::new(first),
            received: 1,
            duplicates: 0,
            jitter: 0,
            transit: None,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    /// Takes a packet after the first in.
    pub fn take(&mut self, number: u16) -> Place {
        let place = self.sequence.take(number);
        match place {
            Place::Next { .. } | Place::Late => self.received += 1,
            Place::Duplicate => {
                self.received += 1;
                self.duplicates += 1;
            }
            Place::Jump => {}
            // §A.1: statistics begin anew with the sequence.
            Place::Restarted => *self = Self::new(self.ssrc, number),
        }
        place
    }

    /// §A.8. `arrival` in samples of 8 kHz. Audio only: an event's time stamp stands still.
    pub fn measure_jitter(&mut self, header: &Header, arrival: u32) {
        let transit = arrival.wrapping_sub(header.timestamp);
        let Some(before) = self.transit.replace(transit) else { return };
        let difference = transit.wrapping_sub(before).cast_signed().unsigned_abs();
        // Ten seconds between two packets are a new time line of the sender, not jitter.
        if difference < 80_000 {
            self.jitter = (self.jitter + difference).saturating_sub((self.jitter + 8) >> 4);
        }
    }

    /// Interarrival jitter in samples.
    pub const fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    /// Numbers that never came; duplicates do not make up for them.
    pub fn lost(&self) -> u64 {
        self.sequence.expected().saturating_sub(self.received - self.duplicates)
    }

    /// What the next report says; begins the next interval.
    pub fn report(&mut self) -> Reception {
        let expected = self.sequence.expected();
        let expected_now = expected.saturating_sub(self.expected_prior);
        let received_now = self.received.saturating_sub(self.received_prior);
        (self.expected_prior, self.received_prior) = (expected, self.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0);
        Reception {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: clamp_24(expected.cast_signed() - self.received.cast_signed()),
            highest: self.sequence.extended(),
            jitter: self.jitter(),
        }
    }
}

/// §A.3: the cumulative number is a signed field of 24 bits.
fn clamp_24(lost: i64) -> i32 {
    i32::try_from(lost.clamp(-0x80_0000, 0x7F_FFFF)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(timestamp: u32) -> Header {
        Header { marker: false, payload_type: 0, sequence: 0, timestamp, ssrc: 1 }
    }

    #[test]
    fn loss_is_counted_whole_and_by_interval() {
        let mut source = Source::new(7, 1);
        assert_eq!([2, 3, 4].map(|number| source.take(number)), [Place::Next { lost: 0 }; 3]);
        assert_eq!(source.report().fraction_lost, 0);

        // Four expected, one lost.
        let lost = [5, 7, 8].map(|number| source.take(number))[1];
        assert_eq!(lost, Place::Next { lost: 1 });
        let report = source.report();

        assert_eq!((report.fraction_lost, report.lost, report.highest), (64, 1, 8));
        assert_eq!(source.lost(), 1);
        assert_eq!(source.report().fraction_lost, 0);
    }

    #[test]
    fn duplicates_hide_loss_from_the_wire_but_not_from_us() {
        let mut source = Source::new(7, 1);
        assert_eq!([3, 3, 3].map(|number| source.take(number))[1..], [Place::Duplicate; 2]);

        assert_eq!(source.report().lost, -1);
        assert_eq!(source.lost(), 1);
    }

    #[test]
    fn even_arrivals_have_no_jitter_and_uneven_ones_converge_to_their_difference() {
        let mut even = Source::new(7, 1);
        (0..100).for_each(|n| even.measure_jitter(&header(n * 160), 5_000 + n * 160));
        assert_eq!(even.jitter(), 0);

        // Every second packet 10 ms late: the difference is 80 samples each time.
        let mut uneven = Source::new(7, 1);
        (0..400).for_each(|n| uneven.measure_jitter(&header(n * 160), n * 160 + (n % 2) * 80));
        assert!((75..=80).contains(&uneven.jitter()), "{}", uneven.jitter());
    }

    #[test]
    fn a_new_time_line_of_the_sender_is_no_jitter() {
        let mut source = Source::new(7, 1);
        source.measure_jitter(&header(0), 0);
        source.measure_jitter(&header(0x8000_0000), 160);

        assert_eq!(source.jitter(), 0);
    }
}
