//! What the plan knows of clocks elsewhere reaches two years ahead: before it ends, or once this box's own
//! clock turns out to have been wrong, it is made anew.

use control_plane::{calendar, time::Stamp};
use firmware_config::Hours;
use std::time::Duration;

/// The calendars of the configuration that holds, and what the wall clock said when the plan was made.
#[derive(Debug, Default)]
pub(super) struct Calendars {
    pub(super) hours: Vec<Hours>,
    pub(super) made_at: Stamp,
}

/// A process lives for months, and a plan is a line of the journal.
const RENEW_EVERY: Duration = Duration::from_secs(30 * 86_400);

impl Calendars {
    /// Those that are to be known from now on; `None`: what is known will do.
    pub(super) fn look(&mut self, wall: Stamp) -> Option<Vec<calendar::Hours>> {
        let off = wall.since(self.made_at).max(self.made_at.since(wall));
        if self.hours.is_empty() || off < RENEW_EVERY {
            return None;
        }
        self.made_at = wall;
        Some(self.hours.iter().map(|hours| hours.known_at(wall)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware_config::{Host, from_strings};
    use std::path::Path;

    const TEXT: &str = "schema = \"clavija/v1\"\n[node]\nname = \"n\"\ndata_dir = \"d\"\n[sip]\n\
                        udp = \"127.0.0.1:5060\"\ndomain = \"d\"\n[[hours]]\nname = \"h\"\n\
                        time_zone = \"Europe/Berlin\"\n";
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_is_known_is_renewed_every_thirty_days_and_when_the_clock_was_wrong() {
        let host = Host { addresses: vec![[127, 0, 0, 1].into()], credentials: None };
        let config = from_strings(TEXT, None, Path::new("/"), &host).unwrap().config;
        let booted = Stamp::default() + 3 * DAY;
        let mut calendars = Calendars { hours: config.hours, made_at: booted };

        assert_eq!(calendars.look(booted + 29 * DAY), None);
        // 2026-12-01T00:00:00Z.
        let set = Stamp(1_796_083_200_000_000);
        let known = calendars.look(set).unwrap();
        let last = known[0].zone.offsets.last().unwrap();
        assert_eq!(known[0].zone.offsets.len(), 5, "two summers are known");
        assert!(last.from > set + 600 * DAY);
        assert_eq!(calendars.look(set + DAY), None);
        assert!(calendars.look(set - 31 * DAY).is_some(), "set back it is wrong as well");
        assert!(calendars.look(set).is_some() && calendars.look(set + 30 * DAY).is_some());
        assert_eq!(Calendars::default().look(set), None, "nobody asks");
    }
}
