//! The reference of the simulated day: knows the promises, not the code. It sees what passes the
//! door of the box, what the peers went through, and what the box said of it afterwards.

mod door;
mod truth;

pub use truth::MORNING;

use crate::media_model::Pair;
use control_plane::{
    door::{Found, Passed},
    fact::{Fact, Step, What},
    ids::{CallId, SeatId},
    time::Stamp,
};
use media_core::order::PortName;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// RFC 3261 §17.1.1.2, Timer B: an INVITE without any answer is given up.
const GIVE_UP: Duration = Duration::from_secs(32);
/// How long after the end of a call its record may take: the media plane's last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is promised for one number.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// How long the box may let an agent's phone ring.
    pub ring: Duration,
    /// First come, first served.
    pub queue: bool,
}

/// What the outside knows.
#[derive(Debug)]
pub struct Model {
    morning: Instant,
    number: fn(&str) -> Number,
    phones: BTreeSet<SocketAddr>,
    strangers: BTreeSet<SocketAddr>,
    dialogs: Vec<Dialog>,
    by_call_id: BTreeMap<String, usize>,
    /// The latest dialog in which a port of the box was named.
    by_port: BTreeMap<PortName, usize>,
    calls: BTreeMap<CallId, Call>,
    /// Calls whose caller has gone: the record is due.
    owed: BTreeSet<(Instant, usize)>,
    /// Callers from outside, by their number.
    callers: BTreeMap<String, usize>,
    /// The phones that rang for each of them.
    rang_for: BTreeMap<String, Vec<usize>>,
    /// Requests that came to the box, by branch and method: whether it ever answered.
    requests: BTreeMap<(String, String), Option<String>>,
    paused: BTreeSet<SeatId>,
    hung_up_by_asking: BTreeSet<CallId>,
    /// When the box died, each time.
    deaths: Vec<Death>,
    first_turn: bool,
    /// The media plane has no room for another call.
    loaded: bool,
    /// The team is away; `None`: nobody can say in this moment.
    pub closed: Option<bool>,
    pub seen: Seen,
}

/// How often the door saw what the promises are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A 200 of a phone came after the box had sent CANCEL.
    pub cancel_crossed_200: u64,
    /// A CANCEL of a caller came after the box had sent 200.
    pub callers_cancel_crossed_200: u64,
    pub duplicate_invite: u64,
    /// A second branch of a fork said 200 as well.
    pub fork_with_two_2xx: u64,
    /// A new call was refused because the media plane had no room for it.
    pub refused_for_load: u64,
}

#[derive(Debug)]
struct Dialog {
    /// The box sent the INVITE.
    called: bool,
    /// Who is at the other end.
    peer: SocketAddr,
    phone: bool,
    from_user: String,
    invited: Instant,
    number: Number,
    /// The box had any answer to its INVITE.
    heard: bool,
    /// The box promised a place to who called: 18x or 200.
    welcomed: bool,
    /// It came while the box had no room for it.
    came_under_load: bool,
    /// The box answered the INVITE of a peer.
    answered: Option<Instant>,
    /// The ACK of that answer came.
    confirmed: bool,
    /// A phone or trunk refused.
    declined: bool,
    /// By the far side's tag: number of the box's latest request, and the branches of all.
    sequences: BTreeMap<String, (u32, Vec<String>)>,
    /// The far sides that answered with 200 (a fork may have several), and how far the box went
    /// with each.
    answers: BTreeMap<String, Answer>,
    /// CANCEL or BYE or a refusal by the box, or the other side's BYE that the box confirmed.
    gone: Option<(&'static str, Instant)>,
    /// The box first said CANCEL, BYE or a refusal.
    dismissed: Option<Instant>,
    /// The peer heard one of these, in the time for which they are repeated.
    told: bool,
    /// Branches of the BYEs that came from the peer itself.
    byes: BTreeSet<String>,
    /// A CANCEL came from the peer itself.
    cancel_heard: bool,
    /// The box confirmed one of these.
    left: Option<Instant>,
    cancel_sent: bool,
    crossed: bool,
    /// When its two first heard each other.
    bridged: Option<Instant>,
    /// The box refused with this status.
    refused: Option<u16>,
    call: Option<CallId>,
}

/// What became of a 200 that reached the box.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    acked: bool,
    ended: bool,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
struct Death {
    at: Instant,
    /// The last thing it wrote down.
    noted: Stamp,
}

/// Why somebody is gone whom the box neither let go nor heard go.
const DEATH: &str = "the box has died";

#[derive(Debug)]
struct Call {
    dialog: usize,
    /// Nobody of its team was signed in, said the box.
    nobody: bool,
    told: bool,
    bridged: bool,
    requeued: bool,
    recorded: bool,
}

impl Model {
    /// `morning`: when the day begins.
    pub fn new(
        morning: Instant,
        number: fn(&str) -> Number,
        phones: impl IntoIterator<Item = SocketAddr>,
        strangers: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        Self {
            morning,
            number,
            phones: phones.into_iter().collect(),
            strangers: strangers.into_iter().collect(),
            dialogs: vec![],
            by_call_id: BTreeMap::new(),
            by_port: BTreeMap::new(),
            calls: BTreeMap::new(),
            owed: BTreeSet::new(),
            callers: BTreeMap::new(),
            rang_for: BTreeMap::new(),
            requests: BTreeMap::new(),
            paused: BTreeSet::new(),
            hung_up_by_asking: BTreeSet::new(),
            deaths: vec![],
            first_turn: false,
            loaded: false,
            closed: None,
            seen: Seen::default(),
        }
    }

