//! A configuration written out whole: every key with the value that holds, every secret by its place
//! or not at all. What is rendered can be read again; what two renderings differ in is a difference.

use crate::{
    Config,
    agent::Agent,
    calendar::{shown_exception, shown_holiday, shown_weekly},
    closed::Closed,
    codec::Codec,
    keys::{Change, change},
    limits::Limits,
    network::Network,
    node::Recording,
    number::{Destination, Number},
    secret::Secret,
    team::{Answer, Channel, Strategy, Team},
    trunk::Trunk,
};
use media_core::music::Tune;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// One table as it stands in the rendered file.
struct Block {
    table: &'static str,
    many: bool,
    /// What tells it from others of its kind.
    id: String,
    lines: Vec<(&'static str, Line)>,
}

/// A value as TOML writes it.
struct Line {
    shown: String,
    /// What a shown value hides or leads to, for comparing.
    behind: Behind,
}

enum Behind {
    Nothing,
    Secret(Secret),
    Tune(Arc<Tune>),
}

impl Line {
    fn leads_to(self, behind: Behind) -> Self {
        Self { behind, ..self }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.shown == other.shown
            && match (&self.behind, &other.behind) {
                (Behind::Secret(one), Behind::Secret(other)) => one.reveal() == other.reveal(),
                (Behind::Tune(one), Behind::Tune(other)) => one == other,
                (Behind::Nothing, Behind::Nothing) => true,
                (Behind::Nothing | Behind::Secret(_) | Behind::Tune(_), _) => false,
            }
    }
}

/// Both halves in one file, with absolute paths and every default. A secret that was given as text
/// is `"***"`.
pub fn render(config: &Config) -> String {
    let mut text = "schema = \"clavija/v1\"\n".to_owned();
    for block in blocks(config) {
        let brackets = if block.many { ("[[", "]]") } else { ("[", "]") };
        text.push_str(&format!("\n{}{}{}\n", brackets.0, block.table, brackets.1));
        for (key, line) in block.lines {
            text.push_str(&format!("{key} = {}\n", line.shown));
        }
    }
    text
}

/// One thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `trunk.carrier.calls_max`.
    pub key: String,
    /// As TOML writes it; none where there was nothing. Secrets are `"***"`, and `(changed)` follows
    /// where one took another's place.
    pub was: Option<String>,
    pub is: Option<String>,
    /// The same words; what they hide or lead to is another.
    pub behind: bool,
    pub change: Change,
}

/// What changes from one configuration to another: in meaning, not in words, order or comments.
pub fn diff(was: &Config, is: &Config) -> Vec<Difference> {
    let (mut before, after) = (flat(was), flat(is));
    let mut all = Vec::new();
    for (key, (line, how)) in after {
        match before.remove(&key) {
            Some((old, _)) if old.is_same(&line) => {}
            old => {
                let behind = old.as_ref().is_some_and(|(old, _)| old.shown == line.shown);
                let is = if behind { format!("{} (changed)", line.shown) } else { line.shown };
                let (was, is) = (old.map(|(old, _)| old.shown), Some(is));
                all.push(Difference { key: key.2, was, is, behind, change: how });
            }
        }
    }
    all.extend(before.into_iter().map(|(key, (old, how))| Difference {
        key: key.2,
        was: Some(old.shown),
        is: None,
        behind: false,
        change: how,
    }));
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}

/// Table, place of the key, and its whole name.
type Place = (&'static str, &'static str, String);

fn flat(config: &Config) -> BTreeMap<Place, (Line, Change)> {
    let mut all = BTreeMap::new();
    for block in blocks(config) {
        for (key, line) in block.lines {
            let name = match block.many {
                true => format!("{}.{}.{key}", block.table, block.id),
                false => format!("{}.{key}", block.table),
            };
            all.insert((block.table, key, name), (line, change(block.table, key)));
        }
    }
    all
}

