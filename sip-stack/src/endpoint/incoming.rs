//! What comes in: who may speak, what it belongs to, and what is said to the rest (RFC 3261 §8.2).

use super::Endpoint;
use crate::{
    dialog::{
        body,
        desk::{letterhead, refuse_body, refuse_brief},
        invite::{Leg, Peer},
        session_timer,
    },
    event::{Event, Source},
    flow::Flow,
    guard::{self, bans::Misdeed},
    ids::LegId,
    registrar::Verdict,
    txn::{Match, server_invite::AckFor},
    wire::{self, Malformed, Message, Method, Request, Response, Scheme, Uri},
};
use std::time::Instant;

/// Seconds of Retry-After while a trunk or the box is full: about how long until a call ends.
const RETRY_FULL_SECONDS: u32 = 5;
/// A second has too many calls: the next one may have room.
const RETRY_SOON_SECONDS: u32 = 1;
/// While draining: about how long a restart takes.
const RETRY_DRAINING_SECONDS: u32 = 30;

/// Whether what came inside a dialog belongs to one, and may.
enum Owner {
    Leg(LegId),
    /// Of somebody we know, but of no dialog, or of none any more: 481.
    Nobody,
    /// Of a stranger: silence.
    Stranger,
}

impl Endpoint {
    pub(super) fn receive(&mut self, from: Flow, bytes: &[u8], now: Instant) {
        if guard::is_keep_alive(bytes) {
            self.counters.keep_alives += 1;
            return;
        }
        let host = from.host();
        let known = self.registrar.knows(from)
            || self.trunk_at(from).is_some()
            || self.trunks.knows(host)
            || self.legs.knows_host(host, now);
        if !known && let Some(why) = self.guard.refuse_stranger(host.ip, bytes, now) {
            self.counters.reject(why);
            // Over TCP silence would keep their place.
            if let Some(conn) = from.conn {
                self.close(conn, "stranger", now);
            }
            return;
        }
        match wire::parse(bytes) {
            Ok(Message::Request(request)) => {
                self.counters.request_in(&request.method);
                self.receive_request(request, from, bytes.len(), now);
            }
            Ok(Message::Response(response)) => self.receive_response(response, from, now),
            Err(malformed) => self.receive_malformed(&malformed, from),
        }
    }

    /// A peer is told what is wrong; a stranger is told nothing.
    fn receive_malformed(&mut self, malformed: &Malformed, from: Flow) {
        self.counters.parse_error(malformed.reason());
        let Some(answer) = malformed.answer().filter(|_| self.source(from, "").is_some()) else {
            return;
        };
        self.send_malformed(answer.clone(), from);
    }

    /// The answer to what could not be read, straight back.
    pub(super) fn send_malformed(&mut self, mut answer: Response, from: Flow) {
        wire::stamp_via(&mut answer.headers, from.remote);
        // Torn on its way: the whole of it was understood before, and this answer would end that.
        if self.txns.serves(&answer) {
            return;
        }
        answer.headers.push("Server", self.ours.of(from.network).user_agent.as_str());
        self.send_stateless(&answer, from);
    }

    fn receive_response(&mut self, response: Response, from: Flow, now: Instant) {
        self.counters.response_in(&response);
        // §8.1.3.3: with another Via below ours it is somebody else's.
        if response.headers.list("Via").len() != 1 {
            self.counters.stray_responses += 1;
            return;
        }
        if !self.may_answer(&response, from) {
            return self.counters.reject("forged_response");
        }
        let Err(response) = self.txns.handle_response(response, now) else { return };
        self.counters.stray_responses += 1;
        // §13.2.2.4: a 2xx to an INVITE that was given up still makes a dialog over there.
        let invited = response.headers.cseq().is_ok_and(|(_, method)| method == Method::Invite);
        if !invited || !(200..300).contains(&response.status) {
            return;
        }
        let tag = response.headers.from().ok().and_then(|ours| ours.tag().map(str::to_owned));
        let (Ok(call_id), Some(tag)) = (response.headers.call_id(), tag) else { return };
        let permits = |leg: &&Leg| leg.peer().permits(from.host(), &self.trunks);
        if let Some(leg) = self.legs.find(call_id, &tag).filter(permits).map(Leg::id) {
            self.with_leg(leg, now, |leg, desk| {
                leg.handle_success(&response, Some(from.remote), desk)
            });
        }
    }

