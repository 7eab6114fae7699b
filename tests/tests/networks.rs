//! One box in three networks: a carrier behind a 1:1 NAT, an office, and a switch that speaks IPv6
//! alone. Each is a network namespace with a cable of its own, and all that is said in it is kept.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    baresip::{Account, Baresip},
    namespace::{self, Capture, OneToOne, Room},
    party::{Caller, Phone},
    tone::{self, Law, RATE},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::Path,
};

const CALLER_HZ: f64 = 425.0;
const AGENT_HZ: f64 = 725.0;
const SWITCH_HZ: f64 = 1_350.0;
const SECOND: usize = 50;
/// DSCP in the upper six bits (RFC 4594).
const CS3: u8 = 24 << 2;
const EF: u8 = 46 << 2;

const CARRIER: &str = "203.0.113.2:5062";
const OFFICE: &str = "192.168.50.1";
const ANA: &str = "192.168.50.2:6000";
const SIX: &str = "2001:db8:6::1";
const SWITCH: &str = "[2001:db8:6::2]:5080";
/// What belongs to each network: nothing of it is said in another. What the NAT hides is of the
/// box alone, and of no network.
const OF_CARRIER: &str = "203.0.113.";
const OF_OFFICE: &str = "192.168.50.";
const OF_SIX: &str = "2001:db8:";
const HIDDEN: &str = "10.1.0.";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The box's networks, and who is in them.
struct Site {
    carrier: OneToOne,
    office: Room,
    six: Room,
    appliance: Appliance,
    captures: Vec<(&'static str, Vec<&'static str>, Capture)>,
}

impl Site {
    fn start() -> Self {
        namespace::addresses_at_once();
        let carrier = OneToOne::start();
        let (office, six) = (Room::new(), Room::new());
        office.cable(("lan0", "192.168.50.1/24"), ("eth0", "192.168.50.2/24"));
        six.run(namespace::addresses_at_once);
        six.cable(("six0", "2001:db8:6::1/64"), ("eth0", "2001:db8:6::2/64"));
        let appliance = Appliance::on_edited_contract_files(edited);
        let capture = |room: &Room| room.run(|| Capture::start("eth0"));
        let captures = vec![
            (OF_CARRIER, vec![OF_OFFICE, OF_SIX, HIDDEN], capture(&carrier.beyond)),
            (OF_OFFICE, vec![OF_CARRIER, OF_SIX, HIDDEN], capture(&office)),
            (OF_SIX, vec![OF_CARRIER, OF_OFFICE, HIDDEN], capture(&six)),
        ];
        Self { carrier, office, six, appliance, captures }
    }

    /// ana's telephone, which registers from the office.
    fn ana(&self) -> Baresip {
        let account = Account {
            user: "1001",
            password: "only-for-tests-1001",
            codec: "PCMA",
            transport: "udp",
            listen: address(ANA),
            registrar: SocketAddr::new(OFFICE.parse().unwrap(), 5060),
            register_seconds: 60,
            hz: AGENT_HZ,
        };
        let ana = self.office.run(|| Baresip::start(&account));
        self.appliance.await_agent("ana", "available");
        ana
    }

    fn call(&self, number: &str) -> Caller {
        let to = SocketAddr::new(OneToOne::PUBLIC, 5060);
        let carrier = &self.carrier.beyond;
        carrier.run(|| Caller::dial(to, address(CARRIER), number, &[Law::A], CALLER_HZ))
    }

    fn switch(&self) -> Phone {
        self.six.run(|| Phone::wait_at("trunk_uas", address(SWITCH), Law::A, SWITCH_HZ))
    }

