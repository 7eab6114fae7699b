//! What a media thread counts: plain numbers with one writer, read between ticks.

/// Why a packet, or the frame it carried, went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// More came at once than may wait; the oldest made room.
    Ahead,
    ComfortNoise,
    Duplicate,
    /// From a source that may become the leg's own but has not proved it yet.
    Learning,
    /// What stood behind it was already passed on.
    Late,
    /// No audio, or more than 60 ms of it.
    Length,
    Malformed,
    /// Before `Connect`.
    NotConnected,
    /// No leg has this port.
    NoLeg,
    PayloadType,
    /// More of a leg's far end than anybody says: 200 a second, and 250 that were saved.
    Rate,
    /// SRTP that was here before, or is too old to tell.
    Replay,
    /// RTCP on the RTP port; multiplexing was not agreed (RFC 5761 §5.1.1).
    RtcpOnRtp,
    /// A sequence number far off; the next one in order re-synchronises (RFC 3550 §A.1).
    SequenceJump,
    /// From a host that has no part in this call.
    Source,
    /// The leg's source is known and it is another one.
    SourceLock,
    /// What the leg's keys do not prove; or, on its way out, what they may protect no more.
    SrtpAuth,
    /// An event that is no key, or that the other side of a bridge agreed on no way to hear.
    TelephoneEvent,
}

impl Dropped {
    /// All reasons, in the order they are counted.
    pub const ALL: [Self; 18] = [
        Self::Ahead,
        Self::ComfortNoise,
        Self::Duplicate,
        Self::Learning,
        Self::Late,
        Self::Length,
        Self::Malformed,
        Self::NotConnected,
        Self::NoLeg,
        Self::PayloadType,
        Self::Rate,
        Self::Replay,
        Self::RtcpOnRtp,
        Self::SequenceJump,
        Self::Source,
        Self::SourceLock,
        Self::SrtpAuth,
        Self::TelephoneEvent,
    ];

    /// The value of the metric's label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::ComfortNoise => "comfort_noise",
            Self::Duplicate => "duplicate",
            Self::Learning => "learning",
            Self::Late => "late",
            Self::Length => "length",
            Self::Malformed => "malformed",
            Self::NotConnected => "not_connected",
            Self::NoLeg => "no_leg",
            Self::PayloadType => "payload_type",
            Self::Rate => "rate",
            Self::Replay => "replay",
            Self::RtcpOnRtp => "rtcp_on_rtp",
            Self::SequenceJump => "sequence_jump",
            Self::Source => "source",
            Self::SourceLock => "source_lock",
            Self::SrtpAuth => "srtp_auth",
            Self::TelephoneEvent => "telephone_event",
        }
    }
}

/// Totals since start. One writer, no atomics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// RTP datagrams heard, whatever became of them.
    pub packets_in: u64,
    /// RTP packets sent.
    pub packets_out: u64,
    /// Of those packets, their headers included.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// RTCP datagrams heard, whatever became of them.
    pub reports_in: u64,
    pub reports_out: u64,
    /// RTCP datagrams from a source that has no part in the call, or that no key proves.
    pub reports_refused: u64,
    /// RTCP datagrams that could not be read.
    pub reports_malformed: u64,
    /// Values in believed reports that cannot be: they are read as not known.
    pub reports_impossible: u64,
    /// Packets that never came, said at each report and at the end of a leg.
    pub packets_lost: u64,
    /// Packets that came behind one sent after them, whether or not still in time.
    pub packets_reordered: u64,
    /// Frames put in where a far side sent nothing in time, made up or silent.
    pub frames_inserted: u64,
    /// Those of them that were made up from what was said before.
    pub frames_concealed: u64,
    /// Frames that an encoder wrote, those that many hear once; G.711 without a coder aside.
    pub frames_encoded: u64,
    /// Keys that were pressed, and keys that were told.
    pub digits_in: u64,
    pub digits_out: u64,
    /// Keys that came in one way when another had told them.
    pub digits_doubled: u64,
    /// Keys that were to be told and were not: more than may wait, or the far side hears somebody
    /// else or nobody by then.
    pub digits_lost: u64,
    /// Times a leg's stream skipped ahead because this thread was late.
    pub stalls: u64,
    /// Milliseconds of phases that were not served because a tick came too late.
    pub phases_skipped: u64,
    /// Frames the recorder took.
    pub record_frames: u64,
    /// Frames the recorder's ring had no room for, and frames of one side that were said too far
    /// from where the recording was.
    pub record_frames_lost: u64,
    /// The first kind of these: the recorder's thread, and so the disk, is seconds behind.
    pub record_frames_refused: u64,
    /// Recordings given up without their end because the recorder took nothing for too long.
    pub recordings_unfinished: u64,
    /// Events nobody fetched in time. Never `Closed` or `TalkEnded` of a leg or talk that existed.
    pub events_lost: u64,
    dropped: [u64; Dropped::ALL.len()],
}

impl Counters {
    /// How many packets went no further for this reason.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or_default()
    }

    /// Every reason with its label and count.
    pub fn all_dropped(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Dropped::ALL.into_iter().map(|reason| (reason.label(), self.dropped(reason)))
    }

    pub(crate) fn drop_packet(&mut self, reason: Dropped) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_under_its_own_label() {
        let mut counters = Counters::default();
        for (place, reason) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?} is out of order");
            (0..=place).for_each(|_| counters.drop_packet(reason));
        }

        let mut labels: Vec<_> = counters.all_dropped().collect();
        assert!(labels.iter().map(|(_, count)| *count).eq(1..=Dropped::ALL.len() as u64));
        labels.sort_unstable();
        labels.dedup_by_key(|(label, _)| *label);
        assert_eq!(labels.len(), Dropped::ALL.len());
    }
}
