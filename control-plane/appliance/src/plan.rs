//! From what the operator wrote to what each core is told.

use control_plane::config::{
    AnswerMode, Destination, Dtmf, Gone, NumberRow, Plan, SELF_TEST, SELF_TEST_NUMBER, SeatPlan,
    Team, Trunk,
};
use control_plane::door::{Closed, Door};
use control_plane::ids::{HoursId, SeatId, TeamId};
use control_plane::succession::{NoIdLeft, Succession};
use control_plane::time::Stamp;
use firmware_config::Config;
use media_core::order::TuneId;
use sip_stack::sdp::{codec::Codec, secure::Srtp};
use sip_stack::{Flow, Limits, Network, NetworkId, Secret, Target, Transport, TrunkId, User};
use std::{net::SocketAddr, time::Duration};

/// How calls flow, made while the wall clock says this.
pub fn plan(config: &Config, wall: Stamp) -> Plan {
    let mut plan = Plan {
        trunks: config.trunks.iter().map(trunk).collect(),
        seats: config.agents.iter().map(seat).collect(),
        teams: config.teams.iter().map(team).collect(),
        numbers: config.numbers.iter().map(number).collect(),
        hours: config.hours.iter().map(|hours| hours.known_at(wall)).collect(),
        gone: Gone::default(),
    };
    add_self_test(&mut plan, config);
    plan
}

/// After everything that was configured, so that no place in a list moves.
fn add_self_test(plan: &mut Plan, config: &Config) {
    let (own_trunk, own_seat) =
        (TrunkId(place(plan.trunks.len())), SeatId(place(plan.seats.len())));
    let own_team = TeamId(place(plan.teams.len()));
    let name = SELF_TEST.to_owned();
    plan.trunks.push(Trunk::named(&name));
    plan.seats.push(SeatPlan { extension: name.clone(), ..SeatPlan::named(&name) });
    plan.teams.push(Team {
        mask_digits: false,
        name,
        seats: vec![own_seat],
        // Whatever customers wait to, somebody's first.
        music: (!config.music.is_empty()).then_some(TuneId(0)),
        ring: Duration::from_secs(20),
        wrap_up: Duration::ZERO,
        set_aside: Some(Duration::from_secs(1)),
        record: true,
        answer: AnswerMode::AtOnce,
        door: Door::default(),
    });
    plan.numbers.push(NumberRow {
        pattern: SELF_TEST_NUMBER.to_owned(),
        to: Destination::Team(own_team),
        from: vec![own_trunk],
        record: None,
        door: Door::default(),
    });
}

/// Who may speak SIP to us, and as whom. Which leg comes first is the board's to say.
/// `tcp`: where the TCP listener is bound.
pub fn sip(config: &Config, tcp: SocketAddr, seed: [u8; 32]) -> sip_stack::Config {
    sip_stack::Config {
        local: config.sip.udp,
        advertise: config.sip.advertise,
        advertise_tcp: advertise_tcp(&config.sip, tcp),
        networks: config.networks.iter().skip(1).map(sip_network).collect(),
        domain: config.sip.domain.clone(),
        user_agent: concat!("clavija/", env!("CARGO_PKG_VERSION")).to_owned(),
        trunks: config.trunks.iter().map(sip_trunk).chain([own_trunk()]).collect(),
        users: config.agents.iter().map(user).chain([own_user()]).collect(),
        first_leg: 1,
        seed,
        limits: Limits {
            strangers_per_second: config.limits.strangers_per_second,
            stranger_per_second: config.limits.stranger_per_second,
            wrong_passwords_max: config.limits.wrong_passwords_max,
            ban_seconds: config.limits.ban_seconds,
            ban_seconds_max: config.limits.ban_seconds_max,
            ..Limits::STANDARD
        },
    }
}

