//! The self-test: a caller and a phone of the appliance's own, and one real call through everything
//! between them. Both are let in by their sockets for as long as it takes.
//!
//! Its trunk, agent and team have a name no configuration can give
//! ([`SELF_TEST`](control_plane::config::SELF_TEST)), so it takes nobody's seat and counts in
//! nobody's queue (ADR 0015).

mod steps;

use crate::{
    pump::{BoxState, Handle},
    recording,
};
use control_plane::cdr::to_rfc3339;
use firmware_config::Config;
use media_core::record::seal::SealKey;
use serde::Serialize;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use utoipa::ToSchema;

/// How the last self-test went, or goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Report {
    pub state: RunState,
    pub started_at: Option<String>,
    /// In the order they are taken; none after one that failed.
    pub steps: Vec<Step>,
    /// The call it placed, once the appliance has taken it.
    pub call_id: Option<String>,
    /// What the call left, once it was found to hold both voices.
    pub recording_id: Option<String>,
}

/// One thing that must work.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Step {
    #[schema(example = "the phone hears the caller")]
    pub step: String,
    pub state: RunState,
    /// What was measured, or why it failed.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    #[default]
    Never,
    Running,
    Ok,
    Failed,
}

impl Report {
    fn end(&mut self, state: RunState) {
        self.state = state;
        if let Some(step) = self.steps.last_mut().filter(|step| step.state == RunState::Running) {
            (step.state, step.detail) = (RunState::Failed, "it broke off: see the log".to_owned());
        }
    }
}

/// Why no self-test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// One is under way.
    Running,
    /// No new call is taken at present.
    NotReady,
}

/// What a self-test needs of the appliance, and how the last one went.
pub struct SelfTest {
    handle: Handle,
    /// Where the appliance's own sockets are reached on this host.
    sip: SocketAddr,
    media: IpAddr,
    recordings: PathBuf,
    seal_key: Option<SealKey>,
    report: Mutex<Report>,
    /// How it ended has been read; so it is before the first one.
    told: watch::Sender<bool>,
}

impl SelfTest {
    pub fn new(handle: Handle, config: &Config) -> Self {
        Self {
            handle,
            sip: SocketAddr::new(reached(config.sip.udp.ip()), config.sip.udp.port()),
            media: reached(config.media.address),
            recordings: config.recording.dir.clone(),
            seal_key: recording::key(config),
            report: Mutex::default(),
            told: watch::Sender::new(true),
        }
    }

    /// Begins one, unless one is under way.
    pub fn begin(self: &Arc<Self>) -> Result<(), Refused> {
        if self.handle.state() != BoxState::Ready {
            return Err(Refused::NotReady);
        }
        {
            let mut report = self.lock();
            if report.state == RunState::Running {
                return Err(Refused::Running);
            }
            let started_at = Some(to_rfc3339(crate::http::now()));
            self.told.send_replace(false);
            *report = Report { state: RunState::Running, started_at, ..Report::default() };
        }
        let own = Arc::clone(self);
        tokio::spawn(async move {
            let test = Arc::clone(&own);
            // In a task of its own: whatever becomes of it, the next one can begin.
            let done = tokio::spawn(async move { steps::run(&test).await }).await;
            own.handle.admit(None).await;
            let state = if matches!(done, Ok(Ok(()))) { RunState::Ok } else { RunState::Failed };
            own.lock().end(state);
        });
        Ok(())
    }

    pub fn report(&self) -> Report {
        let report = self.lock().clone();
        if report.state != RunState::Running {
            self.told.send_replace(true);
        }
        report
    }

    /// Ends when no self-test is under way and whoever asked has read how the last one ended.
    pub async fn told(&self) {
        let mut told = self.told.subscribe();
        // It ends well: the sender lives as long as this.
        drop(told.wait_for(|told| *told).await);
    }

    /// One step: its name first, then how it went.
    async fn step<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<(T, String), String>>,
    ) -> Result<T, StepFailed> {
        self.lock().steps.push(Step {
            step: name.to_owned(),
            state: RunState::Running,
            detail: String::new(),
        });
        let (state, detail, done) = match work.await {
            Ok((done, detail)) => (RunState::Ok, detail, Ok(done)),
            Err(why) => {
                tracing::warn!(step = name, %why, "the self-test failed");
                (RunState::Failed, why, Err(StepFailed))
            }
        };
        if let Some(step) = self.lock().steps.last_mut() {
            (step.state, step.detail) = (state, detail);
        }
        done
    }

    /// Each change is whole, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The report says which and why.
struct StepFailed;

/// Who listens everywhere is reached on this host by loopback.
fn reached(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_broke_off_has_failed() {
        let running = Step {
            step: "the phone rings and answers".to_owned(),
            state: RunState::Running,
            detail: String::new(),
        };
        let mut report = Report { steps: vec![running], ..Report::default() };

        report.end(RunState::Failed);

        assert_eq!((report.state, report.steps[0].state), (RunState::Failed, RunState::Failed));
    }

    #[test]
    fn an_appliance_that_listens_everywhere_tests_itself_on_loopback() {
        for (bound, at) in [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1")] {
            assert_eq!(reached(bound.parse().unwrap()), at.parse::<IpAddr>().unwrap());
        }
    }
}
