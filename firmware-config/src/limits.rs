//! How much is heard of whom, and how long who misbehaves is not heard at all.

use crate::{fault::Reported, reader::Section};

/// What is refused or dropped beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// REGISTERs a second that are read of all strangers together.
    pub strangers_per_second: u32,
    /// Datagrams a second of one stranger, twice as many at once.
    pub stranger_per_second: u32,
    /// Wrong passwords in a minute; beyond, their source is banned.
    pub wrong_passwords_max: u32,
    /// The first ban of a source; each further one is twice as long.
    pub ban_seconds: u32,
    pub ban_seconds_max: u32,
}

pub(crate) fn read(section: &mut Section<'_>) -> Result<Limits, Reported> {
    let strangers = section.whole("strangers_per_second", 1..=100_000);
    let stranger = section.whole("stranger_per_second", 1..=10_000);
    let wrong_passwords = section.whole("wrong_passwords_max", 1..=1_000);
    let ban = section.whole("ban_seconds", 1..=86_400);
    let ban_max = section.whole("ban_seconds_max", 1..=2_592_000);
    Ok(Limits {
        strangers_per_second: strangers?.map_or(1_000, |given| given.value),
        stranger_per_second: stranger?.map_or(20, |given| given.value),
        wrong_passwords_max: wrong_passwords?.map_or(20, |given| given.value),
        ban_seconds: ban?.map_or(600, |given| given.value),
        ban_seconds_max: ban_max?.map_or(86_400, |given| given.value),
    })
}
