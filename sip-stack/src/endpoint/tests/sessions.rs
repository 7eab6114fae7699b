//! Session timers (RFC 4028) in calls: refreshed by either side, by UPDATE and re-INVITE, too brief, forgotten, over.

use super::*;
use crate::wire::Method;

/// What a far side has to do with session timers.
#[derive(Clone, Copy, Debug)]
struct Far {
    /// Session-Expires of its INVITE or of its 2xx.
    expires: Option<(u32, &'static str)>,
    updates: bool,
    placed: bool,
}

impl Far {
    fn lines(self) -> String {
        let allow = if self.updates { "INVITE, ACK, BYE, UPDATE" } else { "INVITE, ACK, BYE" };
        let mut lines = format!("Supported: timer\r\nAllow: {allow}\r\n");
        if let Some((seconds, role)) = self.expires {
            write!(lines, "Session-Expires: {seconds}{role}\r\n").unwrap();
        }
        lines
    }
}

/// Their answer to a request of ours, with these lines.
fn answer_with(request: &Request, status: u16, lines: &[(&str, &str)], body: &str) -> String {
    let mut response = crate::wire::response_to(request, status, Some("theirs"));
    response.headers.push("Contact", "<sip:192.0.2.1:5060>");
    lines.iter().for_each(|(name, value)| response.headers.push(name, *value));
    if !body.is_empty() {
        response.headers.push("Content-Type", "application/sdp");
        response.body = body.into();
    }
    String::from_utf8(response.to_bytes()).unwrap()
}

fn expires(headers: &crate::wire::Headers) -> Option<(u32, bool)> {
    let value = headers.text("Session-Expires")?;
    let (seconds, role) = value.split_once(';').unwrap_or((value, ""));
    Some((seconds.parse().unwrap(), role == "refresher=uac"))
}

/// A call and what the far side knows of it.
struct Session {
    bench: Bench,
    leg: LegId,
    far: Far,
    tag: String,
    call_id: String,
    sequence: u32,
    /// The life that was agreed, in seconds, and whether they refresh.
    agreed: Option<(u32, bool)>,
    refreshed: Instant,
    /// By what method each refresh of ours came.
    ours: Vec<String>,
}

impl Session {
    fn new(far: Far) -> Self {
        let mut bench = Bench::new();
        let (leg, tag, call_id, agreed) = if far.placed {
            let leg = bench.endpoint.invite(call_to(CARRIER, Some(TrunkId(0))), bench.now);
            let invite = request_in(&bench.sent(), "INVITE");
            assert_eq!(expires(&invite.headers), Some((1_800, false)));
            let allow = if far.updates { "INVITE, UPDATE" } else { "INVITE" };
            let grants = far.expires.map(|(seconds, role)| format!("{seconds}{role}"));
            let mut lines = vec![("Allow", allow)];
            lines.extend(grants.as_deref().map(|grants| ("Session-Expires", grants)));
            let ack = bench.feed(CARRIER, &answer_with(&invite, 200, &lines, SDP));
            assert_eq!(methods(&ack), ["ACK"]);
            let tag = invite.headers.from().unwrap().tag().unwrap().to_owned();
            let call_id = invite.headers.call_id().unwrap().to_owned();
            let agreed = far.expires.map(|(seconds, role)| (seconds, role == ";refresher=uas"));
            (leg, tag, call_id, agreed)
        } else {
            let leg =
                bench.invited(CARRIER, &request("INVITE", "i1", "", 1, &with_sdp(&far.lines())));
            bench.endpoint.answer(leg, SDP.into(), bench.now);
            let ok = response_in(&bench.sent());
            let tag = to_tag(&ok);
            bench.feed(CARRIER, &in_dialog("ACK", &tag, 1, ""));
            (leg, tag, "call@192.0.2.1".to_owned(), expires(&ok.headers))
        };
        bench.events();
        let refreshed = bench.now;
        Self { bench, leg, far, tag, call_id, sequence: 1, agreed, refreshed, ours: vec![] }
    }

