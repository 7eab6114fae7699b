//! What systemd is told (sd_notify(3)): ready, alive, reloading, draining. Where there is no
//! NOTIFY_SOCKET nobody is told anything.
//!
//! The watchdog is fed by what the pump shows of itself, and only when every media thread has ticked
//! since: of threads that stand still, any one is enough to be started anew.

use crate::{
    drain::Running,
    pump::{BoxState, Handle, read},
};
use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// The pump shows itself more often; so often is enough for a watchdog of seconds.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// While draining, how much longer systemd is asked to wait, anew every [`TELL_EVERY`].
const PATIENCE_US: u32 = 15_000_000;

/// Calls can be taken.
pub(crate) fn ready(running: &Running) {
    let handle = running.handle();
    let status = status(handle);
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The way down has begun.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(PATIENCE_US)]);
}

/// A reload goes on for as long as this lives: `systemctl reload` of a unit of `Type=notify-reload`
/// waits for its end.
#[derive(Debug)]
pub struct Reloading(());

impl Reloading {
    pub fn begin() -> Self {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
        Self(())
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        tell(&[NotifyState::Ready]);
    }
}

/// Feeds the watchdog and keeps the status line, until the pump is gone.
pub(crate) async fn keep_told(handle: Handle) {
    let (mut counts, mut teller) = (handle.watch_counts(), Teller::default());
    while counts.changed().await.is_ok() {
        let ticks = counts.borrow_and_update().ticks.clone();
        let Some(alive) = teller.look(&ticks, Instant::now()) else { continue };
        let status = status(&handle);
        let mut states = vec![NotifyState::Status(&status)];
        if alive {
            states.push(NotifyState::Watchdog);
        }
        if handle.state() == BoxState::Draining {
            states.push(NotifyState::ExtendTimeoutUsec(PATIENCE_US));
        }
        tell(&states);
    }
}

/// When there is something to tell, and whether every media thread has ticked since.
#[derive(Debug, Default)]
struct Teller {
    last: Option<(Vec<u64>, Instant)>,
}

impl Teller {
    /// `None`: not yet.
    fn look(&mut self, ticks: &[u64], now: Instant) -> Option<bool> {
        if let Some((_, told)) = &self.last
            && now.duration_since(*told) < TELL_EVERY
        {
            return None;
        }
        let before = self.last.replace((ticks.to_vec(), now));
        let before = before.map_or_else(Vec::new, |(before, _)| before);
        let stood = |thread: usize| before.get(thread).copied().unwrap_or(0) == ticks[thread];
        Some(!ticks.is_empty() && !(0..ticks.len()).any(stood))
    }
}

/// What `systemctl status` shows.
fn status(handle: &Handle) -> String {
    let view = read(handle.view());
    let agents = view.agents();
    let signed_in = agents.iter().filter(|agent| agent.state != "offline").count();
    let draining = if handle.state() == BoxState::Draining { "draining " } else { "" };
    format!("{draining}calls={} agents={signed_in}/{}", view.active().count(), agents.len())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_thread_that_stands_still_feeds_no_watchdog() {
        let (mut teller, start) = (Teller::default(), Instant::now());
        let mut look = |ticks, second| teller.look(&[ticks], start + TELL_EVERY * second);

        assert_eq!(look(1, 0), Some(true));
        assert_eq!(look(1_000, 1), Some(true));
        assert_eq!(look(1_000, 2), Some(false));
        assert_eq!(look(1_000, 3), Some(false));
        assert_eq!(look(1_001, 4), Some(true));
    }

    #[test]
    fn one_media_thread_that_stands_still_is_enough() {
        let (mut teller, start) = (Teller::default(), Instant::now());
        let mut look = |ticks, second| teller.look(ticks, start + TELL_EVERY * second);

        assert_eq!(look(&[10, 10], 0), Some(true));
        assert_eq!(look(&[20, 10], 1), Some(false));
        assert_eq!(look(&[30, 11], 2), Some(true));
    }

    #[test]
    fn a_thread_that_never_ticked_is_not_alive() {
        assert_eq!(Teller::default().look(&[0], Instant::now()), Some(false));
        assert_eq!(Teller::default().look(&[], Instant::now()), Some(false));
    }

    #[test]
    fn systemd_is_told_once_a_second_however_often_the_pump_shows_itself() {
        let (mut teller, start) = (Teller::default(), Instant::now());
        let quarter = |n: u32| start + TELL_EVERY / 4 * n;

        let told = (0..40).filter(|&n| teller.look(&[n.into()], quarter(n)).is_some()).count();

        assert_eq!(told, 10);
    }
}
