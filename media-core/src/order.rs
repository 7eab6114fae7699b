//! What the media plane is told to do, and what it says: plain data that crosses threads in rings.

use crate::{
    frame::{Packed, Rate},
    quality,
    srtp::Keys,
};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// One party's media. The layer above chooses the number (its own leg id) and never reuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LegName(pub u64);

/// One conversation, from the first bridge to the end of the call; the call's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TalkName(pub u64);

/// The even RTP port of a pair in the pool; RTCP uses the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortName(pub u16);

/// A tune, by its place in the list given at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TuneId(pub u16);

/// A prompt that one leg is played. The layer above chooses the number, of which one leg has no two at a
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PromptName(pub u32);

/// What a key does that is pressed while a prompt is heard. It is told in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnDigit {
    /// The prompt goes on.
    GoOn,
    /// The prompt ends, and so do those behind it, up to the first that would go on.
    Stop,
}

/// How a prompt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PromptEnd {
    /// A key was pressed.
    Digit,
    /// Its leg met somebody, or has gone.
    Left,
    /// Its last sample was sent.
    Played,
    /// By [`Order::StopPrompts`].
    Stopped,
}

/// The two companding laws of ITU-T G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Law {
    /// PCMA, static payload type 8 (RFC 3551 §6).
    A,
    /// PCMU, static payload type 0 (RFC 3551 §6).
    Mu,
}

/// How audio is written in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Coding {
    /// 64 kbit/s at 8 kHz (RFC 3551 §4.5.14).
    G711(Law),
    /// 64 kbit/s at 16 kHz; its RTP clock is 8 kHz (RFC 3551 §4.5.2).
    G722,
    /// Linear samples of 16 bits, mono (RFC 3551 §4.5.11).
    L16(Rate),
    /// Passed through, never heard.
    Opaque(Opaque),
    /// RFC 7587; its RTP clock is 48 kHz whatever it is spoken at.
    Opus(Opus),
}

/// A coding that nobody here reads or writes: its packets go over to the other side of a bridge as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Opaque {
    /// RFC 4867; its RTP clock is 8 kHz.
    Amr,
    /// RFC 4867; its RTP clock is 16 kHz.
    AmrWb,
    /// RFC 3551 §4.5.6.
    G729,
}

/// How we speak Opus to one far side, within what it asked for (RFC 7587 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opus {
    /// What we encode from and decode to.
    pub rate: Rate,
    /// Bits a second, 6,000 to 128,000.
    pub bitrate: u32,
    /// A packet also tells the one before it (`useinbandfec=1`).
    pub fec: bool,
    /// While nothing is said nothing is sent (`usedtx=1`).
    pub dtx: bool,
    /// What an encoder may spend on a frame, 0 to 10.
    pub complexity: u8,
}

/// What encoders may spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// As each codec was agreed.
    #[default]
    Usual,
    /// The least there is: a voice a little rougher is better than one that stutters.
    Least,
}

/// What a leg speaks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    pub coding: Coding,
    /// As negotiated; the static number unless the peer asked otherwise.
    pub payload_type: u8,
    /// Milliseconds of audio in a packet we send: 10, 20, 30, 40, 50 or 60. Of what comes each packet says
    /// it itself.
    pub packet_ms: u8,
    /// Units of a telephone event's duration (RFC 4733 §2.3.5) while one passes at 8 kHz: 6 where its clock
    /// is 48 kHz.
    pub event_factor: u8,
}

impl Coding {
    /// What it is decoded to and encoded from.
    pub const fn rate(self) -> Rate {
        match self {
            Self::G711(_) | Self::Opaque(Opaque::Amr | Opaque::G729) => Rate::Hz8000,
            Self::G722 | Self::Opaque(Opaque::AmrWb) => Rate::Hz16000,
            Self::L16(rate) | Self::Opus(Opus { rate, .. }) => rate,
        }
    }

    /// How its voices are judged.
    pub(crate) const fn judged(self) -> quality::Coding {
        match self {
            Self::G711(_) | Self::L16(Rate::Hz8000) => quality::Coding::G711,
            Self::G722 => quality::Coding::G722,
            Self::Opaque(Opaque::G729) => quality::Coding::G729a,
            Self::Opaque(Opaque::Amr | Opaque::AmrWb) => quality::Coding::Unrated,
            Self::L16(_) => quality::Coding::Linear,
            Self::Opus(Opus { rate: Rate::Hz8000, .. }) => quality::Coding::OpusNarrow,
            Self::Opus(_) => quality::Coding::Opus,
        }
    }

