//! Calendars as they are written, and what they say minute by minute beside what `jiff` reads on the clock.

use crate::folder::{Folder, contract, loopback_host};
use control_plane::{
    calendar::{Date, Exception, Holiday, Hours, Span, Weekly},
    time::Stamp,
};
use firmware_config::{Change, Closed, diff, from_strings, render};
use jiff::{
    SignedDuration, Timestamp, civil,
    tz::{TimeZone, TimeZoneDatabase},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

/// The contract's site with these lines behind it.
fn site(more: &str) -> Folder {
    let folder = Folder::with_contract();
    folder.write("site.toml", format!("{}\n{more}", contract("site.toml")));
    folder
}

/// A calendar of these lines, as the plan has it from this moment on.
fn calendar(lines: &str, from: Timestamp) -> Hours {
    let folder = site(&format!("[[hours]]\nname = \"office\"\n{lines}\n"));
    let loaded = folder.load().unwrap_or_else(|faults| panic!("{lines}: {faults:#?}"));
    loaded.config.hours[0].known_at(stamp(from))
}

fn stamp(at: Timestamp) -> Stamp {
    Stamp(u64::try_from(at.as_microsecond()).unwrap())
}

/// By what the clock on the wall has read so far: it opens when its beginning, and closes when its end, or
/// anything later, is read for the first time.
struct Reader<'a> {
    hours: &'a Hours,
    zone: TimeZone,
    latest: civil::DateTime,
}

impl Reader<'_> {
    fn is_open(&mut self, at: Timestamp) -> bool {
        self.latest = self.latest.max(at.to_zoned(self.zone.clone()).datetime());
        let days =
            (0..=3).map(|back| self.latest.date().saturating_sub(jiff::Span::new().days(back)));
        let mut spans =
            days.flat_map(|day| self.spans(day).into_iter().map(move |span| (day, span)));
        let read = |day: civil::Date, minute: u16| {
            day.to_datetime(civil::Time::midnight()) + SignedDuration::from_mins(minute.into())
        };
        let latest = self.latest;
        spans.any(|(day, span)| read(day, span.from) <= latest && latest < read(day, span.to))
    }

    fn spans(&self, day: civil::Date) -> Vec<Span> {
        let (year, month, of_month) = (day.year(), day.month() as u8, day.day() as u8);
        let date = Date { year, month, day: of_month };
        if let Some(exception) = self.hours.exceptions.iter().find(|e| e.date == date) {
            return exception.open.clone();
        }
        let is_today = |holiday: &Holiday| {
            (holiday.month, holiday.day) == (month, of_month)
                && holiday.year.is_none_or(|only| only == year)
        };
        if self.hours.holidays.iter().any(is_today) {
            return vec![];
        }
        let weekday = day.weekday().to_monday_zero_offset() as u8;
        let of_day = self.hours.weekly.iter().filter(|weekly| weekly.day == weekday);
        of_day.map(|weekly| weekly.open).collect()
    }
}

/// Places whose clocks do what clocks do: by an hour and by half of one, at midnight, over midnight, for a
/// month of fasting, by 45 minutes off, and never.
const ZONES: [&str; 12] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "America/Argentina/Buenos_Aires",
];

/// Times that meet, overlap and lie where clocks change.
fn some_span(dice: &mut ChaCha20Rng) -> Span {
    let minutes =
        [0, 15, 30, 60, 90, 110, 120, 150, 165, 180, 195, 240, 540, 1_080, 1_380, 1_410, 1_425];
    let mut minute = || match dice.random_range(0..3) {
        0 => dice.random_range(0..1_440),
        _ => minutes[dice.random_range(0..minutes.len())],
    };
    let (from, to) = (minute(), minute());
    Span { from, to: if to > from { to } else { to + 1_440 } }
}

