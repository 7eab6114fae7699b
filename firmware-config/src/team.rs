//! Teams: who answers, in what order, and what callers hear until then.

use crate::{
    check::{name, one_of},
    closed::{self, Closed, Written},
    fault::Reported,
    reader::{At, Names, Section, refuse_twice},
};
use std::time::Duration;

/// Agents who answer one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub name: String,
    /// Places in [`Config::agents`](crate::Config::agents); at least one, none twice.
    pub agents: Vec<usize>,
    /// Whose callers it takes; at least one, none twice.
    pub channels: Vec<Channel>,
    pub strategy: Strategy,
    /// Place in [`Config::music`](crate::Config::music).
    pub music: Option<usize>,
    /// How long one agent is rung.
    pub ring: Duration,
    /// How long an agent is left alone after a call.
    pub wrap_up: Duration,
    /// How long who does not answer is left alone; none is until told.
    pub set_aside: Option<Duration>,
    pub record: bool,
    /// Which keys are pressed stands nowhere, and their tones in no recording.
    pub mask_digits: bool,
    pub answer: Answer,
    /// Place in [`Config::hours`](crate::Config::hours); none is always.
    pub hours: Option<usize>,
    /// Where calls go out of hours, and where nobody is signed in.
    pub closed: Option<Closed>,
}

/// A team, and what it has written of names that may not be known yet.
pub(crate) struct Placed {
    pub(crate) team: Team,
    pub(crate) closed: Option<Written>,
}

/// Where a caller comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    Sip,
    Whatsapp,
}

/// Who is rung first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    LongestIdle,
}

/// When a waiting caller's call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with music.
    AtOnce,
    /// 183 with music, 200 with the agent.
    WithAgent,
}

pub(crate) fn read(
    section: &mut Section<'_>,
    agents: &Names,
    music: &Names,
    hours: &Names,
) -> Result<Placed, Reported> {
    let name = section.parsed("name", "support", name);
    let name = section.required("name", name, r#""support""#);
    let members = section.parsed_list("agents", "ana", |text| agents.find(text));
    let members = section.required("agents", members, r#"["ana", "bruno"]"#);
    let members = members.and_then(|list| distinct(section, "agents", &list));
    let channels = section.parsed_list("channels", "sip", |text| {
        one_of(text, &[("sip", Channel::Sip), ("whatsapp", Channel::Whatsapp)])
    });
    let channels = channels.and_then(|given| match given {
        Some(list) => distinct(section, "channels", &list),
        None => Ok(vec![Channel::Sip]),
    });
    let strategy = section.parsed("strategy", "longest-idle", |text| {
        one_of(text, &[("longest-idle", Strategy::LongestIdle)])
    });
    let tune = section.parsed("music", "waltz", |text| music.find(text));
    let ring = section.whole("ring_seconds", 1..=600);
    let wrap_up = section.whole("wrap_up_seconds", 0..=86_400);
    let set_aside = section.whole("set_aside_seconds", 0..=86_400);
    let record = section.flag("record");
    let mask_digits = section.flag("mask_digits");
    let answer = section.parsed("answer", "at_once", |text| {
        one_of(text, &[("at_once", Answer::AtOnce), ("with_agent", Answer::WithAgent)])
    });

    let hours = section.parsed("hours", "office", |text| hours.find(text));
    let closed = closed::read(section);

    let set_aside = seconds(set_aside?, 30);
    let closed = closed?;
    let team = Team {
        name: name?.value,
        agents: members?,
        channels: channels?,
        strategy: strategy?.map_or(Strategy::LongestIdle, |at| at.value),
        music: tune?.map(|at| at.value),
        ring: seconds(ring?, 20),
        wrap_up: seconds(wrap_up?, 0),
        set_aside: (!set_aside.is_zero()).then_some(set_aside),
        record: record?.unwrap_or(false),
        mask_digits: mask_digits?.unwrap_or(false),
        answer: answer?.map_or(Answer::AtOnce, |at| at.value),
        hours: hours?.map(|at| at.value),
        closed: None,
    };
    Ok(Placed { team, closed })
}

fn seconds(given: Option<At<u32>>, default: u64) -> Duration {
    Duration::from_secs(given.map_or(default, |at| at.value.into()))
}

/// The values of a list that must not be empty nor say anything twice.
pub(crate) fn distinct<T: Ord + Copy>(
    section: &mut Section<'_>,
    key: &str,
    list: &[At<T>],
) -> Result<Vec<T>, Reported> {
    if list.is_empty() {
        return Err(section.refuse_table(&format!("{key} is empty; write at least one")));
    }
    let mut refused = None;
    refuse_twice(list.iter(), |twice, _first| {
        refused = Some(section.refuse(twice.line, key, "says the same twice; write each once"));
    });
    refused.map_or_else(|| Ok(list.iter().map(|at| at.value).collect()), Err)
}
