//! An agent's phone: registers with a real MD5 digest, is rung, and sometimes loses its power.

use crate::{
    dice::Dice,
    sip_peer::{Note, SipPeer},
    sip_text::{Request, Text},
};
use md5::{Digest, Md5};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a binding is asked for.
const EXPIRES_SECONDS: u32 = 60;
/// The same, for an agent who stays the day.
const STAY_SECONDS: u32 = 3_600;
/// After how long an unanswered REGISTER is tried anew.
const RETRY: Duration = Duration::from_secs(2);

/// One phone of one agent.
#[derive(Debug)]
pub struct SimPhone {
    pub peer: SipPeer,
    /// `None`: the box knows where it is.
    account: Option<Account>,
    dead: bool,
    exchange: SocketAddr,
    out: VecDeque<Vec<u8>>,
    dice: Dice,
}

#[derive(Debug)]
struct Account {
    user: String,
    password: String,
    call_id: String,
    /// User part of its Contact.
    contact: String,
    cseq: u32,
    nonces: u32,
    /// When the next REGISTER is sent.
    next: Option<Instant>,
    expires: u32,
    registered: bool,
}

impl SimPhone {
    pub fn new(
        peer: SipPeer,
        login: Option<(String, String)>,
        exchange: SocketAddr,
        dice: Dice,
        now: Instant,
    ) -> Self {
        let account = login.map(|(user, password)| Account {
            call_id: format!("r0@{}", peer.address),
            contact: user.clone(),
            user,
            password,
            cseq: 0,
            nonces: 0,
            next: Some(now),
            expires: EXPIRES_SECONDS,
            registered: false,
        });
        Self { peer, account, dead: false, exchange, out: VecDeque::new(), dice }
    }

    /// The box can send calls here.
    pub fn is_signed_in(&self) -> bool {
        self.account.as_ref().is_none_or(|account| account.registered)
    }

    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// The user part it registers, if it does.
    pub fn user(&self) -> Option<&str> {
        self.account.as_ref().map(|account| account.user.as_str())
    }

    pub fn handle_datagram(&mut self, bytes: &[u8], now: Instant) {
        if self.dead {
            return;
        }
        let answer = Text::read(bytes).filter(|text| text.cseq().1 == "REGISTER");
        match answer {
            Some(answer) => self.handle_registrar(&answer, now),
            None => self.peer.handle_datagram(bytes, now),
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.peer.handle_timeout(now);
        let due = self.account.as_ref().and_then(|account| account.next);
        if due.is_some_and(|due| due <= now) {
            self.register(None, now);
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front().or_else(|| self.peer.poll_transmit())
    }

    pub fn poll_note(&mut self) -> Option<Note> {
        self.peer.poll_note()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.account.as_ref().and_then(|account| account.next);
        [next, self.peer.poll_timeout()].into_iter().flatten().min()
    }

    /// Power cut.
    pub fn die(&mut self) {
        self.dead = true;
        self.peer.die();
        self.out.clear();
        if let Some(account) = &mut self.account {
            account.next = None;
            account.registered = false;
        }
    }

    /// Power again; it knows of nothing, and some phones name another Contact than before.
    pub fn boot(&mut self, now: Instant) {
        self.dead = false;
        let boots = self.dice.number(1..u64::MAX);
        let renamed = self.dice.percent(30);
        if let Some(account) = &mut self.account {
            if renamed {
                account.contact = format!("{}-{}", account.user, boots % 100);
            }
            account.call_id = format!("r{boots}@{}", self.peer.address);
            account.cseq = 0;
            account.expires = EXPIRES_SECONDS;
            account.next = Some(now);
        }
    }

    /// The agent leaves their desk, or comes back to it.
    pub fn sign(&mut self, signed_in: bool, now: Instant) {
        if let Some(account) = self.account.as_mut().filter(|_| !self.dead) {
            account.expires = if signed_in { EXPIRES_SECONDS } else { 0 };
            account.next = Some(now);
        }
    }

    /// It does not refresh its registration any more.
    pub fn forget_to_register(&mut self) {
        if let Some(account) = &mut self.account {
            account.next = None;
        }
    }

    /// The agent is here for hours.
    pub fn stay(&mut self, now: Instant) {
        self.sign(true, now);
        if let Some(account) = &mut self.account {
            account.expires = STAY_SECONDS;
        }
    }

    fn handle_registrar(&mut self, answer: &Text<'_>, now: Instant) {
        let Some(account) = &mut self.account else { return };
        if answer.cseq().0 != account.cseq || answer.call_id() != account.call_id {
            return;
        }
        match answer.status() {
            Some(401) => {
                let challenge = answer.header("WWW-Authenticate").unwrap_or_default().to_owned();
                self.register(Some(&challenge), now);
            }
            Some(200) => {
                account.registered = account.expires > 0;
                let half = Duration::from_secs(u64::from(account.expires)) / 2;
                account.next = account.registered.then(|| now + half);
            }
            Some(423) => {
                let least = answer.header("Min-Expires").and_then(|text| text.parse().ok());
                account.expires = least.unwrap_or(EXPIRES_SECONDS * 2);
                account.next = Some(now);
            }
            Some(_) | None => {}
        }
    }

    fn register(&mut self, challenge: Option<&str>, now: Instant) {
        let Some(account) = &mut self.account else { return };
        account.cseq += 1;
        account.next = Some(now + RETRY);
        let uri = format!("sip:{}", self.exchange);
        let authorization = match challenge {
            Some(challenge) => {
                account.nonces += 1;
                let cnonce = format!("c{}", self.dice.number(0..u64::MAX));
                authorization(account, challenge, &uri, &cnonce)
            }
            None => String::new(),
        };
        let aor = format!("<sip:{}@{}>", account.user, self.exchange.ip());
        let more = format!(
            "Contact: <sip:{}@{}>\r\nExpires: {}\r\n{authorization}",
            account.contact, self.peer.address, account.expires
        );
        let request = Request {
            method: "REGISTER",
            uri: &uri,
            via: self.peer.address,
            branch: &format!("z9hG4bKr{}{}", account.cseq, account.call_id),
            from: &format!("{aor};tag=r{}", account.cseq),
            to: &aor,
            call_id: &account.call_id,
            cseq: account.cseq,
            more: &more,
            body: "",
        };
        self.out.push_back(request.to_bytes());
    }
}

/// RFC 7616 §3.4, MD5 and `qop=auth`.
fn authorization(account: &Account, challenge: &str, uri: &str, cnonce: &str) -> String {
    let said = |name: &str| {
        let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
        rest.split('"').next()
    };
    let realm = said("realm").unwrap_or_default();
    let nonce = said("nonce").unwrap_or_default();
    let Account { user, password, .. } = account;
    let secret = md5(&format!("{user}:{realm}:{password}"));
    let request = md5(&format!("REGISTER:{uri}"));
    let response = md5(&format!("{secret}:{nonce}:00000001:{cnonce}:auth:{request}"));
    let opaque = said("opaque").map_or(String::new(), |text| format!(", opaque=\"{text}\""));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", \
         uri=\"{uri}\", response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, \
         cnonce=\"{cnonce}\"{opaque}\r\n"
    )
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
