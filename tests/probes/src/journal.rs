//! A segment of the journal after a crash: read as far as it is whole, and a process that begins with
//! it, whatever stands in it.

use control_plane::{
    config::Plan,
    exchange::{Exchange, Start},
    headroom,
    journal::{read, replay},
    time::Stamp,
};
use media_core::order::PortName;
use sip_stack::{Config, Limits, Secret, Trunk, User};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// # Panics
/// Where more is read than there is, what was read cannot be lived again or gone on from, or what comes
/// of it says that somebody has two calls.
pub fn journal(bytes: &[u8]) {
    if let Ok(segment) = read(bytes) {
        assert!(segment.whole_bytes <= bytes.len());
        assert!(bytes.get(..segment.whole_bytes).is_some_and(|whole| whole.ends_with(b"\n")));
    }
    lived_on(bytes);
}

/// Whether a process began with these lines, whatever their checksums are.
///
/// # Panics
/// As [`journal`] does.
pub fn lived_on(bytes: &[u8]) -> bool {
    // The checksums keep what a disk does out of what is lived. These bytes get through.
    rebuild(&sealed(bytes))
}

/// Every process of this probe begins at the same moment.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
/// All that was pending is given up.
const LET_GO: Duration = Duration::from_secs(300);

fn rebuild(bytes: &[u8]) -> bool {
    let Ok(segment) = read(bytes) else { return false };
    let past = replay(segment);
    assert!(past.board.is_sound(), "lived again it contradicts itself: {:?}", past.board);
    // Agents who are gone are no part of the next configuration.
    let plan = Arc::new(Plan { gone: Default::default(), ..Plan::clone(past.board.plan()) });
    let sip = sip(&plan);
    let (board, restart) = past.restart(plan, BTreeMap::new());
    let start = Start {
        sip,
        board,
        ports: (0..8).map(|pair| PortName(20_000 + 2 * pair)).collect(),
        media_address: SocketAddr::from(([198, 51, 100, 1], 5060)).ip(),
        networks: vec![],
        seed: [7; 32],
        wall: Stamp(1),
        login_key: [7; 32],
        headroom: headroom::Limits::USUAL,
        opus_complexity: 5,
        restart: Some(restart),
    };
    let mut exchange = Exchange::new(start, *EPOCH);
    check(&mut exchange);
    let end = *EPOCH + LET_GO;
    while let Some((due, _)) = exchange.poll_timeout().filter(|(due, _)| *due <= end) {
        exchange.handle_timeout(due.max(*EPOCH));
        check(&mut exchange);
    }
    true
}

fn check(exchange: &mut Exchange) {
    while exchange.poll_record().is_some() || exchange.poll_note().is_some() {}
    while exchange.poll_order().is_some() || exchange.poll_transmit().is_some() {}
    while exchange.poll_fact().is_some() || exchange.poll_cdr().is_some() {}
    assert!(exchange.board().is_sound(), "gone on it contradicts itself: {:?}", exchange.board());
    assert_eq!(exchange.double_claims(), 0);
}

fn sip(plan: &Plan) -> Config {
    let local = SocketAddr::from(([198, 51, 100, 1], 5060));
    let user = |name: &String| User {
        name: name.clone(),
        password: Some(Secret::new("secret")),
        contact: None,
    };
    let trunk = |trunk: &control_plane::config::Trunk| Trunk {
        peers: "192.0.2.0/24".parse().into_iter().collect(),
        address: trunk.address,
        calls_max: 4,
        ..Trunk::named(trunk.name.clone())
    };
    Config {
        local,
        advertise: local,
        advertise_tcp: local,
        networks: vec![],
        domain: "clavija.test".into(),
        user_agent: "Clavija/probe".into(),
        trunks: plan.trunks.iter().map(trunk).collect(),
        users: plan.seats.iter().map(|seat| user(&seat.extension)).collect(),
        first_leg: 1,
        seed: [7; 32],
        limits: Limits::STANDARD,
    }
}

/// The same lines with checksums that are right.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    const SUM_AND_BLANK: usize = 9;
    let (mut sum, mut sealed) = (0, Vec::with_capacity(bytes.len()));
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(json) = line.get(SUM_AND_BLANK..) else { break };
        sum = checksum(sum, json);
        sealed.extend_from_slice(format!("{sum:08x} ").as_bytes());
        sealed.extend_from_slice(json);
        sealed.push(b'\n');
    }
    sealed
}

/// CRC-32 (IEEE 802.3) of the sum before and the line.
fn checksum(before: u32, line: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for &byte in before.to_be_bytes().iter().chain(line) {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else the probe would look at nothing but checksums.
    #[test]
    fn a_line_that_was_changed_is_read_once_it_is_sealed_anew() {
        let journal = include_bytes!("../../corpus/fuzz/journal/0caf4a295ea7");
        let whole = |bytes: &[u8]| read(bytes).map_or(0, |segment| segment.whole_bytes);
        let text = String::from_utf8_lossy(journal);
        let changed = text.replace("bruno", "bruna").into_bytes();

        assert!(whole(&changed) < whole(&sealed(&changed)));
        assert!(whole(&sealed(&changed)) > 100);
    }
}