    /// The box may not know that this phone has it: every answer was lost for as long as RFC 3261
    /// lets anybody wait.
    pub fn was_never_heard(&self, call_id: &str, now: Instant) -> bool {
        self.by_call_id.get(call_id).is_some_and(|&place| {
            let dialog = &self.dialogs[place];
            !dialog.heard && now >= dialog.invited + GIVE_UP
        })
    }

    /// The box told this peer that the call is over, for as long as RFC 3261 lets anybody, and
    /// nothing of it came through.
    pub fn was_never_told(&self, call_id: &str, now: Instant) -> bool {
        self.by_call_id.get(call_id).is_some_and(|&place| {
            let dialog = &self.dialogs[place];
            !dialog.told && dialog.dismissed.is_some_and(|at| now >= at + GIVE_UP)
        })
    }

    /// As far as the box has said or heard, somebody talks here.
    pub fn is_in_a_call(&self, address: SocketAddr) -> bool {
        let here = self.dialogs.iter().filter(|dialog| dialog.peer == address);
        let mut here = here.filter(|dialog| dialog.gone.is_none());
        here.any(|dialog| !dialog.answers.is_empty() || dialog.confirmed)
    }

    /// The box has said that it is over, whether that was heard or not.
    pub fn was_dismissed(&self, call_id: &str) -> bool {
        self.by_call_id.get(call_id).is_some_and(|&place| self.dialogs[place].dismissed.is_some())
    }

    /// When this INVITE was sent or came.
    pub fn invited_at(&self, call_id: &str) -> Option<Instant> {
        self.by_call_id.get(call_id).map(|&place| self.dialogs[place].invited)
    }

    /// Who rings there and since when: the same for all phones of one offer.
    pub fn offer(&self, call_id: &str) -> Option<(&str, Instant)> {
        let dialog = self.by_call_id.get(call_id).map(|&place| &self.dialogs[place])?;
        Some((&dialog.from_user, dialog.invited))
    }

    /// Its box's process is gone.
    pub fn dies(&mut self, now: Instant) {
        self.deaths.push(Death { at: now, noted: Stamp::default() });
        self.loaded = false;
        self.requests.clear();
        self.owed.clear();
        self.by_port.clear();
        for dialog in &mut self.dialogs {
            dialog.gone.get_or_insert((DEATH, now));
            // What it had not acknowledged, it may not have heard.
            dialog.answers.retain(|_, answer| answer.acked);
        }
    }

    /// From now on there is no room for another call, or there is again.
    pub fn loaded(&mut self, loaded: bool) {
        self.loaded = loaded;
    }

    /// This is the last thing that the process which died has written down.
    pub fn was_noted(&mut self, last: Stamp) {
        if let Some(death) = self.deaths.last_mut() {
            death.noted = last;
        }
    }

    /// The next process goes on with what this one had; whoever it still calls in its first turn
    /// was called by the one before.
    pub fn begins(&mut self, first_turn: bool) {
        self.first_turn = first_turn;
    }

    /// The process that had this call is gone.
    pub fn was_cut_off(&self, call_id: &str) -> bool {
        let dialog = self.by_call_id.get(call_id).map(|&place| &self.dialogs[place]);
        dialog.is_some_and(|dialog| self.is_of_before(dialog))
    }

