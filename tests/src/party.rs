//! People on the telephone: SIPp signals for them, a socket of the test's own is their voice and ear.

use crate::{
    appliance::Appliance,
    rtp_peer::{Heard, RtpPeer, Says},
    sipp::{Script, Sipp},
    tone::Law,
    trace::{Message, Way},
    wait,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Registers a phone at `local`, as its owner would; with `expires` 0 signs it out.
///
/// # Panics
/// If the registrar does not challenge and then accept it.
pub fn register(
    registrar: SocketAddr,
    user: &str,
    password: &str,
    local: SocketAddr,
    expires: u32,
) {
    let script = Script::new("phone_register", local)
        .to(registrar)
        .key("user", user)
        .key("domain", "clavija.test")
        .key("expires", expires.to_string());
    let digest = ["-au", user, "-ap", password, "-auth_uri", "clavija.test"];
    Sipp::start(digest.into_iter().fold(script, Script::arg)).finish();
}

/// Who answers: an agent's phone, or the far end of a trunk.
#[derive(Debug)]
pub struct Phone {
    sipp: Sipp,
    pub audio: RtpPeer,
}

impl Phone {
    /// A phone at `local` that speaks this tone when it talks and takes one call.
    ///
    /// # Panics
    /// If SIPp cannot listen there.
    pub fn wait_at(scenario: &'static str, local: SocketAddr, law: Law, hz: f64) -> Self {
        let audio = RtpPeer::open(local.ip(), law, Says::Tone { hz });
        let script = Script::new(scenario, local).audio(audio.port(), &[law]);
        Self { sipp: Sipp::start(script), audio }
    }

    /// As [`Self::wait_at`], for a talk of up to so many seconds.
    ///
    /// # Panics
    /// If SIPp cannot listen there.
    pub fn wait_long_at(scenario: &'static str, local: SocketAddr, hz: f64, seconds: u32) -> Self {
        let audio = RtpPeer::open(local.ip(), Law::A, Says::Tone { hz });
        let script = Script::new(scenario, local).audio(audio.port(), &[Law::A]);
        let script = script.arg("-timeout").arg(seconds.to_string());
        Self { sipp: Sipp::start(script), audio }
    }

    /// Whether it has been called.
    pub fn is_called(&self) -> bool {
        self.sipp.trace().iter().any(|m| m.is_request(Way::Received, "INVITE"))
    }

    /// Waits until it rings and gives the INVITE.
    ///
    /// # Panics
    /// If nobody calls.
    pub fn ring(&mut self) -> Message {
        self.sipp.wait_for("180 sent", |m| m.is_response(Way::Sent, "INVITE", 180));
        self.sipp.wait_for("INVITE", |m| m.is_request(Way::Received, "INVITE"))
    }

    /// Picks up, waits for the ACK and begins to speak.
    ///
    /// # Panics
    /// If it does not ring or no ACK comes.
    pub fn answer(&mut self) {
        let invite = self.ring();
        let (theirs, _) = invite.audio().expect("the INVITE has an offer");
        self.sipp.tell("ANSWER");
        self.sipp.wait_for("ACK", |m| m.is_request(Way::Received, "ACK"));
        self.audio.speak_to(theirs);
    }

    /// Says no: 486.
    ///
    /// # Panics
    /// If it does not ring.
    pub fn decline(&mut self) {
        self.ring();
        self.sipp.tell("DECLINE");
    }

    /// Hangs up.
    ///
    /// # Panics
    /// If it was never called.
    pub fn hang_up(&self) {
        self.sipp.tell("HANGUP");
    }

    /// Waits for the end of the call; gives what was signalled and what was heard.
    ///
    /// # Panics
    /// If the call went otherwise than its scenario.
    pub fn finish(self) -> (Vec<Message>, Heard) {
        (self.sipp.finish(), self.audio.stop())
    }
}

/// Waits until one of the two rings; gives that one first.
///
/// # Panics
/// If neither is called.
pub fn whoever_rings(one: Phone, other: Phone) -> (Phone, Phone) {
    let first = wait::until("either phone to be called", || {
        one.is_called().then_some(true).or_else(|| other.is_called().then_some(false))
    });
    if first { (one, other) } else { (other, one) }
}

/// Who calls from the trunk `carrier`.
#[derive(Debug)]
pub struct Caller {
    sipp: Sipp,
    pub audio: RtpPeer,
}

impl Caller {
    /// Calls `number` from `local` with these laws on offer, best first; speaks this tone once answered.
    ///
    /// # Panics
    /// If SIPp cannot start.
    pub fn dial(sip: SocketAddr, local: SocketAddr, number: &str, laws: &[Law], hz: f64) -> Self {
        Self::dial_as("carrier_call", sip, local, number, laws, hz)
    }

    /// As [`Self::dial`], over one TCP connection of its own; it cannot be told to hang up.
    ///
    /// # Panics
    /// If SIPp cannot start.
    pub fn dial_over_tcp(
        sip: SocketAddr,
        local: SocketAddr,
        number: &str,
        law: Law,
        hz: f64,
    ) -> Self {
        let audio = RtpPeer::open(local.ip(), law, Says::Tone { hz });
        let script = carrier_script("carrier_call", sip, local, number);
        let script = script.audio(audio.port(), &[law]).arg("-t").arg("t1");
        Self { sipp: Sipp::start(script), audio }
    }

    /// As [`Self::dial`], with another scenario.
    ///
    /// # Panics
    /// If SIPp cannot start.
    pub fn dial_as(
        scenario: &'static str,
        sip: SocketAddr,
        local: SocketAddr,
        number: &str,
        laws: &[Law],
        hz: f64,
    ) -> Self {
        let law = laws.first().copied().unwrap_or(Law::A);
        let audio = RtpPeer::open(local.ip(), law, Says::Tone { hz });
        let script = carrier_script(scenario, sip, local, number).audio(audio.port(), laws);
        Self { sipp: Sipp::start(script), audio }
    }

    /// A carrier whose calls live 90 seconds, unless they are refreshed; this one is given so many seconds to be over.
    ///
    /// # Panics
    /// If SIPp cannot start.
    pub fn dial_with_timer(
        sip: SocketAddr,
        local: SocketAddr,
        number: &str,
        hz: f64,
        seconds: u32,
    ) -> Self {
        let audio = RtpPeer::open(local.ip(), Law::A, Says::Tone { hz });
        let script = carrier_script("carrier_timer", sip, local, number);
        let script = script.audio(audio.port(), &[Law::A]).arg("-timeout").arg(seconds.to_string());
        Self { sipp: Sipp::start(script), audio }
    }

    /// Waits until the far side has refreshed the session so often.
    ///
    /// # Panics
    /// If it does not.
    pub fn await_refreshes(&mut self, count: usize) {
        for so_far in 1..=count {
            // The call's life, after which there is none.
            let patience = Duration::from_secs(90);
            self.sipp.look_within(patience, "refresh", |trace| {
                let updates = trace.iter().filter(|m| m.is_request(Way::Received, "UPDATE"));
                (updates.count() >= so_far).then_some(())
            });
        }
    }

    /// Waits for the 200 and begins to speak.
    ///
    /// # Panics
    /// If no 200 comes, or it names another codec than the best one offered.
    pub fn await_answer(&mut self) -> SocketAddr {
        let answer = self.sipp.wait_for("200", |m| m.is_response(Way::Received, "INVITE", 200));
        let (theirs, payload_type) = answer.audio().expect("the 200 has an answer");
        assert_eq!(
            payload_type,
            self.audio.law().payload_type(),
            "the caller's best codec is taken"
        );
        self.audio.speak_to(theirs);
        theirs
    }

    /// Waits for a provisional answer.
    ///
    /// # Panics
    /// If it does not come.
    pub fn await_progress(&mut self, status: u16) {
        self.sipp.wait_for("progress", |m| m.is_response(Way::Received, "INVITE", status));
    }

    /// Hangs up, or gives up while it rings.
    ///
    /// # Panics
    /// If nothing was received yet.
    pub fn hang_up(&self) {
        self.sipp.tell("HANGUP");
    }

    /// Waits for the end of the call; gives what was signalled and what was heard.
    ///
    /// # Panics
    /// If the call went otherwise than its scenario.
    pub fn finish(self) -> (Vec<Message>, Heard) {
        (self.sipp.finish(), self.audio.stop())
    }
}

/// A call that must be refused: gives the final answer.
///
/// # Panics
/// If it is not refused.
pub fn dial_in_vain(sip: SocketAddr, local: SocketAddr, number: &str, codecs: &str) -> Message {
    let script = carrier_script("carrier_refused", sip, local, number);
    let trace = Sipp::start(script.key("ap", "41000").key("codecs", codecs)).finish();
    let last = trace.into_iter().rev().find(|m| m.way == Way::Received && m.status() >= Some(300));
    last.expect("the scenario ends with a refusal")
}

fn carrier_script(
    scenario: &'static str,
    sip: SocketAddr,
    local: SocketAddr,
    number: &str,
) -> Script {
    Script::new(scenario, local).to(sip).key("from", "+541144440000").arg("-s").arg(number)
}

/// `127.0.0.x` with a port.
pub fn loopback(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, 0, last]), port)
}

/// A call to the contract's desk that is being talked: its name, who was called, who calls.
///
/// # Panics
/// If it does not come about.
pub fn talk_to_desk(
    appliance: &Appliance,
    caller_hz: f64,
    desk_hz: f64,
) -> (String, Phone, Caller) {
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, desk_hz);
    let carrier = loopback(2, 5062);
    let mut caller = Caller::dial(appliance.sip(), carrier, "+541155550101", &[Law::A], caller_hz);
    caller.await_answer();
    desk.answer();
    let call =
        appliance.await_call("talking")["id"].as_str().expect("a call has a name").to_owned();
    (call, desk, caller)
}