    /// A response comes from where its request went, or from whoever may act on the call.
    fn may_answer(&self, response: &Response, from: Flow) -> bool {
        self.txns.asked(response).is_none_or(|(to, leg)| {
            let leg = leg.and_then(|leg| self.legs.get(leg));
            to.host().to_canonical() == from.host().to_canonical()
                || leg.is_some_and(|leg| leg.peer().permits(from.host(), &self.trunks))
        })
    }

    fn receive_request(&mut self, mut request: Request, from: Flow, bytes: usize, now: Instant) {
        wire::add_received(&mut request, from.remote);
        if request.method == Method::Ack {
            return self.receive_ack(&request, from, now);
        }
        if request.method == Method::Cancel {
            return self.receive_cancel(&request, from, now);
        }
        let source = self.source(from, &from_user(&request));
        match self.txns.recognise(&request) {
            Match::Repeat => return,
            Match::Merged if source.is_some() => {
                self.counters.reject("merged");
                return self.reply(&request, from, 482, now);
            }
            Match::Merged | Match::New => {}
        }
        if bytes > self.limits.message_bytes {
            self.counters.reject("message_bytes");
            return self.reply_if_known(source, &request, from, 513, now);
        }
        // What belongs to a dialog is of somebody who is in a call; a repeat has ended above.
        let begins = to_tag(&request).is_none();
        if begins && source.is_some_and(|source| !self.guard.takes_request(source, now)) {
            return self.counters.reject("rate");
        }
        if request.method == Method::Register {
            return self.receive_register(&request, from, now);
        }
        match to_tag(&request) {
            Some(tag) => self.receive_in_dialog(request, &tag, source, from, now),
            None => match source {
                Some(source) => self.receive_out_of_dialog(request, source, from, now),
                None => self.counters.reject("unknown_source"),
            },
        }
    }

    // ---- inside dialogs ----

    fn owner(&self, request: &Request, tag: &str, from: Flow, now: Instant) -> Owner {
        let call_id = request.headers.call_id().unwrap_or_default();
        match self.legs.find(call_id, tag) {
            Some(leg) if leg.peer().permits(from.host(), &self.trunks) => Owner::Leg(leg.id()),
            Some(_) | None => match self.source(from, "") {
                Some(_) => Owner::Nobody,
                // Its BYE came in the process before, and its registration is over since.
                None if self.legs.knew(request, now) => Owner::Nobody,
                None => Owner::Stranger,
            },
        }
    }

    fn receive_in_dialog(
        &mut self,
        request: Request,
        tag: &str,
        source: Option<Source>,
        from: Flow,
        now: Instant,
    ) {
        let leg = match self.owner(&request, tag, from, now) {
            Owner::Leg(leg) => leg,
            Owner::Nobody => {
                self.counters.reject("no_dialog");
                return self.reply(&request, from, 481, now);
            }
            Owner::Stranger => return self.counters.reject("unknown_source"),
        };
        if !self.legs.takes(leg, &request, now) {
            self.counters.reject("dialog_rate");
            return self.ask_to_wait(&request, from);
        }
        if self.refuse_extension(&request, from, now) {
            return;
        }
        // Ends of calls get through where new calls do not, but not without a bound either.
        if self.txns.len() >= self.limits.transactions_max.saturating_mul(2) {
            self.counters.reject("transactions_max");
            return self.reply_if_known(source, &request, from, 503, now);
        }
        let to = from.way_back(&request.headers);
        let txn = self.txns.accept(&request, to, Some(leg));
        self.with_leg(leg, now, |leg, desk| leg.handle_request(request, from, txn, desk));
    }

