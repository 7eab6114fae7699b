//! INVITE server transaction: RFC 3261 §17.2.1, as amended by RFC 6026 §7.1.
//!
//! Feed it the dialog's responses, repeated INVITEs, ACKs and the time. After every call drain
//! `poll_transmit`, then `poll_event`, then sleep until `poll_timeout`.

use super::{
    StatusClass,
    timers::{GIVE_UP, T1, T4, Timer, Timers, slower},
};
use crate::wire::Response;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Where the transaction is. Names are the RFC's, so its Figure 7 reads side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

/// What the dialog should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The ACK of a final response other than 2xx.
    Acked,
    /// Timer H: that ACK never came.
    TimedOut,
}

/// Whose ACK it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckFor {
    Transaction,
    /// RFC 6026 §7.1: in Accepted every ACK belongs to the dialog.
    Dialog,
}

#[derive(Debug)]
pub struct ServerInvite {
    state: State,
    /// The newest response, which answers every repeated INVITE.
    last: Vec<u8>,
    /// Over TCP nothing is repeated (§17.2.1).
    reliable: bool,
    resend_after: Duration,
    timers: Timers,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl ServerInvite {
    /// Of an INVITE that has just come; nothing is said yet.
    pub fn proceeding(reliable: bool) -> Self {
        Self {
            state: State::Proceeding,
            last: Vec::new(),
            reliable,
            resend_after: T1,
            timers: Timers::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The dialog answers. In Accepted that is the 2xx again: its repeats are the dialog's.
    pub fn respond(&mut self, response: &Response, now: Instant) {
        use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        use StatusClass::{Failure, Provisional, Success};
        match (self.state, StatusClass::of(response.status)) {
            (Proceeding, Provisional) => self.send(response),
            (Proceeding, Success) => {
                self.send(response);
                self.enter(Accepted, now);
            }
            (Proceeding, Failure) => {
                self.send(response);
                self.enter(Completed, now);
            }
            (Accepted, Success) => self.send(response),
            // The final response has been given: the dialog is late, and the peer has its answer.
            (Accepted, Provisional | Failure)
            | (Completed | Confirmed | Terminated, Provisional | Success | Failure) => {}
        }
    }

    /// The INVITE came again.
    pub fn handle_repeat(&mut self) {
        match self.state {
            State::Proceeding | State::Completed => {
                if !self.last.is_empty() {
                    self.transmits.push_back(self.last.clone());
                }
            }
            // RFC 6026 §7.1: absorbed; the dialog repeats its 2xx by its own clock.
            State::Accepted | State::Confirmed | State::Terminated => {}
        }
    }

    pub fn handle_ack(&mut self, now: Instant) -> AckFor {
        match self.state {
            State::Completed => {
                self.events.push_back(Event::Acked);
                self.enter(State::Confirmed, now);
                AckFor::Transaction
            }
            State::Accepted => AckFor::Dialog,
            State::Proceeding | State::Confirmed | State::Terminated => AckFor::Transaction,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            if timer == Timer::G {
                self.transmits.push_back(self.last.clone());
                self.resend_after = slower(self.resend_after);
                self.timers.arm(Timer::G, now + self.resend_after);
                continue;
            }
            if timer == Timer::H {
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

    fn send(&mut self, response: &Response) {
        self.last = response.to_bytes();
        self.transmits.push_back(self.last.clone());
    }

    /// The one place a state is entered, so the one place timers start and stop.
    fn enter(&mut self, next: State, now: Instant) {
        self.timers.stop_all();
        self.state = next;
        match next {
            State::Proceeding | State::Terminated => {}
            State::Accepted => self.timers.arm(Timer::L, now + GIVE_UP),
            State::Completed => {
                self.timers.arm(Timer::H, now + GIVE_UP);
                if !self.reliable {
                    self.timers.arm(Timer::G, now + self.resend_after);
                }
            }
            // Timer I is 0 where no ACK is repeated.
            State::Confirmed if self.reliable => self.enter(State::Terminated, now),
            State::Confirmed => self.timers.arm(Timer::I, now + T4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn refusal_is_resent_until_its_ack_then_given_up_at_32_s() {
        let start = Instant::now();
        let mut txn = ServerInvite::proceeding(false);
        txn.respond(&samples::response(486), start);
        let mut sent_at_ms = vec![];
        let mut now = start;

        while txn.state() != State::Terminated {
            while txn.poll_transmit().is_some() {
                sent_at_ms.push((now - start).as_millis());
            }
            (now, _) = txn.poll_timeout().expect("a refused INVITE always waits for its ACK");
            txn.handle_timeout(now);
        }

        let expected = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
        assert_eq!(sent_at_ms, expected);
        assert_eq!((now - start).as_secs(), 32);
        assert_eq!(txn.poll_event(), Some(Event::TimedOut));
    }

    #[test]
    fn the_ack_stops_the_refusal_and_is_told_once() {
        let start = Instant::now();
        let mut txn = ServerInvite::proceeding(false);
        txn.respond(&samples::response(486), start);
        let both = [txn.handle_ack(start), txn.handle_ack(start)];

        assert_eq!(both, [AckFor::Transaction; 2]);
        assert_eq!(std::iter::from_fn(|| txn.poll_event()).count(), 1);
        assert_eq!(txn.poll_timeout(), Some((start + T4, Timer::I)));
    }

    #[test]
    fn repeated_invite_gets_the_newest_provisional_answer_and_nothing_after_2xx() {
        let start = Instant::now();
        let mut txn = ServerInvite::proceeding(false);
        txn.handle_repeat();
        txn.respond(&samples::response(100), start);
        txn.respond(&samples::response(180), start);
        txn.handle_repeat();
        let before: Vec<_> = std::iter::from_fn(|| txn.poll_transmit()).collect();
        txn.respond(&samples::response(200), start);
        txn.handle_repeat();
        let after = std::iter::from_fn(|| txn.poll_transmit()).count();

        assert_eq!(before.len(), 3);
        assert_eq!(before[1], before[2]);
        assert_eq!(after, 1);
        assert_eq!(txn.poll_timeout(), Some((start + GIVE_UP, Timer::L)));
    }

    /// The whole machine on one page; a change of behaviour is a change of this table.
    #[test]
    fn transition_table() {
        let expected = "\
            Proceeding -> 180 Proceeding 200 Accepted   486 Completed  ACK Proceeding INVITE Proceeding timer Proceeding\n\
            Accepted   -> 180 Accepted   200 Accepted   486 Accepted   ACK Accepted   INVITE Accepted   timer Terminated\n\
            Completed  -> 180 Completed  200 Completed  486 Completed  ACK Confirmed  INVITE Completed  timer Terminated\n\
            Confirmed  -> 180 Confirmed  200 Confirmed  486 Confirmed  ACK Confirmed  INVITE Confirmed  timer Terminated\n\
            Terminated -> 180 Terminated 200 Terminated 486 Terminated ACK Terminated INVITE Terminated timer Terminated\n";
        assert_eq!(render_transitions(), expected);
    }

    fn render_transitions() -> String {
        let mut page = String::new();
        for state in ["Proceeding", "Accepted", "Completed", "Confirmed", "Terminated"] {
            page += &format!("{state:10} ->");
            for status in [180, 200, 486] {
                let (mut txn, now) = in_state(state);
                txn.respond(&samples::response(status), now);
                page += &format!(" {status} {:10}", format!("{:?}", txn.state()));
            }
            let (mut txn, now) = in_state(state);
            txn.handle_ack(now);
            page += &format!(" ACK {:10}", format!("{:?}", txn.state()));
            let (mut txn, now) = in_state(state);
            txn.handle_repeat();
            page += &format!(" INVITE {:10}", format!("{:?}", txn.state()));
            txn.handle_timeout(now + GIVE_UP);
            page += &format!(" timer {:?}\n", txn.state());
        }
        page
    }

    fn in_state(name: &str) -> (ServerInvite, Instant) {
        let now = Instant::now();
        let mut txn = ServerInvite::proceeding(false);
        match name {
            "Accepted" => txn.respond(&samples::response(200), now),
            "Completed" | "Confirmed" | "Terminated" => txn.respond(&samples::response(486), now),
            _ => {}
        }
        match name {
            "Confirmed" => _ = txn.handle_ack(now),
            "Terminated" => txn.handle_timeout(now + GIVE_UP),
            _ => {}
        }
        assert_eq!(format!("{:?}", txn.state()), name);
        (txn, now)
    }
}
