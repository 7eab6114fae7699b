//! What a day went through. A simulation that never reaches the interesting states proves nothing.

use crate::model::Seen;
use control_plane::{
    fact::{Fact, OfferEnd, Reason, Step, What},
    seats::PauseReason,
};
use std::ops::AddAssign;

macro_rules! reached {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts, over one day or many.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Reached {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign for Reached {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl Reached {
            /// Name and count, in their order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

reached! {
    steps,
    calls,
    bridged,
    cancel_crossed_200,
    callers_cancel_crossed_200,
    lost_bye,
    lapsed_offer,
    phone_died_in_a_call,
    duplicate_invite,
    declined_offer,
    unreachable_offer,
    abandoned_while_offered,
    answered_too_late,
    requeued,
    held,
    resumed,
    /// The API, or the agent, asked for a pause and had it.
    paused,
    /// A pause of any kind was ended by asking.
    made_available,
    hung_up_by_api,
    /// Calls with nobody left at either end, which the supervisor ended.
    ended_by_hand,
    caller_lost,
    no_codec,
    crash_with_calls_up,
    /// The box died while it was ending what the process before had left.
    crash_in_clean_up,
    /// A cable was cut while somebody talked over it.
    partition_in_a_call,
    /// Requests, answers and digests with the right ids from the wrong place.
    forged,
    flood,
    fork_with_two_2xx,
    /// Called while the media plane had no room for another call, and told so.
    refused_for_load,
    /// Called while nobody was there, and told so.
    told_closed,
    /// Heard it to its last sample.
    heard_whole,
    /// The wall clock of the box.
    clock_set,
    /// It knew of its call no more and was back before the box had given it up.
    phone_rebooted_in_a_call,
}

impl Reached {
    pub(super) fn count(&mut self, fact: &Fact) {
        match &fact.what {
            What::Call(_, step) => self.count_step(step),
            What::Seat(_, view) if view.reason == Some(PauseReason::Requested) => self.paused += 1,
            What::Claim(_) | What::Hours(..) | What::Plan(_) | What::Seat(..) => {}
        }
    }

    pub(super) fn add_seen(&mut self, seen: &Seen) {
        self.cancel_crossed_200 += seen.cancel_crossed_200;
        self.callers_cancel_crossed_200 += seen.callers_cancel_crossed_200;
        self.duplicate_invite += seen.duplicate_invite;
        self.fork_with_two_2xx += seen.fork_with_two_2xx;
        self.refused_for_load += seen.refused_for_load;
    }

    fn count_step(&mut self, step: &Step) {
        match step {
            Step::Arrived { .. } => self.calls += 1,
            Step::Hearing => self.told_closed += 1,
            Step::Heard { whole: true } => self.heard_whole += 1,
            Step::Bridged => self.bridged += 1,
            Step::OfferEnded { how, .. } => match how {
                OfferEnd::CallerLeft => self.abandoned_while_offered += 1,
                OfferEnd::Declined { .. } => self.declined_offer += 1,
                OfferEnd::Lapsed => self.lapsed_offer += 1,
                OfferEnd::Full { .. } | OfferEnd::Unfit { .. } | OfferEnd::Unreachable { .. } => {
                    self.unreachable_offer += 1;
                }
            },
            Step::AnsweredTooLate { .. } => self.answered_too_late += 1,
            Step::Requeued => self.requeued += 1,
            Step::Held => self.held += 1,
            Step::Resumed => self.resumed += 1,
            Step::Over { reason: Reason::ApiHungUp, .. } => self.hung_up_by_api += 1,
            Step::Over { reason: Reason::CallerLost, .. } => self.caller_lost += 1,
            Step::Over { reason: Reason::NoCodec, .. } => self.no_codec += 1,
            Step::Accepted { .. }
            | Step::Answered
            | Step::Ended { .. }
            | Step::Offered { .. }
            | Step::Over { .. }
            | Step::Queued { .. }
            | Step::RecordPaused
            | Step::RecordResumed { .. }
            | Step::RecordingBegan
            | Step::RecordingFailed { .. }
            | Step::Ringing { .. }
            | Step::Door(_)
            | Step::Heard { whole: false }
            | Step::Routed { .. }
            | Step::Digit { .. }
            | Step::OneWayAudio { .. }
            | Step::Silent { .. }
            | Step::TwoWayAudio { .. } => {}
        }
    }
}