fn blocks(config: &Config) -> Vec<Block> {
    let one = |table, lines| Block { table, many: false, id: String::new(), lines };
    let many = |table, id: &str, lines| Block { table, many: true, id: id.to_owned(), lines };
    let (node, sip, media, http) = (&config.node, &config.sip, &config.media, &config.http);
    // Where the networks say where the first one is.
    let said_here = |(key, _): &(&str, Line)| {
        sip.network.is_none() || !["udp", "tcp", "advertise", "address"].contains(key)
    };
    let ports = format!("{}-{}", media.ports.start(), media.ports.end());
    let mut all = vec![
        one(
            "node",
            vec![
                ("name", text(&node.name)),
                ("data_dir", path(&node.data_dir)),
                ("drain_seconds", seconds(node.drain)),
            ],
        ),
        one(
            "sip",
            [
                ("udp", text(&sip.udp.to_string())),
                ("tcp", text(&sip.tcp.to_string())),
                ("advertise", text(&sip.advertise.to_string())),
                ("domain", text(&sip.domain)),
            ]
            .into_iter()
            .filter(said_here)
            .collect(),
        ),
        one(
            "media",
            [
                ("address", text(&media.address.to_string())),
                ("advertise", text(&media.advertise.to_string())),
                ("ports", text(&ports)),
                ("threads", plain(&media.threads.to_string())),
                ("cpus", plain(&format!("{:?}", media.cpus))),
                ("lateness_ms_max", plain(&media.lateness_max.as_millis().to_string())),
                ("load_percent_max", plain(&media.load_percent_max.to_string())),
                ("opus_complexity", plain(&media.opus_complexity.to_string())),
            ]
            .into_iter()
            .filter(said_here)
            .collect(),
        ),
        one(
            "http",
            vec![
                ("admin", text(&http.admin.to_string())),
                ("admin_token_file", path(&http.admin_token_file)),
            ],
        ),
        one("recording", of_recording(&config.recording)),
        one("limits", limits(&config.limits)),
    ];
    let networks = config.networks.as_slice();
    let named = networks.iter().filter_map(|network| Some((network.name.as_ref()?, network)));
    all.extend(named.map(|(name, network)| many("network", name, of_network(network))));
    all.extend(
        config.trunks.iter().map(|trunk| many("trunk", &trunk.name, of_trunk(trunk, networks))),
    );
    all.extend(
        config.agents.iter().map(|agent| many("agent", &agent.name, of_agent(agent, networks))),
    );
    for music in &config.music {
        let file = path(&music.file).leads_to(Behind::Tune(Arc::clone(&music.tune)));
        let gain = plain(&music.gain.db().to_string());
        let lines = vec![("name", text(&music.name)), ("file", file), ("gain_db", gain)];
        all.push(many("music", &music.name, lines));
    }
    for hours in &config.hours {
        let list = |items: Vec<String>| list(&items);
        let lines = vec![
            ("name", text(&hours.name)),
            ("time_zone", text(hours.zone.name())),
            ("weekly", list(hours.weekly.iter().map(shown_weekly).collect())),
            ("holidays", list(hours.holidays.iter().map(shown_holiday).collect())),
            ("exceptions", list(hours.exceptions.iter().map(shown_exception).collect())),
        ];
        all.push(many("hours", &hours.name, lines));
    }
    all.extend(config.teams.iter().map(|team| many("team", &team.name, of_team(team, config))));
    for number in &config.numbers {
        let from = number.from.iter().flatten();
        let from: Vec<&str> = from.map(|&at| name(&config.trunks, at, |t| &t.name)).collect();
        // Rows for one number differ in who dials them.
        let id = match from.is_empty() {
            true => number.number.clone(),
            false => format!("{} from {}", number.number, from.join(" ")),
        };
        all.push(many("number", &id, of_number(number, &from, config)));
    }
    all
}