    /// A request of theirs inside the call.
    fn asks(&mut self, method: &str, lines: &str) -> Vec<Message> {
        self.sequence += 1;
        let text = in_dialog(method, &self.tag, self.sequence, lines);
        self.bench.feed(CARRIER, &text.replace("call@192.0.2.1", &self.call_id))
    }

    /// Ten seconds, in which they answer all that we ask as soon as we do.
    fn pass(&mut self) {
        let end = self.bench.now + Duration::from_secs(10);
        while self.bench.now < end {
            let due = self.bench.endpoint.poll_timeout().map_or(end, |(due, _)| due.min(end));
            let sent = self.bench.pass(due.saturating_duration_since(self.bench.now));
            sent.into_iter().for_each(|(_, message)| self.answer(message));
        }
    }

    fn answer(&mut self, message: Message) {
        let Message::Request(request) = message else { return };
        let (seconds, uac) = expires(&request.headers).expect("only refreshes are sent");
        self.ours.push(request.method.to_string());
        assert!(self.bench.now - self.refreshed <= Duration::from_secs(seconds.into()));
        let grants = format!("{seconds};refresher={}", if uac { "uac" } else { "uas" });
        let invites = request.method == Method::Invite;
        let lines = [("Session-Expires", grants.as_str())];
        let ok = answer_with(&request, 200, &lines, if invites { SDP } else { "" });
        let acks = self.bench.feed(CARRIER, &ok);
        assert_eq!(methods(&acks).len(), usize::from(invites));
        self.refreshed = self.bench.now;
    }