    /// Nobody was told an address that is not of their own network.
    fn finish(self) {
        self.appliance.stop();
        for (own, foreign, capture) in self.captures {
            let bytes = capture.stop();
            assert_eq!(markings(&bytes), BTreeSet::from([(true, CS3), (false, EF)]), "{own}");
            assert!(contains(&bytes, own), "what was said in {own} was kept");
            assert!(contains(&bytes, "INVITE sip:"), "a call was heard in {own}");
            assert!(contains(&bytes, "m=audio "), "and its media");
            for other in foreign {
                let found = around(&bytes, other);
                assert!(found.is_none(), "{other} was said in {own}: {}", found.unwrap());
            }
        }
    }
}

/// The contract's files with the three networks in the place of the one.
fn edited(text: &str) -> String {
    let mut text = text
        .replace("udp = \"127.0.0.1:5060\"\ntcp = \"127.0.0.1:5060\"\n", "")
        .replace("[media]\naddress = \"127.0.0.1\"\n", "[media]\n")
        .replace(
            "peers = [\"127.0.0.1\", \"127.0.0.2\"]",
            "network = \"wan\"\npeers = [\"203.0.113.2\"]",
        )
        .replace("peers = [\"127.0.0.11\"]", "network = \"six\"\npeers = [\"2001:db8:6::2\"]")
        .replace("\"127.0.0.11:5080\"", "\"[2001:db8:6::2]:5080\"")
        .replace("127.0.0.12:5070\"", "192.168.50.3:5070\"\nnetwork = \"lan\"");
    if text.contains("[node]") {
        text += &format!(
            "\n[[network]]\nname = \"wan\"\nsip = \"10.1.0.2:5060\"\nadvertise = \"{}\"\n\
             [[network]]\nname = \"lan\"\nsip = \"{OFFICE}:5060\"\ninterface = \"lan0\"\n\
             [[network]]\nname = \"six\"\nsip = \"[{SIX}]:5060\"\ninterface = \"six0\"\n",
            OneToOne::PUBLIC,
        );
    }
    text
}

/// How what the box sends is marked: its signalling (true) and its media.
fn markings(pcap: &[u8]) -> BTreeSet<(bool, u8)> {
    let (mut rest, mut all) = (pcap.get(24..).unwrap(), BTreeSet::new());
    while let Some((head, after)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        let Some((frame, after)) = after.split_at_checked(usize::try_from(length).unwrap()) else {
            break;
        };
        rest = after;
        let packet = frame.get(14..).unwrap_or_default();
        let (class, protocol, from, to) = match (&frame[12..14], packet) {
            ([0x08, 0x00], [_, tos, ..]) => (*tos, packet[9], &packet[12..16], 20),
            ([0x86, 0xDD], [first, second, ..]) => {
                ((first << 4) | (second >> 4), packet[6], &packet[8..24], 40)
            }
            _ => continue,
        };
        let ours = [OFFICE, SIX, &OneToOne::PUBLIC.to_string()].map(|own| match own.parse() {
            Ok(IpAddr::V4(v4)) => v4.octets().to_vec(),
            Ok(IpAddr::V6(v6)) => v6.octets().to_vec(),
            Err(error) => panic!("{own}: {error}"),
        });
        if protocol == 17 && ours.iter().any(|own| own == from) {
            let port = u16::from_be_bytes([packet[to], packet[to + 1]]);
            all.insert((port == 5060, class));
        }
    }
    all
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What stands round it, for whoever reads the failure.
fn around(bytes: &[u8], text: &str) -> Option<String> {
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes())?;
    let part = bytes.get(at.saturating_sub(600)..bytes.len().min(at + 200))?;
    Some(String::from_utf8_lossy(part).into_owned())
}

fn later_half(part: &Range<usize>) -> Range<usize> {
    part.start + part.len() / 2..part.end
}

fn assert_phone_heard(pcm: &[i16], hz: f64, what: &str) {
    let middle = pcm.len() / 3..pcm.len() / 3 + usize::try_from(RATE).unwrap() / 2;
    let share = tone::share(&pcm[middle], hz);
    assert!(share > 0.5, "{what}: {share}");
}