    /// Units of the RTP time stamp while one passes at 8 kHz.
    pub const fn clock_factor(self) -> u32 {
        match self {
            Self::G711(_)
            | Self::G722
            | Self::L16(Rate::Hz8000)
            | Self::Opaque(Opaque::Amr | Opaque::G729) => 1,
            Self::L16(Rate::Hz16000) | Self::Opaque(Opaque::AmrWb) => 2,
            Self::L16(Rate::Hz48000) | Self::Opus(_) => 6,
        }
    }
}

impl Codec {
    /// G.711 in packets of 20 ms.
    pub const fn g711(law: Law, payload_type: u8) -> Self {
        Self { coding: Coding::G711(law), payload_type, packet_ms: 20, event_factor: 1 }
    }

    /// The law of a leg whose frames leave as they come, without a coder: G.711 in packets of 20 ms.
    pub const fn bare(self) -> Option<Law> {
        match (self.coding, self.packet_ms) {
            (Coding::G711(law), 20) => Some(law),
            (
                Coding::G711(_)
                | Coding::G722
                | Coding::L16(_)
                | Coding::Opaque(_)
                | Coding::Opus(_),
                _,
            ) => None,
        }
    }

    /// Passed through, never heard.
    pub const fn is_opaque(self) -> bool {
        matches!(self.coding, Coding::Opaque(_))
    }

    /// A leg of it has a decoder and an encoder.
    pub const fn needs_coder(self) -> bool {
        self.bare().is_none() && !self.is_opaque()
    }
}

/// Where a leg's one outgoing stream starts. Random (RFC 3550 §5.1), chosen by the layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
}

/// What a leg that is not bridged hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Nothing is sent. Only before the stream has started; a running stream turns silent instead.
    Nothing,
    Silence,
    Music(TuneId),
}

/// Where the far side said it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    pub rtp: SocketAddr,
    pub rtcp: SocketAddr,
    /// The host its signalling came from: besides the SDP's address the only one a stream may be
    /// learned from.
    pub signalling: IpAddr,
}

/// A key of a telephone: 0 to 9, `*`, `#`, A to D (RFC 4733 §3.2, events 0 to 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(u8);

/// Keys that are told one after the other; at most [`Digits::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    keys: [Digit; Self::MAX],
    length: usize,
}

/// How somebody takes part in a talk besides its two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Hears everybody, is heard by everybody: a third party, or a supervisor who barges in.
    Speaks,
    /// Hears everybody, is heard by nobody.
    Listens,
    /// Hears everybody, is heard by this one only, while that one is there.
    Whispers { to: LegName },
}

/// How a far side is told a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// Events in its stream (RFC 4733), if it has agreed on them.
    Events,
    /// The tones of the key, in place of the audio.
    Tones,
    /// Its signalling: [`Event::Tell`] asks whoever has that.
    Signalling,
}

