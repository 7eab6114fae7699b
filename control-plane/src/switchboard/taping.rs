//! The recording of a call: that it has begun, and when nothing is to be kept of what is said.

use super::{Output, Switchboard};
use crate::{
    call::{State, Taping},
    fact::Step,
    ids::CallId,
    time::Stamp,
};
use media_core::order::Recorded;
use std::time::Duration;

impl Switchboard {
    /// Asked for twice it begins once.
    pub(super) fn record_pause(&mut self, call_id: CallId) {
        let now = self.now;
        let Some(taping) = self.taping(call_id).filter(|taping| taping.paused_since.is_none())
        else {
            return;
        };
        taping.paused_since = Some(now);
        self.outputs.push_back(Output::RecordPause { call: call_id });
        self.tell(call_id, Step::RecordPaused);
    }

    pub(super) fn record_resume(&mut self, call_id: CallId) {
        let now = self.now;
        let Some(taping) = self.taping(call_id) else { return };
        let Some(since) = taping.paused_since.take() else { return };
        let paused = now.since(since);
        taping.paused += paused;
        self.outputs.push_back(Output::RecordResume { call: call_id });
        let paused_ms = u64::try_from(paused.as_millis()).unwrap_or(u64::MAX);
        self.tell(call_id, Step::RecordResumed { paused_ms });
    }

    /// The call goes on without.
    pub(super) fn recording_failed(&mut self, call_id: CallId, what: &str, no_file: bool) {
        if let Some(call) = self.calls.get_mut(&call_id) {
            call.taping.no_file = no_file;
        }
        self.tell(call_id, Step::RecordingFailed { what: what.to_owned(), no_file });
    }

    pub(super) fn recording_began(&mut self, call_id: CallId) {
        if let Some(call) = self.calls.get_mut(&call_id) {
            call.taping.no_file = false;
        }
        self.tell(call_id, Step::RecordingBegan);
    }

    fn taping(&mut self, call_id: CallId) -> Option<&mut Taping> {
        let call = self.calls.get_mut(&call_id).filter(|call| call.state != State::Over)?;
        Some(&mut call.taping).filter(|taping| taping.begun)
    }
}

impl Taping {
    /// What was found of a recording that nobody could end, with what is known of its pauses.
    pub(super) fn cut(&self, found: Recorded, heard_until: Stamp) -> Recorded {
        let goes_on = self.paused_since.map(|since| heard_until.since(since));
        let paused = self.paused + goes_on.unwrap_or_default();
        let frames = u64::try_from(paused.as_millis() / FRAME.as_millis()).unwrap_or(u64::MAX);
        Recorded { paused: frames.min(found.frames), ..found }
    }
}

const FRAME: Duration = Duration::from_millis(20);