fn limits(limits: &Limits) -> Vec<(&'static str, Line)> {
    let rows = [
        ("strangers_per_second", limits.strangers_per_second),
        ("stranger_per_second", limits.stranger_per_second),
        ("wrong_passwords_max", limits.wrong_passwords_max),
        ("ban_seconds", limits.ban_seconds),
        ("ban_seconds_max", limits.ban_seconds_max),
    ];
    rows.into_iter().map(|(key, value)| (key, plain(&value.to_string()))).collect()
}

fn of_recording(recording: &Recording) -> Vec<(&'static str, Line)> {
    let mut lines = vec![("dir", path(&recording.dir)), ("format", text(recording.format.word()))];
    lines.extend(recording.seal_key.as_ref().map(|key| ("seal_key", secret(key))));
    lines
}

fn of_network(network: &Network) -> Vec<(&'static str, Line)> {
    let mut lines: Vec<_> = network.name.iter().map(|name| ("name", text(name))).collect();
    lines.push(("sip", text(&network.sip.to_string())));
    lines.push(("media", text(&network.media.to_string())));
    // One that was given holds for both.
    if network.advertise.ip() == network.media_advertise {
        lines.push(("advertise", text(&network.advertise.to_string())));
    }
    lines.extend(network.interface.iter().map(|interface| ("interface", text(interface))));
    lines
}

/// Of whom is there, if it has one to be called by.
fn name_of(networks: &[Network], place: usize) -> Option<(&'static str, Line)> {
    Some(("network", text(networks.get(place)?.name.as_ref()?)))
}

fn of_trunk(trunk: &Trunk, networks: &[Network]) -> Vec<(&'static str, Line)> {
    let peers: Vec<String> = trunk.peers.iter().map(ToString::to_string).collect();
    let mut lines = vec![("name", text(&trunk.name)), ("peers", list(&peers))];
    lines.extend(name_of(networks, trunk.network));
    lines.extend(trunk.address.map(|address| ("address", text(&address.to_string()))));
    lines.push(("transport", text(if trunk.tcp { "tcp" } else { "udp" })));
    lines.push(("calls_max", plain(&trunk.calls_max.to_string())));
    if let Some(most) = trunk.calls_per_second_max {
        lines.push(("calls_per_second_max", plain(&most.to_string())));
    }
    lines.push(("pstn", plain(&trunk.pstn.to_string())));
    lines.push(("codecs", codecs(&trunk.codecs)));
    lines.push(("comfort_noise", plain(&trunk.comfort_noise.to_string())));
    lines.push(("srtp", text(trunk.srtp.word())));
    lines.push(("dtmf", text(trunk.dtmf.word())));
    lines
}

fn of_agent(agent: &Agent, networks: &[Network]) -> Vec<(&'static str, Line)> {
    let mut lines = vec![("name", text(&agent.name)), ("extension", text(&agent.extension))];
    lines.extend(agent.password.as_ref().map(|password| ("password", secret(password))));
    lines.extend(agent.contact.as_ref().map(|contact| ("contact", text(&contact.uri))));
    let place = agent.contact.as_ref().map(|contact| contact.network);
    lines.extend(place.and_then(|place| name_of(networks, place)));
    lines.push(("codecs", codecs(&agent.codecs)));
    lines.push(("comfort_noise", plain(&agent.comfort_noise.to_string())));
    lines.push(("srtp", text(agent.srtp.word())));
    lines.push(("dtmf", text(agent.dtmf.word())));
    lines
}

fn codecs(named: &[Codec]) -> Line {
    list(&named.iter().map(|codec| codec.word()).collect::<Vec<_>>())
}

