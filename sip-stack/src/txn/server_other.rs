//! Non-INVITE server transaction: RFC 3261 §17.2.2.
//!
//! Feed it the response, repeated requests and the time. After every call drain
//! `poll_transmit`, then sleep until `poll_timeout`. It has nothing to tell anybody.

use super::{
    StatusClass,
    timers::{GIVE_UP, Timer, Timers},
};
use crate::wire::Response;
use std::{collections::VecDeque, time::Instant};

/// Where the transaction is. Names are the RFC's, so its Figure 8 reads side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Debug)]
pub struct ServerOther {
    state: State,
    last: Vec<u8>,
    /// Over TCP no request comes again (§17.2.2).
    reliable: bool,
    timers: Timers,
    transmits: VecDeque<Vec<u8>>,
}

impl ServerOther {
    /// Of a request that has just come; nothing is said yet.
    pub fn trying(reliable: bool) -> Self {
        Self {
            state: State::Trying,
            last: Vec::new(),
            reliable,
            timers: Timers::default(),
            transmits: VecDeque::new(),
        }
    }

    pub fn respond(&mut self, response: &Response, now: Instant) {
        use State::{Completed, Proceeding, Terminated, Trying};
        use StatusClass::{Failure, Provisional, Success};
        match (self.state, StatusClass::of(response.status)) {
            (Trying | Proceeding, Provisional) => {
                self.send(response);
                self.enter(Proceeding, now);
            }
            (Trying | Proceeding, Success | Failure) => {
                self.send(response);
                self.enter(Completed, now);
            }
            // §17.2.2: whatever else it is told is discarded.
            (Completed | Terminated, Provisional | Success | Failure) => {}
        }
    }

    /// The request came again.
    pub fn handle_repeat(&mut self) {
        match self.state {
            State::Proceeding | State::Completed => self.transmits.push_back(self.last.clone()),
            State::Trying | State::Terminated => {}
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.timers.take_due(now).is_some() {
            self.enter(State::Terminated, now);
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// When to call `handle_timeout` next, and which timer asks for it.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    pub const fn state(&self) -> State {
        self.state
    }

    fn send(&mut self, response: &Response) {
        self.last = response.to_bytes();
        self.transmits.push_back(self.last.clone());
    }

    /// The one place a state is entered, so the one place timers start and stop.
    fn enter(&mut self, next: State, now: Instant) {
        self.timers.stop_all();
        self.state = next;
        match next {
            State::Trying | State::Proceeding | State::Terminated => {}
            // Timer J is 0.
            State::Completed if self.reliable => self.enter(State::Terminated, now),
            State::Completed => self.timers.arm(Timer::J, now + GIVE_UP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn repeats_get_the_same_answer_for_32_s() {
        let start = Instant::now();
        let mut txn = ServerOther::trying(false);
        txn.respond(&samples::response(200), start);
        txn.handle_repeat();
        let sent: Vec<_> = std::iter::from_fn(|| txn.poll_transmit()).collect();

        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
        assert_eq!(txn.poll_timeout(), Some((start + GIVE_UP, Timer::J)));
    }

    #[test]
    fn a_repeat_before_the_answer_is_absorbed() {
        let mut txn = ServerOther::trying(false);
        txn.handle_repeat();

        assert_eq!(txn.poll_transmit(), None);
    }

    /// The whole machine on one page; a change of behaviour is a change of this table.
    #[test]
    fn transition_table() {
        let expected = "\
            Trying     -> 100 Proceeding 200 Completed  486 Completed  again Trying     timer Trying\n\
            Proceeding -> 100 Proceeding 200 Completed  486 Completed  again Proceeding timer Proceeding\n\
            Completed  -> 100 Completed  200 Completed  486 Completed  again Completed  timer Terminated\n\
            Terminated -> 100 Terminated 200 Terminated 486 Terminated again Terminated timer Terminated\n";
        assert_eq!(render_transitions(), expected);
    }

    fn render_transitions() -> String {
        let mut page = String::new();
        for state in ["Trying", "Proceeding", "Completed", "Terminated"] {
            page += &format!("{state:10} ->");
            for status in [100, 200, 486] {
                let (mut txn, now) = in_state(state);
                txn.respond(&samples::response(status), now);
                page += &format!(" {status} {:10}", format!("{:?}", txn.state()));
            }
            let (mut txn, now) = in_state(state);
            txn.handle_repeat();
            page += &format!(" again {:10}", format!("{:?}", txn.state()));
            txn.handle_timeout(now + GIVE_UP);
            page += &format!(" timer {:?}\n", txn.state());
        }
        page
    }

    fn in_state(name: &str) -> (ServerOther, Instant) {
        let now = Instant::now();
        let mut txn = ServerOther::trying(false);
        match name {
            "Proceeding" => txn.respond(&samples::response(100), now),
            "Completed" | "Terminated" => txn.respond(&samples::response(200), now),
            _ => {}
        }
        if name == "Terminated" {
            txn.handle_timeout(now + GIVE_UP);
        }
        assert_eq!(format!("{:?}", txn.state()), name);
        (txn, now)
    }
}