    /// §17.2.3: of a refusal by its branch, of a 2xx by its dialog.
    fn receive_ack(&mut self, ack: &Request, from: Flow, now: Instant) {
        if let Some((txn, _)) = self.txns.invite_named_by(ack)
            && self.txns.handle_ack(txn, now) == AckFor::Transaction
        {
            return;
        }
        let owner = to_tag(ack).map(|tag| self.owner(ack, &tag, from, now));
        match owner {
            Some(Owner::Leg(leg)) => {
                self.with_leg(leg, now, |leg, desk| leg.handle_ack(ack, desk));
            }
            Some(Owner::Nobody) | None => self.counters.stray_acks += 1,
            Some(Owner::Stranger) => self.counters.reject("unknown_source"),
        }
    }

    /// §9.2. Only whoever may act on the call may withdraw it.
    fn receive_cancel(&mut self, cancel: &Request, from: Flow, now: Instant) {
        if self.txns.recognise(cancel) == Match::Repeat {
            return;
        }
        let named = self.txns.invite_named_by(cancel).map(|(_, leg)| leg);
        let leg = named.flatten().and_then(|leg| self.legs.get(leg));
        let permitted = leg.is_none_or(|leg| leg.peer().permits(from.host(), &self.trunks));
        match (named, leg.map(|leg| (leg.id(), leg.key()))) {
            (Some(_), Some((leg, (_, local_tag)))) if permitted => {
                self.reply_tagged(cancel, from, 200, &local_tag, now);
                self.with_leg(leg, now, |leg, desk| leg.handle_cancel(desk));
            }
            // Its INVITE has had its final answer.
            (Some(_), None) => self.reply_if_known(self.source(from, ""), cancel, from, 200, now),
            (Some(_), Some(_)) | (None, _) => {
                self.counters.reject("no_dialog");
                self.reply_if_known(self.source(from, ""), cancel, from, 481, now);
            }
        }
    }

    // ---- outside dialogs ----

    fn receive_out_of_dialog(
        &mut self,
        request: Request,
        source: Source,
        from: Flow,
        now: Instant,
    ) {
        // §8.2.2.1, before what the request requires (§8.2.2.3).
        let opens = matches!(request.method, Method::Invite | Method::Options);
        if opens && !is_ours_to_call(&request.uri) {
            return self.reply(&request, from, 416, now);
        }
        if self.refuse_extension(&request, from, now) {
            return;
        }
        let status = match request.method {
            Method::Invite => return self.receive_invite(&request, source, from, now),
            Method::Options if self.draining => {
                return self.reply_later(&request, from, RETRY_DRAINING_SECONDS, now);
            }
            Method::Options => 200,
            // These live in dialogs only.
            Method::Bye | Method::Info | Method::Prack | Method::Update => 481,
            Method::Other(_) => 501,
            Method::Ack
            | Method::Cancel
            | Method::Message
            | Method::Notify
            | Method::Publish
            | Method::Refer
            | Method::Register
            | Method::Subscribe => 405,
        };
        self.reply(&request, from, status, now);
    }

