//! A telephone of the appliance's own, for the demo and the self-test: SIP and RTP over real sockets,
//! one person who says one tone and presses keys.

use super::{
    keys::{Heard, Pressed},
    sound::Tone,
};
use media_core::{
    codec::g711,
    order::Law,
    rtp::header::{Header, Packet},
};
use rand::{TryRng, rngs::SysRng};
use sip_stack::{
    Cause, Config, Endpoint, Event, Flow, HangUp, Invite, LegId, Limits, Target, Trunk,
    sdp::{
        Session,
        answer::{self, Agreed, Allowed},
        codec::Codec,
    },
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    time::sleep_until,
};

const FRAME: Duration = Duration::from_millis(20);
/// RTP is 160 samples on from packet to packet.
const STEP: u32 = 160;
/// A telephone has nothing else to do, and wakes anyway.
const A_WHILE: Duration = Duration::from_secs(1);
/// How long hanging up may take when its owner lets go of it.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// The telephone, as who holds it sees it. Dropped, it goes silent at once and hangs up.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    does: mpsc::UnboundedSender<Does>,
    happens: mpsc::UnboundedReceiver<Happens>,
    heard: Arc<Mutex<Vec<i16>>>,
    digits: Arc<Mutex<String>>,
    /// Closed once the line has ended.
    line: watch::Receiver<()>,
}

/// Where it stands: the addresses at which the appliance is reached from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) sip: IpAddr,
    pub(crate) media: IpAddr,
    /// What it calls from.
    pub(crate) number: &'static str,
}

/// What its owner does.
#[derive(Debug)]
enum Does {
    Answer,
    Call { number: String, at: SocketAddr },
    HangUp,
    Press(String),
}

/// What it tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happens {
    /// Somebody calls, and it rings.
    Called,
    /// Both sides have said yes.
    Connected,
    Ended(Cause),
}

impl Peer {
    /// Listens on a free port of 127.0.0.1. Whatever `hz` it speaks begins with a connection.
    pub(crate) async fn start(hz: f64) -> io::Result<Self> {
        let here = Ipv4Addr::LOCALHOST.into();
        Self::start_at(Local { sip: here, media: here, number: "+12025550123" }, hz).await
    }

    /// Listens on free ports of the appliance's own addresses: wherever those may be announced to
    /// others, its calls and its audio are reached here.
    pub(crate) async fn start_at(local: Local, hz: f64) -> io::Result<Self> {
        let sip = UdpSocket::bind((local.sip, 0)).await?;
        let rtp = UdpSocket::bind((local.media, 0)).await?;
        let address = sip.local_addr()?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let digits = Arc::new(Mutex::new(String::new()));
        let (does, orders) = mpsc::unbounded_channel();
        let (told, happens) = mpsc::unbounded_channel();
        let (stands, standing) = watch::channel(());
        let line = Line {
            endpoint: Endpoint::new(config(address)?),
            local: answer::Local {
                addr: local.media,
                rtp_port: rtp.local_addr()?.port(),
                session_id: 1,
                version: 1,
            },
            number: local.number,
            sip,
            rtp,
            leg: None,
            offer: None,
            talk: None,
            leaves: None,
            tone: Tone::new(hz),
            heard: Arc::clone(&heard),
            digits: Arc::clone(&digits),
            told,
            _stands: stands,
        };
        tokio::spawn(line.run(orders));
        Ok(Self { address, does, happens, heard, digits, line: standing })
    }

    pub(crate) fn call(&self, number: &str, at: SocketAddr) {
        self.order(Does::Call { number: number.to_owned(), at });
    }

    pub(crate) fn answer(&self) {
        self.order(Does::Answer);
    }

    pub(crate) fn hang_up(&self) {
        self.order(Does::HangUp);
    }