    /// Who was cut off has a record that says so.
    pub fn check_cut_off(&self) -> Result<(), String> {
        let calls = self.calls.iter().filter(|(_, call)| !call.recorded);
        let mut missing = calls.filter(|(_, call)| self.is_of_before(&self.dialogs[call.dialog]));
        match missing.next() {
            Some((call, _)) => Err(format!("{call} was cut off and has no record")),
            None => Ok(()),
        }
    }

    fn is_of_before(&self, dialog: &Dialog) -> bool {
        self.death_of(dialog).is_some()
    }

    /// The end of the process that had this dialog.
    fn death_of(&self, dialog: &Dialog) -> Option<Death> {
        self.deaths.iter().find(|death| dialog.invited <= death.at).copied()
    }

    /// When the box last died.
    fn died(&self) -> Option<Instant> {
        self.deaths.last().map(|death| death.at)
    }

    /// The caller of this dialog's call was let talk to its phone.
    pub fn was_bridged(&self, call_id: &str) -> bool {
        self.by_call_id.get(call_id).is_some_and(|&place| self.dialogs[place].bridged.is_some())
    }

    /// Two are ordered to meet at this moment.
    pub fn meet(&mut self, pair: Pair, now: Instant) -> Result<(), String> {
        let Some(&place) = self.by_port.get(&pair.other) else { return Ok(()) };
        let dialog = &mut self.dialogs[place];
        if dialog.phone && dialog.bridged.is_none() && now > dialog.invited + dialog.number.ring {
            return Err(format!("bridged {:?} after its INVITE", now - dialog.invited));
        }
        dialog.bridged.get_or_insert(now);
        self.check_pair(pair, false)
    }

    /// These hear each other after everything that this moment brought.
    pub fn check_pair(&self, pair: Pair, settled: bool) -> Result<(), String> {
        let told = |port| self.by_port.get(port).map(|&place| &self.dialogs[place]);
        let (Some(caller), Some(other)) = (told(&pair.caller), told(&pair.other)) else {
            return match settled {
                true => Err(format!("{pair:?}: nobody was told one of these ports")),
                false => Ok(()),
            };
        };
        if caller.called || !other.called {
            return Err(format!("{pair:?}: not a caller and somebody called"));
        }
        if caller.from_user != other.from_user {
            return Err(format!(
                "{:?}: caller {} hears the phone that rang for {}",
                pair.talk, caller.from_user, other.from_user
            ));
        }
        // Who left may be known only when the other branch of its fork has been let go as well;
        // until then the caller hears nothing, and nobody else.
        let forked = other.answers.len() > 1;
        if let Some((why, _)) = caller.gone.or_else(|| other.gone.filter(|_| !forked)) {
            return Err(format!("{:?}: they hear each other although {why}", pair.talk));
        }
        Ok(())
    }

    pub fn fact(&mut self, fact: &Fact, now: Instant) -> Result<(), String> {
        let What::Call(call, step) = &fact.what else { return Ok(()) };
        if let Step::Arrived { from, sip_call_id, .. } = step {
            let Some(&dialog) = self.by_call_id.get(sip_call_id) else {
                return Err(format!("{call} arrived from nowhere: {sip_call_id}"));
            };
            if let Some(before) = self.dialogs[dialog].call.replace(*call) {
                return Err(format!("{before} and {call} are one INVITE"));
            }
            if self.dialogs[dialog].from_user != *from {
                return Err(format!("{call} arrived from {from}"));
            }
            let new = Call {
                dialog,
                nobody: false,
                told: false,
                bridged: false,
                requeued: false,
                recorded: false,
            };
            self.calls.insert(*call, new);
            return Ok(());
        }
        let Some(of) = self.calls.get_mut(call) else {
            // It came in the turn in which the box died.
            let is_end =
                matches!(step, Step::OfferEnded { .. } | Step::Over { .. } | Step::Ended { .. });
            if self.died().is_some() && is_end {
                return Ok(());
            }
            return Err(format!("{call} never arrived: {step:?}"));
        };
        match step {
            Step::Bridged => of.bridged = true,
            Step::Requeued => of.requeued = true,
            Step::Over { .. } | Step::Ended { .. } if of.recorded => {
                return Err(format!("{call} ends after its record: {step:?}"));
            }
            // Who was lost is not told so.
            Step::Over { .. } => {
                let place = of.dialog;
                self.goes(place, "the call is over", now);
            }
            Step::Door(Passed { found: Found::NobodySignedIn, .. }) => of.nobody = true,
            Step::Door(_) => {}
            Step::Hearing => {
                of.told = true;
                // Nobody waits for them.
                self.dialogs[of.dialog].number.queue = false;
                if self.closed == Some(false) && !of.nobody {
                    return Err(format!("{call} is told that nobody is there, and somebody is"));
                }
            }
            Step::Heard { .. } if !of.told => {
                return Err(format!("{call} has heard what it was not told"));
            }
            Step::Queued { .. } if self.closed == Some(true) => {
                return Err(format!("{call} waits for a team that is away"));
            }
            Step::Accepted { .. }
            | Step::Answered
            | Step::AnsweredTooLate { .. }
            | Step::Arrived { .. }
            | Step::Ended { .. }
            | Step::Held
            | Step::OfferEnded { .. }
            | Step::Offered { .. }
            | Step::Queued { .. }
            | Step::RecordPaused
            | Step::RecordResumed { .. }
            | Step::RecordingBegan
            | Step::RecordingFailed { .. }
            | Step::Resumed
            | Step::Ringing { .. }
            | Step::Heard { .. }
            | Step::Routed { .. }
            | Step::Digit { .. }
            | Step::OneWayAudio { .. }
            | Step::Silent { .. }
            | Step::TwoWayAudio { .. } => {}
        }
        Ok(())
    }

