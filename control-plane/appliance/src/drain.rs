//! Drain and stop: new calls go elsewhere, those that are here may finish, the files are closed.

use crate::{http, live::Live, pump::Handle};
use firmware_config::Config;
use nix::fcntl::Flock;
use std::{fs::File, io, net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

/// A running appliance. Dropping it stops the pump without draining.
pub struct Running {
    handle: Handle,
    live: Arc<Live>,
    sip: SocketAddr,
    http: SocketAddr,
    drain_for: Duration,
    pump: JoinHandle<io::Result<()>>,
    follower: JoinHandle<()>,
    server: http::Server,
    /// Held until everything in it is closed.
    data_dir: Flock<File>,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every call had ended by itself.
    Drained,
    /// Calls were hung up: the time was over, or somebody asked a second time.
    HungUp,
    /// The pump had ended before anybody asked.
    Failed,
}

impl Running {
    pub(crate) fn new(
        handle: Handle,
        live: Arc<Live>,
        pump: JoinHandle<io::Result<()>>,
        follower: JoinHandle<()>,
        server: http::Server,
        data_dir: Flock<File>,
        config: &Config,
    ) -> Self {
        Self {
            handle,
            live,
            sip: config.sip.udp,
            http: config.http.admin,
            drain_for: config.node.drain,
            pump,
            follower,
            server,
            data_dir,
        }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The configuration that holds.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Ends only if the pump or its follower does, which they should not: then the process must be
    /// started anew, for without the one there are no calls and without the other no CDRs.
    pub async fn failed(&self) {
        while !self.pump.is_finished() && !self.follower.is_finished() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Refuses new calls, waits for the others for at most `node.drain_seconds` or until `hurry`
    /// is ready, then stops everything.
    pub async fn drain_and_stop(self, hurry: impl Future<Output = ()>) -> Stopped {
        self.handle.drain().await;
        let drained = tokio::select! {
            () = async {
                self.handle.no_calls().await;
                self.server.last_words().await;
            } => true,
            () = tokio::time::sleep(self.drain_for) => false,
            () = hurry => false,
        };
        self.handle.stop().await;
        let Self { pump, follower, server, data_dir, .. } = self;
        let ended = tokio::task::spawn_blocking(move || {
            let pumped = pump.join();
            // The follower ends when the pump's channel closes; a panic of it has been printed.
            drop(follower.join());
            pumped
        });
        let pumped = ended.await;
        server.stop().await;
        drop(data_dir);
        match pumped {
            Ok(Ok(Ok(()))) if drained => Stopped::Drained,
            Ok(Ok(Ok(()))) => Stopped::HungUp,
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => Stopped::Failed,
        }
    }
}