    /// Ends when this was dropped and the far side has said that it knows, or a moment later.
    pub(crate) fn departed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut line = self.line.clone();
        async move { while line.changed().await.is_ok() {} }
    }

    /// Presses these keys one after the other.
    pub(crate) fn press(&self, digits: &str) {
        self.order(Does::Press(digits.to_owned()));
    }

    /// The keys the other side pressed so far.
    pub(crate) fn digits(&self) -> String {
        self.digits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next thing that happens; never, if the line is dead.
    pub(crate) async fn next(&mut self) -> Happens {
        match self.happens.recv().await {
            Some(happens) => happens,
            None => std::future::pending().await,
        }
    }

    /// What was heard since this was last asked.
    pub(crate) fn take_heard(&self) -> Vec<i16> {
        std::mem::take(&mut *self.heard())
    }

    /// How many samples were heard since they were last taken.
    pub(crate) fn heard_samples(&self) -> usize {
        self.heard().len()
    }

    fn order(&self, does: Does) {
        // A line that has ended is noticed by who waits for what happens on it.
        let _ended = self.does.send(does);
    }

    fn heard(&self) -> MutexGuard<'_, Vec<i16>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything the appliance is to a telephone: one trunk, at this host.
fn config(local: SocketAddr) -> io::Result<Config> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let here = local.ip().to_string().parse().map_err(io::Error::other)?;
    Ok(Config {
        local,
        advertise: local,
        advertise_tcp: local,
        networks: vec![],
        domain: "clavija.demo".to_owned(),
        user_agent: "clavija-demo".to_owned(),
        trunks: vec![Trunk { peers: vec![here], calls_max: 10, ..Trunk::named("appliance") }],
        users: Vec::new(),
        first_leg: 1,
        seed,
        limits: Limits::STANDARD,
    })
}

fn allowed() -> Allowed {
    Allowed {
        codecs: Codec::USUAL.to_vec(),
        telephone_event: true,
        comfort_noise: false,
        passed: vec![],
    }
}

/// The telephone itself.
struct Line {
    endpoint: Endpoint,
    number: &'static str,
    sip: UdpSocket,
    rtp: UdpSocket,
    local: answer::Local,
    leg: Option<LegId>,
    /// Of a call that rings.
    offer: Option<Session>,
    talk: Option<Talk>,
    /// Its owner has let go of it: it ends with its call, or at this moment.
    leaves: Option<Instant>,
    tone: Tone,
    heard: Arc<Mutex<Vec<i16>>>,
    digits: Arc<Mutex<String>>,
    told: mpsc::UnboundedSender<Happens>,
    /// Dropped with the line.
    _stands: watch::Sender<()>,
}

/// The audio of a call that was agreed.
struct Talk {
    to: SocketAddr,
    law: Law,
    next: Header,
    due: Instant,
    telephone_event: Option<u8>,
    pressed: Pressed,
    keys: Heard,
}