/// An order to the media plane. Orders are carried out one by one in the order given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// Takes a port pair. Packets that come before `Connect` are counted and dropped. `talk`: the
    /// conversation it is opened for, beside whose other legs it is served.
    Open { leg: LegName, port: PortName, stream: Stream, talk: TalkName },
    /// What was agreed. May come again when a re-INVITE moves the far side: the same outgoing
    /// stream goes on and the source is learned anew.
    Connect {
        leg: LegName,
        remote: Remote,
        codec: Codec,
        /// Payload type of RFC 4733 events, if agreed.
        telephone_event: Option<u8>,
        /// False while the far side asked to be sent nothing (`a=sendonly`, `a=inactive`).
        sends: bool,
        /// False while the far side sends nothing itself (`a=recvonly`, `a=inactive`).
        receives: bool,
    },
    /// What was agreed once more, with the codec of the [`Order::Connect`] before: only where the far side is
    /// and which ways it wants may be new. Needs no memory, and what its coder has come to goes on.
    Renew { leg: LegName, remote: Remote, telephone_event: Option<u8>, sends: bool, receives: bool },
    /// Whether the far side may be sent comfort noise (RFC 3389) while there is nothing to say to it. Not before this
    /// is said.
    Comfort { leg: LegName, sends: bool },
    /// Whether the far side asked to be told how its voice sounds here (RFC 3611 §5.1,
    /// `voip-metrics`). Not before this is said.
    Rate { leg: LegName, tells: bool },
    /// The keys of what a leg sends and receives from here on, RTP and RTCP; none: both are plain.
    /// To be given before [`Order::Connect`]. A key that stays keeps its rollovers and what was
    /// seen under it; a new one starts anew.
    Secure { leg: LegName, keys: Option<Keys> },
    /// What an unbridged leg hears. The stream starts with the first packet sent and never breaks.
    Hear { leg: LegName, source: Source },
    /// Lets two parties meet. `record`: the recording of this talk starts with its first bridge.
    Bridge { talk: TalkName, caller: LegName, other: LegName, record: bool },
    /// Takes one more into a talk of two, bridged or parted, or gives one who is in it another role.
    /// Nobody's stream breaks, and the two hear no difference but the new voice.
    Join { talk: TalkName, leg: LegName, role: Role },
    /// One who has joined goes again. The talk goes on.
    Leave { leg: LegName, hears: Source },
    /// Parts the two of a bridge. The talk, and its recording (silence), go on; so do those who have
    /// joined it, among themselves.
    Part { talk: TalkName, caller_hears: Source, other_hears: Source },
    /// Nothing of this talk is recorded until [`Order::RecordResume`]: its recording goes on in
    /// silence. Twice is once.
    RecordPause { talk: TalkName },
    /// The end of that.
    RecordResume { talk: TalkName },
    /// The call is over and so is its recording. Answered by [`Event::TalkEnded`], always.
    EndTalk { talk: TalkName },
    /// A prompt for a leg that is in no talk. It is heard once, from its first sample to its last, after those
    /// that wait and over what the leg hears else, which goes on underneath. Answered by
    /// [`Event::PromptEnded`].
    Play { leg: LegName, prompt: PromptName, tune: TuneId, on_digit: OnDigit },
    /// No prompt of this leg's goes on or begins.
    StopPrompts { leg: LegName },
    /// Keys to be told the far side, one after the other, in the leg's own stream or as [`By`] says.
    /// Whatever else it would hear meanwhile is left out.
    Digits { leg: LegName, digits: Digits },
    /// How a leg's keys come and go; until it is said: events of RFC 4733, both ways. `hears_tones`: they
    /// are looked for in its audio too. `masked`: what it presses is in no recording.
    Keys { leg: LegName, hears_tones: bool, told_by: By, masked: bool },
    /// The far side has told by its signalling that it pressed a key.
    Pressed { leg: LegName, digit: Digit, duration: Duration },
    /// Gives the port pair back. Answered by [`Event::Closed`], always.
    Close { leg: LegName },
}

impl Digit {
    /// The key of an RFC 4733 event; none for flash, tones and the like.
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// The number of its RFC 4733 event.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// What stands on the key.
    pub fn key(self) -> char {
        KEYS.get(usize::from(self.0)).copied().unwrap_or('?')
    }
}

impl TryFrom<char> for Digit {
    type Error = NoSuchKey;

    fn try_from(key: char) -> Result<Self, NoSuchKey> {
        let key = key.to_ascii_uppercase();
        let event = (0..).zip(KEYS).find(|(_, known)| *known == key);
        event.map(|(event, _)| Self(event)).ok_or(NoSuchKey(key))
    }
}

impl From<Digit> for char {
    fn from(digit: Digit) -> Self {
        digit.key()
    }
}

impl Serialize for Digit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_char(self.key())
    }
}

impl<'de> Deserialize<'de> for Digit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(char::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

const KEYS: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// A character that stands on no telephone's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no telephone has a key {0:?}")]
pub struct NoSuchKey(pub char);

impl Digits {
    /// An order is copied through a ring: as many as a card number with its frills has.
    pub const MAX: usize = 32;

    /// None: there are more than [`Self::MAX`].
    pub fn new(keys: &[Digit]) -> Option<Self> {
        let mut all = [Digit(0); Self::MAX];
        all.get_mut(..keys.len())?.copy_from_slice(keys);
        Some(Self { keys: all, length: keys.len() })
    }

    pub fn iter(&self) -> impl Iterator<Item = Digit> + '_ {
        self.keys.iter().copied().take(self.length)
    }
}

/// What the media plane has to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The two first heard each other at this instant. Once per [`Order::Bridge`].
    Bridged { talk: TalkName, at: Instant },
    /// Once per [`Order::EndTalk`], also for a talk that was never bridged.
    TalkEnded { talk: TalkName, at: Instant, recorded: Option<Recorded> },
    /// Once per [`Order::Close`]. The port must rest before it is used again.
    Closed { leg: LegName, report: LegReport },
    /// After packets had come once, none (RTP or RTCP) for the configured time; or none at all for
    /// three times as long since `Connect`. Once per silence.
    Silent { leg: LegName, at: Instant },
    /// The end of a silence.
    Heard { leg: LegName, at: Instant },
    /// Once per [`Order::Play`] that was not refused, in their order.
    PromptEnded { leg: LegName, prompt: PromptName, how: PromptEnd },
    /// A key was pressed, once per press. `at`: when it began; `duration` by the sender's clock.
    Digit { leg: LegName, digit: Digit, duration: Duration, at: Instant },
    /// Nothing has come from this leg of a bridge since then, while the other side is heard and
    /// nobody asked for it. Once per such time.
    OneWay { leg: LegName, since: Instant },
    /// The end of that: something comes again.
    BothWays { leg: LegName, at: Instant },
    /// The far side of this leg is to be told a key by its signalling.
    Tell { leg: LegName, digit: Digit, duration: Duration },
    /// An order could not be carried out; `what` says why in words fit for a log.
    Refused { leg: LegName, what: &'static str },
}

