//! INVITEs whose calls are over. One that comes again, late or by another way, is not a new call
//! (RFC 3261 §8.2.2.2), also when the process that took the call is gone.

use crate::{
    dialog::invite::{MadeBy, branch},
    note::{FINISHED_FOR, FinishedNote},
    wire::Request,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    net::IpAddr,
    time::Instant,
};

/// How many are remembered, some 20 MB of them: twice what a box that carries 1,000 calls a second ends in
/// [`FINISHED_FOR`]. Beyond it the oldest is forgotten.
const CALLS_MAX: usize = 65_536;
/// A longer name is remembered by its digest: who writes long ones pushes nobody else out.
const NAME_BYTES: usize = 32;

/// Call-ID and From tag, short.
type Name = (String, String);

#[derive(Debug)]
struct Call {
    /// Up to which CSeq.
    sequence: u32,
    /// Only what comes by this branch is a copy; `None`: whatever has these names.
    branch: Option<String>,
    until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Finished {
    calls: BTreeMap<Name, Call>,
    /// By when they are forgotten, with the host of the caller.
    order: VecDeque<(Instant, Name, IpAddr)>,
    /// Until when it may still repeat itself, though it is no trunk and no phone.
    hosts: BTreeMap<IpAddr, Instant>,
    untold: VecDeque<FinishedNote>,
}

impl Finished {
    /// The call of this INVITE is over.
    pub(super) fn finish(&mut self, invite: MadeBy, now: Instant) {
        let MadeBy { call_id, from_tag, sequence, branch, host } = invite;
        let (call_id, from_tag) = (short(call_id), short(from_tag));
        let (branch, until) = (branch.map(short), now + FINISHED_FOR);
        let note = FinishedNote { call_id, from_tag, sequence, branch, host, until };
        self.untold.push_back(note.clone());
        self.insert(note, now);
    }

    /// Notes come in the order in which they run out.
    pub(super) fn insert(&mut self, note: FinishedNote, now: Instant) {
        let FinishedNote { call_id, from_tag, sequence, branch, host, until } = note;
        if until <= now {
            return;
        }
        // An older version has written them as they were.
        let (name, branch) = ((short(call_id), short(from_tag)), branch.map(short));
        self.calls.insert(name.clone(), Call { sequence, branch, until });
        self.hosts.insert(host, until);
        self.order.push_back((until, name, host));
        while self.order.front().is_some_and(|(until, ..)| *until <= now || self.is_full()) {
            self.forget_oldest();
        }
    }

    pub(super) fn began_with(&self, invite: &Request, now: Instant) -> bool {
        let sequence = invite.headers.cseq().map(|(sequence, _)| sequence);
        self.call_of(invite, now).is_some_and(|call| {
            sequence.is_ok_and(|sequence| sequence <= call.sequence)
                && call.branch.as_ref().is_none_or(|by| *by == short(branch(invite)))
        })
    }

    /// Whether the caller of such a call says this.
    pub(super) fn is_of(&self, request: &Request, now: Instant) -> bool {
        self.call_of(request, now).is_some()
    }

    fn call_of(&self, request: &Request, now: Instant) -> Option<&Call> {
        let (call_id, from) = (request.headers.call_id().ok()?, request.headers.from().ok()?);
        let tag = from.tag().unwrap_or_default();
        let name = (short(call_id.to_owned()), short(tag.to_owned()));
        self.calls.get(&name).filter(|call| now < call.until)
    }

    pub(super) fn knows_host(&self, host: IpAddr, now: Instant) -> bool {
        self.hosts.get(&host).is_some_and(|&until| now < until)
    }

    pub(super) fn poll_note(&mut self) -> Option<FinishedNote> {
        self.untold.pop_front()
    }

    /// All that is remembered, oldest first.
    pub(super) fn notes(&self, now: Instant) -> impl Iterator<Item = FinishedNote> {
        let live = self.order.iter().filter(move |(until, ..)| *until > now);
        live.filter_map(|(until, name, host)| {
            let call = self.calls.get(name).filter(|call| call.until == *until)?;
            let (call_id, from_tag) = name.clone();
            let (sequence, branch) = (call.sequence, call.branch.clone());
            Some(FinishedNote { call_id, from_tag, sequence, branch, host: *host, until: *until })
        })
    }

    fn is_full(&self) -> bool {
        self.order.len() > CALLS_MAX
    }

