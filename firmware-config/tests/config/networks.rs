//! Several networks: beside what `[sip]` says or in its place, whom they are for, and what cannot be.

use crate::folder::Folder;
use firmware_config::{Config, Network, diff, from_strings, render};

const LAN: &str = "[[network]]\nname = \"lan\"\nsip = \"192.0.2.1:5060\"\n";
const SIX: &str = "[[network]]\nname = \"six\"\nsip = \"[2001:db8::1]:5070\"\n\
                   interface = \"eth0.100\"\n";
const NAT: &str = "[[network]]\nname = \"nat\"\nsip = \"10.1.0.2:5060\"\nmedia = \"10.1.0.3\"\n\
                   advertise = \"203.0.113.10\"\n";
/// The only places of the contract that say where the box is.
const OWN_SIP: &str = "udp = \"127.0.0.1:5060\"\ntcp = \"127.0.0.1:5060\"\n";
const OWN_MEDIA: &str = "address = \"127.0.0.1\"\n";

/// The contract with these networks, behind the one it has.
fn beside(networks: &str) -> Folder {
    let folder = Folder::with_contract();
    folder.edit("node.toml", "[recording]", &format!("{networks}[recording]"));
    folder
}

/// The same in the place of the one it has.
fn instead(networks: &str) -> Folder {
    let folder = beside(networks);
    folder.edit("node.toml", OWN_SIP, "");
    folder.edit("node.toml", OWN_MEDIA, "");
    folder
}

fn config(folder: &Folder) -> Config {
    folder.load().unwrap_or_else(|faults| panic!("{faults:#?}")).config
}

fn shown(network: &Network) -> (Option<&str>, String, String, String, String) {
    (
        network.name.as_deref(),
        network.sip.to_string(),
        network.media.to_string(),
        network.advertise.to_string(),
        network.media_advertise.to_string(),
    )
}

#[test]
fn networks_stand_behind_the_one_sip_says_and_share_the_ports() {
    let config = config(&beside(&format!("{LAN}{SIX}{NAT}")));

    let networks: Vec<_> = config.networks.iter().map(shown).collect();
    let own = |text: &str| text.to_owned();
    assert_eq!(
        networks,
        [
            (
                None,
                own("127.0.0.1:5060"),
                own("127.0.0.1"),
                own("127.0.0.1:5060"),
                own("127.0.0.1")
            ),
            (
                Some("lan"),
                own("192.0.2.1:5060"),
                own("192.0.2.1"),
                own("192.0.2.1:5060"),
                own("192.0.2.1")
            ),
            (
                Some("six"),
                own("[2001:db8::1]:5070"),
                own("2001:db8::1"),
                own("[2001:db8::1]:5070"),
                own("2001:db8::1")
            ),
            (
                Some("nat"),
                own("10.1.0.2:5060"),
                own("10.1.0.3"),
                own("203.0.113.10:5060"),
                own("203.0.113.10")
            ),
        ]
    );
    assert_eq!(config.networks[2].interface.as_deref(), Some("eth0.100"));
    let shares: Vec<_> = (0..4).map(|place| config.ports_of(place)).collect();
    assert_eq!(shares, [20000..=22499, 22500..=24999, 25000..=27499, 27500..=29999]);
}

#[test]
fn where_sip_says_nothing_the_first_network_is_where_it_is() {
    let config = config(&instead(&format!("{NAT}{SIX}")));

    assert_eq!(config.networks.len(), 2);
    assert_eq!(config.sip.udp.to_string(), "10.1.0.2:5060");
    assert_eq!(config.sip.advertise.to_string(), "203.0.113.10:5060");
    assert_eq!(config.media.address.to_string(), "10.1.0.3");
    assert_eq!(config.media.advertise.to_string(), "203.0.113.10");
}

#[test]
fn a_trunk_and_a_contact_are_in_the_network_they_name_or_in_the_first() {
    let folder = beside(&format!("{LAN}{SIX}"));
    folder.edit(
        "site.toml",
        "peers = [\"127.0.0.11\"]\naddress = \"127.0.0.11:5080\"",
        "network = \"six\"\naddress = \"[2001:db8::2]:5080\"\npeers = [\"127.0.0.1\"]",
    );
    folder.edit("site.toml", "127.0.0.12:5070\"", "192.0.2.12:5070\"\nnetwork = \"lan\"");

    let config = config(&folder);

    let of_trunks: Vec<_> = config.trunks.iter().map(|trunk| trunk.network).collect();
    assert_eq!(of_trunks, [0, 2], "one address may be a peer in two networks");
    assert_eq!(config.agents[2].contact.as_ref().unwrap().network, 1);
}

#[test]
fn networks_are_rendered_so_that_they_read_back_as_the_same() {
    for folder in [beside(&format!("{LAN}{SIX}{NAT}")), instead(&format!("{NAT}{LAN}"))] {
        folder.edit(
            "site.toml",
            "calls_max = 2000\npstn = true",
            "network = \"lan\"\ncalls_max = 2000\npstn = true",
        );
        let once = config(&folder);
        let rendered = render(&once);

        let host = crate::folder::loopback_host();
        let twice = from_strings(&rendered, None, folder.path(), &host);

        let twice = twice.unwrap_or_else(|faults| panic!("{faults:#?}\n{rendered}")).config;
        // A password that was given as text is rendered as none.
        let mut differences = diff(&once, &twice);
        differences.retain(|one| !one.key.ends_with(".password"));
        assert_eq!(differences, []);
        assert_eq!(once.networks, twice.networks);
        assert_eq!(once.trunks[0].network, twice.trunks[0].network);
    }
}