    /// Nothing is owed any longer than it may be.
    pub fn check_owed(&mut self, now: Instant) -> Result<(), String> {
        while let Some(&(due, place)) = self.owed.first().filter(|(due, _)| *due < now) {
            self.owed.pop_first();
            let call = self.dialogs[place].call;
            if let Some((id, _)) = call
                .and_then(|id| Some((id, self.calls.get(&id)?)))
                .filter(|(_, call)| !call.recorded)
            {
                let late = now - due + LAST_WORDS;
                return Err(format!("{id} has no record {late:?} after its caller was gone"));
            }
        }
        Ok(())
    }

    /// Every call that arrived has its one record.
    pub fn check_records(&self) -> Result<(), String> {
        let missing: Vec<_> =
            self.calls.iter().filter(|(_, call)| !call.recorded).map(|(id, _)| id).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(format!("no record of {missing:?}")),
        }
    }

    /// Whoever asked anything was answered, whoever answered was acknowledged, and whoever answered
    /// beside another was let go.
    pub fn check_answers(&self) -> Result<(), String> {
        let unanswered = self.requests.iter().find_map(|((_, method), open)| {
            open.as_ref().map(|call_id| format!("{method} [{call_id}] was never answered"))
        });
        if let Some(unanswered) = unanswered {
            return Err(unanswered);
        }
        for (call_id, &place) in &self.by_call_id {
            let answers = &self.dialogs[place].answers;
            // Which other branches of a fork may still answer was known to the process that called.
            let forked = self.is_of_before(&self.dialogs[place]) && answers.len() > 1;
            if answers.values().any(|answer| !answer.acked) && !forked {
                return Err(format!("a 200 (INVITE) [{call_id}] never got its ACK: {answers:?}"));
            }
            if answers.len() > 1 && answers.values().filter(|answer| !answer.ended).count() > 1 {
                return Err(format!("two answers of [{call_id}] stand: {answers:?}"));
            }
        }
        Ok(())
    }

    /// Somebody asked for it.
    pub fn pause(&mut self, seat: SeatId) {
        self.paused.insert(seat);
    }

    pub fn make_available(&mut self, seat: SeatId) {
        self.paused.remove(&seat);
    }

    /// Whether a signed-in agent whom nobody calls is paused for good.
    pub fn is_paused(&self, seat: SeatId) -> bool {
        self.paused.contains(&seat)
    }

    /// This caller was told that nobody is there.
    pub fn was_told(&self, call_id: &str) -> bool {
        let call = self.by_call_id.get(call_id).and_then(|&place| self.dialogs[place].call);
        call.and_then(|call| self.calls.get(&call)).is_some_and(|call| call.told)
    }

    /// This caller has talked to a person.
    pub fn was_served(&self, call_id: &str) -> bool {
        let call = self.by_call_id.get(call_id).and_then(|&place| self.dialogs[place].call);
        call.and_then(|call| self.calls.get(&call)).is_some_and(|call| call.bridged)
    }
}

impl Dialog {
    /// Somebody rings for the caller here, or talks to them, as far as can be told from outside.
    fn may_engage(&self, ring: Duration, now: Instant) -> bool {
        let rings = now <= self.invited + ring && !self.declined;
        rings || !self.answers.is_empty() && self.gone.is_none()
    }
}
