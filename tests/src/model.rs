//! The reference of the simulated day: knows the promises, not the code. It sees what passes the
//! door of the box, what the peers went through, and what the box said of it afterwards.

mod door;

use crate::media_model::Pair;
use control_plane::{
    cdr::CallRecord,
    fact::{End, Fact, Step, What},
    ids::{CallId, SeatId},
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
}

#[derive(Debug)]
struct Dialog {
    /// The box sent the INVITE.
    called: bool,
    phone: bool,
    from_user: String,
    invited: Instant,
    number: Number,
    /// The box had any answer to its INVITE.
    heard: bool,
    /// The box promised a place to who called: 18x or 200.
    welcomed: bool,
    /// The box answered the INVITE of a peer.
    answered: bool,
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
    gone: Option<&'static str>,
    cancel_sent: bool,
    crossed: bool,
    bridged: bool,
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

#[derive(Debug)]
struct Call {
    dialog: usize,
    bridged: bool,
    requeued: bool,
    recorded: bool,
}

impl Model {
    pub fn new(
        number: fn(&str) -> Number,
        phones: impl IntoIterator<Item = SocketAddr>,
        strangers: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        Self {
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

    /// The caller of this dialog's call was let talk to its phone.
    pub fn was_bridged(&self, call_id: &str) -> bool {
        self.by_call_id.get(call_id).is_some_and(|&place| self.dialogs[place].bridged)
    }

    /// Two are ordered to meet at this moment.
    pub fn meet(&mut self, pair: Pair, now: Instant) -> Result<(), String> {
        let Some(&place) = self.by_port.get(&pair.other) else { return Ok(()) };
        let dialog = &mut self.dialogs[place];
        if dialog.phone && !dialog.bridged && now > dialog.invited + dialog.number.ring {
            return Err(format!("bridged {:?} after its INVITE", now - dialog.invited));
        }
        dialog.bridged = true;
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
        if let Some(why) = caller.gone.or_else(|| other.gone.filter(|_| !forked)) {
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
            let new = Call { dialog, bridged: false, requeued: false, recorded: false };
            self.calls.insert(*call, new);
            return Ok(());
        }
        let Some(of) = self.calls.get_mut(call) else {
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
            Step::Accepted { .. }
            | Step::Answered
            | Step::AnsweredTooLate { .. }
            | Step::Arrived { .. }
            | Step::Ended { .. }
            | Step::Held
            | Step::OfferEnded { .. }
            | Step::Offered { .. }
            | Step::Queued { .. }
            | Step::RecordingFailed { .. }
            | Step::Resumed
            | Step::Ringing { .. }
            | Step::Routed { .. }
            | Step::Silent { .. } => {}
        }
        Ok(())
    }

    pub fn cdr(&mut self, cdr: &CallRecord) -> Result<(), String> {
        let id: CallId = cdr.id.parse().map_err(|_| format!("no call id: {}", cdr.id))?;
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(format!("a record of {id}, which never arrived"));
        };
        if std::mem::replace(&mut call.recorded, true) {
            return Err(format!("two records of {id}"));
        }
        let dialog = &self.dialogs[call.dialog];
        let Some(end) = cdr.end else { return Err(format!("{id} ended without an end")) };
        if !fits(end, dialog.refused, call.bridged, call.requeued) {
            return Err(format!(
                "{id} is recorded as {end:?}; its caller saw refusal {:?}, bridged {}",
                dialog.refused, call.bridged
            ));
        }
        if call.bridged != cdr.bridged_at.is_some() {
            return Err(format!("{id}: bridged {} but the record says otherwise", call.bridged));
        }
        if cdr.ended_at < cdr.started_at || cdr.wait_seconds < 0.0 || cdr.talk_seconds < 0.0 {
            return Err(format!("{id}: its record runs backwards"));
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
            if answers.values().any(|answer| !answer.acked) {
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

/// Whether this end is what a caller went through who was refused so, or answered, and did or did
/// not hear a person.
fn fits(end: End, refused: Option<u16>, bridged: bool, requeued: bool) -> bool {
    use End::*;
    let Some(status) = refused else {
        return match end {
            Completed => true,
            // They left, or were made to leave, while they waited.
            Abandoned | Rejected => !bridged || requeued,
            Failed => true,
            Busy | Congestion | NoAnswer | Unreachable => false,
        };
    };
    let allowed: &[End] = match status {
        404 => &[Rejected, Unreachable],
        480 => &[NoAnswer, Rejected, Unreachable],
        486 | 600 | 603 => &[Busy],
        487 => &[Abandoned],
        488 => &[Rejected, Unreachable],
        503 => &[Congestion, Failed, Unreachable],
        _ => &[Busy, Unreachable],
    };
    !bridged && allowed.contains(&end)
}
