//! A call comes in: where it goes, or why not.

use super::{Input, Media, Output, Owner, Switchboard, hours::Message};
use crate::{
    call::{Call, Callee, Passing, Phase, State, Taping},
    config::{AnswerMode, Destination, Team, Terms},
    door::{self, Found, Out, Passed},
    fact::{ClaimResult, End, Party, Reason, Step, What},
    ids::{CallId, SeatId, TeamId},
    route::{self, Route, Row},
    seats::Refusal,
};
use sip_stack::{
    event::Source,
    ids::{LegId, TrunkId},
    sdp::codec::Codec,
};

/// How long a caller's side should wait before it tries again when we are full, in seconds.
pub(super) const RETRY_AFTER_SECONDS: u32 = 5;

/// Why a call is not taken, and what the caller's side is told.
struct No {
    status: u16,
    end: End,
    reason: Reason,
    retry_after_seconds: Option<u32>,
    warning: Option<(u16, String)>,
}

impl No {
    fn new(status: u16, end: End, reason: Reason) -> Self {
        Self { status, end, reason, retry_after_seconds: None, warning: None }
    }

    fn codec(code: u16, text: &str) -> Self {
        let warning = Some((code, text.to_owned()));
        Self { warning, ..Self::new(488, End::Rejected, Reason::NoCodec) }
    }

    fn ports() -> Self {
        let retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        Self { retry_after_seconds, ..Self::new(503, End::Congestion, Reason::NoPorts) }
    }
}

impl Switchboard {
    pub(super) fn arrived(&mut self, input: &Input) {
        let Input::Arrived {
            leg,
            source,
            from,
            from_display,
            number,
            sip_call_id,
            max_forwards,
            media,
        } = input
        else {
            return;
        };
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.own_leg(*leg, Owner::Caller { call: id, own: None });
        let (from, number) = (self.who_calls(*source, from), number.clone());
        self.tell(
            id,
            Step::Arrived {
                source: *source,
                from: from.clone(),
                number: number.clone(),
                sip_call_id: sip_call_id.clone(),
            },
        );
        let row = route::route(&self.plan, *source, &number);
        let found = row.as_ref().map(|row| row.route);
        self.calls.insert(
            id,
            Call {
                caller: *leg,
                source: *source,
                from,
                from_display: from_display.clone(),
                number,
                route: found,
                terms: self.terms(found),
                arrived: self.now,
                max_forwards: *max_forwards,
                answered: false,
                bridged: None,
                state: State::Waiting,
                digits: 0,
                taping: Taping::default(),
                passing: None,
            },
        );
        let taken = match row {
            None => Err(No::new(404, End::Rejected, Reason::NoSuchNumber)),
            Some(row) => self.come_in(id, *leg, *source, &row, media),
        };
        if let Err(no) = taken {
            self.turn_away(id, *leg, no);
        }
    }

    /// A trunk says who calls; a phone is its agent, whatever it writes into From.
    fn who_calls(&self, source: Source, from: &str) -> String {
        let seat = match source {
            Source::Phone(user) => self.plan.seats.get(usize::from(user.0)),
            Source::Trunk(_) => None,
        };
        seat.map_or(from, |seat| &seat.extension).to_owned()
    }

    fn terms(&self, found: Option<Route>) -> Option<Terms> {
        let Destination::Team(team) = found?.to else { return None };
        self.team(Some(team)).map(Team::terms)
    }

