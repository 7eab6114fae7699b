//! Calendars: when somebody is there, as people write it down.

use crate::{
    check::{choices, name},
    fault::Reported,
    nearest::nearest,
    reader::Section,
    zone::Zone,
};
use control_plane::{
    calendar::{self, Date, Exception, Holiday, Span, Weekly},
    time::Stamp,
};

/// One calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    pub name: String,
    pub zone: Zone,
    /// In the order of the file, day by day.
    pub weekly: Vec<Weekly>,
    pub holidays: Vec<Holiday>,
    pub exceptions: Vec<Exception>,
}

impl Hours {
    /// As the core has it, with what its clock does after this moment of the wall clock.
    pub fn known_at(&self, wall: Stamp) -> calendar::Hours {
        calendar::Hours {
            name: self.name.clone(),
            zone: self.zone.known_at(wall),
            weekly: self.weekly.clone(),
            holidays: self.holidays.clone(),
            exceptions: self.exceptions.clone(),
        }
    }
}

pub(crate) fn read(section: &mut Section<'_>) -> Result<Hours, Reported> {
    let name = section.parsed("name", "office", name);
    let name = section.required("name", name, r#""office""#);
    let zone = section.parsed("time_zone", "America/Argentina/Buenos_Aires", Zone::find);
    let zone = section.required("time_zone", zone, r#""America/Argentina/Buenos_Aires""#);
    let weekly = section.parsed_list("weekly", "mon-fri 09:00-18:00", weekly);
    let holidays = section.parsed_list("holidays", "12-25 Christmas", holiday);
    let exceptions =
        section.parsed_list("exceptions", "2026-12-24 09:00-12:00 Christmas Eve", exception);
    let (weekly, holidays, exceptions) = (weekly?, holidays?, exceptions?);
    let mut dates: Vec<Date> = Vec::new();
    for at in exceptions.iter().flatten() {
        if dates.contains(&at.value.date) {
            let what = "has this date twice; write all times of a day in one";
            return Err(section.refuse(at.line, "exceptions", what));
        }
        dates.push(at.value.date);
    }
    Ok(Hours {
        name: name?.value,
        zone: zone?.value,
        weekly: weekly.into_iter().flatten().flat_map(|at| at.value).collect(),
        holidays: holidays.into_iter().flatten().map(|at| at.value).collect(),
        exceptions: exceptions.into_iter().flatten().map(|at| at.value).collect(),
    })
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Longest name of a day, in characters.
const NAME_MAX: usize = 64;

/// `mon-fri 09:00-13:00 14:00-18:00`, `sat,sun 10:00-14:00`, `fri-mon 22:00-06:00`.
fn weekly(text: &str) -> Result<Vec<Weekly>, String> {
    const LIKE: &str =
        "write days and times like \"mon-fri 09:00-18:00\" or \"sat,sun 22:00-06:00\"";
    let mut words = text.split_whitespace();
    let days = days(words.next().unwrap_or_default()).map_err(|why| format!("{why}; {LIKE}"))?;
    let spans: Option<Vec<Span>> = words.map(span).collect();
    let spans = spans.filter(|spans| !spans.is_empty());
    let spans = spans.ok_or_else(|| format!("has no times of the day behind its days; {LIKE}"))?;
    Ok(days.iter().flat_map(|&day| spans.iter().map(move |&open| Weekly { day, open })).collect())
}

fn days(text: &str) -> Result<Vec<u8>, String> {
    let day = |text: &str| {
        let day = (0..).zip(DAYS).find(|(_, day)| day.eq_ignore_ascii_case(text));
        day.map(|(number, _)| number).ok_or_else(|| {
            let near = nearest(text, DAYS.into_iter()).unwrap_or("mon");
            let known = choices(DAYS.iter().map(ToString::to_string));
            format!("says {text:?} for a day; did you mean {near}? Days are {known}")
        })
    };
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u8, u8) = (day(from)?, day(to)?);
        let many = (to + 7 - from) % 7;
        all.extend((0..=many).map(|after| (from + after) % 7));
    }
    Ok(all)
}

/// `09:00-18:00`.
fn span(text: &str) -> Option<Span> {
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        let fine = digits(hour) && digits(minute);
        fine.then(|| Some((hour.parse().ok()?, minute.parse().ok()?))).flatten()
    };
    let (from, to) = text.split_once('-')?;
    Span::new(time(from)?, time(to)?)
}

/// `12-25 Christmas` for every year, `2026-12-26 Bridge` for one.
fn holiday(text: &str) -> Result<Holiday, String> {
    const LIKE: &str =
        "write a date like \"2026-12-25 Christmas\", or \"12-25 Christmas\" for every year";
    let (date, name) = text.split_once(' ').unwrap_or((text, ""));
    let parsed = match date.len() {
        // A day that only some years have is one.
        5 => self::date(&format!("2028-{date}")).map(|date| (None, date)),
        _ => self::date(date).map(|date| (Some(date.year), date)),
    };
    let (year, Date { month, day, .. }) =
        parsed.ok_or_else(|| format!("does not begin with a date there is; {LIKE}"))?;
    Ok(Holiday { year, month, day, name: of_people(name)? })
}