fn some_calendar(zone: &str, from: Timestamp, dice: &mut ChaCha20Rng) -> Hours {
    let mut hours = calendar(&format!("time_zone = {zone:?}"), from);
    let here = TimeZoneDatabase::bundled().get(zone).unwrap();
    for day in 0..7 {
        let many = dice.random_range(0..3);
        hours.weekly.extend((0..many).map(|_| Weekly { day, open: some_span(dice) }));
    }
    for _ in 0..6 {
        let after = SignedDuration::from_hours(dice.random_range(0..24 * 12));
        let date = (from + after).to_zoned(here.clone()).date();
        let (year, month, day) = (date.year(), date.month() as u8, date.day() as u8);
        if dice.random_range(0..2) == 0 {
            let year = (dice.random_range(0..2) == 0).then_some(year);
            hours.holidays.push(Holiday { year, month, day, name: String::new() });
        } else if !hours.exceptions.iter().any(|e| e.date == (Date { year, month, day })) {
            let open = (0..dice.random_range(0..3)).map(|_| some_span(dice)).collect();
            let date = Date { year, month, day };
            hours.exceptions.push(Exception { date, open, name: String::new() });
        }
    }
    hours
}

/// From so long before a change of the clock, so that whatever was read twice is read here.
const BEFORE: SignedDuration = SignedDuration::from_hours(5 * 24);
const LIVED: i64 = 11 * 24 * 60;

#[test]
fn every_minute_about_every_change_of_a_clock_is_as_another_implementation_reads_it() {
    let begin: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    let (mut changes, mut opened) = (0, 0);
    for (seed, zone) in (0..).zip(ZONES) {
        let dice = &mut ChaCha20Rng::seed_from_u64(seed);
        let here = TimeZoneDatabase::bundled().get(zone).unwrap();
        let following = here.following(begin).map(|change| change.timestamp());
        let mut moments: Vec<_> = following.take(4).collect();
        changes += moments.len();
        moments.push("2026-12-24T12:00:00Z".parse().unwrap());
        for moment in moments {
            let first = moment - BEFORE;
            let hours = some_calendar(zone, first, dice);
            let latest = (first - BEFORE).to_zoned(here.clone()).datetime();
            let mut reader = Reader { hours: &hours, zone: here.clone(), latest };
            // Until when it has said, since it said it first.
            let mut promised = None;
            let mut was = None;
            for minute in 0..LIVED {
                let at = first + SignedDuration::from_mins(minute);
                let said = hours.at(stamp(at));
                let open = reader.is_open(at);
                assert_eq!(said.open, open, "{zone}, seed {seed}, {at}: {hours:?}");
                if was.replace(open) != Some(open) {
                    let due = promised.replace(said.until);
                    let as_said = due.is_none_or(|due| due == Some(stamp(at)));
                    assert!(as_said, "{zone}, seed {seed}: {due:?} was said for {at}");
                    opened += 1;
                }
                assert_eq!(promised, Some(said.until), "{zone}, seed {seed}, {at}");
            }
        }
    }
    assert!(changes > 30 && opened > 400, "{changes} changes and {opened} boundaries prove little");
}

const OFFICE: &str = r#"
[[hours]]
name = "office"
time_zone = "Europe/Berlin"
weekly = ["mon-fri 09:00-18:00", "sat 22:00-02:00"]
holidays = ["12-25 Christmas", "2026-12-26"]
exceptions = ["2026-12-24 09:00-12:00 Christmas Eve", "2026-12-31 closed"]
"#;

#[test]
fn calendars_and_doors_are_read_as_they_are_written() {
    let team = "[[team]]\nname = \"night\"\nagents = [\"desk\"]\nhours = \"office\"\n\
                closed = { message = \"waltz\" }\n";
    let numbers = "[[number]]\nnumber = \"700\"\nteam = \"support\"\nhours = \"office\"\n\
                   closed = { team = \"night\" }\n[[number]]\nnumber = \"701\"\nagent = \"ana\"\n\
                   hours = \"office\"\n";
    let config = site(&format!("{OFFICE}{team}{numbers}")).load().unwrap().config;

    let hours = &config.hours[0];
    let counts = (hours.weekly.len(), hours.holidays.len(), hours.exceptions.len());
    assert_eq!((hours.zone.name(), counts), ("Europe/Berlin", (6, 2, 2)));
    let night = config.teams.iter().find(|team| team.name == "night").unwrap();
    assert_eq!((night.hours, night.closed), (Some(0), Some(Closed::Message(0))));
    let door = |number: &str| {
        let row = config.numbers.iter().find(|row| row.number == number).unwrap();
        (row.hours, row.closed)
    };
    assert_eq!(door("700"), (Some(0), Some(Closed::Team(2))));
    assert_eq!(door("701"), (Some(0), None));
    assert_eq!(door("+541155550100"), (None, None));
}

