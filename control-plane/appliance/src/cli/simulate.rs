//! `clavija simulate`: where a call would go, and why. Reads the files alone; nothing is asked and nothing touched.

use super::{
    output::{Column, Output},
    target::{Target, load},
};
use crate::{error::Failure, plan, start::wall};
use clap::Args;
use control_plane::{
    config::{Destination, Plan},
    explain::{End, explain},
    time::Stamp,
};
use firmware_config::{Config, nearest};
use serde_json::{Value, json};
use sip_stack::{Source, TrunkId, UserId};

#[derive(Args, Debug)]
pub(super) struct Asked {
    /// Who calls: an agent's extension is their phone; any other number comes by the trunks.
    #[arg(long, value_name = "NUMBER")]
    from: String,
    /// The number dialled.
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// When, like 2026-12-24T18:00:00Z; now, if left out.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Stamp>,
    /// The trunk it comes by; each, if left out.
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
}

const COLUMNS: [Column; 3] = [("BY", "by"), ("GOES TO", "goes_to"), ("STATUS", "status")];

fn moment(text: &str) -> Result<Stamp, String> {
    let why = "write it like 2026-12-24T18:00:00Z or 2026-12-24T15:00:00-03:00";
    firmware_config::moment(text).ok_or_else(|| why.to_owned())
}

pub(super) fn run(asked: &Asked, target: &Target, out: &mut Output) -> Result<(), Failure> {
    let config = load(&target.file()?)?.config;
    let at = asked.at.unwrap_or_else(wall);
    let plan = plan::plan(&config, at);
    let mut items = Vec::new();
    for (by, source) in sources(asked, &config)? {
        let explained = explain(&plan, source, (&asked.from, &asked.to), at);
        let (goes_to, status) = shown(explained.end, &config, &plan);
        items.push(json!({ "by": by, "goes_to": goes_to, "status": status, "why": explained.why }));
    }
    let answer = json!({
        "from": asked.from,
        "to": asked.to,
        "at": control_plane::cdr::to_rfc3339(at),
        "items": items,
    });
    out.list(&answer, &COLUMNS)?;
    for item in answer["items"].as_array().into_iter().flatten() {
        out.say("")?;
        for line in item["why"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.say(line)?;
        }
    }
    Ok(())
}

/// Who may be meant, each with a name for people.
fn sources(asked: &Asked, config: &Config) -> Result<Vec<(String, Source)>, Failure> {
    let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
    let agent = config.agents.iter().position(|agent| agent.extension == asked.from);
    let trunk =
        |at: usize, name: &str| (format!("trunk {name}"), Source::Trunk(TrunkId(place(at))));
    if let Some(name) = &asked.trunk {
        let at = config.trunks.iter().position(|trunk| trunk.name == *name);
        return at.map(|at| vec![trunk(at, name)]).ok_or_else(|| {
            let near = nearest(name, config.trunks.iter().map(|trunk| trunk.name.as_str()));
            let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            Failure::NotFound(format!("there is no trunk {name:?}{near}"))
        });
    }
    if let Some((at, agent)) = agent.and_then(|at| Some((at, config.agents.get(at)?))) {
        return Ok(vec![(format!("agent {}", agent.name), Source::Phone(UserId(place(at))))]);
    }
    let trunks = config.trunks.iter().enumerate();
    Ok(trunks.map(|(at, of)| trunk(at, &of.name)).collect())
}

/// Where it ends, and with what status the caller's side hears so, if it is no 200 of somebody's.
fn shown(end: End, config: &Config, plan: &Plan) -> (Option<String>, Option<u16>) {
    match end {
        End::Goes(Destination::Seat(seat)) => {
            let seat = plan.seats.get(usize::from(seat.0));
            (seat.map(|seat| format!("agent {}", seat.name)), None)
        }
        End::Goes(Destination::Team(team)) => {
            let team = plan.teams.get(usize::from(team.0));
            (team.map(|team| format!("team {}", team.name)), None)
        }
        End::Goes(Destination::Trunk(trunk)) => {
            let trunk = plan.trunks.get(usize::from(trunk.0));
            (trunk.map(|trunk| format!("trunk {}", trunk.name)), None)
        }
        End::Hears { tune, answered } => {
            let music = config.music.get(usize::from(tune.0));
            let message = music.map(|music| format!("message {}", music.name));
            (message, Some(if answered { 200 } else { 480 }))
        }
        End::Refused(status) => (None, Some(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_with_its_zone_and_lies_after_1970() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Stamp(1_000_000)));
        assert_eq!(moment("2026-12-24T15:00:00-03:00"), moment("2026-12-24T18:00:00Z"));
        for bad in [
            "",
            "noon",
            "2026-12-24",
            "2026-12-24T18:00:00",
            "1969-12-31T23:00:00Z",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(moment(bad).unwrap_err().contains("2026-12-24T18:00:00Z"), "{bad}");
        }
    }
}