    fn receive_invite(&mut self, invite: &Request, source: Source, from: Flow, now: Instant) {
        let trunk = match source {
            Source::Trunk(trunk) => Some(trunk),
            Source::Phone(_) => None,
        };
        let uri = Uri::parse(&invite.uri).ok();
        // §8.2.2.2, also when the transaction has forgotten it: it must not become a second call.
        if self.legs.began_with(invite, now) {
            self.counters.reject("merged");
            return self.reply(invite, from, 482, now);
        }
        if let Some((why, seconds)) = self.overload(now) {
            self.counters.reject(why);
            return self.reply_later(invite, from, seconds, now);
        }
        let offer = match body::offer(&invite.headers, &invite.body) {
            Ok(offer) => offer,
            Err(why) => {
                self.counters.parse_error(why.reason());
                let tag = self.dice.tag();
                let response = refuse_body(self.ours.of(from.network), invite, why, &tag);
                return self.reply_with(invite, from, &response, now);
            }
        };
        if session_timer::check(&invite.headers).is_err() {
            self.counters.reject("session_expires");
            let tag = self.dice.tag();
            let response = refuse_brief(self.ours.of(from.network), invite, &tag);
            return self.reply_with(invite, from, &response, now);
        }
        if trunk.is_some_and(|trunk| self.trunks.is_fruitless(trunk, now)) {
            self.counters.reject("fruitless_rate");
            return self.reply_later(invite, from, RETRY_SOON_SECONDS, now);
        }
        if trunk.is_some_and(|trunk| !self.trunks.take_turn(trunk, now)) {
            self.counters.reject("calls_per_second_max");
            return self.reply_later(invite, from, RETRY_SOON_SECONDS, now);
        }
        if trunk.is_some_and(|trunk| !self.trunks.take_call(trunk)) {
            self.counters.reject("calls_max");
            return self.reply_later(invite, from, RETRY_FULL_SECONDS, now);
        }
        let to = from.way_back(&invite.headers);
        let id = self.new_leg_id();
        let txn = self.txns.accept(invite, to, Some(id));
        let tag = self.dice.tag();
        let peer = Peer { trunk, flow: from };
        let mut desk = self.desk(from.network, now);
        let Some(leg) = Leg::take(id, peer, invite, txn, &tag, &mut desk) else {
            // §8.1.1.8: without a Contact nothing could ever be sent inside the dialog.
            desk.reply(txn, invite, 400, &tag);
            if let Some(trunk) = trunk {
                self.trunks.give_call_back(trunk);
            }
            return;
        };
        self.legs.insert(leg, now);
        let caller = invite.headers.from().ok();
        let from_user = match source {
            Source::Phone(user) => self.registrar.name(user).unwrap_or_default().to_owned(),
            Source::Trunk(_) => from_user(invite),
        };
        self.events.push_back(Event::Invited {
            leg: id,
            source,
            from: from.remote,
            from_user,
            from_display: caller.and_then(|caller| caller.display),
            to_user: uri.as_ref().and_then(Uri::user).unwrap_or_default().to_owned(),
            sip_call_id: invite.headers.call_id().unwrap_or_default().to_owned(),
            max_forwards: invite.headers.max_forwards().ok().flatten().unwrap_or(70),
            offer,
        });
    }

    /// Why no new call can be taken, and when to ask again.
    fn overload(&self, now: Instant) -> Option<(&'static str, u32)> {
        if self.draining {
            Some(("draining", RETRY_DRAINING_SECONDS))
        } else if self.legs.live() >= self.limits.legs_max {
            Some(("legs_max", RETRY_FULL_SECONDS))
        } else if self.txns.len() >= self.limits.transactions_max {
            Some(("transactions_max", RETRY_FULL_SECONDS))
        } else if self.guard.sheds(now) {
            Some(("late", RETRY_FULL_SECONDS))
        } else {
            None
        }
    }

    /// §10.3. A challenge costs no transaction.
    fn receive_register(&mut self, request: &Request, from: Flow, now: Instant) {
        let banned = self.guard.bans.holds(from.remote.ip(), now);
        let verdict = self.registrar.handle_register(request, from, banned, now, &mut self.events);
        if let Some(guesser) = self.registrar.guesser.take() {
            self.guard.bans.ban(guesser, Misdeed::Passwords, now);
        }
        if let Some(digest) = self.registrar.proved.take() {
            self.counters.proved(digest);
        }
        if std::mem::take(&mut self.registrar.wrong_passwords) > 0 {
            self.counters.reject("wrong_password");
        }
        let tag = self.dice.tag();
        match verdict {
            Verdict::Challenge { www_authenticate } => {
                let mut response = letterhead(self.ours.of(from.network), request, 401, &tag);
                for challenge in www_authenticate {
                    response.headers.push("WWW-Authenticate", challenge);
                }
                let to = from.way_back(&request.headers);
                self.send_stateless(&response, to);
            }
            Verdict::Silence => self.counters.reject("guesses"),
            Verdict::Answer { status, headers } => {
                let mut response = letterhead(self.ours.of(from.network), request, status, &tag);
                for (name, value) in headers {
                    response.headers.push(name, value);
                }
                self.reply_with(request, from, &response, now);
            }
        }
    }

