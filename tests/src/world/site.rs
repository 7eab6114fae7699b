//! The box of the simulated day, and who has an account or a line there.

use crate::{
    dice::Dice,
    model::{MORNING, Number},
    sim_phone::SimPhone,
    sip_peer::{SipPeer, habits::Habits},
};
use control_plane::{
    calendar::{Hours, Offset, Span, Weekly, Zone},
    config::{AnswerMode, Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    door::{Closed, Door},
    exchange::{Exchange, Restart, Start},
    headroom::Limits,
    ids::{HoursId, SeatId, TeamId},
    switchboard::Switchboard,
    time::Stamp,
};
use media_core::order::{PortName, TuneId};
use sip_stack::{event::Target, flow::Flow, ids::TrunkId};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the team lets a phone ring.
pub(super) const RING: Duration = Duration::from_secs(5);
/// What is promised to who dials this; the contract's default where no team says how long.
pub(super) fn number(dialled: &str) -> Number {
    match dialled == TEAM {
        true => Number { ring: RING, queue: true },
        false => Number { ring: Duration::from_secs(20), queue: false },
    }
}

/// Who works when the faults have stopped, whatever they were paused for.
pub(super) const WORKING: [SeatId; 3] = [SeatId(0), SeatId(1), SeatId(4)];
/// Who answers the team's number.
pub(super) const TEAM_SEATS: [SeatId; 4] = [SeatId(0), SeatId(1), SeatId(2), SeatId(3)];
/// Somebody with neither account nor line.
pub(super) const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(ip(66, 6)), 5060);
/// Somebody who tries passwords.
pub(super) const THIEF: SocketAddr = SocketAddr::new(IpAddr::V4(ip(66, 7)), 5060);
/// A trunk that sends only what leads nowhere.
pub(super) const ROGUE: SocketAddr = SocketAddr::new(IpAddr::V4(ip(2, 4)), 5060);

const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(ip(9, 1)), 5060);
const CARRIER: SocketAddr = SocketAddr::new(IpAddr::V4(ip(2, 1)), 5060);
const FLAKY: SocketAddr = SocketAddr::new(IpAddr::V4(ip(2, 2)), 5060);
const PBX: SocketAddr = SocketAddr::new(IpAddr::V4(ip(2, 3)), 5060);

/// Trunks by their place.
pub(super) const CARRIERS: [&str; 3] = ["carrier", "flaky", "pbx"];
const TO_PBX: Destination = Destination::Trunk(TrunkId(2));
const TO_CARRIER: Destination = Destination::Trunk(TrunkId(0));

/// The number of the team; what most people dial.
pub(super) const TEAM: &str = "+541155550100";
/// An agent with a phone at a fixed place, and one with a phone that registers.
pub(super) const DIRECT: [&str; 2] = ["+541155550101", "+541155550102"];
/// Passed on to the trunk `pbx`.
pub(super) const PASSED_ON: &str = "900001";

/// Agent, extension, last byte of the addresses of their phones, whether the place is fixed.
const AGENTS: [(&str, &str, &[u8], bool); 5] = [
    ("ana", "1001", &[1, 11], false),
    ("bruno", "1002", &[2], false),
    ("carla", "1003", &[3], false),
    ("dora", "1004", &[4], true),
    ("eva", "1005", &[5], false),
];

const fn ip(net: u8, host: u8) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::new(10, 0, net, host)
}

/// The site.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    plan: Arc<Plan>,
    /// The team closes in the middle of the storm.
    pub(super) closes: bool,
    /// Whose each phone is.
    phones: Vec<SeatId>,
}

impl Site {
    pub(super) fn new(dice: &mut Dice, closes: bool) -> Self {
        let at_once = dice.percent(60);
        let answer = if at_once { AnswerMode::AtOnce } else { AnswerMode::WithAgent };
        let mut phones = vec![];
        for ((_, _, hosts, _), seat) in AGENTS.iter().zip(0..) {
            phones.extend(hosts.iter().map(|_| SeatId(seat)));
        }
        let mut plan = plan(answer);
        if closes {
            plan.hours = vec![hours()];
            let closed = Some(Closed::Hears(TuneId(1)));
            plan.teams[0].door = Door { hours: Some(HoursId(0)), closed };
        }
        Self { address: ADDRESS, plan: Arc::new(plan), closes, phones }
    }

    pub(super) fn board(&self) -> Switchboard {
        Switchboard::new(Arc::clone(&self.plan))
    }

    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    pub(super) fn seats(&self) -> impl Iterator<Item = SeatId> {
        (0..AGENTS.len()).filter_map(|place| u16::try_from(place).ok()).map(SeatId)
    }

    pub(super) fn seat_of(&self, phone: usize) -> SeatId {
        self.phones[phone]
    }

    pub(super) fn exchange(&self, seed: [u8; 32], now: Instant) -> Exchange {
        Self::process(self.board(), None, seed, MORNING, now)
    }