/// The plan that takes the place of `now`, and the trunks and users at its ids. `tunes`: the names of
/// the tunes the media thread has, in its order. `wall`: what the wall clock says.
pub fn successor(
    now: &Plan,
    config: &Config,
    tunes: &[String],
    wall: Stamp,
) -> Result<(Plan, sip_stack::Config), NoIdLeft> {
    let mut next = plan(config, wall);
    let tune = |of: TuneId| {
        let music = config.music.get(usize::from(of.0))?;
        tunes.iter().position(|tune| *tune == music.name).map(|at| TuneId(place(at)))
    };
    for team in &mut next.teams {
        team.music = team.music.and_then(tune);
    }
    let doors = next.teams.iter_mut().map(|team| &mut team.door);
    for door in doors.chain(next.numbers.iter_mut().map(|row| &mut row.door)) {
        door.closed = door.closed.and_then(|closed| match closed {
            Closed::Goes(_) => Some(closed),
            Closed::Hears(message) => tune(message).map(Closed::Hears),
        });
    }
    let Succession { plan, trunks, seats } = now.succeeded_by(&next)?;
    // Only trunks, users and limits are taken of it.
    let mut sip = sip(config, config.sip.tcp, [0; 32]);
    let nobody = |name: &str| User { name: name.to_owned(), password: None, contact: None };
    let mut users: Vec<User> = plan.seats.iter().map(|seat| nobody(&seat.extension)).collect();
    for (user, id) in std::mem::take(&mut sip.users).into_iter().zip(seats) {
        if let Some(place) = users.get_mut(usize::from(id.0)) {
            *place = user;
        }
    }
    sip.users = users;
    let mut all: Vec<_> =
        plan.trunks.iter().map(|trunk| sip_stack::Trunk::named(&trunk.name)).collect();
    for (trunk, id) in std::mem::take(&mut sip.trunks).into_iter().zip(trunks) {
        if let Some(place) = all.get_mut(usize::from(id.0)) {
            *place = trunk;
        }
    }
    sip.trunks = all;
    Ok((plan, sip))
}

/// One address is advertised for both; a NAT that maps the port of one maps the other's the same.
fn advertise_tcp(sip: &firmware_config::Sip, tcp: SocketAddr) -> SocketAddr {
    let port = if tcp.port() == sip.udp.port() { sip.advertise.port() } else { tcp.port() };
    SocketAddr::new(sip.advertise.ip(), port)
}

fn trunk(trunk: &firmware_config::Trunk) -> Trunk {
    Trunk {
        dtmf: dtmf(trunk.dtmf),
        comfort_noise: trunk.comfort_noise,
        name: trunk.name.clone(),
        network: network(trunk.network),
        address: trunk.address,
        transport: transport(trunk.tcp),
        pstn: trunk.pstn,
        codecs: codecs(&trunk.codecs),
        srtp: srtp(trunk.srtp),
    }
}

fn codecs(named: &[firmware_config::Codec]) -> Vec<Codec> {
    let codec = |named: &firmware_config::Codec| match named {
        firmware_config::Codec::Amr => Codec::Amr,
        firmware_config::Codec::AmrWb => Codec::AmrWb,
        firmware_config::Codec::G722 => Codec::G722,
        firmware_config::Codec::G729 => Codec::G729,
        firmware_config::Codec::L16 => Codec::L16,
        firmware_config::Codec::Opus => Codec::Opus,
        firmware_config::Codec::OpusFullband => Codec::OpusFullband,
        firmware_config::Codec::Pcma => Codec::Pcma,
        firmware_config::Codec::Pcmu => Codec::Pcmu,
    };
    named.iter().map(codec).collect()
}

fn dtmf(dtmf: firmware_config::Dtmf) -> Dtmf {
    match dtmf {
        firmware_config::Dtmf::Auto => Dtmf::Auto,
        firmware_config::Dtmf::Rfc4733 => Dtmf::Rfc4733,
        firmware_config::Dtmf::Info => Dtmf::Info,
        firmware_config::Dtmf::InBand => Dtmf::InBand,
    }
}

fn transport(tcp: bool) -> Transport {
    if tcp { Transport::Tcp } else { Transport::Udp }
}

fn srtp(srtp: firmware_config::Srtp) -> Srtp {
    match srtp {
        firmware_config::Srtp::Off => Srtp::Off,
        firmware_config::Srtp::Optional => Srtp::Optional,
        firmware_config::Srtp::Required => Srtp::Required,
    }
}

