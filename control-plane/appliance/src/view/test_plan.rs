//! A small plan and the facts of its calls, for the tests of what reads them.

use control_plane::{
    config::{Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    fact::{End, Fact, Party, Quality, Reason, Side, Step, What},
    ids::{CallId, OfferId, SeatId, TeamId},
    time::Stamp,
};
use media_core::order::{LegReport, Recorded};
use sip_stack::{event::Source, ids::TrunkId};
use std::time::Duration;

/// Trunks `carrier` and `pbx`, agents `ana` and `bruno`, the team `support` of both.
pub(crate) fn plan() -> Plan {
    let trunk = |name: &str, address: Option<&str>, pstn| Trunk {
        address: address.map(|address| address.parse().unwrap()),
        pstn,
        ..Trunk::named(name)
    };
    let seat = |name: &str, extension: &str| SeatPlan {
        extension: extension.to_owned(),
        ..SeatPlan::named(name)
    };
    Plan {
        trunks: vec![trunk("carrier", None, true), trunk("pbx", Some("127.0.0.11:5080"), false)],
        seats: vec![seat("ana", "1001"), seat("bruno", "1002")],
        teams: vec![Team {
            seats: vec![SeatId(0), SeatId(1)],
            answer: control_plane::config::AnswerMode::AtOnce,
            set_aside: Some(Duration::from_secs(30)),
            record: true,
            ..Team::named("support")
        }],
        numbers: Vec::<NumberRow>::new(),
        ..Plan::default()
    }
}

/// Tells the facts of one call in order, a second apart.
pub(crate) struct Story {
    call: CallId,
    at: Stamp,
    seq: u64,
}

impl Story {
    pub(crate) fn new(call: CallId, at: Stamp) -> Self {
        Self { call, at, seq: call.0 * 100 }
    }

    /// The stamp of the last fact told.
    pub(crate) fn at(&self) -> Stamp {
        self.at
    }

    pub(crate) fn tell(&mut self, step: Step) -> Fact {
        self.at = self.at + Duration::from_secs(1);
        self.seq += 1;
        Fact { seq: self.seq, at: self.at, what: What::Call(self.call, step) }
    }

    pub(crate) fn queued(&mut self) -> Vec<Fact> {
        vec![
            self.tell(Step::Arrived {
                source: Source::Trunk(TrunkId(0)),
                from: "+12025550123".to_owned(),
                number: "+541155550100".to_owned(),
                sip_call_id: "abc".to_owned(),
            }),
            self.tell(Step::Routed { to: Destination::Team(TeamId(0)) }),
            self.tell(Step::Answered),
            self.tell(Step::Queued { team: TeamId(0) }),
        ]
    }

    pub(crate) fn offered(&mut self) -> Vec<Fact> {
        vec![
            self.tell(Step::Offered { offer: OfferId(1), to: Party::Seat(SeatId(0)) }),
            self.tell(Step::Ringing { offer: OfferId(1) }),
        ]
    }

    pub(crate) fn talking(&mut self) -> Vec<Fact> {
        vec![
            self.tell(Step::Accepted { offer: OfferId(1), to: Party::Seat(SeatId(0)) }),
            self.tell(Step::Bridged),
        ]
    }

    pub(crate) fn ended(&mut self) -> Vec<Fact> {
        let report = LegReport { packets_received: 50, packets_sent: 50, ..LegReport::default() };
        vec![
            self.tell(Step::Over { end: End::Completed, reason: Reason::CallerHungUp }),
            self.tell(Step::Ended {
                recorded: Some(Recorded { frames: 50, lost: 0, paused: 0 }),
                quality: vec![Quality { side: Side::Caller, report }],
            }),
        ]
    }
}

/// A call that waited, was talked to and recorded.
pub(crate) fn whole_call(call: CallId) -> Vec<Fact> {
    let mut story = Story::new(call, Stamp(1_700_000_000_000_000 + call.0 * 60_000_000));
    [story.queued(), story.offered(), story.talking(), story.ended()].concat()
}