    // ---- answers that belong to no leg ----

    /// §8.2.2.3: whether it asks for an extension, of which we have none; then 420 is said.
    fn refuse_extension(&mut self, request: &Request, from: Flow, now: Instant) -> bool {
        let unknown = unsupported(request);
        if unknown.is_empty() {
            return false;
        }
        self.counters.reject("extension");
        let tag = self.dice.tag();
        let mut response = letterhead(self.ours.of(from.network), request, 420, &tag);
        response.headers.push("Unsupported", unknown);
        self.reply_with(request, from, &response, now);
        true
    }

    /// Too much is asked inside one call. 503 would say that of the whole box (§21.5.4), and silence
    /// would end the call (§12.2.1.2). Nothing is kept of it, so that it costs nothing.
    fn ask_to_wait(&mut self, request: &Request, from: Flow) {
        let tag = self.dice.tag();
        let mut response = letterhead(self.ours.of(from.network), request, 500, &tag);
        response.headers.push("Retry-After", RETRY_SOON_SECONDS.to_string());
        self.send_stateless(&response, from.way_back(&request.headers));
    }

    fn reply(&mut self, request: &Request, from: Flow, status: u16, now: Instant) {
        let tag = self.dice.tag();
        self.reply_tagged(request, from, status, &tag, now);
    }

    fn reply_if_known(
        &mut self,
        source: Option<Source>,
        request: &Request,
        from: Flow,
        status: u16,
        now: Instant,
    ) {
        match source {
            Some(_) => self.reply(request, from, status, now),
            None => self.counters.reject("unknown_source"),
        }
    }

    fn reply_later(&mut self, request: &Request, from: Flow, seconds: u32, now: Instant) {
        let tag = self.dice.tag();
        let mut response = letterhead(self.ours.of(from.network), request, 503, &tag);
        response.headers.push("Retry-After", seconds.to_string());
        self.reply_with(request, from, &response, now);
    }

    fn reply_tagged(
        &mut self,
        request: &Request,
        from: Flow,
        status: u16,
        tag: &str,
        now: Instant,
    ) {
        let response = letterhead(self.ours.of(from.network), request, status, tag);
        self.reply_with(request, from, &response, now);
    }

    /// From a transaction, so that repeats get the same answer; but half of the room is for calls,
    /// whatever else somebody asks.
    fn reply_with(&mut self, request: &Request, from: Flow, response: &Response, now: Instant) {
        let to = from.way_back(&request.headers);
        if self.txns.len() >= self.limits.transactions_max / 2 {
            return self.send_stateless(response, to);
        }
        let txn = self.txns.accept(request, to, None);
        self.counters.response_out(response);
        self.txns.respond(txn, response, now);
    }

    fn send_stateless(&mut self, response: &Response, to: Flow) {
        self.counters.response_out(response);
        self.txns.send(to, response.to_bytes(), false);
    }
}

/// §8.2.2.1: a scheme we can call a number of. A sips URI asks for TLS on every hop.
fn is_ours_to_call(uri: &str) -> bool {
    Uri::parse(uri).is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Tel))
}

/// Option tags of Require that we do not know; 199 asks for nothing.
fn unsupported(request: &Request) -> String {
    let tags = request.headers.list("Require").into_iter();
    let tags = tags.map(|tag| String::from_utf8_lossy(tag.trim_ascii()).into_owned());
    let known =
        |tag: &str| ["199", session_timer::TAG].iter().any(|ours| tag.eq_ignore_ascii_case(ours));
    tags.filter(|tag| !known(tag)).collect::<Vec<_>>().join(", ")
}

fn to_tag(request: &Request) -> Option<String> {
    request.headers.to().ok()?.tag().map(str::to_owned)
}

fn from_user(request: &Request) -> String {
    let from = request.headers.from().ok();
    let uri = from.and_then(|from| Uri::parse(&from.uri).ok());
    uri.as_ref().and_then(Uri::user).unwrap_or_default().to_owned()
}