    /// A process of this box: the first, or one that goes on from a journal.
    pub(super) fn process(
        board: Switchboard,
        restart: Option<Restart>,
        seed: [u8; 32],
        wall: Stamp,
        now: Instant,
    ) -> Exchange {
        let trunk = |name: &str, address: SocketAddr, calls_max| sip_stack::Trunk {
            peers: vec![address.ip().to_string().parse().expect("one address is a network")],
            address: Some(address),
            calls_max,
            ..sip_stack::Trunk::named(name)
        };
        let sip = sip_stack::Config {
            local: ADDRESS,
            advertise: ADDRESS,
            advertise_tcp: ADDRESS,
            networks: vec![],
            domain: ADDRESS.ip().to_string(),
            user_agent: "clavija".to_owned(),
            trunks: vec![
                trunk(CARRIERS[0], CARRIER, 200),
                trunk(CARRIERS[1], FLAKY, 8),
                trunk(CARRIERS[2], PBX, 200),
                trunk("rogue", ROGUE, 3),
            ],
            users: AGENTS.iter().map(user).collect(),
            first_leg: 1,
            seed,
            limits: sip_stack::Limits::STANDARD,
        };
        let start = Start {
            sip,
            board,
            ports: (0..150).map(|pair| PortName(20_000 + 2 * pair)).collect(),
            media_address: ADDRESS.ip(),
            networks: vec![],
            seed,
            wall,
            login_key: [3; 32],
            headroom: Limits::USUAL,
            opus_complexity: 5,
            restart,
        };
        Exchange::new(start, now)
    }

    pub(super) fn carriers(&self, seed: u64, dice: &mut Dice) -> Vec<SipPeer> {
        let addresses = [CARRIER, FLAKY, PBX];
        let slow = dice.percent(30);
        let lags = [if slow { 400 } else { 0 }, dice.number(0..80), 0];
        let all = CARRIERS.iter().zip(addresses).zip(lags).zip(10..);
        all.map(|(((name, address), lag), stream)| {
            let lag = Duration::from_millis(lag);
            let own = Dice::new(seed, stream);
            SipPeer::new(name, address, ADDRESS, lag, Habits::Trunk, own)
        })
        .collect()
    }

    pub(super) fn phones(&self, seed: u64, now: Instant) -> Vec<SimPhone> {
        let hosts = AGENTS.iter().flat_map(|agent| agent.2.iter().map(move |host| (agent, *host)));
        hosts
            .zip(20..)
            .map(|(((name, extension, _, fixed), host), stream)| {
                let habits = Habits::People { ring: RING };
                let name = format!("{name}{host}");
                let dice = Dice::new(seed, stream);
                let peer = SipPeer::new(&name, phone(host), ADDRESS, Duration::ZERO, habits, dice);
                let login = (!fixed).then(|| ((*extension).to_owned(), password(extension)));
                SimPhone::new(peer, login, ADDRESS, Dice::new(seed, stream + 100), now)
            })
            .collect()
    }
}

impl Site {
    /// Knows ana's name, and not her password.
    pub(super) fn thief(&self, seed: u64, now: Instant) -> SimPhone {
        let peer = SipPeer::new(
            "thief",
            THIEF,
            ADDRESS,
            Duration::ZERO,
            Habits::Eager,
            Dice::new(seed, 40),
        );
        let login = (AGENTS[0].1.to_owned(), "guessed".to_owned());
        SimPhone::new(peer, Some(login), ADDRESS, Dice::new(seed, 41), now)
    }
}

fn phone(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(ip(1, host)), 5060)
}

fn password(extension: &str) -> String {
    format!("secret of {extension}")
}

fn user((_, extension, hosts, fixed): &(&str, &str, &[u8], bool)) -> sip_stack::User {
    let to = phone(hosts[0]);
    sip_stack::User {
        name: (*extension).to_owned(),
        password: (!fixed).then(|| sip_stack::Secret::new(password(extension))),
        contact: fixed.then(|| Target { uri: format!("sip:{extension}@{to}"), to: Flow::udp(to) }),
    }
}

/// In every hour of every day the team is away for this minute.
pub(super) const AWAY: u16 = 1;

/// Of a place three hours west of Greenwich.
fn hours() -> Hours {
    let spans = (0..24).flat_map(|hour: u16| {
        let (from, to) = (hour * 60, hour * 60 + 60);
        [Span { from, to: from + AWAY }, Span { from: from + AWAY + 1, to }]
    });
    let spans: Vec<_> = spans.collect();
    let offsets = vec![Offset { from: Stamp(0), seconds: -3 * 3_600 }];
    let days = (0..7).flat_map(|day| spans.iter().map(move |&open| Weekly { day, open }));
    Hours {
        name: "office".to_owned(),
        zone: Zone { name: "America/Argentina/Buenos_Aires".to_owned(), offsets },
        weekly: days.collect(),
        holidays: vec![],
        exceptions: vec![],
    }
}

fn plan(answer: AnswerMode) -> Plan {
    let trunk =
        |name: &str, address, pstn| Trunk { address: Some(address), pstn, ..Trunk::named(name) };
    let row = |pattern: &str, to, record| NumberRow { record, ..NumberRow::new(pattern, to) };
    Plan {
        trunks: vec![
            trunk(CARRIERS[0], CARRIER, true),
            trunk(CARRIERS[1], FLAKY, true),
            trunk(CARRIERS[2], PBX, false),
            trunk("rogue", ROGUE, true),
        ],
        seats: AGENTS
            .iter()
            .map(|(name, extension, _, fixed)| SeatPlan {
                extension: (*extension).to_owned(),
                fixed: *fixed,
                ..SeatPlan::named(*name)
            })
            .collect(),
        teams: vec![Team {
            seats: TEAM_SEATS.to_vec(),
            music: Some(TuneId(0)),
            ring: RING,
            wrap_up: Duration::from_secs(3),
            answer,
            set_aside: Some(Duration::from_secs(5)),
            record: true,
            ..Team::named("ventas")
        }],
        numbers: vec![
            row(TEAM, Destination::Team(TeamId(0)), None),
            row(DIRECT[0], Destination::Seat(SeatId(3)), Some(true)),
            row(DIRECT[1], Destination::Seat(SeatId(4)), None),
            row("9?????", TO_PBX, None),
            row("0*", TO_CARRIER, None),
        ],
        ..Plan::default()
    }
}