fn of_team(team: &Team, config: &Config) -> Vec<(&'static str, Line)> {
    let agents = team.agents.iter().map(|&at| name(&config.agents, at, |agent| &agent.name));
    let channels = team.channels.iter().map(|channel| match channel {
        Channel::Sip => "sip",
        Channel::Whatsapp => "whatsapp",
    });
    let strategy = match team.strategy {
        Strategy::LongestIdle => "longest-idle",
    };
    let answer = match team.answer {
        Answer::AtOnce => "at_once",
        Answer::WithAgent => "with_agent",
    };
    let mut lines = vec![
        ("name", text(&team.name)),
        ("agents", list(&agents.collect::<Vec<_>>())),
        ("channels", list(&channels.collect::<Vec<_>>())),
        ("strategy", text(strategy)),
    ];
    let music = team.music.map(|at| name(&config.music, at, |music| &music.name));
    lines.extend(music.map(|music| ("music", text(music))));
    lines.extend([
        ("ring_seconds", seconds(team.ring)),
        ("wrap_up_seconds", seconds(team.wrap_up)),
        ("set_aside_seconds", seconds(team.set_aside.unwrap_or_default())),
        ("record", plain(&team.record.to_string())),
        ("mask_digits", plain(&team.mask_digits.to_string())),
        ("answer", text(answer)),
    ]);
    lines.extend(door(team.hours, team.closed, config));
    lines
}

fn of_number(number: &Number, from: &[&str], config: &Config) -> Vec<(&'static str, Line)> {
    let mut lines = vec![("number", text(&number.number))];
    if number.from.is_some() {
        lines.push(("from", list(from)));
    }
    lines.push(match number.leads_to {
        Destination::Agent(at) => ("agent", text(name(&config.agents, at, |agent| &agent.name))),
        Destination::Team(at) => ("team", text(name(&config.teams, at, |team| &team.name))),
        Destination::Trunk(at) => ("trunk", text(name(&config.trunks, at, |trunk| &trunk.name))),
    });
    lines.extend(number.record.map(|record| ("record", plain(&record.to_string()))));
    lines.extend(door(number.hours, number.closed, config));
    lines
}

/// When somebody is there, and where calls go when nobody is.
fn door(
    hours: Option<usize>,
    closed: Option<Closed>,
    config: &Config,
) -> impl Iterator<Item = (&'static str, Line)> {
    let hours = hours.map(|at| ("hours", text(name(&config.hours, at, |hours| &hours.name))));
    let closed = closed.map(|closed| {
        let (way, to) = match closed {
            Closed::Agent(at) => ("agent", name(&config.agents, at, |agent| &agent.name)),
            Closed::Message(at) => ("message", name(&config.music, at, |music| &music.name)),
            Closed::Team(at) => ("team", name(&config.teams, at, |team| &team.name)),
            Closed::Trunk(at) => ("trunk", name(&config.trunks, at, |trunk| &trunk.name)),
        };
        ("closed", plain(&format!("{{ {way} = {} }}", quoted(to))))
    });
    hours.into_iter().chain(closed)
}

fn name<T>(all: &[T], at: usize, name: fn(&T) -> &String) -> &str {
    all.get(at).map_or("", |one| name(one).as_str())
}

fn plain(shown: &str) -> Line {
    Line { shown: shown.to_owned(), behind: Behind::Nothing }
}

fn text(text: &str) -> Line {
    plain(&quoted(text))
}

fn path(path: &Path) -> Line {
    text(&path.to_string_lossy())
}

fn seconds(span: Duration) -> Line {
    plain(&span.as_secs().to_string())
}

fn list<T: AsRef<str>>(items: &[T]) -> Line {
    let items: Vec<String> = items.iter().map(|item| quoted(item.as_ref())).collect();
    plain(&format!("[{}]", items.join(", ")))
}

fn secret(secret: &Secret) -> Line {
    let shown = match secret.place() {
        Some((key, place)) => format!("{{ {key} = {} }}", quoted(&place)),
        None => quoted("***"),
    };
    Line { shown, behind: Behind::Secret(secret.clone()) }
}

/// As TOML writes it, whatever quotes and backslashes are inside.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
