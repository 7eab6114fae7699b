//! What the calendars say, kept up to date before anything is decided; and the way of a call for which
//! nobody is there.

use super::{Due, Hears, Input, Output, Switchboard};
use crate::{
    call::State,
    config::AnswerMode,
    fact::{End, Reason, Step, What},
    ids::{CallId, HoursId, TeamId},
    time::Stamp,
};
use media_core::order::TuneId;
use sip_stack::ids::LegId;
use std::time::Duration;

/// How long who is told something is kept at most: who has us on hold hears nothing of it meanwhile.
const MESSAGE_MAX: Duration = Duration::from_secs(300);
/// What a far side has not played yet when our last sample leaves.
const TAIL: Duration = Duration::from_millis(300);
/// A calendar that does not change is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(30 * 86_400);

/// What is said to a caller.
pub(super) struct Message {
    pub(super) tune: TuneId,
    /// Who says when it is answered; `None`: as early media.
    pub(super) team: Option<TeamId>,
    pub(super) why: Reason,
}

impl Switchboard {
    /// Brings the verdicts up to this moment: late is how a loop may be, and no call comes through a door
    /// that has shut.
    pub(super) fn keep_hours(&mut self, input: &Input) {
        if let Input::WallClock { ahead } = input {
            self.ahead = *ahead;
            self.ask_calendars();
        } else if self.calendars_due.is_some_and(|due| due <= self.now) {
            self.ask_calendars();
        }
    }

    /// Says what is so from now on, and when it is to be asked again. Also after the plan has changed.
    pub(super) fn ask_calendars(&mut self) {
        let wall = self.ahead.wall(self.now);
        let said: Vec<_> = self.plan.hours.iter().map(|hours| hours.at(wall)).collect();
        let changes = said.iter().filter_map(|verdict| verdict.until);
        let changes = changes.map(|until| self.ahead.line(until));
        let again = (!said.is_empty()).then(|| self.now + ASK_AGAIN);
        // What is due must not be due at once.
        let soonest = Stamp(self.now.0.saturating_add(1));
        self.calendars_due = changes.chain(again).min().map(|due| due.max(soonest));
        let before = std::mem::replace(&mut self.verdicts, said.clone());
        for ((place, verdict), id) in said.into_iter().enumerate().zip(0_u16..) {
            if before.get(place) != Some(&verdict) {
                self.note(What::Hours(HoursId(id), verdict));
            }
        }
    }

    /// Nobody is there, and there is something to say.
    pub(super) fn say(&mut self, id: CallId, leg: LegId, message: Message) {
        let Message { tune, team, why } = message;
        let answer = self.team(team).map_or(AnswerMode::WithAgent, |team| team.answer);
        let until = self.now + MESSAGE_MAX;
        self.set_state(id, State::Hearing { until, why });
        self.deadlines.insert((until, Due::Message(id)));
        match answer {
            AnswerMode::AtOnce => {
                self.outputs.push_back(Output::Ring { leg });
                self.answer_caller(id);
            }
            AnswerMode::WithAgent => self.outputs.push_back(Output::Progress { leg }),
        }
        self.outputs.push_back(Output::Hear { leg, source: Hears::Silence });
        self.outputs.push_back(Output::Play { leg, tune });
        self.tell(id, Step::Hearing);
    }

    /// Somebody waits for the end of what is said there.
    pub(crate) fn is_hearing(&self, leg: LegId) -> bool {
        let call = self.call_of(leg).and_then(|id| self.calls.get(&id));
        call.is_some_and(|call| matches!(call.state, State::Hearing { .. }))
    }

    /// The last sample has left. Whoever hears it has still to play it.
    pub(super) fn message_ended(&mut self, leg: LegId, whole: bool) {
        let Some(id) = self.call_of(leg) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let State::Hearing { until, .. } = &mut call.state else { return };
        let before = std::mem::replace(until, self.now + TAIL);
        let until = *until;
        self.deadlines.remove(&(before, Due::Message(id)));
        self.deadlines.insert((until, Due::Message(id)));
        self.tell(id, Step::Heard { whole });
    }

    pub(super) fn message_over(&mut self, id: CallId) {
        if let Some(State::Hearing { why, .. }) = self.calls.get(&id).map(|call| call.state) {
            self.end_call(id, End::Unreachable, why, Some(480));
        }
    }
}
