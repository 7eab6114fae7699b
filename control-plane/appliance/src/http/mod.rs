//! The API, the metrics and the health of the box over HTTP/1.1.

mod api;
pub mod auth;
mod config;
mod health;
mod listener;
mod metrics;
mod music;
mod openapi;
mod problem;
mod quality;
mod ranges;
mod recordings;
mod rest;
mod router;
mod selftest;
mod trunks;
mod types;

use crate::{
    follower::CdrCounts, live::Live, metrics::Metrics, music::Music, pump::Handle,
    selftest::SelfTest,
};
use media_core::record::seal::SealKey;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

pub(crate) use api::now;
pub use problem::ProblemBody;

/// How long answers that are being sent may take when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// What the handlers read.
pub struct State {
    pub handle: Handle,
    /// The configuration that holds.
    pub live: Arc<Live>,
    pub music: Arc<Music>,
    pub metrics: Arc<Metrics>,
    pub cdr_counts: Arc<CdrCounts>,
    pub self_test: Arc<SelfTest>,
    /// The administrator's.
    pub token: Arc<str>,
    /// Where recordings lie.
    pub recordings: PathBuf,
    /// What opens those that are sealed.
    pub seal_key: Option<SealKey>,
    /// The box's name.
    pub node: String,
    /// The listener is reached from this host only: metrics need no token.
    pub loopback: bool,
}

/// Connections at once, and how long nothing may move on one.
const CONNECTIONS_MAX: usize = 256;
const IDLE: Duration = Duration::from_secs(75);

/// The running server. Dropped, it goes on for as long as the runtime does.
pub struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    self_test: Arc<SelfTest>,
}

/// Answers on this listener until it is stopped.
pub fn serve(listener: TcpListener, state: State) -> Server {
    let self_test = Arc::clone(&state.self_test);
    let router = router::router(Arc::new(state));
    let listener = listener::Bounded::new(listener, CONNECTIONS_MAX, IDLE);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            if stopped.await.is_err() {
                // Nobody can stop it any more.
                std::future::pending::<()>().await;
            }
        });
        if let Err(error) = server.await {
            tracing::error!(%error, "the API is not served any more");
        }
    });
    Server { stop, task, self_test }
}

impl Server {
    /// Until who began a self-test has read how it ended, for a moment: its call is over before its
    /// last steps are, and they want the whole appliance.
    pub async fn last_words(&self) {
        // Whoever does not ask for them does without.
        let _in_time = timeout(LAST_ANSWERS, self.self_test.told()).await;
    }

    /// Takes no more requests and lets answers that are under way be sent, for a moment.
    pub async fn stop(self) {
        let Self { stop, mut task, self_test: _ } = self;
        // Nobody hears it only if the server has ended.
        let _ended = stop.send(());
        if timeout(LAST_ANSWERS, &mut task).await.is_err() {
            task.abort();
        }
    }
}
