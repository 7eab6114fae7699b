//! Phones that register here (RFC 3261 §10.3): who they are, where they are, for how long.
//!
//! Challenges are stateless; only a right answer changes or costs anything.

mod binding;
mod guesses;
mod nonce;

use crate::{
    config::User,
    dice::hex,
    digest::{Algorithm, Challenge, Credentials, verify},
    event::{Contact, Event, Target},
    flow::{ConnId, Flow},
    ids::{NetworkId, UserId},
    note::BindingNote,
    wire::{NameAddr, Request, Uri},
};
use binding::{
    BINDINGS_MAX, Binding, EXPIRES_DEFAULT, EXPIRES_MAX, EXPIRES_MIN, KEEP_ALIVE_EVERY, Phone,
    is_usable,
};
use guesses::Guesses;
use nonce::{Nonce, Nonces};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct Registrar {
    domain: String,
    /// Hosts that mean us where a domain is asked for.
    own_hosts: Vec<IpAddr>,
    users: Vec<User>,
    /// By user; newest first.
    bindings: Vec<Vec<Binding>>,
    /// Who speaks from there: live bindings and fixed contacts.
    addresses: BTreeMap<Flow, BTreeSet<UserId>>,
    /// The earliest of what each user's bindings wait for.
    deadlines: BTreeSet<(Instant, UserId)>,
    nonces: Nonces,
    guesses: Guesses,
    /// Whose bindings are not what was last noted of them.
    changed: BTreeSet<UserId>,
    /// Who may be reached elsewhere than when that was last asked.
    moved: BTreeSet<UserId>,
    /// How the last REGISTER that was let in proved whose it is, for the endpoint to count.
    pub(crate) proved: Option<Algorithm>,
    /// Wrong answers to a challenge of ours, for the endpoint to take into its counters.
    pub(crate) wrong_passwords: u64,
    /// Who has just guessed too often.
    pub(crate) guesser: Option<IpAddr>,
    /// Phones behind a NAT that must hear something now.
    keep_alives: Vec<Flow>,
}

/// What a REGISTER gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 401, the same for whom we do not know and for who is wrong.
    /// The values of `WWW-Authenticate`, the one that every phone knows first.
    Challenge { www_authenticate: Vec<String> },
    /// Of somebody who has tried too many passwords.
    Silence,
    /// Of somebody who proved who they are.
    Answer { status: u16, headers: Vec<(&'static str, String)> },
}

/// A REGISTER of somebody who proved who they are.
struct Said<'a> {
    digest: Algorithm,
    from: Flow,
    request: &'a Request,
}

/// Why nobody is authenticated.
enum No {
    /// `stale`: the nonce is not good any more. Whether the answer to it was right is not looked
    /// at, so that it tells nobody anything about a password.
    Challenge {
        stale: bool,
    },
    Silence,
}