impl Line {
    /// Until its owner lets go of it and the far side knows.
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Does>) {
        let (mut datagram, mut packet) = ([0; 65_536], [0; 2_048]);
        loop {
            self.settle(Instant::now());
            if self.leaves.is_some_and(|at| self.endpoint.legs() == 0 || at <= Instant::now()) {
                return;
            }
            let wake = sleep_until(self.wake_at(Instant::now()).into());
            tokio::select! {
                () = wake => {
                    self.endpoint.handle_timeout(Instant::now());
                    self.speak_if_due(Instant::now());
                }
                came = self.sip.recv_from(&mut datagram) => {
                    if let Ok((length, from)) = came {
                        let bytes = datagram.get(..length).unwrap_or_default();
                        self.endpoint.handle_datagram(from, bytes, Instant::now());
                    }
                }
                came = self.rtp.recv_from(&mut packet) => {
                    if let Ok((length, _)) = came {
                        self.hear(packet.get(..length).unwrap_or_default());
                    }
                }
                order = orders.recv(), if self.leaves.is_none() => match order {
                    Some(does) => self.obey(does, Instant::now()),
                    None => {
                        self.obey(Does::HangUp, Instant::now());
                        self.leaves = Some(Instant::now() + LAST_WORDS);
                    }
                },
            }
        }
    }

    /// Everything that follows from what came last.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.take(event, now);
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            // What is lost on the way is sent again by its transaction.
            let _refused = self.sip.try_send_to(&transmit.bytes, transmit.to);
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let timer = self.endpoint.poll_timeout().map(|(at, _why)| at);
        let frame = self.talk.as_ref().map(|talk| talk.due);
        [timer, frame, self.leaves].into_iter().flatten().min().unwrap_or(now + A_WHILE)
    }

    fn obey(&mut self, does: Does, now: Instant) {
        match does {
            Does::Answer => self.pick_up(now),
            Does::Call { number, at } => {
                let invite = Invite {
                    target: Target { uri: format!("sip:{number}@{at}"), to: Flow::udp(at) },
                    trunk: None,
                    from_user: self.number.to_owned(),
                    from_display: None,
                    to_user: number,
                    offer: answer::offer(&allowed(), self.local),
                    max_forwards: 70,
                    call_name: None,
                };
                self.leg = Some(self.endpoint.invite(invite, now));
            }
            Does::Press(digits) => {
                if let Some(talk) = &mut self.talk {
                    talk.pressed.press(&digits);
                }
            }
            Does::HangUp => {
                self.talk = None;
                if let Some(leg) = self.leg {
                    self.endpoint.hang_up(leg, HangUp::Normal, now);
                }
            }
        }
    }

    fn pick_up(&mut self, now: Instant) {
        let (Some(leg), Some(offer)) = (self.leg, self.offer.take()) else { return };
        match answer::answer(&offer, &allowed(), self.local) {
            Ok((sdp, agreed)) => {
                self.endpoint.answer(leg, sdp, now);
                self.connect(&agreed, now);
            }
            Err(_) => self.endpoint.hang_up(leg, HangUp::Failed, now),
        }
    }

    fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Invited { leg, offer, .. } => {
                (self.leg, self.offer) = (Some(leg), offer);
                self.endpoint.ring(leg, now);
                self.tell(Happens::Called);
            }
            Event::Answered { answer, leg, .. } => match answer::accept(&answer, &allowed()) {
                Ok(agreed) => {
                    self.connect(&agreed, now);
                    self.tell(Happens::Connected);
                }
                Err(_) => self.endpoint.hang_up(leg, HangUp::Failed, now),
            },
            Event::Established { .. } => self.tell(Happens::Connected),
            Event::Reoffered { leg, offer, .. } => {
                let agreed =
                    offer.and_then(|offer| answer::answer(&offer, &allowed(), self.local).ok());
                let sdp = agreed.map(|(sdp, _)| sdp);
                let refusal =
                    sip_stack::Refusal { status: 488, retry_after_seconds: None, warning: None };
                self.endpoint.answer_reoffer(leg, sdp.ok_or(refusal), now);
            }
            Event::Ended { cause, .. } => {
                (self.leg, self.offer, self.talk) = (None, None, None);
                self.tell(Happens::Ended(cause));
            }
            Event::Checked { .. }
            | Event::Pressed { .. }
            | Event::Left { .. }
            | Event::Registered { .. }
            | Event::Ringing { .. }
            | Event::Unregistered { .. }
            | Event::Probed { .. } => {}
        }
    }

    fn connect(&mut self, agreed: &Agreed, now: Instant) {
        let law = if agreed.codec == Codec::Pcma { Law::A } else { Law::Mu };
        let next = Header {
            marker: true,
            payload_type: agreed.payload_type,
            sequence: 1,
            timestamp: 0,
            ssrc: u32::from(self.local.rtp_port),
        };
        // The appliance's media are at the address this telephone has, whatever it announces.
        let to = SocketAddr::new(self.local.addr, agreed.remote_rtp.port());
        self.talk = Some(Talk {
            to,
            law,
            next,
            due: now,
            telephone_event: agreed.telephone_event,
            pressed: Pressed::default(),
            keys: Heard::default(),
        });
    }

    /// Absolute deadlines: a late wake is followed by the packets it owes.
    fn speak_if_due(&mut self, now: Instant) {
        let Some(talk) = &mut self.talk else { return };
        while talk.due <= now {
            let audio = self.tone.frame().map(|sample| g711::encode(talk.law, sample));
            let key = talk.telephone_event.zip(talk.pressed.next(talk.next.timestamp));
            let packet = match key {
                Some((payload_type, key)) => {
                    let (marker, timestamp) = (key.first, key.timestamp);
                    let header = Header { payload_type, marker, timestamp, ..talk.next };
                    [header.bytes().as_slice(), &key.payload].concat()
                }
                None => [talk.next.bytes().as_slice(), &audio].concat(),
            };
            // A far side that has gone answers with an ICMP error, which is its business.
            let _refused = self.rtp.try_send_to(&packet, talk.to);
            talk.next.marker = false;
            talk.next.sequence = talk.next.sequence.wrapping_add(1);
            talk.next.timestamp = talk.next.timestamp.wrapping_add(STEP);
            talk.due += FRAME;
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let Some(talk) = &mut self.talk else { return };
        let Ok(packet) = Packet::parse(bytes) else { return };
        let Header { payload_type, timestamp, .. } = packet.header;
        if Some(payload_type) == talk.telephone_event {
            let digit = talk.keys.hear(timestamp, packet.payload);
            self.digits.lock().unwrap_or_else(PoisonError::into_inner).extend(digit);
        } else if payload_type == talk.next.payload_type {
            let samples = packet.payload.iter().map(|&code| g711::decode(talk.law, code));
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend(samples);
        }
    }

    fn tell(&self, happens: Happens) {
        // Its owner may have lost interest.
        let _gone = self.told.send(happens);
    }
}
