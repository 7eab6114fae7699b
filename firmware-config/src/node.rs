//! The half that says what this box is: addresses, ports, storage.

use crate::{
    address::{Host, bound_ip, listener, port_range, reachable, reachable_ip},
    check::{choices, host_name, name, one_of},
    fault::Reported,
    keys::{CPU_MAX, OPUS_COMPLEXITY_MAX, THREADS_MAX},
    limits::{self, Limits},
    network::{self, NETWORKS_MAX, Network},
    reader::{At, Entry, Given, Names, Section},
    secret::{self, Read, Secret},
};
use media_core::record::seal::SealKey;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

/// The first-level tables of this half.
pub(crate) const TABLES: [&str; 7] =
    ["node", "sip", "media", "http", "recording", "limits", "network"];

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Defaults where the key has one, examples in messages everywhere.
pub(crate) const SIP: SocketAddr = SocketAddr::new(ANY, 5060);
const SIP_TLS: SocketAddr = SocketAddr::new(ANY, 5061);
pub(crate) const ADMIN: SocketAddr = SocketAddr::new(LOOPBACK, 8080);
const AGENTS: SocketAddr = SocketAddr::new(ANY, 8443);
const PUBLIC: SocketAddr = SocketAddr::new(LOOPBACK, 8081);

/// The box itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub data_dir: PathBuf,
    /// How long calls may go on after the wish to stop.
    pub drain: Duration,
}

/// Where trunks and phones are heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// May be a wildcard.
    pub udp: SocketAddr,
    /// May be a wildcard.
    pub tcp: SocketAddr,
    /// What Via and Contact name; never a wildcard.
    pub advertise: SocketAddr,
    /// Realm and domain of the addresses of record.
    pub domain: String,
    /// The first `[[network]]`, if that says where this is; `None`: `[sip]` does.
    pub network: Option<String>,
}

/// Where audio comes and goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// May be a wildcard.
    pub address: IpAddr,
    /// What SDP names; never a wildcard.
    pub advertise: IpAddr,
    /// From an even port to an odd one, at least two pairs.
    pub ports: RangeInclusive<u16>,
    pub threads: u32,
    /// The cores they are pinned to, one each; empty: any.
    pub cpus: Vec<u16>,
    /// How late one tick of a thousand may be before new calls are refused.
    pub lateness_max: Duration,
    /// The same for the share of its time that a media thread works.
    pub load_percent_max: u32,
    /// What an encoder of Opus may spend, 0 to 10.
    pub opus_complexity: u8,
}

/// Where the API and the metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub admin: SocketAddr,
    /// Need not exist yet.
    pub admin_token_file: PathBuf,
}

/// Where recordings lie, and who can hear them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Need not exist yet.
    pub dir: PathBuf,
    /// Of what is not sealed.
    pub format: RecordingFormat,
    /// With one nothing is recorded in the clear: 64 hexadecimal digits, or the file that would hold
    /// them cannot be had.
    pub seal_key: Option<Secret>,
}

/// What a recording's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingFormat {
    Wav,
    /// In Ogg.
    Opus,
}