    /// Their refresh.
    fn refreshes(&mut self) {
        let (method, extra) = match self.far.updates {
            true => ("UPDATE", self.far.lines()),
            false => ("INVITE", with_sdp(&self.far.lines())),
        };
        let mut sent = self.asks(method, &extra);
        if method == "INVITE" {
            self.bench.endpoint.answer_reoffer(self.leg, Ok(SDP.into()), self.bench.now);
            sent = self.bench.sent();
            let sequence = self.sequence;
            self.sequence -= 1;
            self.asks("ACK", "");
            self.sequence = sequence;
        }
        let ok = response_in(&sent);
        assert_eq!(ok.status, 200);
        self.agreed = expires(&ok.headers);
        self.refreshed = self.bench.now;
    }
}

#[test]
fn two_hours_of_talk_are_lost_under_no_combination_of_session_timers() {
    let lives = [90, 300, 1_800, 3_600];
    let roles = ["", ";refresher=uac", ";refresher=uas"];
    let expires = lives.iter().flat_map(|life| roles.map(|role| Some((*life, role))));
    let expires: Vec<_> = expires.chain([None]).collect();
    for (expires, updates, placed) in expires.iter().flat_map(|expires| {
        [(true, true), (true, false), (false, true), (false, false)]
            .map(|(updates, placed)| (*expires, updates, placed))
    }) {
        let far = Far { expires, updates, placed };
        let mut session = Session::new(far);
        assert_eq!(session.agreed.map(|(life, _)| life), expires.map(|(life, _)| life), "{far:?}");
        for _ in 0..720 {
            let since = session.bench.now - session.refreshed;
            if let Some((life, true)) = session.agreed
                && since >= Duration::from_secs((life / 2).into())
            {
                session.refreshes();
            }
            session.pass();
        }

        let ends = session.bench.events();
        let ends =
            ends.iter().any(|event| matches!(event, Event::Left { .. } | Event::Ended { .. }));
        assert!(!ends && session.bench.endpoint.legs() == 1, "{far:?}");
        let ours = session.ours.len();
        match session.agreed {
            None | Some((_, true)) => assert_eq!(ours, 0, "{far:?}"),
            Some((life, false)) => {
                assert!(ours >= (7_200 / life) as usize, "{far:?}: {ours}");
                let by = if updates { "UPDATE" } else { "INVITE" };
                assert!(session.ours.iter().all(|method| method == by), "{far:?}");
            }
        }
        session.bench.endpoint.hang_up(session.leg, HangUp::Normal, session.bench.now);
        assert_eq!(methods(&session.bench.sent()), ["BYE"], "{far:?}");
    }
}

#[test]
fn a_far_side_that_forgets_its_refresh_is_refreshed_and_keeps_the_call() {
    let far = Far { expires: Some((1_800, ";refresher=uac")), updates: true, placed: false };
    let mut session = Session::new(far);
    for _ in 0..720 {
        session.pass();
    }

    assert_eq!(session.ours.len(), 4, "1,768 s after the one before");
    assert_eq!(session.bench.endpoint.legs(), 1);
}

#[test]
fn a_session_that_nobody_can_refresh_is_hung_up_when_its_life_is_over_and_not_before() {
    let far = Far { expires: Some((90, "")), updates: true, placed: false };
    let mut session = Session::new(far);
    let mut tries = 0;
    for second in 1..=90_u32 {
        for (_, message) in session.bench.pass(Duration::from_secs(1)) {
            let Message::Request(request) = message else { continue };
            if request.method == Method::Update {
                tries += 1;
                session.bench.feed(CARRIER, &answer_with(&request, 503, &[], ""));
            } else {
                assert_eq!((request.method.as_str(), second), ("BYE", 90));
            }
        }
    }

    assert_eq!(tries, 5, "45, 55, 65, 75 and 85 s");
    let left = session.bench.events();
    assert!(left.iter().any(|event| matches!(event, Event::Ended { cause: Cause::Lost, .. })));
    assert_eq!(session.bench.endpoint.counters().sessions_expired, 1);
}

#[test]
fn a_far_side_that_is_gone_at_the_refresh_is_lost() {
    let far = Far { expires: Some((1_800, "")), updates: true, placed: false };
    for status in [481, 408, 0] {
        let mut session = Session::new(far);
        let mut said = vec![];
        for _ in 0..95 {
            for (_, message) in session.bench.pass(Duration::from_secs(10)) {
                let Message::Request(request) = message else { continue };
                if request.method == Method::Update && status > 0 {
                    let sent = session.bench.feed(CARRIER, &answer_with(&request, status, &[], ""));
                    said.extend(methods(&sent));
                }
                said.push(request.method.to_string());
            }
        }
        assert_eq!(said.contains(&"BYE".to_owned()), status != 481, "{status}: {said:?}");
        let ended = session.bench.events();
        let lost = |event: &Event| matches!(event, Event::Ended { cause: Cause::Lost, .. });
        assert!(ended.iter().any(lost), "{status}: {ended:?}");
    }
}

#[test]
fn a_life_that_is_too_brief_is_422_before_a_call_and_inside_it_and_counted() {
    let brief = "Supported: timer\r\nSession-Expires: 89\r\n";
    let mut bench = Bench::new();
    let refused =
        response_in(&bench.feed(CARRIER, &request("INVITE", "i1", "", 1, &with_sdp(brief))));
    assert_eq!((refused.status, refused.headers.text("Min-SE")), (422, Some("90")));
    assert!(bench.events().is_empty());

    let mut session = Session::new(Far { expires: None, updates: true, placed: false });
    for (method, extra) in [("INVITE", with_sdp(brief)), ("UPDATE", brief.to_owned())] {
        let refused = response_in(&session.asks(method, &extra));
        assert_eq!((refused.status, refused.headers.text("Min-SE")), (422, Some("90")));
    }
    assert!(session.bench.events().is_empty(), "the call goes on");
    let rejected = session.bench.endpoint.counters().rejected.get("session_expires").copied();
    assert_eq!(rejected, Some(2));
}

#[test]
fn a_call_that_is_422_is_placed_once_more_with_the_life_that_is_wanted() {
    let mut bench = Bench::new();
    let leg = bench.endpoint.invite(call_to(CARRIER, Some(TrunkId(0))), bench.now);
    let first = request_in(&bench.sent(), "INVITE");

    let sent = bench.feed(CARRIER, &answer_with(&first, 422, &[("Min-SE", "3600")], ""));
    assert_eq!(methods(&sent), ["ACK", "INVITE"]);
    let second = request_in(&sent, "INVITE");
    assert_eq!(expires(&second.headers), Some((3_600, false)));
    assert_eq!(second.headers.text("Min-SE"), Some("3600"));
    assert_eq!(second.headers.cseq().unwrap().0, 2);
    assert_eq!(second.body, first.body);
    let same = |name| second.headers.get(name) == first.headers.get(name);
    assert!(same("Call-ID") && same("From") && same("To") && !same("Via"));

    let lines = [("Session-Expires", "3600;refresher=uac")];
    let ack = request_in(&bench.feed(CARRIER, &answer_with(&second, 200, &lines, SDP)), "ACK");
    assert_eq!(ack.headers.cseq().unwrap().0, 2);
    assert!(
        bench
            .events()
            .iter()
            .any(|event| matches!(event, Event::Answered { leg: its, .. } if *its == leg))
    );
}

#[test]
fn a_call_that_is_422_without_reason_or_no_longer_wanted_is_not_placed_again() {
    for (min, wanted) in [("1800", true), ("x", true), ("3600", false)] {
        let mut bench = Bench::new();
        let leg = bench.endpoint.invite(call_to(CARRIER, Some(TrunkId(0))), bench.now);
        let invite = request_in(&bench.sent(), "INVITE");
        if !wanted {
            bench.feed(CARRIER, &answer_with(&invite, 180, &[], ""));
            bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
        }
        bench.sent();

        let sent = bench.feed(CARRIER, &answer_with(&invite, 422, &[("Min-SE", min)], ""));

        assert_eq!(methods(&sent), ["ACK"], "{min}");
        assert!(bench.events().iter().any(|event| matches!(event, Event::Ended { .. })), "{min}");
    }
}

#[test]
fn a_refresh_by_re_invite_describes_what_holds_and_its_answer_is_acknowledged_each_time() {
    for placed in [false, true] {
        let far = Far { expires: Some((300, "")), updates: false, placed };
        let mut session = Session::new(far);
        let sent = session.bench.pass(Duration::from_secs(150));
        let sent: Vec<_> = sent.into_iter().map(|(_, message)| message).collect();
        let invite = request_in(&sent, "INVITE");
        assert_eq!(invite.body, SDP.as_bytes(), "as we had it");

        // Glare (RFC 3261 §14.1): theirs waits, and ours is tried again.
        let theirs = response_in(&session.asks("INVITE", &with_sdp("")));
        assert_eq!(theirs.status, 491);
        session.bench.feed(CARRIER, &answer_with(&invite, 491, &[], ""));
        let sent = session.bench.pass(Duration::from_secs(5));
        let sent: Vec<_> = sent.into_iter().map(|(_, message)| message).collect();
        let invite = request_in(&sent, "INVITE");

        let ok = answer_with(&invite, 200, &[("Session-Expires", "300;refresher=uac")], SDP);
        let first = request_in(&session.bench.feed(CARRIER, &ok), "ACK");
        let again = request_in(&session.bench.feed(CARRIER, &ok), "ACK");
        assert_eq!(first, again);
        assert_eq!(first.headers.cseq().unwrap().0, invite.headers.cseq().unwrap().0);
        assert!(session.bench.events().is_empty(), "it says what it said before");
    }
}

#[test]
fn a_far_side_that_does_not_take_the_update_it_allows_is_refreshed_by_re_invite() {
    let mut session = Session::new(Far { expires: Some((300, "")), updates: true, placed: false });
    let first = session.bench.pass(Duration::from_secs(150));
    let first: Vec<_> = first.into_iter().map(|(_, message)| message).collect();
    let update = request_in(&first, "UPDATE");
    session.bench.feed(CARRIER, &answer_with(&update, 405, &[], ""));

    session.pass();

    assert_eq!(session.ours, ["INVITE"]);
}
