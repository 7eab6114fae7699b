//! What the control plane is told before it starts; checked by whoever builds it.

use crate::{
    calendar::Hours,
    door::Door,
    ids::{SeatId, TeamId},
};
use media_core::order::TuneId;
use serde::{Deserialize, Serialize};
use sip_stack::{
    flow::{Flow, Transport},
    ids::{NetworkId, TrunkId},
    sdp::codec::Codec,
    sdp::secure::Srtp,
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// The name of the trunk, the agent and the team that belong to the box's own self-test. No
/// configuration can give a name with parentheses.
pub const SELF_TEST: &str = "(self-test)";
/// The number a self-test dials; no configured number has letters.
pub const SELF_TEST_NUMBER: &str = "selftest";

/// How calls flow here. Ids are places in these lists, for as long as the process lives: a plan
/// that takes the place of another is made by [`Plan::succeeded_by`], which gives no id anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub trunks: Vec<Trunk>,
    /// One seat per agent, in the order of the SIP endpoint's users: seat n is user n.
    pub seats: Vec<SeatPlan>,
    pub teams: Vec<Team>,
    pub numbers: Vec<NumberRow>,
    /// With what their clocks do for two years from when the plan was made.
    #[serde(default)]
    pub hours: Vec<Hours>,
    /// Who was configured once and is not any more.
    #[serde(default)]
    pub gone: Gone,
}

impl Plan {
    /// The trunk and the seat of the self-test, if this plan has them.
    pub fn self_test(&self) -> Option<(TrunkId, SeatId)> {
        let trunk = self.trunks.iter().position(|trunk| trunk.name == SELF_TEST)?;
        let seat = self.seats.iter().position(|seat| seat.name == SELF_TEST)?;
        Some((TrunkId(u16::try_from(trunk).ok()?), SeatId(u16::try_from(seat).ok()?)))
    }

    /// How many agents there are to be reached.
    pub(crate) fn phones(&self) -> usize {
        let own = usize::from(self.self_test().is_some());
        self.seats.len() - self.gone.seats.len() - own
    }
}

/// Ids that stand for nobody now. They keep their place and their name, because a call, a journal
/// or a phone that rings may still speak of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    pub trunks: BTreeSet<TrunkId>,
    pub seats: BTreeSet<SeatId>,
    pub teams: BTreeSet<TeamId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    pub name: String,
    /// Where its addresses are, and by which its calls leave.
    #[serde(default, skip_serializing_if = "NetworkId::is_first")]
    pub network: NetworkId,
    /// Where calls to it are sent; `None`: it only calls us.
    pub address: Option<SocketAddr>,
    /// What calls to it go by.
    #[serde(default = "udp")]
    pub transport: Transport,
    /// It breaks out to the telephone network.
    pub pstn: bool,
    /// What may be agreed with it, ours of most worth first; empty: the usual.
    #[serde(default)]
    pub codecs: Vec<Codec>,
    /// Whether its audio is encrypted.
    #[serde(default)]
    pub srtp: Srtp,
    #[serde(default)]
    pub dtmf: Dtmf,
    /// Comfort noise may be sent there in the place of silence.
    #[serde(default)]
    pub comfort_noise: bool,
}

/// How keys go to and from somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtmf {
    /// Events of RFC 4733 where both agree on them, tones in the audio otherwise.
    #[default]
    Auto,
    /// Events or nothing.
    Rfc4733,
    /// SIP INFO to it. What comes by INFO is understood of everybody.
    Info,
    /// Tones in the audio, both ways.
    InBand,
}

/// What a plan in an older journal meant.
fn udp() -> Transport {
    Transport::Udp
}

impl Trunk {
    /// One that only calls us, with everything as usual.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            network: NetworkId::FIRST,
            address: None,
            transport: Transport::Udp,
            pstn: false,
            codecs: Vec::new(),
            srtp: Srtp::default(),
            dtmf: Dtmf::default(),
            comfort_noise: false,
        }
    }

    /// The way calls to it take; `None`: it only calls us.
    pub fn flow(&self) -> Option<Flow> {
        self.address.map(|address| Flow::new(self.transport, address).within(self.network))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatPlan {
    /// The agent's name.
    pub name: String,
    pub extension: String,
    /// Has a fixed contact and is therefore always signed in.
    pub fixed: bool,
    /// What may be agreed with their phones, ours of most worth first; empty: the usual.
    #[serde(default)]
    pub codecs: Vec<Codec>,
    /// Whether its phones' audio is encrypted.
    #[serde(default)]
    pub srtp: Srtp,
    #[serde(default)]
    pub dtmf: Dtmf,
    /// Comfort noise may be sent there in the place of silence.
    #[serde(default)]
    pub comfort_noise: bool,
}

impl SeatPlan {
    /// One whose phones register, with everything as usual and no extension yet.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            extension: String::new(),
            fixed: false,
            codecs: Vec::new(),
            srtp: Srtp::default(),
            dtmf: Dtmf::default(),
            comfort_noise: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    pub name: String,
    pub seats: Vec<SeatId>,
    /// What its callers wait to; silence without one.
    pub music: Option<TuneId>,
    /// How long one agent's phones ring before the offer lapses.
    pub ring: Duration,
    pub wrap_up: Duration,
    /// How long an agent who did not take an offer is set aside; `None`: until told.
    pub set_aside: Option<Duration>,
    pub record: bool,
    /// Which keys are pressed is written nowhere, and their tones stand in no recording.
    #[serde(default)]
    pub mask_digits: bool,
    pub answer: AnswerMode,
    #[serde(default)]
    pub door: Door,
}

/// What a team promises to a call: taken when the call is routed, and kept to its end whatever is
/// configured meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub music: Option<TuneId>,
    pub ring: Duration,
    pub wrap_up: Duration,
    pub set_aside: Option<Duration>,
    pub record: bool,
    #[serde(default)]
    pub mask_digits: bool,
}

impl Team {
    /// One in which nobody is, with everything as the contract has it where nothing is said.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            seats: Vec::new(),
            music: None,
            ring: Duration::from_secs(20),
            wrap_up: Duration::ZERO,
            set_aside: Some(Duration::from_secs(30)),
            record: false,
            mask_digits: false,
            answer: AnswerMode::AtOnce,
            door: Door::default(),
        }
    }

    pub fn terms(&self) -> Terms {
        Terms {
            music: self.music,
            ring: self.ring,
            wrap_up: self.wrap_up,
            set_aside: self.set_aside,
            record: self.record,
            mask_digits: self.mask_digits,
        }
    }
}

/// When a caller who waits is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerMode {
    /// With music: waiting is a call.
    AtOnce,
    /// With the agent: the music is early media, and waiting is not billed.
    WithAgent,
}

/// One row of the numbers; see [`crate::route`] for which row wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRow {
    /// Digits with an optional `+`; `?` is one digit, a final `*` any rest.
    pub pattern: String,
    pub to: Destination,
    /// Trunks that may dial it; empty: everybody the rules of the contract allow.
    pub from: Vec<TrunkId>,
    /// `None`: as the team says.
    pub record: Option<bool>,
    #[serde(default)]
    pub door: Door,
}

impl NumberRow {
    /// Open to everybody at any time.
    pub fn new(pattern: impl Into<String>, to: Destination) -> Self {
        Self { pattern: pattern.into(), to, from: Vec::new(), record: None, door: Door::default() }
    }
}

/// Where a number leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    Seat(SeatId),
    Team(TeamId),
    Trunk(TrunkId),
}