impl RecordingFormat {
    pub(crate) const WORDS: [(&'static str, Self); 2] = [("wav", Self::Wav), ("opus", Self::Opus)];

    pub fn word(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Opus => "opus",
        }
    }
}

pub(crate) struct NodeHalf {
    pub(crate) node: Node,
    pub(crate) sip: Sip,
    pub(crate) media: Media,
    pub(crate) http: Http,
    pub(crate) recording: Recording,
    pub(crate) limits: Limits,
    pub(crate) networks: Vec<Network>,
}

impl NodeHalf {
    pub(crate) fn read(root: &mut Section<'_>, host: &Host) -> Result<Self, Reported> {
        let node = root.table("node", read_node);
        let data_dir = node.as_ref().ok().map(|node| node.data_dir.clone()).unwrap_or_default();
        let networks = root.each("network", |section| network::read(section, host));
        let first = networks.as_ref().ok().and_then(|all| all.first()?.content.as_ref().ok());
        let sip = root.table("sip", |section| read_sip(section, first, host));
        let heard_at = sip.as_ref().map(|sip| sip.udp).map_err(|reported| *reported);
        let first = first.filter(|_| sip.as_ref().is_ok_and(|sip| sip.network.is_some()));
        let media = root.table("media", |section| read_media(section, heard_at, first, host));
        let http = root.table("http", |section| {
            let default = data_dir.join("admin.token");
            read_http(section, default)
        });
        let recording = root.table("recording", |section| {
            let default = data_dir.join("recordings");
            let dir = folder(section, "dir", "data/recordings");
            let format = section.parsed("format", "wav", read_format);
            let seal_key = read_seal_key(section, host);
            let (format, seal_key) = (format?, seal_key?);
            let format = format.map_or(RecordingFormat::Wav, |format| format.value);
            Ok(Recording { dir: dir?.unwrap_or(default), format, seal_key })
        });
        let limits = root.table("limits", limits::read);
        let (node, sip, media, http) = (node?, sip?, media?, http?);
        let networks = join_networks(root, &sip, &media, networks?)?;
        Ok(Self { node, sip, media, http, recording: recording?, limits: limits?, networks })
    }
}

/// The first, and those behind it.
fn join_networks(
    root: &mut Section<'_>,
    sip: &Sip,
    media: &Media,
    entries: Vec<Entry<Network>>,
) -> Result<Vec<Network>, Reported> {
    _ = Names::of("network", &entries, root.file, root.report);
    let own = sip.network.is_none().then(|| Ok(Network::of(sip, media)));
    let named = entries.iter().map(|entry| entry.content.clone());
    let all: Vec<_> = own.into_iter().chain(named).collect::<Result<_, _>>()?;
    network::refuse_shared(&all, &entries, root.file, root.report);
    let line = entries.first().and_then(|entry| entry.name.as_ref()).map(|name| name.line);
    if all.len() > NETWORKS_MAX {
        let what = format!("there are {}; write {NETWORKS_MAX} at most", all.len());
        return Err(root.refuse(line.unwrap_or_default(), "network", &what));
    }
    if network::share_of(media, all.len()).is_none() {
        let what = format!(
            "each of {} networks has an equal share of media.ports, which hold {} pairs; write a \
             range with at least {} ports",
            all.len(),
            media.ports.len() / 2,
            all.len() * 4
        );
        return Err(root.refuse(line.unwrap_or_default(), "network", &what));
    }
    let taken = all.iter().find(|one| meets(&media.ports, one.media, one.sip));
    if let Some(taken) = taken.filter(|one| one.name.is_some()) {
        let (first, last) = (media.ports.start(), media.ports.end());
        let what =
            format!("media.ports {first}-{last} hold the port of {}; write another", taken.sip);
        return Err(root.refuse(line.unwrap_or_default(), "network", &what));
    }
    if all.len() > 1 && sip.domain.parse::<IpAddr>().is_ok() {
        let what = format!(
            "sip.domain {} is an address, and every network reads it in From; write a name",
            sip.domain
        );
        root.warn(line.unwrap_or_default(), "network", &what);
    }
    Ok(all)
}

fn read_node(section: &mut Section<'_>) -> Result<Node, Reported> {
    let name = section.parsed("name", "edge-1", name);
    let name = section.required("name", name, r#""edge-1""#);
    let data_dir = folder(section, "data_dir", "data");
    let data_dir = section.required("data_dir", data_dir, r#""data""#);
    let drain_seconds = section.whole("drain_seconds", 0..=3600);
    // Which file it names was settled before this half was read.
    section.value("site");
    let drain = Duration::from_secs(drain_seconds?.map_or(30, |given| given.value.into()));
    Ok(Node { name: name?.value, data_dir: data_dir?, drain })
}

/// `first`: the first `[[network]]`, which says where SIP is heard if this table does not.
fn read_sip(
    section: &mut Section<'_>,
    first: Option<&Network>,
    host: &Host,
) -> Result<Sip, Reported> {
    let udp = listening(section, "udp", SIP);
    let port = udp.as_ref().ok().and_then(Option::as_ref).map_or(SIP.port(), |at| at.value.port());
    let advertise = section.parsed("advertise", "203.0.113.10:5060", |text| reachable(text, port));
    let domain = section.parsed("domain", "pbx.example.com", host_name);
    let domain = section.required("domain", domain, r#""pbx.example.com""#);
    let tcp = listening(section, "tcp", SIP);
    not_opened(section, "tls", SIP_TLS, "SIP over TLS");
    let unused = [section.path("certificate", "sip.pem"), section.path("key", "sip.key")];

    let (udp, tcp, advertise) = (udp?, tcp?, advertise?);
    let first = first.filter(|_| udp.is_none() && tcp.is_none() && advertise.is_none());
    if let Some(Network { name, sip, tcp, advertise, .. }) = first {
        all(unused)?;
        let (network, domain) = (name.clone(), domain?.value);
        return Ok(Sip { udp: *sip, tcp: *tcp, advertise: *advertise, domain, network });
    }
    let udp = udp.map_or(SIP, |udp| udp.value);
    let tcp = tcp.map_or(udp, |tcp| tcp.value);
    let advertise = match advertise {
        Some(given) => given.value,
        None => {
            let ip = behind(section, host, "udp", udp.ip(), "advertise")?;
            SocketAddr::new(ip, udp.port())
        }
    };
    all(unused)?;
    Ok(Sip { udp, tcp, advertise, domain: domain?.value, network: None })
}

fn read_media(
    section: &mut Section<'_>,
    heard_at: Result<SocketAddr, Reported>,
    first: Option<&Network>,
    host: &Host,
) -> Result<Media, Reported> {
    let address = section.parsed("address", "192.0.2.10", bound_ip);
    let advertise = section.parsed("advertise", "203.0.113.10", reachable_ip);
    let ports = section.parsed("ports", "20000-29999", port_range);
    let threads = section.whole("threads", 1..=THREADS_MAX);
    let threads = threads.map(|given| given.map_or(1, |given| given.value));
    let cpus = cores(section, threads.as_ref().ok().copied());
    let lateness = section.whole("lateness_ms_max", 1..=1_000);
    let load = section.whole("load_percent_max", 1..=100);
    let complexity = section.whole("opus_complexity", 0..=OPUS_COMPLEXITY_MAX);

    let ports_line = ports.as_ref().ok().and_then(Option::as_ref).map(|at| at.line);
    let ports = ports.and_then(|given| match given {
        Some(given) => whole_pairs(section, &given),
        None => Ok(20000..=29999),
    });
    let (address, advertise) = (address?, advertise?);
    let given = [(&address, "address"), (&advertise, "advertise")];
    let given = given.into_iter().find_map(|(at, key)| Some((at.as_ref()?.line, key)));
    if let Some((line, key)) = given.filter(|_| first.is_some()) {
        let what = "each [[network]] says its own, as sip.udp is not given; remove it here";
        return Err(section.refuse(line, key, what));
    }
    let address = match (address, first) {
        (Some(given), _) => given.value,
        (None, Some(first)) => first.media,
        (None, None) => heard_at?.ip(),
    };
    let advertise = match (advertise, first) {
        (Some(given), _) => given.value,
        (None, Some(first)) => first.media_advertise,
        (None, None) => behind(section, host, "address", address, "advertise")?,
    };
    let (ports, threads) = (ports?, threads?);
    if meets(&ports, address, heard_at?) {
        let (first, last) = (ports.start(), ports.end());
        let what = format!("{first}-{last} hold the port of sip.udp; write a range without it");
        return Err(match ports_line {
            Some(line) => section.refuse(line, "ports", &what),
            None => section.refuse_table(&format!("ports: {what}")),
        });
    }
    let lateness_ms = lateness?.map_or(20, |given| given.value);
    Ok(Media {
        address,
        advertise,
        ports,
        threads,
        cpus: cpus?,
        lateness_max: Duration::from_millis(lateness_ms.into()),
        load_percent_max: load?.map_or(70, |given| given.value),
        opus_complexity: complexity?
            .and_then(|given| u8::try_from(given.value).ok())
            // A tenth of a millisecond of a core for each frame (measured).
            .unwrap_or(5),
    })
}

fn read_http(section: &mut Section<'_>, default_token: PathBuf) -> Result<Http, Reported> {
    let admin = listening(section, "admin", ADMIN);
    let token = section.path("admin_token_file", "data/admin.token");
    not_opened(section, "agents", AGENTS, "HTTPS for agents");
    not_opened(section, "public", PUBLIC, "HTTP for webhooks");
    let unused = [section.path("certificate", "http.pem"), section.path("key", "http.key")];

    let token = token.and_then(|given| match given {
        Some(given) if given.value.is_dir() => {
            let what = format!("{} is a folder; write the path of a file", given.value.display());
            Err(section.refuse(given.line, "admin_token_file", &what))
        }
        Some(given) => Ok(given.value),
        None => Ok(default_token),
    });
    let admin = admin?.map_or(ADMIN, |admin| admin.value);
    all(unused)?;
    Ok(Http { admin, admin_token_file: token? })
}

fn read_format(text: &str) -> Result<RecordingFormat, String> {
    one_of(text, &RecordingFormat::WORDS)
}

fn read_seal_key(section: &mut Section<'_>, host: &Host) -> Result<Option<Secret>, Reported> {
    const KEY: &str = "seal_key";
    let Some(Read { secret, line, plain_at }) = secret::read(section, KEY, host)? else {
        return Ok(None);
    };
    if let Some(text) = secret.reveal()
        && let Err(why) = SealKey::from_hex(text)
    {
        return Err(section.refuse(line, KEY, &why.to_string()));
    }
    if let Some(line) = plain_at {
        let what = "is in plain text; who can read this file can hear the recordings, write { file = \"…\" } \
                    or { credential = \"…\" }";
        section.warn(line, KEY, what);
    }
    Ok(Some(secret))
}

/// RFC 3550 §11: RTP takes the even port of a pair, RTCP the next.
fn whole_pairs(
    section: &mut Section<'_>,
    given: &At<RangeInclusive<u16>>,
) -> Result<RangeInclusive<u16>, Reported> {
    let (first, last) = (*given.value.start(), *given.value.end());
    // The end is the even port behind the last pair; in 32 bits there is one behind 65535.
    let (even, end) = (u32::from(first).next_multiple_of(2), (u32::from(last) + 1) & !1);
    if end < even + 4 {
        let what = format!(
            "\"{first}-{last}\" is too small: it holds {} pairs of an even port and the next, and \
             one call takes two; write at least 4 ports from an even one, like 20000-29999",
            end.saturating_sub(even) / 2
        );
        return Err(section.refuse(given.line, "ports", &what));
    }
    let whole = u16::try_from(even).unwrap_or(first)..=u16::try_from(end - 1).unwrap_or(last);
    if whole != given.value {
        let what = format!(
            "\"{first}-{last}\" does not begin with an even port and end with an odd one; RTP takes \
             the even port of a pair and RTCP the next, so {}-{} is used",
            whole.start(),
            whole.end()
        );
        section.warn(given.line, "ports", &what);
    }
    Ok(whole)
}

/// Two sockets cannot have one port, unless they are bound to different addresses.
fn meets(ports: &RangeInclusive<u16>, address: IpAddr, sip: SocketAddr) -> bool {
    let apart = sip.ip() != address && !sip.ip().is_unspecified() && !address.is_unspecified();
    !apart && ports.contains(&sip.port())
}

/// One core for each thread: two on one core would wait for each other, and a thread without one
/// would be the one that is late.
fn cores(section: &mut Section<'_>, threads: Option<u32>) -> Result<Vec<u16>, Reported> {
    let given = section.whole_list("cpus", "[2]", 0..=CPU_MAX)?;
    let Some(At { value: cpus, line }) = given.filter(|given| !given.value.is_empty()) else {
        return Ok(vec![]);
    };
    let twice = cpus.iter().enumerate().find(|(place, core)| cpus[..*place].contains(core));
    if let Some((_, core)) = twice {
        let what = format!("names core {core} twice; write one core for each media thread");
        return Err(section.refuse(line, "cpus", &what));
    }
    if let Some(threads) = threads.filter(|threads| usize::try_from(*threads) != Ok(cpus.len())) {
        let what = format!(
            "names {} cores and media.threads is {threads}; write one core for each media thread",
            cpus.len()
        );
        return Err(section.refuse(line, "cpus", &what));
    }
    Ok(cpus.into_iter().filter_map(|core| u16::try_from(core).ok()).collect())
}

/// The address peers can use when the operator names none.
pub(crate) fn behind(
    section: &mut Section<'_>,
    host: &Host,
    bound_key: &str,
    bound: IpAddr,
    key: &str,
) -> Result<IpAddr, Reported> {
    let found = host.address_behind(bound).map_err(|several| {
        let known = choices(several.iter().map(ToString::to_string));
        section.refuse_for_host(&format!(
            "{key} is missing: {bound_key} is {bound} and this host has several addresses; write the \
             one that peers can reach, like {known}"
        ))
    })?;
    if bound.is_unspecified() && found.is_loopback() {
        section.warn_of_host(&format!(
            "{key} is missing: {bound_key} is {bound} and this host has no address but {found}, which \
             nobody else can reach; write the one that peers can reach, or wait for the network"
        ));
    }
    Ok(found)
}

fn listening(
    section: &mut Section<'_>,
    key: &'static str,
    like: SocketAddr,
) -> Given<At<SocketAddr>> {
    section.parsed(key, &like.to_string(), |text| listener(text, like))
}

/// A listener that is checked, and told about once, until its feature is there.
fn not_opened(section: &mut Section<'_>, key: &'static str, like: SocketAddr, what: &str) {
    if let Ok(Some(address)) = listening(section, key, like) {
        let what = format!("{what} is not served by this version; {} is not opened", address.value);
        section.warn(address.line, key, &what);
    }
}

/// A folder that need not exist yet; whether it can be written is seen at start.
fn folder(section: &mut Section<'_>, key: &'static str, like: &str) -> Given<PathBuf> {
    let Some(given) = section.path(key, like)? else { return Ok(None) };
    if given.value.exists() && !given.value.is_dir() {
        let what = format!("{} is not a folder; write it like {like:?}", given.value.display());
        return Err(section.refuse(given.line, key, &what));
    }
    Ok(Some(given.value))
}

fn all<T, const N: usize>(given: [Given<T>; N]) -> Result<(), Reported> {
    given.into_iter().try_for_each(|one| one.map(|_| ()))
}
