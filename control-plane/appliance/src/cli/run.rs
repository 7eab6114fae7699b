//! `clavija run`: the whole appliance in the foreground, until a signal.

use super::{
    many_threads,
    target::{Target, load},
};
use crate::{Appliance, Running, Stopped, error::Failure, log, notify};
use firmware_config::Config;
use std::io::{self, Write};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) fn run(target: &Target) -> Result<(), Failure> {
    log::init();
    let loaded = load(&target.file()?)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    many_threads()?.block_on(serve(loaded.config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    // Before anything runs, so that a signal never ends it half started.
    let mut signals = Signals::new()?;
    let started = Appliance::start(config).await;
    let running = started.map_err(|error| Failure::Failed(error.to_string()))?;
    say_ready(&running)?;
    notify::ready(&running);
    tokio::spawn(notify::keep_told(running.handle().clone()));
    let stopped = tokio::select! {
        () = signals.next() => {
            tracing::info!("no new calls are taken; those that go on may end");
            notify::stopping();
            running.drain_and_stop(signals.next()).await
        }
        () = running.failed() => Stopped::Failed,
    };
    match stopped {
        Stopped::Drained => tracing::info!("stopped; every call had ended"),
        Stopped::HungUp => tracing::warn!("stopped; calls were hung up"),
        Stopped::Failed => {
            return Err(Failure::Failed("the appliance ended by a fault of its own".to_owned()));
        }
    }
    Ok(())
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
