//! The networks the box stands in: where it is heard in each, and by which address others know it there.

use crate::{
    address::{Host, bound_ip, listener, reachable},
    check::{choices, name},
    fault::{Report, Reported},
    node::{Media, SIP, Sip, behind},
    reader::{Entry, Section, SourceFile},
};
use std::net::{IpAddr, SocketAddr};

/// Each has a thousand pairs of ports with the usual range, and the media of a call is found by two.
pub(crate) const NETWORKS_MAX: usize = 16;
/// Pairs a call takes.
const PAIRS_MIN: usize = 2;
/// IFNAMSIZ of Linux, less its zero.
const INTERFACE_BYTES_MAX: usize = 15;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `None`: the first, which is that of `[sip]` and `[media]`.
    pub name: Option<String>,
    /// SIP over UDP; may be a wildcard.
    pub sip: SocketAddr,
    /// SIP over TCP; may be a wildcard.
    pub tcp: SocketAddr,
    /// What Via and Contact name; never a wildcard.
    pub advertise: SocketAddr,
    /// Where audio comes and goes; may be a wildcard.
    pub media: IpAddr,
    /// What SDP names; never a wildcard.
    pub media_advertise: IpAddr,
    /// Packets come and go by this interface alone.
    pub interface: Option<String>,
}

pub(crate) fn read(section: &mut Section<'_>, host: &Host) -> Result<Network, Reported> {
    let name = section.parsed("name", "lan", name);
    let name = section.required("name", name, r#""lan""#);
    let sip = section.parsed("sip", "192.0.2.10:5060", |text| listener(text, SIP));
    let sip = section.required("sip", sip, r#""192.0.2.10:5060""#);
    let media = section.parsed("media", "192.0.2.10", bound_ip);
    let port = sip.as_ref().map_or(SIP.port(), |sip| sip.value.port());
    let advertise = section.parsed("advertise", "203.0.113.10", |text| reachable(text, port));
    let interface = section.parsed("interface", "eth0.100", interface);

    let sip = sip?.value;
    let media = media?.map_or_else(|| sip.ip(), |media| media.value);
    let (advertise, media_advertise) = match advertise? {
        Some(given) => (given.value, given.value.ip()),
        None => {
            let ip = behind(section, host, "sip", sip.ip(), "advertise")?;
            (SocketAddr::new(ip, port), if media.is_unspecified() { ip } else { media })
        }
    };
    let network = Network {
        name: Some(name?.value),
        sip,
        tcp: sip,
        advertise,
        media,
        media_advertise,
        interface: interface?.map(|interface| interface.value),
    };
    let apart = [network.media, network.advertise.ip(), network.media_advertise];
    if let Some(other) = apart.into_iter().find(|other| !network.reaches(*other)) {
        let what = format!(
            "sip is {sip} and {other} is of the other family; write addresses of one family, and a \
             [[network]] for each"
        );
        return Err(section.refuse_table(&what));
    }
    Ok(network)
}

fn interface(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_graphic() && c != '/';
    if (1..=INTERFACE_BYTES_MAX).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("is not the name of an interface; write it as `ip link` does, like \"eth0.100\"".to_owned())
}

impl Network {
    /// What `[sip]` and `[media]` say.
    pub(crate) fn of(sip: &Sip, media: &Media) -> Self {
        Self {
            name: None,
            sip: sip.udp,
            tcp: sip.tcp,
            advertise: sip.advertise,
            media: media.address,
            media_advertise: media.advertise,
            interface: None,
        }
    }

    /// Whether something can be sent there from here: an IPv6 wildcard speaks IPv4 too.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        let both = self.sip.ip().is_unspecified() && self.sip.is_ipv6();
        both || self.sip.is_ipv4() == address.is_ipv4()
    }

    fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| "[sip]".to_owned(), |name| format!("network {name:?}"))
    }
}

/// The place of the network with this name, that `address` can be reached in, or why there is none.
pub(crate) fn find(
    networks: &[Network],
    named: Option<&str>,
    address: Option<IpAddr>,
) -> Result<usize, String> {
    let place = match named {
        None => 0,
        Some(named) => {
            let found = networks.iter().position(|known| known.name.as_deref() == Some(named));
            found.ok_or_else(|| {
                let names = networks.iter().filter_map(|network| network.name.as_ref());
                match choices(names.map(|name| format!("{name:?}"))).as_str() {
                    "" => format!("{named:?} is no network; there is no [[network]] at all"),
                    known => format!("{named:?} is no network; write {known}"),
                }
            })?
        }
    };
    let (Some(network), Some(address)) = (networks.get(place), address) else { return Ok(place) };
    if network.reaches(address) {
        return Ok(place);
    }
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    Err(format!(
        "{address} is {family}, which {} at {} is not; write the name of a [[network]] that is",
        network.shown(),
        network.sip
    ))
}

/// Two sockets cannot have one address and port, unless each is of its own interface.
pub(crate) fn refuse_shared(
    networks: &[Network],
    entries: &[Entry<Network>],
    file: &SourceFile,
    report: &mut Report,
) {
    for (at, network) in networks.iter().enumerate() {
        let line = entries
            .iter()
            .find(|entry| entry.name.as_ref().map(|name| &name.value) == network.name.as_ref());
        let line = line.and_then(|entry| entry.name.as_ref()).map(|name| name.line);
        for other in &networks[..at] {
            let apart = network.interface.is_some()
                && other.interface.is_some()
                && network.interface != other.interface;
            let meets = [(network.sip, other.sip), (network.tcp, other.tcp)];
            if !apart && meets.into_iter().any(|(one, two)| share_a_socket(one, two)) {
                let message = format!(
                    "{}: sip {} meets {} of {}; write another address or port",
                    network.shown(),
                    network.sip,
                    other.sip,
                    other.shown()
                );
                report.fault(&file.name, line, &message);
            }
        }
    }
}

fn share_a_socket(one: SocketAddr, two: SocketAddr) -> bool {
    let wild = |address: SocketAddr, other: SocketAddr| {
        address.ip().is_unspecified() && (address.is_ipv6() || other.is_ipv4())
    };
    one.port() == two.port() && (one.ip() == two.ip() || wild(one, two) || wild(two, one))
}

/// How many pairs of `media.ports` each of so many networks has; `None`: too few for a call.
pub(crate) fn share_of(media: &Media, networks: usize) -> Option<usize> {
    let pairs = media.ports.len() / 2;
    pairs.checked_div(networks).filter(|share| *share >= PAIRS_MIN)
}
