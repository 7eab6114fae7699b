//! What is planned for a day, and the things outside SIP that people do in it.

use super::{Party, World, site};
use crate::{
    forger::Forgery,
    net::{Datagram, Way},
    sip_peer::habits::{CallPlan, Offer, Words},
    sip_text::{Request, sdp},
};
use control_plane::{
    call::State,
    exchange::{Problem, Request as Ask},
    ids::{CallId, SeatId},
    time::Ahead,
};
use media_core::order::TalkName;
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Something somebody does at a planned moment.
#[derive(Debug)]
pub(super) enum Deed {
    Ask(Wish),
    Boot(usize),
    /// The box's process ends: now, or in the middle of its next turn.
    Crash {
        in_a_turn: bool,
    },
    /// The cable of a host, or the box's own, is pulled.
    Cut {
        host: Option<IpAddr>,
        way: Way,
        span: Duration,
    },
    /// A caller calls by this trunk.
    Dial {
        carrier: usize,
        plan: CallPlan,
    },
    /// An agent calls.
    DialFrom {
        phone: usize,
        plan: CallPlan,
    },
    Die(usize),
    /// Nonsense, or calls that lead nowhere, many at once.
    Flood {
        from: SocketAddr,
    },
    Forge(Forgery),
    /// The media threads have no room left, or have again.
    Load {
        on: bool,
    },
    /// Bytes that are no call.
    Garbage {
        carrier: usize,
    },
    /// The caller of this number hangs up.
    Leave {
        from_user: String,
    },
    Resume(CallId),
    /// Somebody sets the wall clock.
    SetClock {
        ahead: Ahead,
    },
    Sign {
        phone: usize,
        signed_in: bool,
    },
    Stranger,
}

/// What is asked for through the API.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Available,
    HangUp,
    Hold,
    Pause,
}

/// Until when new calls come.
const LAST_CALL_MS: u64 = 110_000;

impl World {
    pub(super) fn plan_the_day(&mut self) {
        self.plan_crashes();
        self.plan_loads();
        self.plan_clocks();
        self.plan_cuts();
        self.plan_forgeries();
        for caller in 0..self.dice.number(20..40) {
            let at = self.some_moment(LAST_CALL_MS);
            let (carrier, plan) = self.caller(caller);
            self.plan(at, Deed::Dial { carrier, plan });
        }
        for _ in 0..self.dice.number(25..50) {
            let at = self.some_moment(140_000);
            let wishes = [Wish::Available, Wish::HangUp, Wish::Hold, Wish::Hold, Wish::Pause];
            let wish = self.dice.pick(&wishes);
            self.plan(at, Deed::Ask(wish));
        }
        for _ in 0..self.dice.number(2..8) {
            let (at, deed) = (self.some_moment(130_000), self.odd_deed());
            self.plan(at, deed);
        }
    }

