//! Trunks: who may call from outside, and where calls to them go.

use crate::{
    address::{Peer, sip_target},
    check::{name, one_of},
    codec::{self, Codec},
    dtmf::{self, Dtmf},
    fault::{Report, Reported},
    network::{self, Network},
    reader::{At, Entry, Section, SourceFile},
    srtp::{self, Srtp},
};
use std::net::SocketAddr;

/// A carrier or another exchange, known by its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    pub name: String,
    /// Where it is, by the place in [`crate::Config::networks`].
    pub network: usize,
    /// Who may call without a challenge, from any port.
    pub peers: Vec<Peer>,
    /// Where calls to it are sent; none if it only calls us.
    pub address: Option<SocketAddr>,
    /// Calls to it go over TCP, not UDP. It may call by either.
    pub tcp: bool,
    /// Both directions together, at least 1.
    pub calls_max: u32,
    /// New calls a second, both directions together.
    pub calls_per_second_max: Option<u32>,
    /// Breaks out to the telephone network.
    pub pstn: bool,
    /// What may be agreed, of most worth first; never empty.
    pub codecs: Vec<Codec>,
    /// Comfort noise may be sent there in the place of silence.
    pub comfort_noise: bool,
    /// Whether its audio is encrypted.
    pub srtp: Srtp,
    pub dtmf: Dtmf,
}

/// A trunk with the lines of what is compared with other trunks.
pub(crate) struct Placed {
    pub(crate) trunk: Trunk,
    peers: Vec<At<Peer>>,
}

/// `networks`: `None` where they could not be read.
pub(crate) fn read(
    section: &mut Section<'_>,
    networks: Option<&[Network]>,
) -> Result<Placed, Reported> {
    let name = section.parsed("name", "carrier", name);
    let name = section.required("name", name, r#""carrier""#);
    let peers = section.parsed_list("peers", "203.0.113.7", str::parse::<Peer>);
    let address = section.parsed("address", "203.0.113.7:5060", sip_target);
    let tcp =
        section.parsed("transport", "udp", |word| one_of(word, &[("udp", false), ("tcp", true)]));
    let calls_max = section.whole("calls_max", 1..=1_000_000);
    let calls_max = section.required("calls_max", calls_max, "30");
    let calls_per_second_max = section.whole("calls_per_second_max", 1..=10_000);
    let pstn = section.flag("pstn");
    let codecs = codec::read(section);
    let comfort_noise = section.flag("comfort_noise");
    let srtp = srtp::read(section);
    let dtmf = dtmf::read(section);
    let network = section.text("network", "lan");

    let (peers, address) = (peers?.unwrap_or_default(), address?);
    let network = network.and_then(|named| {
        let line = named.as_ref().map(|at| at.line).or_else(|| address.as_ref().map(|at| at.line));
        let named = named.as_ref().map(|at| at.value.as_str());
        let found = networks.map_or(Ok(0), |networks| {
            network::find(networks, named, address.as_ref().map(|at| at.value.ip()))
        });
        found.map_err(|why| section.refuse(line.unwrap_or_default(), "network", &why))
    });
    let address = address.map(|at| at.value);
    if peers.is_empty() && address.is_none() {
        let what = "has neither peers nor address, so no call could come or go; write peers = \
                    [\"203.0.113.7\"], address = \"203.0.113.7:5060\" or both";
        return Err(section.refuse_table(what));
    }
    for peer in peers.iter().filter(|peer| peer.value.prefix_bits() == 0) {
        section.warn(peer.line, "peers", "a prefix of 0 lets everybody call without a challenge");
    }
    let trunk = Trunk {
        name: name?.value,
        network: network?,
        peers: peers.iter().map(|peer| peer.value).collect(),
        address,
        tcp: tcp?.is_some_and(|tcp| tcp.value),
        calls_max: calls_max?.value,
        calls_per_second_max: calls_per_second_max?.map(|given| given.value),
        // The careful reading: what breaks out is open to agents only.
        pstn: pstn?.unwrap_or(true),
        codecs: codecs?,
        comfort_noise: comfort_noise?.unwrap_or(false),
        srtp: srtp?,
        dtmf: dtmf?,
    };
    Ok(Placed { trunk, peers })
}

/// An address that belongs to two trunks would make whose call it is a matter of luck.
pub(crate) fn refuse_shared_peers(
    trunks: &[Entry<Placed>],
    file: &SourceFile,
    report: &mut Report,
) {
    let mut seen: Vec<(&Trunk, &At<Peer>)> = vec![];
    for placed in trunks.iter().filter_map(|entry| entry.content.as_ref().ok()) {
        let trunk = &placed.trunk;
        let before = seen.len();
        for peer in &placed.peers {
            let others = seen.iter().take(before).copied();
            // The same address in another network is another host.
            let mut others = others.filter(|(other, _)| other.network == trunk.network);
            if let Some((other, theirs)) = others.find(|(_, p)| p.value.meets(&peer.value)) {
                let (name, other) = (&trunk.name, &other.name);
                let message = format!(
                    "trunk {name:?}: peers: {} meets {} of trunk {other:?} on line {}; write \
                     addresses and networks that belong to one trunk only",
                    peer.value, theirs.value, theirs.line
                );
                report.fault(&file.name, Some(peer.line), &message);
            }
            seen.push((trunk, peer));
        }
    }
}