#[test]
fn a_carrier_behind_1_to_1_nat_and_a_phone_in_the_office_hear_each_other() {
    namespace::inside(|| {
        let site = Site::start();
        let mut ana = site.ana();
        let mut switch = site.switch();
        let mut caller = site.call("+541155550100");
        let media = site.carrier.beyond.run(|| caller.await_answer());
        ana.wait_for("CALL_INCOMING");
        ana.tell("accept", "");
        ana.wait_for("CALL_ESTABLISHED");
        site.appliance.await_call("talking");
        let talk = caller.audio.listen(3 * SECOND);
        site.carrier.beyond.run(|| caller.hang_up());
        ana.wait_for("CALL_CLOSED");
        let (_, by_caller) = caller.finish();
        // The switch gets a call of its own: from the office, over IPv6.
        ana.tell("dial", "sip:900001@clavija.test");
        let invite = switch.ring();
        site.six.run(|| switch.answer());
        ana.wait_for("CALL_ESTABLISHED");
        let at_switch = switch.audio.listen(3 * SECOND);
        ana.tell("hangup", "");
        ana.wait_for("CALL_CLOSED");
        let (_, by_switch) = switch.finish();
        let by_agent = ana.finish();

        assert_eq!(media.ip(), OneToOne::PUBLIC, "the session names the address outside");
        let heard = by_caller.mostly(later_half(&talk), AGENT_HZ);
        assert!(heard > 0.9, "the carrier hears the agent: {heard}");
        assert_eq!(by_caller.sources().len(), 1, "{:?}", by_caller.sources());
        assert!(invite.text.contains("c=IN IP6 2001:db8:6::1"), "{}", invite.text);
        let heard = by_switch.mostly(later_half(&at_switch), AGENT_HZ);
        assert!(heard > 0.9, "the switch hears the agent: {heard}");
        // Of the last call, which was with the switch.
        assert_phone_heard(&by_agent, SWITCH_HZ, "the agent hears the switch");
        let ended = site.appliance.await_ended(2);
        assert!(ended.iter().all(|record| record["end"] == "completed"), "{ended:#?}");
        site.finish();
    });
}

#[test]
fn a_carrier_over_ipv4_behind_nat_is_passed_on_to_a_switch_over_ipv6_and_a_phone_hears_it_too() {
    namespace::inside(|| {
        let site = Site::start();
        let mut ana = site.ana();
        let mut switch = site.switch();
        let mut caller = site.call("900001");
        switch.ring();
        site.six.run(|| switch.answer());
        site.carrier.beyond.run(|| caller.await_answer());
        site.appliance.await_call("talking");
        let (at_switch, at_caller) = (switch.audio.listen(3 * SECOND), caller.audio.listen(SECOND));
        site.six.run(|| switch.hang_up());
        let (_, by_switch) = switch.finish();
        let (_, by_caller) = caller.finish();
        // And a call to the office, so that something is said in every network.
        let mut second = site.call("+541155550100");
        site.carrier.beyond.run(|| second.await_answer());
        ana.wait_for("CALL_INCOMING");
        ana.tell("accept", "");
        ana.wait_for("CALL_ESTABLISHED");
        second.audio.listen(3 * SECOND);
        site.carrier.beyond.run(|| second.hang_up());
        ana.wait_for("CALL_CLOSED");
        second.finish();
        let by_agent = ana.finish();

        let heard = by_switch.mostly(later_half(&at_switch), CALLER_HZ);
        assert!(heard > 0.9, "the switch hears the carrier: {heard}");
        let heard = by_caller.mostly(later_half(&at_caller), SWITCH_HZ);
        assert!(heard > 0.9, "the carrier hears the switch: {heard}");
        assert_phone_heard(&by_agent, CALLER_HZ, "the agent hears the carrier");
        let journal = site.appliance.folder().join("data/journal");
        assert!(journal_says(&journal, "net1/192.168.50.2"), "where the phone is is written down");
        site.finish();
    });
}

fn journal_says(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).any(|file| contains(&file, text))
}
