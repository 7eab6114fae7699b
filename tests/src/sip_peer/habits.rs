//! How a peer behaves: what it plans for a call it places, and what it does when it is called.

use crate::{dice::Dice, sip_text};
use std::{net::SocketAddr, time::Duration};

/// One thing a peer does in a call, if its moment has not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Answer(Offer),
    /// Another branch of a fork downstream answers too (RFC 3261 §13.2.2.4).
    AnswerElsewhere,
    /// The 200 once more, long after its ACK.
    AnswerAgain,
    /// Any request in the dialog: OPTIONS, INFO, UPDATE.
    Ask(&'static str),
    /// Power cut at the whole peer.
    Die,
    HangUp,
    /// A CANCEL that comes too late by its own fault.
    LateCancel,
    Mute,
    Refuse(u16),
    Reinvite {
        direction: &'static str,
    },
    ReinviteWithoutOffer,
    RepeatInvite,
    Ring,
    /// Another branch of a fork downstream rings too.
    RingElsewhere,
    /// The phone stops refreshing its registration, or takes it back.
    SignOff {
        forgets: bool,
    },
    /// A BYE older than what was said before it.
    StaleBye,
    Unmute,
    /// This call is never heard of again.
    Vanish,
    /// A BYE for somebody else's dialog.
    WrongBye,
}

impl Act {
    /// What a calm world does without.
    pub fn is_whim(self) -> bool {
        !matches!(self, Self::Ring)
    }
}

/// The session description a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// PCMA first, then PCMU.
    Both,
    Broken,
    /// None in the INVITE; the ACK answers the box's.
    InTheAck,
    MuLaw,
    /// Nothing the box speaks.
    OnlyG729,
}

impl Offer {
    pub fn sdp(self, rtp: SocketAddr, version: u32) -> String {
        match self {
            Self::Both => sip_text::sdp(rtp, version, "8 0 101", "sendrecv"),
            Self::Broken => "v=0\r\nnonsense\r\n".to_owned(),
            Self::InTheAck => String::new(),
            Self::MuLaw => sip_text::sdp(rtp, version, "0", "sendrecv"),
            Self::OnlyG729 => sip_text::sdp(rtp, version, "18", "sendrecv"),
        }
    }
}

/// How well a peer keeps to the standard in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    pub acks: Acks,
    /// Answers nothing.
    pub deaf: bool,
    pub record_routes: bool,
}

impl Default for Words {
    fn default() -> Self {
        Self { acks: Acks::AtOnce, deaf: false, record_routes: false }
    }
}

/// When a peer sends the ACK of a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    AtOnce,
    Late(Duration),
    Never,
}

/// A call a peer places: what it will do in it, and when after dialling.
#[derive(Clone, Debug)]
pub struct CallPlan {
    pub number: String,
    pub from_user: String,
    pub offer: Offer,
    pub words: Words,
    pub acts: Vec<(Duration, Act)>,
}

impl CallPlan {
    /// A call by somebody who keeps to the standard.
    pub fn polite(number: &str, from_user: String, dice: &mut Dice) -> Self {
        let offer = match dice.number(0..20) {
            0 => Offer::InTheAck,
            1 => Offer::OnlyG729,
            2..6 => Offer::MuLaw,
            _ => Offer::Both,
        };
        let words = Words { record_routes: dice.percent(30), ..Words::default() };
        let leaves = patience(dice);
        let end = if dice.percent(5) { Act::Vanish } else { Act::HangUp };
        let mut acts = vec![(leaves, end)];
        if dice.percent(15) {
            let direction = dice.pick(&["sendonly", "inactive", "sendrecv"]);
            acts.push((dice.millis(500..8_000), Act::Reinvite { direction }));
        }
        if dice.percent(5) {
            acts.push((dice.millis(500..8_000), Act::ReinviteWithoutOffer));
        }
        if dice.percent(15) {
            acts.push((
                dice.millis(300..9_000),
                Act::Ask(dice.pick(&["OPTIONS", "INFO", "UPDATE"])),
            ));
        }
        if dice.percent(8) {
            acts.push((dice.millis(300..9_000), Act::Mute));
            acts.push((dice.millis(10_000..20_000), Act::Unmute));
        }
        Self { number: number.to_owned(), from_user, offer, words, acts }
    }

    /// A call by somebody who does not.
    pub fn broken(number: &str, from_user: String, dice: &mut Dice) -> Self {
        let mut plan = Self::polite(number, from_user, dice);
        match dice.number(0..12) {
            0 | 1 => plan.words.acks = Acks::Never,
            10 => plan.words.acks = Acks::Late(dice.millis(500..40_000)),
            11 => plan.acts.push((dice.millis(300..9_000), Act::StaleBye)),
            2 => plan.offer = Offer::Broken,
            3 | 4 => plan.acts.push((dice.millis(50..5_000), Act::WrongBye)),
            5 | 6 => plan.acts.push((dice.millis(20..400), Act::LateCancel)),
            7 => plan.acts.push((dice.millis(30..3_000), Act::Vanish)),
            _ => {}
        }
        for _ in 0..dice.number(0..4) {
            plan.acts.push((dice.millis(1..700), Act::RepeatInvite));
        }
        plan
    }
}

