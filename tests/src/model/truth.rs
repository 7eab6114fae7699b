//! What the record of a call says, held against what its peers went through.

use super::{Call, Dialog, Model};
use control_plane::{
    cdr::CallRecord,
    fact::End,
    ids::CallId,
    time::{Clock, Stamp},
};
use std::time::{Duration, Instant};

/// What the wall clock says when the day begins.
pub const MORNING: Stamp = Stamp(1_800_000_000_000_000);
/// How far the end of a call in its record may be from what its caller saw of it.
const ABOUT: Duration = Duration::from_secs(1);

impl Model {
    /// The one record of a call.
    pub fn cdr(&mut self, cdr: &CallRecord) -> Result<(), String> {
        let id: CallId = cdr.id.parse().map_err(|_| format!("no call id: {}", cdr.id))?;
        // The box died before it could say that it had come.
        if let Some(&dialog) = self.by_call_id.get(&cdr.sip_call_id).filter(|_| self.died.is_some())
        {
            let new = Call { dialog, bridged: false, requeued: false, recorded: false };
            self.calls.entry(id).or_insert(new);
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(format!("a record of {id}, which never arrived"));
        };
        if std::mem::replace(&mut call.recorded, true) {
            return Err(format!("two records of {id}"));
        }
        let (bridged, requeued) = (call.bridged, call.requeued);
        let dialog = &self.dialogs[call.dialog];
        if self.is_of_before(dialog) {
            return self.check_cut_record(cdr, dialog).map_err(|why| format!("{id}: {why}"));
        }
        let Some(end) = cdr.end else { return Err(format!("{id} ended without an end")) };
        if !fits(end, dialog.refused, bridged, requeued) {
            return Err(format!(
                "{id} is recorded as {end:?}; its caller saw refusal {:?}, bridged {bridged}",
                dialog.refused
            ));
        }
        self.check_times(cdr, dialog).map_err(|why| format!("{id}: {why}"))?;
        self.check_reason(cdr, dialog).map_err(|why| format!("{id}: {why}"))
    }

    /// Whoever asked for the end of this call did so through the API.
    pub fn asked_to_hang_up(&mut self, call: CallId) {
        self.hung_up_by_asking.insert(call);
    }

    fn check_times(&self, cdr: &CallRecord, dialog: &Dialog) -> Result<(), String> {
        let clock = Clock::new(self.morning, MORNING);
        let stamp = |at: Option<Instant>| at.map(|at| clock.stamp(at));
        if cdr.ended_at < cdr.started_at || cdr.wait_seconds < 0.0 || cdr.talk_seconds < 0.0 {
            return Err("its record runs backwards".to_owned());
        }
        // A phone that was not signed in yet was not heard at the first try.
        let (started, invited) = (cdr.started_at, stamp(Some(dialog.invited)));
        if started < invited || started > invited && !dialog.phone {
            return Err(format!("started at {started:?}, but called at {invited:?}"));
        }
        if cdr.answered_at != stamp(dialog.answered) {
            let seen = stamp(dialog.answered);
            return Err(format!("answered at {:?}, but the 200 left at {seen:?}", cdr.answered_at));
        }
        let met = self.rung_for(dialog).filter_map(|other| other.bridged);
        let met = met.filter(|met| *met >= dialog.invited).min();
        if cdr.bridged_at != stamp(met) {
            let seen = stamp(met);
            return Err(format!("bridged at {:?}, but they met at {seen:?}", cdr.bridged_at));
        }
        let parted = [dialog.left, dialog.dismissed].into_iter().flatten().min();
        let (Some(ended), Some(parted)) = (cdr.ended_at, stamp(parted)) else { return Ok(()) };
        match ended.since(parted).max(parted.since(ended)) > ABOUT {
            true => Err(format!("ended at {ended:?}, but its caller was gone at {parted:?}")),
            false => Ok(()),
        }
    }

    /// Who was called for this caller.
    fn rung_for(&self, caller: &Dialog) -> impl Iterator<Item = &Dialog> {
        let rung = self.rang_for.get(&caller.from_user).map_or(&[][..], Vec::as_slice);
        rung.iter().map(|&place| &self.dialogs[place])
    }

    /// What the box decided in the turn in which it died was written and not said.
    fn check_cut_record(&self, cdr: &CallRecord, dialog: &Dialog) -> Result<(), String> {
        let clock = Clock::new(self.morning, MORNING);
        let stamp = |at: Option<Instant>| at.map(|at| clock.stamp(at));
        if cdr.started_at < stamp(Some(dialog.invited)) {
            return Err(format!("started at {:?}, before it was called", cdr.started_at));
        }
        if cdr.ended_at > stamp(self.died) {
            return Err(format!("ended at {:?}, after the box had died", cdr.ended_at));
        }
        let latest = cdr.started_at.max(cdr.answered_at).max(cdr.bridged_at);
        if cdr.ended_at < latest {
            return Err(format!("ended at {:?}, before {latest:?}", cdr.ended_at));
        }
        let answered = stamp(dialog.answered);
        if answered.is_some() && cdr.answered_at > answered {
            return Err(format!("answered at {:?}, but at {answered:?}", cdr.answered_at));
        }
        if cdr.end_reason.as_deref() == Some("restart") && cdr.end != Some(End::Failed) {
            return Err(format!("cut off, and {:?}", cdr.end));
        }
        Ok(())
    }

    fn check_reason(&self, cdr: &CallRecord, caller: &Dialog) -> Result<(), String> {
        let mut others = self.rung_for(caller);
        let reason = cdr.end_reason.as_deref().unwrap_or_default();
        let id = cdr.id.parse().ok();
        let is_true = match reason {
            "agent_hung_up" | "callee_hung_up" => others.any(|other| other.left.is_some()),
            "api_hung_up" => id.is_some_and(|id| self.hung_up_by_asking.contains(&id)),
            "caller_hung_up" => caller.left.is_some(),
            "declined" => others.any(|other| other.declined),
            _ => true,
        };
        if is_true { Ok(()) } else { Err(format!("ended by {reason}, says its record alone")) }
    }
}

/// Whether this end is what a caller went through who was refused so, or answered, and did or did
/// not hear a person.
fn fits(end: End, refused: Option<u16>, bridged: bool, requeued: bool) -> bool {
    use End::*;
    let Some(status) = refused else {
        return match end {
            Completed => true,
            // They left, or were made to leave, while they waited.
            Abandoned | Rejected => !bridged || requeued,
            Failed => true,
            Busy | Congestion | NoAnswer | Unreachable => false,
        };
    };
    let allowed: &[End] = match status {
        404 => &[Rejected, Unreachable],
        480 => &[NoAnswer, Rejected, Unreachable],
        486 | 600 | 603 => &[Busy],
        487 => &[Abandoned],
        488 => &[Rejected, Unreachable],
        503 => &[Congestion, Failed, Unreachable],
        _ => &[Busy, Unreachable],
    };
    !bridged && allowed.contains(&end)
}