    fn forget_oldest(&mut self) {
        let Some((until, name, host)) = self.order.pop_front() else { return };
        // The same names may have made a later call.
        if self.calls.get(&name).is_some_and(|call| call.until == until) {
            self.calls.remove(&name);
        }
        if self.hosts.get(&host) == Some(&until) {
            self.hosts.remove(&host);
        }
    }
}

/// Without a key: the next process has to find it too, and who makes two of their own names collide
/// loses their own call.
fn short(name: String) -> String {
    if name.len() <= NAME_BYTES {
        return name;
    }
    let mut hex = String::with_capacity(NAME_BYTES);
    for byte in Sha256::digest(name).iter().take(NAME_BYTES / 2) {
        write!(hex, "{byte:02x}").expect("a string takes what is written");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Headers, Method};
    use std::time::Duration;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn made(call_id: impl Into<String>, sequence: u32) -> MadeBy {
        let (call_id, from_tag) = (call_id.into(), "a".into());
        MadeBy { call_id, from_tag, sequence, branch: None, host: HOST }
    }

    fn invite(call_id: &str, sequence: u32) -> Request {
        let mut headers = Headers::new();
        headers.push("From", "<sip:1@192.0.2.1>;tag=a");
        headers.push("Call-ID", call_id);
        headers.push("CSeq", format!("{sequence} INVITE"));
        Request {
            method: Method::Invite,
            uri: "sip:100@198.51.100.1".into(),
            headers,
            body: vec![],
        }
    }

    #[test]
    fn an_invite_is_known_for_32_seconds_after_its_call_and_a_later_one_of_the_caller_is_new() {
        let (mut finished, now) = (Finished::default(), Instant::now());

        finished.finish(made("one", 7), now);

        let almost = now + FINISHED_FOR - Duration::from_millis(1);
        assert!(finished.began_with(&invite("one", 7), almost));
        assert!(finished.began_with(&invite("one", 1), almost));
        assert!(!finished.began_with(&invite("one", 8), almost), "a new try");
        assert!(!finished.began_with(&invite("two", 7), almost));
        assert!(!finished.began_with(&invite("one", 7), now + FINISHED_FOR));
        assert!(
            finished.knows_host(HOST, almost) && !finished.knows_host(HOST, now + FINISHED_FOR)
        );
    }

    #[test]
    fn a_second_call_of_the_same_names_is_remembered_for_its_own_time() {
        let (mut finished, now) = (Finished::default(), Instant::now());
        finished.finish(made("one", 1), now);
        finished.finish(made("one", 2), now + Duration::from_secs(20));

        // Forgets what has run out by then.
        finished.finish(made("two", 1), now + FINISHED_FOR);

        assert!(finished.began_with(&invite("one", 2), now + FINISHED_FOR));
        let kept: Vec<_> = finished.notes(now + FINISHED_FOR).map(|note| note.call_id).collect();
        assert_eq!(kept, ["one", "two"]);
    }

    #[test]
    fn names_of_any_length_take_no_more_than_the_room_there_is_and_the_oldest_goes() {
        let (mut finished, now) = (Finished::default(), Instant::now());
        let long = "x".repeat(1_000);

        for call in 0..=CALLS_MAX {
            finished.finish(made(format!("{long}{call}"), 1), now);
        }

        assert_eq!((finished.calls.len(), finished.order.len()), (CALLS_MAX, CALLS_MAX));
        assert!(finished.order.iter().all(|(_, name, _)| name.0.len() <= NAME_BYTES));
        assert!(!finished.began_with(&invite(&format!("{long}0"), 1), now));
        assert!(finished.began_with(&invite(&format!("{long}1"), 1), now));
        assert!(finished.began_with(&invite(&format!("{long}{CALLS_MAX}"), 1), now));
    }

    #[test]
    fn who_writes_names_of_60_kb_pushes_no_other_call_out_of_the_memory() {
        let (mut finished, now) = (Finished::default(), Instant::now());
        let long = "x".repeat(60_000);
        finished.finish(made("one", 1), now);

        for call in 0..200 {
            finished.finish(made(format!("{long}{call}"), 1), now);
        }

        assert!(finished.began_with(&invite("one", 1), now));
        let told = std::iter::from_fn(|| finished.poll_note());
        assert!(told.map(|note| note.call_id.len()).all(|length| length <= NAME_BYTES));
    }

    #[test]
    fn a_long_name_is_known_to_the_next_process_also_from_an_older_versions_journal() {
        let (mut before, mut next, now) =
            (Finished::default(), Finished::default(), Instant::now());
        let long = "x".repeat(99);
        before.finish(made(long.clone(), 1), now);
        before.notes(now).for_each(|note| next.insert(note, now));
        let (from_tag, until) = ("a".into(), now + FINISHED_FOR);
        let call_id = format!("{long}old");
        let old = FinishedNote { call_id, from_tag, sequence: 1, branch: None, host: HOST, until };
        next.insert(old, now);

        assert!(next.began_with(&invite(&long, 1), now));
        assert!(next.began_with(&invite(&format!("{long}old"), 1), now));
        assert!(!next.began_with(&invite(&format!("{long}new"), 1), now));
    }
}
