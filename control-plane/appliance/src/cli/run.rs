//! `clavija run`: the whole appliance in the foreground, until a signal.

use super::{
    many_threads,
    target::{Target, host},
};
use crate::{
    Appliance, Running, Stopped,
    choice::{self, Kept, Own},
    error::Failure,
    generations::Clocks,
    live::{Live, Wish},
    log,
    music::Reader,
    notify,
    start::{StartError, take_data_dir},
};
use firmware_config::Config;
use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

pub(super) fn run(target: &Target) -> Result<(), Failure> {
    log::init();
    let file = target.file()?;
    loop {
        let host = host()?;
        let own = Own::read(file.clone(), &host);
        for warning in own.warnings.iter().filter(|warning| !warning.of_host) {
            tracing::warn!("{warning}");
        }
        let (dir, seen) = (own.data_dir()?, own.seen());
        let lock = take_data_dir(&dir).map_err(|error| Failure::Failed(error.to_string()))?;
        let (config, kept) = choice::choose(own, &dir, lock, &host, Clocks::now())?;
        let named = kept.on_disk.named();
        let runtime = many_threads()?;
        let ended = runtime.block_on(serve(config, kept));
        // Nobody who waits for calls waits for music that is still being decoded.
        runtime.shutdown_timeout(WAYS_DOWN);
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(Ended::Failed(failure)) => return Err(failure),
            Err(Ended::NotStarted(error)) => error,
        };
        let what = format!("{named}: {error}");
        let Ok(lock) = take_data_dir(&dir) else { return Err(Failure::Failed(what)) };
        if !choice::go_back_if_unconfirmed(&dir, seen, Clocks::now())? {
            return Err(Failure::Failed(what));
        }
        drop(lock);
        tracing::error!("{what}");
    }
}

/// For what still runs beside when everything has ended: files that are read, tunes that are given back.
const WAYS_DOWN: Duration = Duration::from_secs(1);

/// Why it does not run any more.
enum Ended {
    /// It never came up.
    NotStarted(StartError),
    Failed(Failure),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

async fn serve(config: Config, kept: Kept) -> Result<(), Ended> {
    // Before anything runs, so that a signal never ends it half started.
    let mut signals = Signals::new()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let started = Appliance::start_kept(config, Some(kept), Reader::own()).await;
    let running = started.map_err(Ended::NotStarted)?;
    say_ready(&running)?;
    notify::ready(&running);
    let live = Arc::clone(running.live());
    tokio::spawn(watched_over(Arc::clone(&live)));
    tokio::spawn(notify::keep_told(running.handle().clone()));
    let reload = async {
        loop {
            if hang_up.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            let _reloading = notify::Reloading::begin();
            // Why it is refused is in the log already.
            let _done = live.reload(Wish::default()).await;
        }
    };
    let mut start_anew = false;
    let stopped = tokio::select! {
        () = signals.next() => {
            tracing::info!("no new calls are taken; those that go on may end");
            notify::stopping();
            running.drain_and_stop(signals.next()).await
        }
        () = live.must_restart() => {
            start_anew = true;
            tracing::warn!("calls may end; then the appliance starts anew with what was confirmed");
            notify::stopping();
            running.drain_and_stop(signals.next()).await
        }
        () = reload => Stopped::Failed,
        () = running.failed() => Stopped::Failed,
    };
    match stopped {
        Stopped::Drained => tracing::info!("stopped; every call had ended"),
        Stopped::HungUp => tracing::warn!("stopped; calls were hung up"),
        Stopped::Failed => {
            let what = "the appliance ended by a fault of its own";
            return Err(Ended::Failed(Failure::Failed(what.to_owned())));
        }
    }
    if start_anew {
        // Whoever watches over it starts it again; nobody else would.
        let what = "started anew for a configuration nobody confirmed";
        return Err(Ended::Failed(Failure::Failed(what.to_owned())));
    }
    Ok(())
}

/// The time to confirm runs out whatever happens: a watch that dies of a fault of ours is begun anew.
async fn watched_over(live: Arc<Live>) {
    begun_anew(|| tokio::spawn(Arc::clone(&live).watch_confirmation())).await;
}

async fn begun_anew(mut begin: impl FnMut() -> JoinHandle<()>) {
    while let Err(error) = begin().await {
        tracing::error!(%error, "the watch over the time to confirm died; it is begun anew");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Contract §1: scripts wait for this line.
fn say_ready(running: &Running) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "ready sip={} http={}", running.sip(), running.http())?;
    stdout.flush()
}

/// The wishes to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(flavor = "current_thread")]
    async fn a_watch_that_dies_is_begun_anew_until_it_ends_by_itself() {
        static BEGUN: AtomicU32 = AtomicU32::new(0);

        begun_anew(|| {
            tokio::spawn(async {
                let begun = BEGUN.fetch_add(1, Ordering::Relaxed);
                assert!(begun > 0, "the first one dies");
            })
        })
        .await;

        assert_eq!(BEGUN.load(Ordering::Relaxed), 2);
    }
}
