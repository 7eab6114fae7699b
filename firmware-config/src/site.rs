//! The half that says how calls flow: trunks, agents, music, hours, teams, numbers.

use crate::{
    address::Host,
    agent::{self, Agent},
    calendar::{self, Hours},
    closed,
    fault::Reported,
    music::{self, Music},
    network::Network,
    number::{self, Known, Number},
    reader::{Entry, Names, Section},
    team::{self, Team},
    trunk::{self, Trunk},
};

/// The first-level tables of this half.
pub(crate) const TABLES: [&str; 7] =
    ["trunk", "agent", "music", "hours", "team", "number", "whatsapp"];

pub(crate) struct SiteHalf {
    pub(crate) trunks: Vec<Trunk>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) music: Vec<Music>,
    pub(crate) hours: Vec<Hours>,
    pub(crate) teams: Vec<Team>,
    pub(crate) numbers: Vec<Number>,
}

impl SiteHalf {
    /// `networks`: those the node half has, if it could be read.
    pub(crate) fn read(
        root: &mut Section<'_>,
        host: &Host,
        networks: Option<&[Network]>,
    ) -> Result<Self, Reported> {
        // Known keys all, even where the reading ends before their turn.
        TABLES.iter().for_each(|key| _ = root.value(key));
        let trunks = root.each("trunk", |section| trunk::read(section, networks));
        let agents = root.each("agent", |section| agent::read(section, host, networks));
        let music = root.each("music", music::read);
        let hours = root.each("hours", calendar::read);
        let whatsapp = read_whatsapp(root);
        let (trunks, agents, music, hours) = (trunks?, agents?, music?, hours?);
        let (file, report) = (root.file, &mut *root.report);
        let trunk_names = Names::of("trunk", &trunks, file, report);
        let agent_names = Names::of("agent", &agents, file, report);
        let music_names = Names::of("music", &music, file, report);
        let hours_names = Names::of("hours", &hours, file, report);
        trunk::refuse_shared_peers(&trunks, file, report);
        agent::refuse_shared(&agents, file, report);
        agent::warn_of_plain_passwords(&agents, file, report);

        let mut teams = root.each("team", |section| {
            team::read(section, &agent_names, &music_names, &hours_names)
        })?;
        let team_names = Names::of("team", &teams, root.file, root.report);
        let known = Known {
            agents: &agent_names,
            hours: &hours_names,
            music: &music_names,
            teams: &team_names,
            trunks: &trunk_names,
            trunk_tables: &trunks,
        };
        closed::resolve(&mut teams, &known, (root.file, root.report), |placed| {
            (placed.closed.take(), &mut placed.team.closed)
        });
        let numbers = root.each("number", |section| number::read(section, &known))?;
        number::refuse_same(&numbers, root.file, root.report);
        whatsapp?;
        Ok(Self {
            trunks: contents(trunks, |placed| placed.trunk)?,
            agents: contents(agents, |placed| placed.agent)?,
            music: contents(music, |music| music)?,
            hours: contents(hours, |hours| hours)?,
            teams: contents(teams, |placed| placed.team)?,
            numbers: contents(numbers, |number| number)?,
        })
    }
}

/// Accepted without a look inside: what a line needs is checked by the version that serves it.
fn read_whatsapp(root: &mut Section<'_>) -> Result<(), Reported> {
    if let Some(lines) = root.value("whatsapp") {
        let line = root.line_of(lines);
        root.warn(line, "whatsapp", "WhatsApp lines are not served by this version");
    }
    Ok(())
}

fn contents<T, U>(entries: Vec<Entry<T>>, valid: impl Fn(T) -> U) -> Result<Vec<U>, Reported> {
    entries.into_iter().map(|entry| entry.content.map(&valid)).collect()
}
