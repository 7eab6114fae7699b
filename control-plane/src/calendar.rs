//! Opening hours: a week, its holidays and exceptions, read on the clock that hangs on the wall there.
//!
//! Pure: what a time zone does stands in the plan as a list of offsets, so a day replays under the rules
//! it was lived by. Each boundary is passed once, at the first moment at which the clock there reads it
//! or a later time: what the clock leaves out is not waited for, and what it reads twice counts the
//! first time (as RFC 5545 §3.3.5 has it).

use crate::time::Stamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    pub name: String,
    pub zone: Zone,
    /// An ordinary week.
    pub weekly: Vec<Weekly>,
    /// Closed all day, unless an exception says otherwise.
    pub holidays: Vec<Holiday>,
    /// What is open on one date, in the place of everything else.
    pub exceptions: Vec<Exception>,
}

/// A place's time, for as long as the plan knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// In the IANA database.
    pub name: String,
    /// In the order of time; the first holds before it too, the last for ever.
    pub offsets: Vec<Offset>,
}

/// How far local time is ahead of UTC from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset {
    /// Of the wall clock.
    pub from: Stamp,
    /// Negative west of Greenwich.
    pub seconds: i32,
}

/// A stretch of one day, in minutes from its midnight by the clock there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// 0 to 1439.
    pub from: u16,
    /// More than `from`, at most a day more: what goes beyond 1440 is of the next day.
    pub to: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weekly {
    /// 0 is Monday, 6 Sunday.
    pub day: u8,
    pub open: Span,
}

/// A day of the calendar that most of the world uses (proleptic Gregorian).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Date {
    pub year: i16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holiday {
    /// `None`: every year.
    pub year: Option<i16>,
    pub month: u8,
    pub day: u8,
    /// For people; may be empty.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    pub date: Date,
    /// None: closed all day.
    pub open: Vec<Span>,
    /// For people; may be empty.
    pub name: String,
}

/// What a calendar says at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub open: bool,
    pub why: Why,
    /// Of the wall clock: when it says otherwise. `None`: not within [`HORIZON_DAYS`].
    pub until: Option<Stamp>,
}

/// By which rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The name of the exception.
    Exception(String),
    /// The name of the holiday.
    Holiday(String),
    Week,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, name) = match self {
            Self::Exception(name) => ("an exception", name.as_str()),
            Self::Holiday(name) => ("a holiday", name.as_str()),
            Self::Week => ("its week", ""),
        };
        f.write_str(what)?;
        if name.is_empty() { Ok(()) } else { write!(f, " ({name})") }
    }
}

/// How far ahead a change is looked for.
pub const HORIZON_DAYS: i64 = 400;

/// A span may reach into the day after the next, where the clock is put back.
const REACH_DAYS: i64 = 3;
const DAY_MINUTES: u16 = 24 * 60;
const DAY_SECONDS: i64 = 86_400;

impl Hours {
    /// What it says at this moment of the wall clock.
    pub fn at(&self, wall: Stamp) -> Verdict {
        let now = seconds(wall);
        let today = self.zone.day(now);
        let found = (today - REACH_DAYS..=today)
            .find(|&day| self.stretches(day).any(|(from, to)| (from..to).contains(&now)));
        let why = self.rule(found.unwrap_or(today)).1;
        let until = if found.is_some() { self.closes(now, today) } else { self.opens(now, today) };
        Verdict { open: found.is_some(), why, until: until.map(stamp) }
    }

    /// The next time that somebody comes.
    fn opens(&self, now: i64, today: i64) -> Option<i64> {
        let days = today - REACH_DAYS..=today + HORIZON_DAYS;
        days.filter_map(|day| self.stretches(day).map(|(from, _)| from).filter(|&f| f > now).min())
            .next()
    }

    /// When the last of those who follow each other without a gap goes.
    fn closes(&self, now: i64, today: i64) -> Option<i64> {
        let mut until = now;
        for day in today - REACH_DAYS..=today + HORIZON_DAYS {
            let mut all: Vec<_> = self.stretches(day).filter(|&(_, to)| to > until).collect();
            all.sort_unstable();
            let begins_later = all.first().is_some_and(|&(from, _)| from > until);
            for (from, to) in all {
                if from <= until {
                    until = until.max(to);
                }
            }
            // Nothing of a later day begins before what this day has.
            let over = begins_later || self.zone.first(day + 1, 0) > until;
            if over && until > now {
                return Some(until);
            }
        }
        None
    }

    /// What is open on this day, from and to, in seconds; none of it is empty.
    fn stretches(&self, day: i64) -> impl Iterator<Item = (i64, i64)> {
        let moment = move |minute| self.zone.first(day, minute);
        let spans = self.rule(day).0.into_iter();
        spans.map(move |span| (moment(span.from), moment(span.to))).filter(|(from, to)| from < to)
    }

