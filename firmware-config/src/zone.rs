//! Time zones of the IANA database. It is built in: a box needs no files of its host for it.

use crate::nearest::nearest;
use control_plane::{calendar, time::Stamp};
use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};
use std::time::Duration;

/// One that the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// For how long a plan knows what the clocks of its places do.
pub const KNOWN_AHEAD: Duration = Duration::from_secs(2 * 366 * 86_400);
/// A stretch that is open now may have begun the day before yesterday.
const KNOWN_BEFORE: Duration = Duration::from_secs(7 * 86_400);

impl Zone {
    /// By its whole name, as the database writes it; or why there is none.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let database = TimeZoneDatabase::bundled();
        let known: Vec<_> = database.available().map(|name| name.to_string()).collect();
        if let Some(name) = known.iter().find(|known| *known == name)
            && let Ok(rules) = database.get(name)
        {
            return Ok(Self { name: name.clone(), rules });
        }
        // What most would write is a place; its part of the world they may not know.
        let place = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let near = known.iter().find(|known| place(known).eq_ignore_ascii_case(&place(name)));
        let near =
            near.map(String::as_str).or_else(|| nearest(name, known.iter().map(String::as_str)));
        Err(format!(
            "is no time zone of the IANA database; did you mean {:?}? Write one like \
             \"America/Argentina/Buenos_Aires\" or \"UTC\"",
            near.unwrap_or("UTC")
        ))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its clock does, for a plan that is made while the wall clock says this.
    pub fn known_at(&self, wall: Stamp) -> calendar::Zone {
        let begins = instant(wall - KNOWN_BEFORE);
        let offset = |from: Timestamp, seconds| calendar::Offset { from: stamp(from), seconds };
        let first = offset(begins, self.rules.to_offset(begins).seconds());
        let end = instant(wall + KNOWN_AHEAD);
        let changes = self.rules.following(begins).take_while(|change| change.timestamp() <= end);
        let changes = changes.map(|change| offset(change.timestamp(), change.offset().seconds()));
        let mut offsets = vec![first];
        for change in changes {
            // The database also tells of new names of the same time.
            if offsets.last().is_none_or(|last| last.seconds != change.seconds) {
                offsets.push(change);
            }
        }
        calendar::Zone { name: self.name.clone(), offsets }
    }
}

/// A moment as RFC 3339 writes it, with `Z` or how far its clock is from Greenwich. `None`: it is not one, or it
/// lies before 1970.
pub fn moment(text: &str) -> Option<Stamp> {
    let at: Timestamp = text.parse().ok()?;
    u64::try_from(at.as_microsecond()).ok().map(Stamp)
}

/// Beyond what can be written down it is the last moment that can.
fn instant(wall: Stamp) -> Timestamp {
    let seconds = i64::try_from(wall.0 / 1_000_000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

fn stamp(at: Timestamp) -> Stamp {
    Stamp(u64::try_from(at.as_second()).unwrap_or(0).saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-12-01T00:00:00Z.
    const DECEMBER: Stamp = Stamp(1_796_083_200_000_000);

    #[test]
    fn two_years_of_changes_are_known_and_places_that_never_change_say_one_thing() {
        let changes = |name: &str| -> Vec<i32> {
            let zone = Zone::find(name).unwrap().known_at(DECEMBER);
            assert!(zone.offsets.iter().is_sorted_by_key(|offset| offset.from), "{name}");
            zone.offsets.iter().map(|offset| offset.seconds).collect()
        };
        assert_eq!(changes("Europe/Berlin"), [3_600, 7_200, 3_600, 7_200, 3_600]);
        assert_eq!(changes("Australia/Lord_Howe"), [39_600, 37_800, 39_600, 37_800, 39_600]);
        assert_eq!(changes("America/Argentina/Buenos_Aires"), [-10_800]);
        assert_eq!(changes("Asia/Kolkata"), [19_800]);
        assert_eq!(changes("UTC"), [0]);
        let far = Zone::find("Europe/Berlin").unwrap();
        assert!(!far.known_at(Stamp(u64::MAX)).offsets.is_empty());
        assert_eq!(far.known_at(Stamp(0)).offsets[0].from, Stamp(0));
    }

    #[test]
    fn a_place_without_its_part_of_the_world_is_told_the_name_that_was_meant() {
        for (typed, meant) in [
            ("Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("europe/berlin", "Europe/Berlin"),
            ("America/Berlin", "Europe/Berlin"),
            ("Europe/Berlim", "Europe/Berlin"),
        ] {
            let why = Zone::find(typed).unwrap_err();
            assert!(why.contains(&format!("did you mean {meant:?}?")), "{typed}: {why}");
        }
        assert!(Zone::find("").is_err());
    }
}