/// How long a caller stays, from dialling on.
fn patience(dice: &mut Dice) -> Duration {
    match dice.number(0..100) {
        0..10 => dice.millis(1..300),
        10..45 => dice.millis(300..9_000),
        45..80 => dice.millis(5_000..30_000),
        _ => dice.millis(30_000..120_000),
    }
}

/// What a peer does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habits {
    /// Answers and soon hangs up.
    Eager,
    /// Everything people and phones do. `ring`: how long the box lets it ring.
    People { ring: Duration },
    /// The far end of a trunk.
    Trunk,
}

impl Habits {
    pub fn on_called(self, dice: &mut Dice) -> Vec<(Duration, Act)> {
        match self {
            Self::Eager => {
                let answer = dice.millis(200..1_000);
                let talk = dice.millis(1_000..2_500);
                vec![
                    (dice.millis(1..100), Act::Ring),
                    (answer, Act::Answer(Offer::Both)),
                    (answer + talk, Act::HangUp),
                ]
            }
            Self::People { ring } => people(ring, dice),
            Self::Trunk => trunk(dice),
        }
    }
}

fn people(ring: Duration, dice: &mut Dice) -> Vec<(Duration, Act)> {
    let rings = (dice.millis(1..200), Act::Ring);
    let soon = dice.millis(200..4_500);
    match dice.number(0..100) {
        // Answers, and sometimes hangs up.
        0..45 => {
            let mut acts = vec![rings, (soon, Act::Answer(Offer::Both))];
            if dice.percent(60) {
                acts.push((soon + dice.millis(50..15_000), Act::HangUp));
            }
            if dice.percent(10) {
                acts.push((soon + dice.millis(1..6_000), Act::AnswerAgain));
            }
            if dice.percent(10) {
                acts.push((
                    soon + dice.millis(200..5_000),
                    Act::Reinvite { direction: "sendonly" },
                ));
            }
            acts
        }
        // Answers just as the offer lapses: the 200 crosses the CANCEL.
        45..57 => {
            let about = ring + dice.millis(0..30);
            vec![
                rings,
                (about - Duration::from_millis(60) + dice.millis(0..45), Act::Answer(Offer::Both)),
            ]
        }
        57..69 => vec![rings, (soon, Act::Refuse(dice.pick(&[486, 603, 600])))],
        69..79 => vec![rings],
        // No 18x: the INVITE is repeated until the answer.
        79..82 => vec![(soon, Act::Answer(Offer::MuLaw))],
        82..85 => vec![rings, (soon, Act::Refuse(dice.pick(&[404, 408, 480, 500, 503])))],
        85..88 => vec![
            rings,
            (soon, Act::Answer(dice.pick(&[Offer::Broken, Offer::OnlyG729, Offer::InTheAck]))),
        ],
        88 => vec![],
        // Leaves while it rings; the call may still be answered.
        89 => vec![
            rings,
            (dice.span(Duration::ZERO..soon), Act::SignOff { forgets: dice.percent(50) }),
            (soon, dice.pick(&[Act::Answer(Offer::Both), Act::Refuse(480), Act::Mute])),
        ],
        // Silence on the line once, then back.
        90..92 => vec![
            rings,
            (soon, Act::Answer(Offer::Both)),
            (soon + dice.millis(100..900), Act::Mute),
            (soon + dice.millis(8_000..20_000), Act::HangUp),
        ],
        // Power cut in the call.
        _ => {
            let dies = soon + dice.millis(100..6_000);
            vec![rings, (soon, Act::Answer(Offer::Both)), (dies, Act::Die)]
        }
    }
}

fn trunk(dice: &mut Dice) -> Vec<(Duration, Act)> {
    let rings = (dice.millis(1..400), Act::Ring);
    let soon = dice.millis(400..6_000);
    match dice.number(0..10) {
        0..5 => vec![
            rings,
            (soon, Act::Answer(Offer::Both)),
            (dice.span(Duration::ZERO..soon), Act::RingElsewhere),
            (soon + dice.millis(0..3_000), Act::AnswerElsewhere),
            (soon + dice.millis(0..8_000), Act::AnswerElsewhere),
            (soon + dice.millis(0..5_000), Act::AnswerAgain),
            (soon + dice.millis(500..20_000), Act::HangUp),
        ],
        5 => vec![rings, (soon, Act::Answer(Offer::MuLaw)), (soon * 2, Act::Vanish)],
        6 | 7 => vec![rings, (soon, Act::Refuse(dice.pick(&[302, 404, 486, 503, 603])))],
        8 => vec![rings],
        _ => vec![rings, (soon, Act::Answer(Offer::Broken))],
    }
}