    fn rule(&self, day: i64) -> (Vec<Span>, Why) {
        let date = Date::of(day);
        if let Some(exception) = self.exceptions.iter().find(|exception| exception.date == date) {
            return (exception.open.clone(), Why::Exception(exception.name.clone()));
        }
        let is_on = |holiday: &&Holiday| {
            let year = holiday.year.is_none_or(|year| year == date.year);
            year && (holiday.month, holiday.day) == (date.month, date.day)
        };
        if let Some(holiday) = self.holidays.iter().find(is_on) {
            return (Vec::new(), Why::Holiday(holiday.name.clone()));
        }
        let weekday = weekday(day);
        let of_today = self.weekly.iter().filter(|weekly| weekly.day == weekday);
        (of_today.map(|weekly| weekly.open).collect(), Why::Week)
    }

    /// Nothing in it is out of its range.
    pub(crate) fn is_sound(&self) -> bool {
        let span = |span: &Span| {
            span.from < DAY_MINUTES && span.from < span.to && span.to - span.from <= DAY_MINUTES
        };
        let date = |month: u8, day: u8| (1..=12).contains(&month) && (1..=31).contains(&day);
        self.weekly.iter().all(|weekly| weekly.day < 7 && span(&weekly.open))
            && self.holidays.iter().all(|holiday| date(holiday.month, holiday.day))
            && self.exceptions.iter().all(|exception| {
                date(exception.date.month, exception.date.day) && exception.open.iter().all(span)
            })
            && self.zone.is_sound()
    }
}

impl Zone {
    /// Where the clock never changes.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), offsets: vec![] }
    }

    /// The first moment, in seconds, at which the clock there reads this minute of this day or later.
    fn first(&self, day: i64, minute: u16) -> i64 {
        let read = day * DAY_SECONDS + i64::from(minute) * 60;
        let Some(before) = self.offsets.first() else { return read };
        let mut moment = read - i64::from(before.seconds);
        for (piece, offset) in self.offsets.iter().enumerate() {
            let begins = if piece == 0 { i64::MIN } else { seconds(offset.from) };
            let ends = self.offsets.get(piece + 1).map_or(i64::MAX, |next| seconds(next.from));
            moment = (read - i64::from(offset.seconds)).max(begins);
            if moment < ends {
                break;
            }
        }
        moment
    }

    /// The day that has begun there last.
    fn day(&self, now: i64) -> i64 {
        let offset = self.offsets.iter().rev().find(|offset| seconds(offset.from) <= now);
        let offset = offset.or_else(|| self.offsets.first()).map_or(0, |offset| offset.seconds);
        let read = (now + i64::from(offset)).div_euclid(DAY_SECONDS);
        // Where the clock goes back over midnight it reads a day that is over.
        if self.first(read + 1, 0) <= now { read + 1 } else { read }
    }

    fn is_sound(&self) -> bool {
        /// No place on Earth is a day away from Greenwich.
        const FARTHEST: i32 = 86_400;
        let near = |offset: &Offset| (-FARTHEST..=FARTHEST).contains(&offset.seconds);
        self.offsets.iter().all(near)
            && self.offsets.iter().all(|offset| offset.from.is_sound())
            && self.offsets.windows(2).all(|pair| matches!(pair, [a, b] if a.from < b.from))
    }
}

impl Span {
    /// From one time of the day to another, which is on the next day if it is not later. `None`: there is no
    /// such time. 24:00 is the end of a day.
    pub fn new(from: (u16, u16), to: (u16, u16)) -> Option<Self> {
        let minute = |(hour, minute): (u16, u16)| {
            let is_time = minute < 60 && (hour < 24 || (hour, minute) == (24, 0));
            is_time.then_some(hour * 60 + minute)
        };
        let (from, to) = (minute(from).filter(|from| *from < DAY_MINUTES)?, minute(to)?);
        Some(Self { from, to: if to > from { to } else { to + DAY_MINUTES } })
    }
}

impl Date {
    /// `None`: there is no such day.
    pub fn new(year: i16, month: u8, day: u8) -> Option<Self> {
        let date = Self { year, month, day };
        (Self::of(date.number()) == date).then_some(date)
    }

    /// Days since 1970-01-01. After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    fn number(self) -> i64 {
        let Self { year, month, day } = self;
        let year = i64::from(year) - i64::from(month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = (i64::from(month) + 9) % 12;
        let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    /// The way back. A year beyond what can be written down is the last that can.
    fn of(number: i64) -> Self {
        let shifted = number + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let small = |part: i64| u8::try_from(part).unwrap_or(u8::MAX);
        Self { year: i16::try_from(year).unwrap_or(i16::MAX), month: small(month), day: small(day) }
    }
}

fn weekday(day: i64) -> u8 {
    /// 1970-01-01 was a Thursday.
    const FIRST: i64 = 3;
    u8::try_from((day + FIRST).rem_euclid(7)).unwrap_or(0)
}

fn seconds(wall: Stamp) -> i64 {
    i64::try_from(wall.0 / 1_000_000).unwrap_or(i64::MAX)
}

fn stamp(seconds: i64) -> Stamp {
    Stamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests;