/// How long a recording became. One frame is 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Frames of the time line, lost ones included.
    pub frames: u64,
    /// Frames that are silence in the file: the recorder's ring had no room, or one side's frame
    /// was said too far from where the recording was.
    pub lost: u64,
    /// Frames that are silence because [`Order::RecordPause`] asked for it.
    #[serde(default)]
    pub paused: u64,
}

/// What a leg went through, said when it closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LegReport {
    pub packets_received: u64,
    pub packets_sent: u64,
    /// Expected less received, never negative (RFC 3550 §A.3).
    pub packets_lost: u64,
    pub packets_duplicate: u64,
    pub packets_reordered: u64,
    /// Packets refused, for any reason; each is counted by reason in the engine's counters.
    pub packets_dropped: u64,
    /// Packets that came when what stood behind them had been heard.
    #[serde(default)]
    pub packets_late: u64,
    /// Packets in the place of audio that nobody can play: empty, longer than 60 ms, or of a
    /// payload type that was not agreed.
    #[serde(default)]
    pub packets_unplayable: u64,
    /// Frames put into what this party hears where the other side sent nothing in time.
    pub frames_inserted: u64,
    /// Frames of what this party said that were passed on, concealed ones included.
    #[serde(default)]
    pub frames_heard: u64,
    /// Those of them that were made up because they did not come in time.
    #[serde(default)]
    pub frames_concealed: u64,
    /// Packets that never came and were told by the one behind them.
    #[serde(default)]
    pub frames_recovered: u64,
    /// How long packets of this party waited for late ones, at the end, in microseconds.
    #[serde(default)]
    pub delay_us: u32,
    /// Interarrival jitter (RFC 3550 §6.4.1), at the end, in microseconds.
    pub jitter_us: u32,
    /// Round trip by RTCP (RFC 3550 §6.4.1), the last one measured, in microseconds.
    pub round_trip_us: Option<u32>,
    /// What the far side's last report said it lost of our packets, cumulative.
    pub far_packets_lost: Option<u32>,
    /// What this party's voice was coded with.
    #[serde(default)]
    pub coding: quality::Coding,
    /// How much of it one packet had, in microseconds, rounded up to frames.
    #[serde(default)]
    pub packet_us: u32,
    /// Packets that made room for newer ones.
    #[serde(default)]
    pub packets_discarded: u64,
    /// Of the concealed frames those in whose place this party said nothing after all.
    #[serde(default)]
    pub frames_paused: u64,
    /// Packets that were missed, by the order of numbers alone, and in how many rows.
    #[serde(default)]
    pub packets_missed: u64,
    #[serde(default)]
    pub loss_runs: u64,
    /// How late our own thread served this leg at worst, in microseconds, and how often a whole
    /// frame or more.
    #[serde(default)]
    pub late_us: u32,
    #[serde(default)]
    pub stalls: u32,
    /// How the far side says our voice sounds there.
    #[serde(default)]
    pub far_voice: Option<FarVoice>,
}

/// What a far side's extended report says of the voice we send (RFC 3611 §4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarVoice {
    /// 256ths of the packets that never came, and that came too late.
    pub loss_rate: u8,
    pub discard_rate: u8,
    pub round_trip_ms: u16,
    /// What the far side itself adds.
    pub end_system_ms: u16,
    /// 0 to 100.
    pub r_factor: Option<u8>,
    /// Tenths: of listening alone, and of a conversation.
    pub mos_lq: Option<u8>,
    pub mos_cq: Option<u8>,
}

/// What a step of a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    Start,
    Audio,
    /// Nothing was to be recorded: silence.
    Paused,
    End,
}

/// One 20 ms step of a recording on its way to the writer's thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordFrame {
    pub talk: TalkName,
    pub kind: RecordKind,
    /// Place on the talk's time line, counted from the first bridge on the monotonic clock.
    /// In a frame of kind `End`: the length of the whole line.
    pub index: u32,
    /// Left what the caller said, right what people said to the caller.
    pub tracks: [Track; 2],
}

/// 20 ms of one side of a recording, as it was said. None: nothing was, and the file is silent.
pub type Track = Option<(Law, Packed)>;
