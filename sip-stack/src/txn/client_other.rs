//! Non-INVITE client transaction: RFC 3261 §17.1.2.
//!
//! Feed it responses and the time. After every call drain `poll_transmit`, then `poll_event`,
//! then sleep until `poll_timeout`.

use super::{
    StatusClass,
    timers::{GIVE_UP, T1, T2, T4, Timer, Timers, slower},
};
use crate::wire::{Request, Response};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Where the transaction is. Names are the RFC's, so its Figure 6 reads side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// What the dialog should know.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The final response; provisional ones mean nothing to anybody here.
    Response(Response),
    /// Timer F: no final response in 64*T1.
    TimedOut,
    /// There is no way to the far side (§17.1.4).
    Unreachable,
}

#[derive(Debug)]
pub struct ClientOther {
    state: State,
    bytes: Vec<u8>,
    give_up_at: Instant,
    /// Over TCP nothing is repeated (§17.1.2.2).
    reliable: bool,
    resend_after: Duration,
    timers: Timers,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    stray_responses: u64,
}

impl ClientOther {
    pub fn new(request: &Request, reliable: bool, now: Instant) -> Self {
        let bytes = request.to_bytes();
        let mut txn = Self {
            state: State::Trying,
            transmits: VecDeque::from([bytes.clone()]),
            bytes,
            give_up_at: now + GIVE_UP,
            reliable,
            resend_after: T1,
            timers: Timers::default(),
            events: VecDeque::new(),
            stray_responses: 0,
        };
        txn.enter(State::Trying, now);
        txn
    }

    pub fn handle_response(&mut self, response: Response, now: Instant) {
        use State::{Completed, Proceeding, Terminated, Trying};
        use StatusClass::{Failure, Provisional, Success};
        match (self.state, StatusClass::of(response.status)) {
            (Trying, Provisional) => self.enter(Proceeding, now),
            (Trying | Proceeding, Success | Failure) => {
                self.events.push_back(Event::Response(response));
                self.enter(Completed, now);
            }
            // §17.1.2.2: neither changes anything; Timer E goes on in Proceeding.
            (Proceeding, Provisional) | (Completed, Provisional | Success | Failure) => {}
            (Terminated, Provisional | Success | Failure) => self.stray_responses += 1,
        }
    }

    /// The request cannot reach anybody (§17.1.4).
    pub fn handle_unreachable(&mut self, now: Instant) {
        if matches!(self.state, State::Trying | State::Proceeding) {
            self.events.push_back(Event::Unreachable);
            self.enter(State::Terminated, now);
        }
    }

    /// The connection it went by is gone before its answer: it goes again, by another.
    pub fn send_again(&mut self) -> bool {
        let unanswered = matches!(self.state, State::Trying | State::Proceeding);
        if unanswered {
            self.transmits.push_back(self.bytes.clone());
        }
        unanswered
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            if timer == Timer::E {
                self.transmits.push_back(self.bytes.clone());
                // §17.1.2.2: in Proceeding the gap is T2 at once.
                self.resend_after = match self.state {
                    State::Trying => slower(self.resend_after),
                    State::Proceeding | State::Completed | State::Terminated => T2,
                };
                self.timers.arm(Timer::E, now + self.resend_after);
                continue;
            }
            if timer == Timer::F {
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

    pub const fn stray_responses(&self) -> u64 {
        self.stray_responses
    }

    /// The one place a state is entered, so the one place timers start and stop.
    fn enter(&mut self, next: State, now: Instant) {
        self.timers.stop_all();
        self.state = next;
        match next {
            State::Trying | State::Proceeding => {
                self.timers.arm(Timer::F, self.give_up_at);
                if !self.reliable {
                    self.timers.arm(Timer::E, now + self.resend_after);
                }
            }
            // Timer K is 0 where no answer is repeated.
            State::Completed if self.reliable => self.enter(State::Terminated, now),
            State::Completed => self.timers.arm(Timer::K, now + T4),
            State::Terminated => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn unanswered_request_is_resent_with_gaps_up_to_4_s_then_times_out_at_32_s() {
        let start = Instant::now();
        let mut txn = ClientOther::new(&samples::request("BYE"), false, start);
        let mut sent_at_ms = vec![];
        let mut now = start;

        while txn.state() != State::Terminated {
            while txn.poll_transmit().is_some() {
                sent_at_ms.push((now - start).as_millis());
            }
            (now, _) = txn.poll_timeout().expect("a live transaction always waits for something");
            txn.handle_timeout(now);
        }

        let expected = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
        assert_eq!(sent_at_ms, expected);
        assert_eq!((now - start).as_secs(), 32);
        assert_eq!(txn.poll_event(), Some(Event::TimedOut));
    }

    #[test]
    fn a_provisional_answer_slows_the_repeats_and_does_not_move_the_end() {
        let start = Instant::now();
        let mut txn = ClientOther::new(&samples::request("BYE"), false, start);
        txn.handle_response(samples::response(100), start);
        txn.handle_timeout(start + T1);

        assert_eq!(txn.poll_timeout(), Some((start + T1 + T2, Timer::E)));
        txn.handle_timeout(start + GIVE_UP);
        assert_eq!(txn.state(), State::Terminated);
    }

    #[test]
    fn the_final_answer_goes_up_once() {
        let start = Instant::now();
        let mut txn = ClientOther::new(&samples::request("BYE"), false, start);
        txn.handle_response(samples::response(200), start);
        txn.handle_response(samples::response(200), start);

        assert_eq!(std::iter::from_fn(|| txn.poll_event()).count(), 1);
        assert_eq!(txn.poll_timeout(), Some((start + T4, Timer::K)));
    }

    /// The whole machine on one page; a change of behaviour is a change of this table.
    #[test]
    fn transition_table() {
        let expected = "\
            Trying     -> 100 Proceeding 200 Completed  486 Completed  timer Terminated\n\
            Proceeding -> 100 Proceeding 200 Completed  486 Completed  timer Terminated\n\
            Completed  -> 100 Completed  200 Completed  486 Completed  timer Terminated\n\
            Terminated -> 100 Terminated 200 Terminated 486 Terminated timer Terminated\n";
        assert_eq!(render_transitions(), expected);
    }

    fn render_transitions() -> String {
        let mut page = String::new();
        for state in ["Trying", "Proceeding", "Completed", "Terminated"] {
            page += &format!("{state:10} ->");
            for status in [100, 200, 486] {
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

    fn in_state(name: &str) -> (ClientOther, Instant) {
        let now = Instant::now();
        let mut txn = ClientOther::new(&samples::request("BYE"), false, now);
        match name {
            "Proceeding" => txn.handle_response(samples::response(100), now),
            "Completed" => txn.handle_response(samples::response(200), now),
            "Terminated" => txn.handle_timeout(now + GIVE_UP),
            _ => {}
        }
        assert_eq!(format!("{:?}", txn.state()), name);
        (txn, now)
    }
}