#[test]
fn a_door_that_leads_nowhere_is_told_what_would_be_accepted() {
    let team =
        |lines: &str| format!("{OFFICE}[[team]]\nname = \"night\"\nagents = [\"desk\"]\n{lines}\n");
    let number =
        |lines: &str| format!("{OFFICE}[[number]]\nnumber = \"700\"\nagent = \"ana\"\n{lines}\n");
    for (text, wanted) in [
        (team("hours = \"offise\""), "did you mean \"office\"?"),
        (team("closed = \"waltz\""), "{ message = \"…\" }"),
        (team("closed = {}"), "leads nowhere"),
        (team("closed = { team = \"front\", agent = \"ana\" }"), "leads to more than one"),
        (team("closed = { team = \"nigth\" }"), "did you mean \"night\"?"),
        (team("closed = { team = \"night\" }"), "leads back to the same team"),
        (team("closed = { trunk = \"carrier\" }"), "has no address"),
        (team("closed = { tune = \"waltz\" }"), "agent, message, team, trunk"),
        (number("closed = { message = \"waltz\" }"), "write hours = \"office\""),
        (number("hours = \"office\"\nclosed = { message = \"walz\" }"), "did you mean \"waltz\"?"),
        (OFFICE.replace("Europe/Berlin", "Berlin"), "did you mean \"Europe/Berlin\"?"),
        (OFFICE.replace("mon-fri", "mon-fry"), "did you mean fri?"),
        (OFFICE.replace("12-25 Ch", "25-12 Ch"), "\"12-25 Christmas\" for every year"),
        (OFFICE.replace("2026-12-31 closed", "2026-12-24 closed"), "has this date twice"),
        (OFFICE.replace("time_zone = \"Europe/Berlin\"\n", ""), "time_zone"),
        (format!("{OFFICE}{OFFICE}"), "named twice"),
    ] {
        let faults = site(&text).faults();
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted}: {faults:#?}");
    }
}

#[test]
fn calendars_and_doors_are_rendered_as_they_are_read_and_differ_in_meaning_alone() {
    let doors = "[[team]]\nname = \"night\"\nagents = [\"desk\"]\nhours = \"office\"\n\
                 closed = { message = \"waltz\" }\n[[number]]\nnumber = \"700\"\nagent = \"ana\"\n\
                 hours = \"office\"\nclosed = { trunk = \"pbx\" }\n";
    let folder = site(&format!("{OFFICE}{doors}"));
    let config = folder.load().unwrap().config;

    let rendered = render(&config);
    for line in [
        "time_zone = \"Europe/Berlin\"",
        "holidays = [\"12-25 Christmas\", \"2026-12-26\"]",
        "exceptions = [\"2026-12-24 09:00-12:00 Christmas Eve\", \"2026-12-31 closed\"]",
        "closed = { message = \"waltz\" }",
        "closed = { trunk = \"pbx\" }",
    ] {
        assert!(rendered.lines().any(|rendered| rendered == line), "{line}\n{rendered}");
    }
    let again = from_strings(&rendered, None, folder.path(), &loopback_host()).unwrap().config;
    // Passwords stand in no rendering.
    let differences = diff(&config, &again);
    assert!(differences.iter().all(|one| one.key.ends_with(".password")), "{differences:?}");
    let other = site(&format!("{}{doors}", OFFICE.replace("mon-fri 09:00", "mon-fri 10:00")));
    let differences = diff(&config, &other.load().unwrap().config);
    let keys: Vec<_> = differences.iter().map(|one| (one.key.as_str(), one.change)).collect();
    assert!(keys.contains(&("hours.office.weekly", Change::Live)), "{keys:?}");
}