#[test]
fn networks_that_cannot_be_are_refused_with_what_could() {
    let same = LAN.replace("lan", "again");
    let wild = LAN.replace("192.0.2.1", "0.0.0.0");
    for (networks, says) in [
        (format!("{LAN}{LAN}"), "is named twice"),
        (format!("{LAN}{same}"), "\"again\": sip 192.0.2.1:5060 meets 192.0.2.1:5060"),
        (
            format!("{wild}advertise = \"192.0.2.9\"\n"),
            "\"lan\": sip 0.0.0.0:5060 meets 127.0.0.1:5060 of [sip]",
        ),
        (LAN.replace("192.0.2.1:5060", "127.0.0.1:5060"), "meets"),
        (format!("{LAN}media = \"2001:db8::7\"\n"), "2001:db8::7 is of the other family"),
        (format!("{LAN}advertise = \"2001:db8::7\"\n"), "of the other family"),
        (format!("{LAN}interface = \"much-too-long-a-name\"\n"), "interface"),
        (format!("{LAN}interface = \"eth/0\"\n"), "not the name of an interface"),
        ("[[network]]\nname = \"lan\"\n".into(), "sip is missing"),
        (LAN.replace("5060", "20002"), "media.ports 20000-29999 hold the port of 192.0.2.1:20002"),
        (
            (0..17)
                .map(|at| format!("[[network]]\nname = \"n{at}\"\nsip = \"10.0.0.{at}:5060\"\n"))
                .collect(),
            "16 at most",
        ),
    ] {
        let faults = beside(&networks).faults();
        assert!(faults.iter().any(|fault| fault.contains(says)), "{networks}: {says}: {faults:#?}");
    }
}

#[test]
fn two_vlans_may_have_one_address() {
    let network = |name: &str| {
        format!("[[network]]\nname = \"{name}\"\nsip = \"10.0.0.1:5060\"\ninterface = \"{name}\"\n")
    };

    assert_eq!(config(&instead(&(network("eth0.1") + &network("eth0.2")))).networks.len(), 2);
}

#[test]
fn too_few_ports_for_all_networks_are_refused_with_how_many_would_do() {
    let folder = beside(&format!("{LAN}{SIX}"));
    folder.edit("node.toml", "20000-29999", "20000-20009");

    let fault = folder.fault();

    assert!(fault.contains("5 pairs") && fault.contains("at least 12 ports"), "{fault}");
}

#[test]
fn who_is_in_no_network_is_refused_with_those_there_are() {
    for (old, new, says) in [
        (
            "pstn = false",
            "pstn = false\nnetwork = \"dmz\"",
            "\"dmz\" is no network; write \"lan\" or \"six\"",
        ),
        (
            "127.0.0.11:5080",
            "[2001:db8::2]:5080",
            "2001:db8::2 is IPv6, which [sip] at 127.0.0.1:5060 is not",
        ),
        (
            "pstn = false",
            "pstn = false\nnetwork = \"six\"",
            "127.0.0.11 is IPv4, which network \"six\"",
        ),
        (
            "password = \"only-for-tests-1001\"",
            "password = \"only-for-tests-1001\"\nnetwork = \"lan\"",
            "of no use without a contact",
        ),
        ("127.0.0.12:5070\"", "127.0.0.12:5070\"\nnetwork = \"dmz\"", "\"dmz\" is no network"),
    ] {
        let folder = beside(&format!("{LAN}{SIX}"));
        folder.edit("site.toml", old, new);
        let fault = folder.fault();
        assert!(fault.starts_with("site.toml:") && fault.contains(says), "{says}: {fault}");
    }
    let alone = Folder::with_contract();
    alone.edit("site.toml", "pstn = false", "pstn = false\nnetwork = \"lan\"");
    assert!(alone.fault().contains("there is no [[network]] at all"), "{}", alone.fault());
}

#[test]
fn a_media_address_that_nobody_asked_for_and_a_domain_that_is_an_address_are_told() {
    let folder = beside(LAN);
    folder.edit("node.toml", OWN_SIP, "");
    assert!(folder.fault().contains("media.address: each [[network]] says its own"));

    let folder = beside(LAN);
    folder.edit("node.toml", "clavija.test", "127.0.0.1");
    let warnings = folder.load().unwrap().warnings;
    let says = "sip.domain 127.0.0.1 is an address, and every network reads it in From";
    assert!(warnings.iter().any(|warning| warning.to_string().contains(says)), "{warnings:#?}");
}

#[test]
fn networks_belong_to_the_half_that_says_what_the_box_is() {
    let folder = Folder::with_contract();
    folder.edit("site.toml", "[[music]]", &format!("{LAN}[[music]]"));

    assert!(folder.fault().contains("network: belongs in the file that names this one"));
}
