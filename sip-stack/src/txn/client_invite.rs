//! INVITE client transaction: RFC 3261 §17.1.1, as amended by RFC 6026 §7.2.
//!
//! Feed it responses and the time. After every call drain `poll_transmit`, then `poll_event`,
//! then sleep until `poll_timeout`.

use super::{
    StatusClass,
    timers::{ABSORB_FINAL, GIVE_UP, T1, Timer, Timers},
};
use crate::wire::{self, Request, Response};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Where the transaction is. Names are the RFC's, so its Figure 5 reads side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Calling,
    Proceeding,
    Accepted,
    Completed,
    Terminated,
}

/// What the dialog should know.
#[derive(Debug, PartialEq)]
pub enum Event {
    Response(Response),
    /// Timer B: no answer of any kind in 64*T1.
    TimedOut,
}

#[derive(Debug)]
pub struct ClientInvite {
    state: State,
    invite: Request,
    bytes: Vec<u8>,
    ack: Vec<u8>,
    /// Over TCP nothing is repeated (§17.1.1.2).
    reliable: bool,
    resend_after: Duration,
    timers: Timers,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    stray_responses: u64,
}

impl ClientInvite {
    pub fn new(invite: Request, reliable: bool, now: Instant) -> Self {
        let bytes = invite.to_bytes();
        let mut txn = Self {
            state: State::Calling,
            invite,
            transmits: VecDeque::from([bytes.clone()]),
            bytes,
            ack: Vec::new(),
            reliable,
            resend_after: T1,
            timers: Timers::default(),
            events: VecDeque::new(),
            stray_responses: 0,
        };
        txn.enter(State::Calling, now);
        txn
    }

    /// One that another process began, whose answers are still to come. `heard`: it had a
    /// provisional one. If not, the INVITE may have reached nobody or be ringing: it is sent again,
    /// and whoever has it says so.
    pub fn restored(invite: Request, reliable: bool, heard: bool, now: Instant) -> Self {
        let mut txn = Self::new(invite, reliable, now);
        if heard {
            txn.transmits.clear();
            txn.enter(State::Proceeding, now);
        }
        txn
    }

    pub fn handle_response(&mut self, response: Response, now: Instant) {
        use State::{Accepted, Calling, Completed, Proceeding, Terminated};
        use StatusClass::{Failure, Provisional, Success};
        match (self.state, StatusClass::of(response.status)) {
            (Calling | Proceeding, Provisional) => {
                self.enter(Proceeding, now);
                self.events.push_back(Event::Response(response));
            }
            (Calling | Proceeding, Success) => {
                self.enter(Accepted, now);
                self.events.push_back(Event::Response(response));
            }
            (Calling | Proceeding, Failure) => {
                self.ack = wire::ack_for_failure(&self.invite, &response).to_bytes();
                self.transmits.push_back(self.ack.clone());
                self.events.push_back(Event::Response(response));
                self.enter(Completed, now);
            }
            // RFC 6026 §7.2: each 2xx goes up; the dialog ACKs every one of them.
            (Accepted, Success) => self.events.push_back(Event::Response(response)),
            // §17.1.1.2: a repeated final response means our ACK was lost.
            (Completed, Failure) => self.transmits.push_back(self.ack.clone()),
            (Accepted, Provisional | Failure)
            | (Completed, Provisional | Success)
            | (Terminated, Provisional | Success | Failure) => self.stray_responses += 1,
        }
    }

    /// The INVITE cannot reach anybody (§17.1.4): like a 503, without the ACK that nobody would get.
    /// What has been answered goes on: the answers may come another way.
    pub fn handle_unreachable(&mut self, now: Instant) {
        if self.state == State::Calling {
            let response = wire::response_to(&self.invite, 503, None);
            self.events.push_back(Event::Response(response));
            self.enter(State::Terminated, now);
        }
    }