    /// Through the doors of its number and its team, as far as they are open.
    fn come_in(
        &mut self,
        id: CallId,
        leg: LegId,
        source: Source,
        row: &Row,
        media: &Media,
    ) -> Result<(), No> {
        let is_there = |&seat: &SeatId| self.seats.is_signed_in(seat);
        let anybody =
            |team| self.team(Some(team)).is_some_and(|team| team.seats.iter().any(is_there));
        let (out, passed) = door::go_through(&self.plan, (row, source), &self.verdicts, anybody);
        let empty = matches!(passed.last(), Some(Passed { found: Found::NobodySignedIn, .. }));
        let why = if empty { Reason::NobodySignedIn } else { Reason::Closed };
        for passed in passed {
            self.tell(id, Step::Door(passed));
        }
        match out {
            Out::To(to) => {
                let route = Route { to, ..row.route };
                let terms = self.terms(Some(route));
                if let Some(call) = self.calls.get_mut(&id) {
                    (call.route, call.terms) = (Some(route), terms);
                }
                self.take(id, leg, source, route, media)
            }
            Out::Shut => Err(No::new(480, End::Unreachable, why)),
            Out::Hears { tune, team } => {
                self.has_room()?;
                match media {
                    Media::Agreed => {}
                    Media::NoCodec { code, text } => return Err(No::codec(*code, text)),
                    // Nothing can be said in it.
                    Media::Passes { .. } => return Err(No::new(480, End::Unreachable, why)),
                    Media::NoPorts => return Err(No::ports()),
                }
                self.claim_if_agent(id, leg, source)?;
                self.say(id, leg, Message { tune, team, why });
                Ok(())
            }
        }
    }

    fn has_room(&self) -> Result<(), No> {
        if self.overloaded {
            let no = No::new(503, End::Congestion, Reason::Overloaded);
            return Err(No { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..no });
        }
        Ok(())
    }

    fn claim_if_agent(&mut self, id: CallId, leg: LegId, source: Source) -> Result<(), No> {
        match source {
            Source::Phone(user) => self.claim_own_seat(id, leg, SeatId(user.0)),
            Source::Trunk(_) => Ok(()),
        }
    }

    fn take(
        &mut self,
        id: CallId,
        leg: LegId,
        source: Source,
        route: Route,
        media: &Media,
    ) -> Result<(), No> {
        self.tell(id, Step::Routed { to: route.to });
        self.has_room()?;
        self.can_be_reached(route.to)?;
        let hops_left = self.calls.get(&id).map_or(0, |call| call.max_forwards);
        if hops_left == 0 && matches!(route.to, Destination::Trunk(_)) {
            return Err(No::new(483, End::Rejected, Reason::TooManyHops));
        }
        match media {
            Media::Agreed => {}
            Media::NoCodec { code, text } => return Err(No::codec(*code, text)),
            Media::Passes { codec, also, code, text } => {
                let mut offered = std::iter::once(codec).chain(also);
                let Some(&codec) = offered.find(|&&codec| self.passes(route, codec)) else {
                    let text = format!(
                        "{text}; {codec} passes through to one who has it too, where nothing is recorded or played"
                    );
                    return Err(No::codec(*code, &text));
                };
                if let Some(call) = self.calls.get_mut(&id) {
                    call.passing = Some(Passing { codec, warning: (*code, text.clone()) });
                }
            }
            Media::NoPorts => return Err(No::ports()),
        }
        self.claim_if_agent(id, leg, source)?;
        match route.to {
            Destination::Team(team) => self.take_into_queue(id, leg, team),
            Destination::Seat(seat) => self.offer_directly(id, seat),
            Destination::Trunk(trunk) => self.dial_trunk(id, trunk),
        }
        Ok(())
    }

    /// Who is called there has this codec, and nobody of ours has to speak in it or hear it: a queue has music, a
    /// recording is what was heard.
    fn passes(&self, route: Route, codec: Codec) -> bool {
        let codecs = match route.to {
            Destination::Team(_) => None,
            Destination::Seat(seat) => {
                self.plan.seats.get(usize::from(seat.0)).map(|seat| &seat.codecs)
            }
            Destination::Trunk(trunk) => {
                self.plan.trunks.get(usize::from(trunk.0)).map(|trunk| &trunk.codecs)
            }
        };
        route.record != Some(true) && codecs.is_some_and(|codecs| codecs.contains(&codec))
    }

