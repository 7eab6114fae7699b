//! Two configuration files: accepted whole, or refused with places that exist.

use control_plane::{calendar::Hours, time::Stamp};
use firmware_config::{Host, from_strings};
use std::path::Path;

/// 1970, 2026, and as far as a line of the journal may say.
const ASKED: [Stamp; 3] = [Stamp(0), Stamp(1_796_083_200_000_000), Stamp(u64::MAX >> 2)];

/// Whatever is accepted can be asked at any time, and says when it says otherwise.
fn ask(hours: &Hours) {
    for at in ASKED {
        let verdict = hours.at(at);
        assert!(verdict.until.is_none_or(|until| until > at), "{at:?}: {verdict:?}");
        if let Some(until) = verdict.until {
            assert_ne!(hours.at(until).open, verdict.open, "{at:?}: {verdict:?}");
        }
    }
}

/// The first text is `node.toml`, what follows a line of dashes `site.toml`; one alone is both.
///
/// # Panics
/// Where texts are refused without a reason, or with one at a line that is not there.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A file the configuration may name must not be a device that never ends.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    let (node, site) = match text.split_once("\n----\n") {
        Some((node, site)) => (node, Some(site)),
        None => (text, None),
    };
    let host = Host { addresses: vec![[127, 0, 0, 1].into()], credentials: None };
    let most = node.lines().count().max(site.map_or(0, |site| site.lines().count())) + 1;
    match from_strings(node, site, Path::new("/nonexistent"), &host) {
        Ok(loaded) => {
            assert!(!loaded.config.node.name.is_empty() || loaded.config.numbers.is_empty());
            for hours in &loaded.config.hours {
                ask(&hours.known_at(ASKED[0]));
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            for fault in faults {
                assert!(!fault.message.is_empty());
                assert!(fault.line.is_none_or(|line| (1..=most).contains(&line)), "{fault:?}");
            }
        }
    }
}