    pub(super) fn plan(&mut self, at: Instant, deed: Deed) {
        self.deeds_planned += 1;
        self.deeds.insert((at, self.deeds_planned), deed);
    }

    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        self.ladder.note(self.now - self.epoch, line);
    }

    pub(super) fn carry_out(&mut self, deed: Deed) -> Result<(), String> {
        self.note(|| format!("deed      {deed:?}"));
        match deed {
            Deed::Ask(_) | Deed::Resume(_) if self.down_until.is_some() => {}
            Deed::Ask(wish) => return self.ask_for(wish),
            Deed::Boot(phone) => {
                let address = self.phones[phone].peer.address;
                let missed = self.model.is_in_a_call(address);
                self.reached.phone_rebooted_in_a_call += u64::from(missed);
                self.phones[phone].boot(self.now);
                self.flush(Party::Phone(phone));
            }
            Deed::Dial { carrier, plan } => {
                let call_id = self.carriers[carrier].dial(&plan, self.now);
                self.callers.insert(plan.from_user, (carrier, call_id));
                self.flush(Party::Carrier(carrier));
            }
            Deed::DialFrom { phone, plan } => {
                if !self.phones[phone].is_dead() {
                    self.phones[phone].peer.dial(&plan, self.now);
                    self.flush(Party::Phone(phone));
                }
            }
            Deed::Die(phone) => {
                if !self.phones[phone].is_dead() {
                    self.lose_power(phone);
                }
            }
            Deed::Crash { in_a_turn } => return self.crash(in_a_turn),
            Deed::Cut { host, way, span } => self.cut(host, way, span),
            Deed::Flood { from } => self.flood(from),
            Deed::Forge(forgery) => self.forge(forgery),
            Deed::Garbage { carrier } => self.send_garbage(carrier),
            Deed::Load { .. } if self.down_until.is_some() => {}
            Deed::Load { on } => return self.load(on),
            Deed::Leave { from_user } => self.leave(&from_user),
            Deed::Resume(call) => return self.resume(call),
            Deed::SetClock { ahead } => return self.set_clock(ahead),
            Deed::Sign { phone, signed_in } => {
                self.phones[phone].sign(signed_in, self.now);
                self.flush(Party::Phone(phone));
            }
            Deed::Stranger => self.send_strange_call(),
        }
        Ok(())
    }

    pub(super) fn make_available(&mut self, seat: SeatId) -> Result<(), String> {
        self.model.make_available(seat);
        self.reached.made_available += 1;
        self.ask(Ask::Available(seat))
    }

    pub(super) fn some_moment(&mut self, until_ms: u64) -> Instant {
        // Callers who come at once are the ones who meet.
        let at = match self.dice.percent(25) {
            true => Duration::from_secs(self.dice.number(1..until_ms / 1_000)),
            false => self.dice.millis(500..until_ms),
        };
        self.epoch + at
    }

    fn caller(&mut self, caller: u64) -> (usize, CallPlan) {
        let number = match self.dice.number(0..100) {
            0..70 => site::TEAM,
            70..84 => self.dice.pick(&site::DIRECT),
            84..93 => site::PASSED_ON,
            93..96 => "+541155559999",
            // Open to agents only.
            _ => self.dice.pick(&["1001", "0115551234"]),
        };
        let from_user = format!("+5411{:08}", 44_000_000 + caller);
        match self.dice.percent(35) {
            true => (1, CallPlan::broken(number, from_user, &mut self.dice)),
            false => (0, CallPlan::polite(number, from_user, &mut self.dice)),
        }
    }

    fn odd_deed(&mut self) -> Deed {
        let phone = self.dice.place(self.phones.len());
        match self.dice.number(0..10) {
            0 => Deed::Die(phone),
            1 => Deed::Garbage { carrier: self.dice.place(2) },
            2 => Deed::Stranger,
            3 => Deed::Sign { phone, signed_in: false },
            4 => Deed::Sign { phone, signed_in: true },
            _ => Deed::DialFrom { phone, plan: self.agents_call(phone) },
        }
    }

    fn agents_call(&mut self, phone: usize) -> CallPlan {
        let number =
            self.dice.pick(&["1002", "1003", "1005", site::PASSED_ON, "0115551234", site::TEAM]);
        // A phone that registers is known by its address, whatever it writes.
        let from_user = format!("100{}", self.site.seat_of(phone).0 + 1);
        let plan = CallPlan::polite(number, from_user, &mut self.dice);
        CallPlan { offer: Offer::Both, words: Words::default(), ..plan }
    }

    fn ask_for(&mut self, wish: Wish) -> Result<(), String> {
        let places: Vec<_> = self.site.seats().collect();
        let seat = self.dice.pick(&places);
        match wish {
            Wish::Available => self.make_available(seat),
            Wish::Pause => {
                self.model.pause(seat);
                let word = self.dice.percent(50).then(|| "lunch".to_owned());
                self.ask(Ask::Pause(seat, word))
            }
            Wish::HangUp => match self.some_call(|state| state != State::Over) {
                Some(call) => {
                    self.model.asked_to_hang_up(call);
                    self.ask(Ask::HangUp(call))
                }
                None => Ok(()),
            },
            Wish::Hold => {
                let talking = |state| matches!(state, State::Talking { held: false, .. });
                let Some(call) = self.some_call(talking) else { return Ok(()) };
                self.ask(Ask::Hold(call))?;
                let again = self.now + self.dice.millis(300..4_000);
                self.plan(again, Deed::Resume(call));
                match self.hears_somebody(call) {
                    true => Err(format!("{call} is held and hears somebody")),
                    false => Ok(()),
                }
            }
        }
    }

    fn resume(&mut self, call: CallId) -> Result<(), String> {
        let doomed = std::mem::take(&mut self.doomed);
        let asked = self.exchange.handle_request(Ask::Resume(call), self.now);
        self.drain()?;
        self.doomed = doomed;
        match asked {
            Ok(()) => match self.hears_somebody(call) {
                true => Ok(()),
                false => Err(format!("{call} is resumed and hears nobody")),
            },
            // It ended, or somebody resumed it meanwhile.
            Err(Problem::NoSuchCall | Problem::WrongState { .. }) => Ok(()),
            Err(
                problem @ (Problem::NoSuchAgent
                | Problem::NotRecorded
                | Problem::PassesThrough
                | Problem::WordTooLong),
            ) => Err(problem.to_string()),
        }
    }

    /// What is asked for here was possible a moment ago, so it must be now.
    pub(super) fn ask(&mut self, request: Ask) -> Result<(), String> {
        self.note(|| format!("asked     {request:?}"));
        let what = format!("{request:?}");
        // Whoever asks has an answer, or asks again.
        let doomed = std::mem::take(&mut self.doomed);
        let done = self.exchange.handle_request(request, self.now);
        done.map_err(|problem| format!("{what}: {problem}"))?;
        self.drain()?;
        self.doomed = doomed;
        Ok(())
    }

    fn some_call(&mut self, is_fit: impl Fn(State) -> bool) -> Option<CallId> {
        let calls = self.exchange.board().calls();
        let fit: Vec<_> = calls.filter(|(_, call)| is_fit(call.state)).map(|(id, _)| id).collect();
        (!fit.is_empty()).then(|| self.dice.pick(&fit))
    }

    fn hears_somebody(&self, call: CallId) -> bool {
        self.media.pairs().any(|pair| pair.talk == TalkName(call.0))
    }

    fn send_garbage(&mut self, carrier: usize) {
        let from = self.carriers[carrier].address;
        let len = self.dice.place(300);
        let bytes = match self.dice.percent(50) {
            true => self.dice.bytes(len),
            false => {
                let mut invite = self.strange_invite("torn", from);
                invite.truncate(len);
                invite
            }
        };
        self.send(Datagram { from, to: self.site.address, bytes });
    }

    fn send_strange_call(&mut self) {
        let bytes = self.strange_invite("stranger", site::STRANGER);
        self.send(Datagram { from: site::STRANGER, to: self.site.address, bytes });
    }

    pub(super) fn strange_invite(&mut self, name: &str, from: SocketAddr) -> Vec<u8> {
        let id = self.dice.number(0..u64::MAX);
        Request {
            method: "INVITE",
            uri: &format!("sip:{}@{}", site::TEAM, self.site.address),
            via: from,
            branch: &format!("z9hG4bKs{id}"),
            from: &format!("<sip:{name}@{}>;tag=s{id}", from.ip()),
            to: &format!("<sip:{}@{}>", site::TEAM, self.site.address.ip()),
            call_id: &format!("{name}{id}@{}", from.ip()),
            cseq: 1,
            more: &format!("Contact: <sip:{name}@{from}>\r\n"),
            body: &sdp(from, 1, "8", "sendrecv"),
        }
        .to_bytes()
    }
}