fn sip_trunk(trunk: &firmware_config::Trunk) -> sip_stack::Trunk {
    let cidr = |peer: &firmware_config::Peer| -> sip_stack::Cidr {
        format!("{}/{}", peer.network(), peer.prefix_bits())
            .parse()
            .expect("the configuration checked it")
    };
    sip_stack::Trunk {
        name: trunk.name.clone(),
        network: network(trunk.network),
        peers: trunk.peers.iter().map(cidr).collect(),
        address: trunk.address,
        calls_max: trunk.calls_max,
        calls_per_second_max: trunk.calls_per_second_max,
    }
}

/// Of the self-test: nobody calls from it until its caller is let in.
fn own_trunk() -> sip_stack::Trunk {
    // One call at a time, and the last of the one before.
    let calls_max = 2;
    sip_stack::Trunk { calls_max, ..sip_stack::Trunk::named(SELF_TEST) }
}

/// Of the self-test: cannot register, and is reached nowhere until its phone is let in.
fn own_user() -> User {
    User { name: SELF_TEST.to_owned(), password: None, contact: None }
}

fn seat(agent: &firmware_config::Agent) -> SeatPlan {
    SeatPlan {
        dtmf: dtmf(agent.dtmf),
        comfort_noise: agent.comfort_noise,
        name: agent.name.clone(),
        extension: agent.extension.clone(),
        fixed: agent.contact.is_some(),
        codecs: codecs(&agent.codecs),
        srtp: srtp(agent.srtp),
    }
}

fn user(agent: &firmware_config::Agent) -> User {
    User {
        name: agent.extension.clone(),
        password: agent.password.as_ref().and_then(|secret| secret.reveal()).map(Secret::new),
        contact: agent.contact.as_ref().map(|contact| Target {
            uri: contact.uri.clone(),
            to: Flow::new(transport(contact.tcp), contact.address).within(network(contact.network)),
        }),
    }
}

fn team(team: &firmware_config::Team) -> Team {
    Team {
        mask_digits: team.mask_digits,
        name: team.name.clone(),
        seats: team.agents.iter().map(|&agent| SeatId(place(agent))).collect(),
        music: team.music.map(|tune| TuneId(place(tune))),
        ring: team.ring,
        wrap_up: team.wrap_up,
        set_aside: team.set_aside,
        record: team.record,
        answer: match team.answer {
            firmware_config::Answer::AtOnce => AnswerMode::AtOnce,
            firmware_config::Answer::WithAgent => AnswerMode::WithAgent,
        },
        door: door(team.hours, team.closed),
    }
}

fn door(hours: Option<usize>, closed: Option<firmware_config::Closed>) -> Door {
    let closed = closed.map(|closed| match closed {
        firmware_config::Closed::Agent(agent) => {
            Closed::Goes(Destination::Seat(SeatId(place(agent))))
        }
        firmware_config::Closed::Message(tune) => Closed::Hears(TuneId(place(tune))),
        firmware_config::Closed::Team(team) => Closed::Goes(Destination::Team(TeamId(place(team)))),
        firmware_config::Closed::Trunk(trunk) => {
            Closed::Goes(Destination::Trunk(TrunkId(place(trunk))))
        }
    });
    Door { hours: hours.map(|hours| HoursId(place(hours))), closed }
}

fn number(number: &firmware_config::Number) -> NumberRow {
    let from = number.from.iter().flatten();
    NumberRow {
        pattern: number.number.clone(),
        to: match number.leads_to {
            firmware_config::Destination::Agent(agent) => Destination::Seat(SeatId(place(agent))),
            firmware_config::Destination::Team(team) => Destination::Team(TeamId(place(team))),
            firmware_config::Destination::Trunk(trunk) => Destination::Trunk(TrunkId(place(trunk))),
        },
        from: from.map(|&trunk| TrunkId(place(trunk))).collect(),
        record: number.record,
        door: door(number.hours, number.closed),
    }
}

/// It is heard at one address over UDP and TCP.
fn sip_network(network: &firmware_config::Network) -> Network {
    let firmware_config::Network { sip, advertise, .. } = network;
    Network { local: *sip, advertise: *advertise, advertise_tcp: *advertise }
}

fn network(place: usize) -> NetworkId {
    NetworkId(u8::try_from(place).expect("the configuration allows 16 networks at most"))
}

fn place(index: usize) -> u16 {
    u16::try_from(index).expect("the configuration allows at most 65,535 of a kind")
}