    /// Nothing is promised to a caller (no 180) before this holds.
    fn can_be_reached(&self, to: Destination) -> Result<(), No> {
        match to {
            Destination::Team(team) => {
                let seats = self.team(Some(team)).map_or(&[][..], |team| &team.seats);
                if seats.iter().any(|&seat| self.seats.is_signed_in(seat)) {
                    return Ok(());
                }
                Err(No::new(480, End::Unreachable, Reason::NobodySignedIn))
            }
            Destination::Seat(seat) => match self.seats.free_since(seat) {
                Ok(_) => Ok(()),
                Err(Refusal::Away | Refusal::NoSuchSeat) => {
                    Err(No::new(480, End::Unreachable, Reason::AgentOffline))
                }
                Err(
                    Refusal::OnAnotherCall(_)
                    | Refusal::Paused(_)
                    | Refusal::PhoneTaken(_)
                    | Refusal::WrappingUp,
                ) => Err(No::new(486, End::Busy, Reason::AgentBusy)),
            },
            Destination::Trunk(trunk) => {
                let address = self.plan.trunks.get(usize::from(trunk.0)).map(|t| t.address);
                if address.flatten().is_some() {
                    return Ok(());
                }
                Err(No::new(480, End::Unreachable, Reason::Unreachable))
            }
        }
    }

    /// An agent's phone dials: the agent's own seat is taken first, like for any other call.
    fn claim_own_seat(&mut self, id: CallId, leg: LegId, seat: SeatId) -> Result<(), No> {
        let Ok(claim) = self.seats.claim_own(seat, id) else {
            self.note(What::Claim(ClaimResult::Busy));
            return Err(No::new(486, End::Busy, Reason::AgentBusy));
        };
        self.note(What::Claim(ClaimResult::Granted));
        self.touch_all_at(claim.phones());
        self.touch(seat);
        let own = self.new_offer(id, Callee::Caller, Some(claim));
        self.claimed_for.insert(seat, own);
        if let Some(offer) = self.offers.get_mut(&own) {
            offer.legs.insert(leg, None);
            offer.phase = Phase::Answered { leg };
            offer.answered = true;
        }
        self.own_leg(leg, Owner::Caller { call: id, own: Some(own) });
        Ok(())
    }

    fn take_into_queue(&mut self, id: CallId, leg: LegId, team: TeamId) {
        let answer = self.team(Some(team)).map_or(AnswerMode::AtOnce, |team| team.answer);
        match answer {
            AnswerMode::AtOnce => {
                self.outputs.push_back(Output::Ring { leg });
                self.answer_caller(id);
            }
            AnswerMode::WithAgent => self.outputs.push_back(Output::Progress { leg }),
        }
        let source = self.music(id);
        self.outputs.push_back(Output::Hear { leg, source });
        self.tell(id, Step::Queued { team });
        self.join_queue(id);
    }

    fn offer_directly(&mut self, id: CallId, seat: SeatId) {
        self.offer_seat(id, seat);
        // Between the look and the claim lies only the agent's own claim, when they call
        // themselves.
        if self.calls.get(&id).is_some_and(|call| call.state == State::Waiting) {
            self.end_call(id, End::Busy, Reason::AgentBusy, Some(486));
        }
    }

    fn dial_trunk(&mut self, id: CallId, trunk: TrunkId) {
        let offer = self.new_offer(id, Callee::Trunk(trunk), None);
        self.set_state(id, State::Offered { offer });
        self.tell(id, Step::Offered { offer, to: Party::Trunk(trunk) });
        self.outputs.push_back(Output::DialTrunk { offer, call: id, trunk });
    }

    /// Answers the caller, once.
    pub(super) fn answer_caller(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !call.answered {
            call.answered = true;
            let leg = call.caller;
            self.outputs.push_back(Output::Answer { leg });
            self.tell(id, Step::Answered);
        }
    }

    fn turn_away(&mut self, id: CallId, leg: LegId, no: No) {
        let No { status, end, reason, retry_after_seconds, warning } = no;
        self.set_state(id, State::Over);
        self.tell(id, Step::Over { end, reason });
        self.outputs.push_back(Output::Refuse { leg, status, retry_after_seconds, warning });
        self.outputs.push_back(Output::EndMedia { call: id });
    }
}
