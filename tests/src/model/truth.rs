//! What the record of a call says, held against what its peers went through.

use super::{Call, DEATH, Death, Dialog, Model};
use crate::media_model::WORD_MAX;
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
        if let Some(&dialog) =
            self.by_call_id.get(&cdr.sip_call_id).filter(|_| self.died().is_some())
        {
            let new = Call {
                dialog,
                nobody: false,
                told: false,
                bridged: false,
                requeued: false,
                recorded: false,
            };
            self.calls.entry(id).or_insert(new);
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(format!("a record of {id}, which never arrived"));
        };
        if std::mem::replace(&mut call.recorded, true) {
            return Err(format!("two records of {id}"));
        }
        let heard = (call.bridged, call.requeued);
        let dialog = &self.dialogs[call.dialog];
        let checked = match self.death_of(dialog) {
            Some(death) => self.check_cut_record(cdr, dialog, death, heard),
            None => self.check_record(cdr, dialog, heard),
        };
        checked.map_err(|why| format!("{id}: {why}"))
    }

    fn check_record(
        &self,
        cdr: &CallRecord,
        dialog: &Dialog,
        (bridged, requeued): (bool, bool),
    ) -> Result<(), String> {
        let Some(end) = cdr.end else { return Err("it ended without an end".to_owned()) };
        if !fits(cdr, end, dialog.refused, (bridged, requeued)) {
            return Err(format!(
                "recorded as {end:?}; its caller saw refusal {:?}, bridged {bridged}",
                dialog.refused
            ));
        }
        self.check_times(cdr, dialog)?;
        self.check_reason(cdr, dialog)
    }

    /// Whoever asked for the end of this call did so through the API.
    pub fn asked_to_hang_up(&mut self, call: CallId) {
        self.hung_up_by_asking.insert(call);
    }

    fn check_times(&self, cdr: &CallRecord, dialog: &Dialog) -> Result<(), String> {
        self.check_start(cdr, dialog)?;
        let (answered, met) = (self.stamp(dialog.answered), self.stamp(self.met(dialog)));
        if cdr.answered_at != answered {
            let told = cdr.answered_at;
            return Err(format!("answered at {told:?}, but the 200 left at {answered:?}"));
        }
        if cdr.bridged_at != met {
            return Err(format!("bridged at {:?}, but they met at {met:?}", cdr.bridged_at));
        }
        self.check_end(cdr, dialog)
    }

    fn check_start(&self, cdr: &CallRecord, dialog: &Dialog) -> Result<(), String> {
        if cdr.ended_at < cdr.started_at || cdr.wait_seconds < 0.0 || cdr.talk_seconds < 0.0 {
            return Err("its record runs backwards".to_owned());
        }
        // A phone that was not signed in yet was not heard at the first try.
        let (started, invited) = (cdr.started_at, self.stamp(Some(dialog.invited)));
        if started < invited || started > invited && !dialog.phone {
            return Err(format!("started at {started:?}, but called at {invited:?}"));
        }
        Ok(())
    }

    fn check_end(&self, cdr: &CallRecord, dialog: &Dialog) -> Result<(), String> {
        let parted = [dialog.left, dialog.dismissed].into_iter().flatten().min();
        let (Some(ended), Some(parted)) = (cdr.ended_at, self.stamp(parted)) else { return Ok(()) };
        match ended.since(parted).max(parted.since(ended)) > ABOUT {
            true => Err(format!("ended at {ended:?}, but its caller was gone at {parted:?}")),
            false => Ok(()),
        }
    }

    fn stamp(&self, at: Option<Instant>) -> Option<Stamp> {
        at.map(|at| Clock::new(self.morning, MORNING).stamp(at))
    }

    /// When this caller and somebody they were put through to first heard each other.
    fn met(&self, caller: &Dialog) -> Option<Instant> {
        let met = self.rung_for(caller).filter_map(|other| other.bridged);
        met.filter(|met| *met >= caller.invited).min()
    }

    /// Who was called for this caller.
    fn rung_for(&self, caller: &Dialog) -> impl Iterator<Item = &Dialog> {
        let rung = self.rang_for.get(&caller.from_user).map_or(&[][..], Vec::as_slice);
        rung.iter().map(|&place| &self.dialogs[place])
    }

    /// The same of a call whose process died. Only what was on its way into the journal, or out of
    /// the box, at that very moment may be missing on one side.
    fn check_cut_record(
        &self,
        cdr: &CallRecord,
        dialog: &Dialog,
        death: Death,
        heard: (bool, bool),
    ) -> Result<(), String> {
        self.check_start(cdr, dialog)?;
        self.check_cut_answer(cdr, dialog, death)?;
        self.check_cut_meeting(cdr, dialog, death)?;
        let died = self.stamp(Some(death.at));
        let latest = cdr.started_at.max(cdr.answered_at).max(cdr.bridged_at);
        if cdr.ended_at > died || cdr.ended_at < latest {
            let ended = cdr.ended_at;
            return Err(format!(
                "ended at {ended:?}, not from {latest:?} to the death at {died:?}"
            ));
        }
        let by_death = cdr.end_reason.as_deref() == Some("restart");
        match dialog.gone.filter(|(why, _)| *why != DEATH) {
            Some(_) if by_death => Err("cut off, says its record, but it was over".to_owned()),
            // What was said in an earlier turn is known with all that led to it.
            Some((_, gone)) if gone < death.at => {
                let Some(end) = cdr.end else { return Err("it ended without an end".to_owned()) };
                if !fits(cdr, end, dialog.refused, heard) {
                    return Err(format!(
                        "recorded as {end:?}, its caller saw {:?}",
                        dialog.refused
                    ));
                }
                self.check_end(cdr, dialog)?;
                self.check_reason(cdr, dialog)
            }
            Some(_) => Ok(()),
            None if by_death => {
                if cdr.end != Some(End::Failed) {
                    return Err(format!("cut off, and {:?}", cdr.end));
                }
                if cdr.ended_at < Some(death.noted) {
                    let (ended, noted) = (cdr.ended_at, death.noted);
                    return Err(format!("cut off at {ended:?}, but the box wrote at {noted:?}"));
                }
                Ok(())
            }
            // The end was written in the turn in which the box died, and not said.
            None => {
                let over = cdr.events.iter().rfind(|step| step.event == "over");
                match over.map(|over| over.at) == Some(died) {
                    true => Ok(()),
                    false => Err(format!("ended by {:?}, and nobody heard of it", cdr.end_reason)),
                }
            }
        }
    }

    /// Answered if and only if the caller got a 200; what was decided in the turn in which the box
    /// died may have left, may be sent by the next process, or by none.
    fn check_cut_answer(
        &self,
        cdr: &CallRecord,
        dialog: &Dialog,
        death: Death,
    ) -> Result<(), String> {
        let left = dialog.answered.filter(|left| *left <= death.at);
        let (died, seen) = (self.stamp(Some(death.at)), self.stamp(left));
        let unsaid = left.is_none() && cdr.answered_at == died;
        if cdr.answered_at != seen && !unsaid {
            let told = cdr.answered_at;
            return Err(format!("answered at {told:?}, but the 200 left at {seen:?}"));
        }
        if cdr.answered_at.is_none() && dialog.answered.is_some() {
            return Err("not answered, but the next process sent its 200".to_owned());
        }
        Ok(())
    }

    /// Bridged if and only if both heard each other; the media plane's word of it may have been on
    /// its way for [`WORD_MAX`].
    fn check_cut_meeting(
        &self,
        cdr: &CallRecord,
        dialog: &Dialog,
        death: Death,
    ) -> Result<(), String> {
        let met = self.met(dialog);
        let unheard = met.is_some_and(|met| met + WORD_MAX >= death.at);
        if cdr.bridged_at != self.stamp(met) && !(cdr.bridged_at.is_none() && unheard) {
            return Err(format!("bridged at {:?}, but they met at {met:?}", cdr.bridged_at));
        }
        if cdr.bridged_at.is_none() && cdr.talk_seconds > 0.0 {
            return Err(format!("talked for {} s with nobody", cdr.talk_seconds));
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
fn fits(
    cdr: &CallRecord,
    end: End,
    refused: Option<u16>,
    (bridged, requeued): (bool, bool),
) -> bool {
    use End::*;
    // Whoever is told that nobody is there has waited for nobody, whoever hangs up.
    if cdr.events.iter().any(|step| step.event == "hearing") {
        let told = matches!(refused, None | Some(480 | 487 | 503));
        return told && !bridged && matches!(end, Unreachable | Rejected | Failed);
    }
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