/// Why an authenticated REGISTER changes nothing.
type Refused = (u16, Vec<(&'static str, String)>);

impl Registrar {
    pub(crate) fn new(
        users: Vec<User>,
        domain: &str,
        own_hosts: Vec<IpAddr>,
        key: [u8; 32],
        wrong_passwords_max: u32,
    ) -> Self {
        let mut addresses = BTreeMap::<_, BTreeSet<_>>::new();
        let mut moved = BTreeSet::new();
        for (id, user) in (0_u16..).zip(&users) {
            if let Some(contact) = &user.contact {
                addresses.entry(contact.to).or_default().insert(UserId(id));
                moved.insert(UserId(id));
            }
        }
        Self {
            domain: domain.to_owned(),
            own_hosts,
            bindings: users.iter().map(|_| vec![]).collect(),
            users,
            addresses,
            deadlines: BTreeSet::new(),
            nonces: Nonces::new(key),
            guesses: Guesses::new(wrong_passwords_max),
            changed: BTreeSet::new(),
            moved,
            proved: None,
            wrong_passwords: 0,
            guesser: None,
            keep_alives: vec![],
        }
    }

    /// The users as they are from now on, at the ids they have. Who has another name or password
    /// has to register again; who is the same keeps their phones.
    pub(crate) fn reconfigure(&mut self, users: Vec<User>, events: &mut VecDeque<Event>) {
        let old = std::mem::replace(&mut self.users, users);
        self.bindings.resize_with(self.users.len().max(old.len()), Vec::new);
        for (id, before) in (0_u16..).zip(&old) {
            let after = self.users.get(usize::from(id));
            let same = after.is_some_and(|after| {
                after.name == before.name && after.password == before.password
            });
            if !same {
                self.replace(UserId(id), vec![], events);
            }
            if let Some(fixed) = &before.contact {
                self.leave(UserId(id), fixed.to);
            }
        }
        for id in (0_u16..).take(self.users.len()) {
            self.readdress(UserId(id), &[]);
        }
    }

    /// `banned`: only a phone that is registered there is heard.
    pub(crate) fn handle_register(
        &mut self,
        request: &Request,
        from: Flow,
        banned: bool,
        now: Instant,
        events: &mut VecDeque<Event>,
    ) -> Verdict {
        let (user, digest) = match self.authenticate(request, from, banned, now) {
            Ok(proved) => proved,
            Err(No::Challenge { stale }) => return self.challenge(request, stale, from, now),
            Err(No::Silence) => return Verdict::Silence,
        };
        self.proved = Some(digest);
        let said = Said { digest, from, request };
        let answer = self.check_address(user, request).and_then(|()| self.rebind(user, &said, now));
        match answer {
            Ok(bindings) => {
                self.replace(user, bindings, events);
                let mut headers = self.listing(user, from.network, now);
                headers.extend(outbound(request, from));
                Verdict::Answer { status: 200, headers }
            }
            Err((status, headers)) => Verdict::Answer { status, headers },
        }
    }

    /// Whether somebody's phone is exactly there.
    pub(crate) fn knows(&self, from: Flow) -> bool {
        self.here(from).is_some()
    }

    /// A connection is its phone's; and a fixed contact is that phone over any connection to it.
    fn here(&self, from: Flow) -> Option<&BTreeSet<UserId>> {
        self.addresses.get(&from).or_else(|| self.addresses.get(&from.without_conn()))
    }

    /// Somebody has registered over this connection.
    pub(crate) fn uses(&self, conn: ConnId) -> bool {
        let mut all = self.bindings.iter().flatten();
        all.any(|binding| binding.to.conn == Some(conn) || binding.source.conn == Some(conn))
    }

    /// A connection is gone, and with it every binding that only it led to.
    pub(crate) fn handle_closed(&mut self, conn: ConnId, events: &mut VecDeque<Event>) {
        // Most connections are nobody's.
        if self.uses(conn) {
            self.keep(events, |binding| binding.without_conn(conn));
        }
    }

    /// Nobody takes connections there: no phone that says it does is called there again.
    pub(crate) fn handle_unreachable(&mut self, to: Flow, events: &mut VecDeque<Event>) {
        if self.bindings.iter().flatten().any(|binding| binding.to == to) {
            self.keep(events, |binding| (binding.to != to).then_some(binding));
        }
    }

    fn keep(&mut self, events: &mut VecDeque<Event>, keep: impl Fn(Binding) -> Option<Binding>) {
        let touches = |list: &Vec<Binding>| {
            list.iter().any(|binding| {
                let kept = keep(binding.clone());
                kept.is_none_or(|kept| kept.to != binding.to || kept.source != binding.source)
            })
        };
        let touched: Vec<_> =
            (0_u16..).zip(&self.bindings).filter(|(_, list)| touches(list)).collect();
        let next: Vec<_> = touched
            .into_iter()
            .map(|(user, list)| (UserId(user), list.iter().cloned().filter_map(&keep).collect()))
            .collect();
        for (user, kept) in next {
            self.replace(user, kept, events);
        }
    }

    /// Whose phone is exactly there; of several, the one whose name the request says.
    pub(crate) fn user_at(&self, from: Flow, name: &str) -> Option<UserId> {
        let here = self.here(from)?;
        let named = here.iter().find(|&&user| {
            self.users.get(usize::from(user.0)).is_some_and(|known| known.name == name)
        });
        named.or_else(|| here.first()).copied()
    }

    /// Gives a user a fixed contact, or takes it away.
    pub(crate) fn fix_contact(&mut self, user: UserId, contact: Option<Target>) {
        let Some(known) = self.users.get_mut(usize::from(user.0)) else { return };
        let before = std::mem::replace(&mut known.contact, contact);
        if let Some(before) = before {
            self.leave(user, before.to);
        }
        self.readdress(user, &[]);
    }

    /// User part of their address.
    pub(crate) fn name(&self, user: UserId) -> Option<&str> {
        self.users.get(usize::from(user.0)).map(|known| known.name.as_str())
    }

    /// Where this user can be reached: every binding, newest first, or the fixed contact.
    pub(crate) fn contacts(&self, user: UserId) -> Vec<Target> {
        let at = usize::from(user.0);
        let live = self.bindings.get(at).into_iter().flatten().map(Binding::target);
        let live: Vec<_> = live.collect();
        if !live.is_empty() {
            return live;
        }
        self.users.get(at).and_then(|user| user.contact.clone()).into_iter().collect()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        while let Some(&(at, user)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.deadlines.remove(&(at, user));
            let kept = self.bindings.get(usize::from(user.0)).into_iter().flatten();
            let mut kept: Vec<_> =
                kept.filter(|binding| binding.expires_at > now).cloned().collect();
            for binding in &mut kept {
                if binding.keep_alive_at.is_some_and(|at| at <= now) {
                    binding.keep_alive_at = Some(now + KEEP_ALIVE_EVERY);
                    self.keep_alives.push(binding.to);
                }
            }
            self.replace(user, kept, events);
        }
    }

    pub(crate) fn poll_keep_alive(&mut self) -> Option<Flow> {
        self.keep_alives.pop()
    }

    /// Every place where this user is, with what an operator wants to know of it.
    pub(crate) fn listed(&self, user: UserId) -> Vec<Contact> {
        let at = usize::from(user.0);
        let live: Vec<_> =
            self.bindings.get(at).into_iter().flatten().map(Binding::contact).collect();
        let fixed = self.users.get(at).and_then(|user| user.contact.as_ref());
        let fixed = fixed.filter(|_| live.is_empty()).map(|fixed| Contact {
            uri: fixed.uri.clone(),
            to: fixed.to,
            source: None,
            expires_at: None,
            behind_nat: false,
            user_agent: None,
            digest: None,
        });
        live.into_iter().chain(fixed).collect()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    // ---- over a restart ----

    /// A user whose [`Self::contacts`] may have changed.
    pub(crate) fn take_moved(&mut self) -> Option<UserId> {
        self.moved.pop_first()
    }

    /// A user whose bindings have changed.
    pub(crate) fn take_changed(&mut self) -> Option<UserId> {
        self.changed.pop_first()
    }

    /// What the next process must know of a user.
    pub(crate) fn note(&self, user: UserId) -> Vec<BindingNote> {
        let live = self.bindings.get(usize::from(user.0)).into_iter().flatten();
        live.map(Binding::note).collect()
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = UserId> + use<> {
        (0..self.users.len()).filter_map(|place| u16::try_from(place).ok()).map(UserId)
    }

    /// What this user proves who they are with, as nobody can read it without the key; `None`: they
    /// cannot register.
    pub(crate) fn login_mark(&self, user: UserId, key: &[u8; 32]) -> Option<String> {
        let user = self.users.get(usize::from(user.0))?;
        let password = user.password.as_ref()?.reveal();
        Some(hex(&hmac_sha256(key, &[user.name.as_bytes(), password.as_bytes()])))
    }

    /// Phones need not register anew: their bindings live on for the time they had left.
    pub(crate) fn restore(
        &mut self,
        user: UserId,
        notes: &[BindingNote],
        now: Instant,
        events: &mut VecDeque<Event>,
    ) {
        let kept = notes.iter().filter(|note| note.expires_at > now);
        let kept =
            kept.filter_map(|note| Binding::restored(note, now)).take(BINDINGS_MAX).collect();
        self.replace(user, kept, events);
    }

    // ---- who it is ----

    fn authenticate(
        &mut self,
        request: &Request,
        from: Flow,
        banned: bool,
        now: Instant,
    ) -> Result<(UserId, Algorithm), No> {
        let answers = request.headers.all("Authorization");
        let parsed =
            answers.filter_map(|answer| Credentials::parse(std::str::from_utf8(answer).ok()?).ok());
        let ours = parsed.into_iter().find(|credentials| credentials.realm == self.domain);
        let claimed = ours.as_ref().map(|credentials| credentials.username.as_str());
        let shut_out = banned || self.guesses.are_spent(from.remote.ip(), now);
        if shut_out && !self.is_phone_of(from, claimed) {
            return Err(No::Silence);
        }
        let credentials = ours.ok_or(No::Challenge { stale: false })?;
        // RFC 7616 §3.4.6: an answer made for another place is none to us.
        if !self.is_meant(&credentials.uri, &request.uri) {
            return Err(No::Challenge { stale: false });
        }
        let known = (0_u16..).zip(&self.users).find_map(|(id, user)| {
            let password = user.password.as_ref().filter(|_| user.name == credentials.username)?;
            Some((UserId(id), password.reveal()))
        });
        let Nonce::Fresh(nonce) = self.nonces.check(&credentials.nonce, from.remote.ip(), now)
        else {
            return Err(No::Challenge { stale: true });
        };
        // Whom we do not know costs the same work as who is wrong.
        let password = known.map_or("nobody's", |(_, password)| password);
        let right = verify(&credentials, "REGISTER", password, &request.body);
        let Some((user, _)) = known.filter(|_| right) else {
            let host = from.remote.ip();
            self.guesser = self.guesses.count(host, now).then_some(host);
            self.wrong_passwords += 1;
            return Err(No::Challenge { stale: false });
        };
        let unused = self.nonces.spend(nonce, user, &credentials, now);
        unused.then_some((user, credentials.algorithm)).ok_or(No::Challenge { stale: true })
    }

    /// Nothing is held against that source any more.
    pub(crate) fn forget_guesses(&mut self, from: IpAddr) {
        self.guesses.forget(from);
    }

    /// Peers write the Request-URI, or our address as they know it.
    fn is_meant(&self, written: &str, request_uri: &str) -> bool {
        let Ok(uri) = Uri::parse(written) else { return false };
        let asked = Uri::parse(request_uri);
        asked.is_ok_and(|asked| asked.is_equivalent(&uri)) || self.names_us(&uri)
    }

    fn names_us(&self, uri: &Uri) -> bool {
        uri.host.eq_ignore_ascii_case(&self.domain)
            || uri.host_ip().is_some_and(|host| self.own_hosts.contains(&host))
    }

    /// A phone that is registered there goes on whoever else guesses from its host; but it guesses
    /// nobody else's password.
    fn is_phone_of(&self, from: Flow, name: Option<&str>) -> bool {
        let here = self.user_at(from, name.unwrap_or_default());
        here.is_some_and(|user| name.is_none() || self.name(user) == name)
    }

    /// RFC 8760 §2.4 would have the strongest first; phones that know MD5 only often take the first
    /// challenge or none, so that one stands there. One nonce for all: an answer by one algorithm is
    /// a use of it for every other.
    fn challenge(&mut self, request: &Request, stale: bool, from: Flow, now: Instant) -> Verdict {
        let nonce = self.nonces.issue(from.remote.ip(), now);
        let by = |algorithm| {
            let (realm, nonce) = (self.domain.clone(), nonce.clone());
            Challenge { realm, nonce, opaque: None, algorithm, stale }.to_string()
        };
        let all = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256];
        let offered = if knows_md5_only(request) { 1 } else { all.len() };
        let www_authenticate = all.into_iter().take(offered).map(by).collect();
        Verdict::Challenge { www_authenticate }
    }

    /// §10.3 steps 4 and 5: a phone binds its own address of record, in our domain.
    fn check_address(&self, user: UserId, request: &Request) -> Result<(), Refused> {
        let bad = |status| Err((status, vec![]));
        let Some(to) = request.headers.to().ok().and_then(|to| Uri::parse(&to.uri).ok()) else {
            return bad(400);
        };
        match (self.names_us(&to), to.user() == self.name(user)) {
            (true, true) => Ok(()),
            (true, false) => bad(403),
            (false, _) => bad(404),
        }
    }

    // ---- where it is ----

    /// §10.3 steps 6 and 7: the bindings as they will be, or why nothing changes.
    fn rebind(&self, user: UserId, said: &Said<'_>, now: Instant) -> Result<Vec<Binding>, Refused> {
        let &Said { digest, from, request } = said;
        let bad = |status| (status, vec![]);
        let headers = &request.headers;
        let live = self.bindings.get(usize::from(user.0)).cloned().unwrap_or_default();
        let (sequence, _) = headers.cseq().map_err(|_| bad(400))?;
        let call_id = headers.call_id().map_err(|_| bad(400))?.to_owned();
        let in_order =
            |binding: &Binding| binding.call_id != call_id || binding.sequence < sequence;
        if headers.is_star_contact() {
            let all = headers.expires() == Some(0) && live.iter().all(in_order);
            return if all { Ok(vec![]) } else { Err(bad(400)) };
        }
        // Of this request; two of them are two, whatever they have in common.
        let (mut new, mut next) = (Vec::<Binding>::new(), live.clone());
        for contact in headers.contacts().map_err(|_| bad(400))? {
            let uri = Uri::parse(&contact.uri).ok().filter(is_usable).ok_or_else(|| bad(400))?;
            let seconds = asked_seconds(&contact, headers.expires())?;
            let same = |binding: &&Binding| binding.uri.is_equivalent(&uri);
            if live.iter().find(same).is_some_and(|binding| !in_order(binding)) {
                return Err(bad(400));
            }
            let phone = Phone::of(&contact);
            // RFC 5626 §6: the same phone by the same way, whatever its address was.
            next.retain(|binding| {
                !binding.uri.is_equivalent(&uri) && (phone.is_none() || binding.phone != phone)
            });
            new.retain(|binding| !binding.uri.is_equivalent(&uri));
            if seconds > 0 {
                let expires_at = now + Duration::from_secs(u64::from(seconds));
                let (to, only_flow) = binding::reach(&uri, &headers.top_via(), from);
                let keeps = only_flow && !to.is_reliable();
                let keep_alive_at = keeps.then_some(now + KEEP_ALIVE_EVERY);
                let (call_id, source) = (call_id.clone(), from);
                new.insert(
                    0,
                    Binding {
                        uri,
                        to,
                        source,
                        phone,
                        keep_alive_at,
                        call_id,
                        sequence,
                        expires_at,
                        user_agent: binding::user_agent(headers),
                        digest: Some(digest),
                    },
                );
            }
        }
        new.extend(next);
        if new.len() > BINDINGS_MAX { Err(bad(403)) } else { Ok(new) }
    }

    fn replace(&mut self, user: UserId, next: Vec<Binding>, events: &mut VecDeque<Event>) {
        let Some(bindings) = self.bindings.get_mut(usize::from(user.0)) else { return };
        let old = std::mem::replace(bindings, next);
        let contacts = bindings.len();
        let earliest = |list: &[Binding]| list.iter().map(Binding::due).min();
        let (stop, start) = (earliest(&old), earliest(bindings));
        if let Some(at) = stop {
            self.deadlines.remove(&(at, user));
        }
        self.deadlines.extend(start.map(|at| (at, user)));
        self.readdress(user, &old);
        self.changed.insert(user);
        if contacts == 0 && !old.is_empty() {
            events.push_back(Event::Unregistered { user });
        } else if contacts != old.len() {
            events.push_back(Event::Registered { user, contacts });
        }
    }

    fn readdress(&mut self, user: UserId, old: &[Binding]) {
        self.moved.insert(user);
        for address in old.iter().flat_map(|binding| [binding.to, binding.source]) {
            self.leave(user, address);
        }
        let at = usize::from(user.0);
        let live = self.bindings.get(at).into_iter().flatten();
        let live = live.flat_map(|binding| [binding.to, binding.source]);
        let fixed = self.users.get(at).and_then(|user| user.contact.as_ref()).map(|fixed| fixed.to);
        for address in live.chain(fixed) {
            self.addresses.entry(address).or_default().insert(user);
        }
    }

    /// This user's phone is not there any more.
    fn leave(&mut self, user: UserId, address: Flow) {
        if let Some(here) = self.addresses.get_mut(&address) {
            here.remove(&user);
            if here.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }

    /// §10.3 step 8: every binding and the seconds it has left.
    /// What is elsewhere is nothing to who is here.
    fn listing(
        &self,
        user: UserId,
        network: NetworkId,
        now: Instant,
    ) -> Vec<(&'static str, String)> {
        let live = self.bindings.get(usize::from(user.0)).into_iter().flatten();
        let here = live.filter(|binding| binding.source.network == network);
        here.map(|binding| ("Contact", binding.listed(now))).collect()
    }
}

/// RFC 2104, of parts that cannot run into each other.
fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    block[..32].copy_from_slice(key);
    let mut inner = Sha256::new();
    inner.update(block.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update((part.len() as u64).to_be_bytes());
        inner.update(part);
    }
    let mut outer = Sha256::new();
    outer.update(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// libre before 2.6 gives up at a challenge by another algorithm, wherever it stands; what is built
/// on it says so.
fn knows_md5_only(request: &Request) -> bool {
    let agent = request.headers.text("User-Agent").unwrap_or_default();
    ["baresip v0.", "baresip v1."].into_iter().any(|old| agent.starts_with(old))
}

/// Seconds a contact asks for: its own, the request's, or what we give who asks for nothing.
fn asked_seconds(contact: &NameAddr, header: Option<u32>) -> Result<u32, Refused> {
    let seconds = contact.expires().or(header).unwrap_or(EXPIRES_DEFAULT);
    match seconds {
        1..EXPIRES_MIN => Err((423, vec![("Min-Expires", EXPIRES_MIN.to_string())])),
        0 | EXPIRES_MIN.. => Ok(seconds.min(EXPIRES_MAX)),
    }
}

/// RFC 5626 §6: said only of a phone that asked for it, whose connection to us is its own, because
/// over UDP the keep-alives would have to be STUN's.
fn outbound(request: &Request, from: Flow) -> Option<(&'static str, String)> {
    let headers = &request.headers;
    let asked = headers.list("Supported").iter().any(|tag| tag.trim_ascii() == b"outbound");
    let contacts = headers.contacts().unwrap_or_default();
    let phones = contacts.iter().filter_map(Phone::of).any(|phone| phone.reg_id.is_some());
    let first_hop = headers.list("Via").len() == 1;
    let applied = asked && phones && first_hop && from.is_reliable();
    applied.then(|| ("Require", "outbound".to_owned()))
}

#[cfg(test)]
mod tests;