    /// The connection it went by is gone before anything was heard: it goes again, by another.
    pub fn send_again(&mut self) -> bool {
        let unheard = self.state == State::Calling;
        if unheard {
            self.transmits.push_back(self.bytes.clone());
        }
        unheard
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            if timer == Timer::A {
                self.transmits.push_back(self.bytes.clone());
                self.resend_after = self.resend_after.saturating_mul(2);
                self.timers.arm(Timer::A, now + self.resend_after);
                continue;
            }
            if timer == Timer::B {
                self.events.push_back(Event::TimedOut);
            }
            self.enter(State::Terminated, now);
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call `handle_timeout` next, and which timer asks for it.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    pub const fn state(&self) -> State {
        self.state
    }

    /// What was sent: the dialog builds its CANCEL from it (§9.1).
    pub const fn invite(&self) -> &Request {
        &self.invite
    }

    pub const fn stray_responses(&self) -> u64 {
        self.stray_responses
    }

    /// The one place a state is entered, so the one place timers start and stop.
    fn enter(&mut self, next: State, now: Instant) {
        self.timers.stop_all();
        self.state = next;
        match next {
            State::Calling => {
                if !self.reliable {
                    self.timers.arm(Timer::A, now + self.resend_after);
                }
                self.timers.arm(Timer::B, now + GIVE_UP);
            }
            // §17.1.1.2: no more resends; how long to let it ring is the dialog's choice.
            // Final: nothing is owed any more.
            State::Proceeding | State::Terminated => {}
            State::Accepted => self.timers.arm(Timer::M, now + GIVE_UP),
            // Timer D is 0 where no answer is repeated.
            State::Completed if self.reliable => self.enter(State::Terminated, now),
            State::Completed => self.timers.arm(Timer::D, now + ABSORB_FINAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn unanswered_invite_is_resent_with_doubling_gaps_then_times_out_at_32_s() {
        let start = Instant::now();
        let mut txn = ClientInvite::new(samples::request("INVITE"), false, start);
        let mut sent_at_ms = vec![];
        let mut now = start;

        while txn.state() != State::Terminated {
            while txn.poll_transmit().is_some() {
                sent_at_ms.push((now - start).as_millis());
            }
            (now, _) = txn.poll_timeout().expect("a live transaction always waits for something");
            txn.handle_timeout(now);
        }

        assert_eq!(sent_at_ms, [0, 500, 1500, 3500, 7500, 15500, 31500]);
        assert_eq!((now - start).as_secs(), 32);
        assert_eq!(txn.poll_event(), Some(Event::TimedOut));
    }

    #[test]
    fn repeated_final_answer_is_acknowledged_again_for_32_s() {
        let start = Instant::now();
        let mut txn = ClientInvite::new(samples::request("INVITE"), false, start);
        txn.handle_response(samples::response(486), start);
        txn.handle_response(samples::response(486), start + T1);
        let sent: Vec<_> = std::iter::from_fn(|| txn.poll_transmit()).collect();
        let due = txn.poll_timeout();

        assert_eq!(sent.len(), 3);
        assert!(sent[1].starts_with(b"ACK ") && sent[1] == sent[2]);
        assert_eq!(due, Some((start + ABSORB_FINAL, Timer::D)));
        assert_eq!(std::iter::from_fn(|| txn.poll_event()).count(), 1);
    }

    #[test]
    fn every_2xx_goes_up_until_timer_m() {
        let start = Instant::now();
        let mut txn = ClientInvite::new(samples::request("INVITE"), false, start);
        txn.handle_response(samples::response(200), start);
        txn.handle_response(samples::response(200), start + T1);
        let heard = std::iter::from_fn(|| txn.poll_event()).count();
        txn.handle_timeout(start + GIVE_UP);

        assert_eq!(heard, 2);
        assert_eq!(txn.state(), State::Terminated);
        assert_eq!(txn.poll_event(), None);
    }

    #[test]
    fn ringing_stops_the_repeats_and_waits_for_nobody() {
        let start = Instant::now();
        let mut txn = ClientInvite::new(samples::request("INVITE"), false, start);
        txn.handle_response(samples::response(180), start);

        assert_eq!(txn.poll_timeout(), None);
    }

    /// The whole machine on one page; a change of behaviour is a change of this table.
    #[test]
    fn transition_table() {
        let expected = "\
            Calling    -> 180 Proceeding 200 Accepted   486 Completed  timer Terminated\n\
            Proceeding -> 180 Proceeding 200 Accepted   486 Completed  timer Proceeding\n\
            Accepted   -> 180 Accepted   200 Accepted   486 Accepted   timer Terminated\n\
            Completed  -> 180 Completed  200 Completed  486 Completed  timer Terminated\n\
            Terminated -> 180 Terminated 200 Terminated 486 Terminated timer Terminated\n";
        assert_eq!(render_transitions(), expected);
    }

    fn render_transitions() -> String {
        let mut page = String::new();
        for state in ["Calling", "Proceeding", "Accepted", "Completed", "Terminated"] {
            page += &format!("{state:10} ->");
            for status in [180, 200, 486] {
                let (mut txn, now) = in_state(state);
                txn.handle_response(samples::response(status), now);
                page += &format!(" {status} {:10}", format!("{:?}", txn.state()));
            }
            let (mut txn, now) = in_state(state);
            txn.handle_timeout(now + GIVE_UP);
            page += &format!(" timer {:?}\n", txn.state());
        }
        page
    }

    fn in_state(name: &str) -> (ClientInvite, Instant) {
        let now = Instant::now();
        let mut txn = ClientInvite::new(samples::request("INVITE"), false, now);
        match name {
            "Proceeding" => txn.handle_response(samples::response(180), now),
            "Accepted" => txn.handle_response(samples::response(200), now),
            "Completed" => txn.handle_response(samples::response(486), now),
            "Terminated" => txn.handle_timeout(now + GIVE_UP),
            _ => {}
        }
        assert_eq!(format!("{:?}", txn.state()), name);
        (txn, now)
    }
}