/// `2026-12-24 09:00-12:00 Christmas Eve`, `2026-12-31 closed`.
fn exception(text: &str) -> Result<Exception, String> {
    const LIKE: &str = "write a date and its times like \"2026-12-24 09:00-12:00 Christmas Eve\" or \
                        \"2026-12-31 closed Stocktaking\"";
    let (first, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let date = date(first).ok_or_else(|| format!("does not begin with a date there is; {LIKE}"))?;
    let mut open = Vec::new();
    let mut closed = false;
    while !closed {
        rest = rest.trim_start();
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        match span(word) {
            Some(span) => open.push(span),
            None if word == "closed" && open.is_empty() => closed = true,
            None => break,
        }
        rest = behind;
    }
    if open.is_empty() && !closed {
        return Err(format!("has neither times nor closed behind its date; {LIKE}"));
    }
    Ok(Exception { date, open, name: of_people(rest)? })
}

/// `2026-12-24`.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next()?;
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit())).then_some(part)
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
    parts.next().is_none().then_some(date)
}

fn of_people(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(format!("has a name nobody could read; write at most {NAME_MAX} letters"));
    }
    Ok(name.to_owned())
}

/// As the reader takes it.
pub(crate) fn shown_weekly(weekly: &Weekly) -> String {
    let day = DAYS.get(usize::from(weekly.day)).copied().unwrap_or_default();
    format!("{day} {}", shown_span(weekly.open))
}

pub(crate) fn shown_holiday(holiday: &Holiday) -> String {
    let Holiday { year, month, day, name } = holiday;
    let year = year.map(|year| format!("{year:04}-")).unwrap_or_default();
    format!("{year}{month:02}-{day:02} {name}").trim_end().to_owned()
}

pub(crate) fn shown_exception(exception: &Exception) -> String {
    let Exception { date: Date { year, month, day }, open, name } = exception;
    let spans: Vec<_> = open.iter().map(|span| shown_span(*span)).collect();
    let open = if spans.is_empty() { "closed".to_owned() } else { spans.join(" ") };
    format!("{year:04}-{month:02}-{day:02} {open} {name}").trim_end().to_owned()
}

fn shown_span(span: Span) -> String {
    const DAY: u16 = 24 * 60;
    // The end of a day is 24:00 and not the beginning of the next.
    let to = if span.to > DAY { span.to - DAY } else { span.to };
    format!("{:02}:{:02}-{:02}:{:02}", span.from / 60, span.from % 60, to / 60, to % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_lists_and_ranges_also_over_the_end_of_a_week() {
        for (text, all) in [
            ("mon", &[0][..]),
            ("mon-fri", &[0, 1, 2, 3, 4]),
            ("sat,Sun", &[5, 6]),
            ("fri-mon,wed", &[4, 5, 6, 0, 2]),
        ] {
            assert_eq!(days(text).as_deref(), Ok(all), "{text}");
        }
        for bad in ["", "mon-", "mon--fri", "monday", "mon;tue", "mon-fri-sun"] {
            let why = days(bad).unwrap_err();
            assert!(why.contains("Days are mon, tue"), "{bad}: {why}");
        }
    }

    #[test]
    fn what_is_written_out_is_read_again_as_it_was() {
        for text in ["mon 09:00-18:00", "sun 22:00-06:00", "tue 00:00-24:00", "wed 09:00-09:00"] {
            let read = weekly(text).unwrap();
            assert_eq!(read.iter().map(shown_weekly).collect::<Vec<_>>(), [text]);
        }
        for text in ["12-25 Christmas", "2026-12-26", "02-29 leap day", "2026-01-01 Año Nuevo"] {
            assert_eq!(shown_holiday(&holiday(text).unwrap()), text);
        }
        for text in [
            "2026-12-24 09:00-12:00 15:00-17:00 Christmas Eve",
            "2026-12-31 closed Stocktaking",
            "2026-12-31 closed",
            "2026-12-31 22:00-02:00",
        ] {
            assert_eq!(shown_exception(&exception(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_day_or_time_is_told_what_would_be_one() {
        for bad in ["", "mon", "mon 9:00-18:00", "mon 09:00", "mon 09:00-25:00", "mon 24:00-09:00"]
        {
            let why = weekly(bad).unwrap_err();
            assert!(why.contains("\"mon-fri 09:00-18:00\""), "{bad}: {why}");
        }
        for bad in ["", "Christmas", "2026-02-29", "13-01", "2026-1-1", "2026-12-25T00:00", "99-99"]
        {
            let why = holiday(bad).unwrap_err();
            assert!(why.contains("\"12-25 Christmas\""), "{bad}: {why}");
        }
        for bad in ["", "12-24 closed", "2026-12-24", "2026-12-24 party", "2026-12-24 9-12"] {
            let why = exception(bad).unwrap_err();
            assert!(why.contains("\"2026-12-31 closed Stocktaking\""), "{bad}: {why}");
        }
        assert!(holiday(&format!("12-25 {}", "x".repeat(65))).is_err());
        assert!(holiday("12-25 a\u{1b}b").is_err());
    }
}
