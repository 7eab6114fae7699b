//! What callees and callers make of what they hear.

use super::{
    Calls, Timer,
    call::{Callee, Leg, Stage},
};
use crate::clock;
use crate::load::sip::{self, Text};
use std::{cmp::Reverse, io, net::SocketAddr, time::Duration};

impl Calls {
    pub(super) fn heard_by_callee(&mut self, bytes: &[u8], from: SocketAddr) -> io::Result<()> {
        let Some(request) = Text::read(bytes) else { return Ok(()) };
        let number = match request.tag_of_to() {
            Some(tag) => tag.strip_prefix('b').and_then(|number| number.parse().ok()),
            None => request.dialled().and_then(|user| user.strip_prefix('9')?.parse().ok()),
        };
        let number = number.filter(|&number: &usize| number < self.calls.len());
        match (request.method(), number) {
            (Some("INVITE"), Some(number)) => self.invited(number, &request, from),
            (Some("ACK"), Some(number)) => {
                self.calls[number].callee.acknowledged = true;
                Ok(())
            }
            (Some("BYE"), Some(number)) => {
                self.callee.send_to(&sip::response(&request, "200 OK", "", "", ""), from)?;
                self.callee_is_over(number);
                Ok(())
            }
            // A question whether we are there.
            (Some(_), _) => {
                let answer = sip::response(&request, "200 OK", "b", "", "");
                self.callee.send_to(&answer, from).map(drop)
            }
            (None, _) => Ok(()),
        }
    }

    fn invited(&mut self, number: usize, request: &Text<'_>, from: SocketAddr) -> io::Result<()> {
        let call = &mut self.calls[number];
        if call.callee.invited {
            self.tally.heard_again += 1;
            return self.callee.send_to(&call.callee.answer, from).map(drop);
        }
        let now = clock::now();
        if call.measured {
            self.tally.passed_on.add(now - call.asked);
        }
        let [ringing, answer] = self.parties.answers(number, request);
        self.callee.send_to(&ringing, from)?;
        self.callee.send_to(&answer, from)?;
        let (from, told) = (Some(from), self.parties.told(request));
        call.callee = Callee { invited: true, answer, from, told, ..Callee::default() };
        self.start_timers(number, Leg::Answer, now);
        Ok(())
    }

    fn callee_is_over(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if std::mem::replace(&mut call.callee.over, true) {
            self.tally.heard_again += u64::from(!call.failed);
        } else if call.is_over() {
            self.is_over(number);
        }
    }

    fn is_over(&mut self, number: usize) {
        self.live -= 1;
        let call = &mut self.calls[number];
        self.tally.whole += u64::from(call.measured);
        // Nothing of it is said again.
        (call.pending, call.ack, call.callee.answer) = Default::default();
    }

    pub(super) fn heard_by_caller(&mut self, bytes: &[u8], from: SocketAddr) -> io::Result<()> {
        let Some(text) = Text::read(bytes) else { return Ok(()) };
        let number = text.header("Call-ID").and_then(|id| id.split('-').next()?.parse().ok());
        let number = number.filter(|&number: &usize| number < self.calls.len());
        match (text.status(), number) {
            (Some(status), Some(number)) => match text.answers() {
                "INVITE" => self.invite_answered(number, status, &text),
                "BYE" => {
                    self.bye_answered(number, status);
                    Ok(())
                }
                _ => Ok(()),
            },
            (None, number) => {
                self.caller.send_to(&sip::response(&text, "200 OK", "a", "", ""), from)?;
                if let (Some("BYE"), Some(number)) = (text.method(), number) {
                    self.fail(number, "hung up by who stands between");
                }
                Ok(())
            }
            (Some(_), None) => Ok(()),
        }
    }

    fn invite_answered(&mut self, number: usize, status: u16, text: &Text<'_>) -> io::Result<()> {
        let now = clock::now();
        let call = &mut self.calls[number];
        let waits = matches!(call.stage, Stage::Calling | Stage::Proceeding);
        let took = now - call.asked;
        match status {
            100..200 if waits => {
                call.stage = Stage::Proceeding;
                if status == 180 && !std::mem::replace(&mut call.rang, true) && call.measured {
                    self.tally.ring.add(took);
                }
                Ok(())
            }
            100..200 => Ok(()),
            200..300 if waits => {
                if call.measured {
                    self.tally.answer.add(took);
                }
                self.answered(number, text, now)
            }
            200..300 => {
                self.tally.heard_again += 1;
                self.say(&self.calls[number].ack)
            }
            _ => {
                call.to = text.header("To").unwrap_or_default().to_owned();
                let ack = self.parties.ack_of_refusal(number, call);
                self.say(&ack)?;
                self.fail(number, &format!("INVITE answered with {status}"));
                Ok(())
            }
        }
    }

    fn answered(&mut self, number: usize, text: &Text<'_>, now: Duration) -> io::Result<()> {
        let call = &mut self.calls[number];
        call.stage = Stage::Talking;
        call.to = text.header("To").unwrap_or_default().to_owned();
        call.remote = text.contact().unwrap_or_default().to_owned();
        call.routes = text.routes();
        call.told = self.parties.told(text);
        let hold = call.hold;
        let ack = self.parties.ack(number, call);
        self.say(&ack)?;
        self.calls[number].ack = ack;
        if let Some(hold) = hold {
            self.timers.push(Reverse((now + hold, number, Timer::HangUp)));
        }
        Ok(())
    }

    fn bye_answered(&mut self, number: usize, status: u16) {
        let call = &mut self.calls[number];
        match status {
            _ if call.stage != Stage::Leaving => {
                self.tally.heard_again += u64::from(!call.failed);
            }
            100..200 => {}
            200..300 => {
                call.stage = Stage::Over;
                if call.measured {
                    self.tally.bye.add(clock::now() - call.asked);
                }
                if call.is_over() {
                    self.is_over(number);
                }
            }
            _ => self.fail(number, &format!("BYE answered with {status}")),
        }
    }
}
