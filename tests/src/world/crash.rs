//! The box dies at any moment, also in the middle of a turn, and another process goes on with what
//! the first had written down by then.

use super::{World, day::Deed, site::Site};
use crate::model::MORNING;
use control_plane::{
    ids::SeatId,
    journal::{self, Chain, Past},
    time::Clock,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// What the box wrote down, and how.
pub(super) struct Journal {
    chain: Chain,
    /// One for each process.
    pub(super) segments: Vec<Vec<u8>>,
    /// Where in the last one this turn began.
    turn: usize,
    wrote: Instant,
}

/// How often a process that has calls writes that it lives, if nothing else.
const ALIVE_EVERY: Duration = Duration::from_millis(500);

impl Journal {
    fn segment(&mut self) -> (&mut Chain, &mut Vec<u8>) {
        if self.segments.is_empty() {
            self.segments.push(vec![]);
        }
        let last = self.segments.len() - 1;
        (&mut self.chain, &mut self.segments[last])
    }

    /// A segment begins with what its process begins with.
    fn begin(&mut self, past: &Past) {
        self.chain = Chain::default();
        self.segments.push(vec![]);
        let (chain, bytes) = self.segment();
        chain.snapshot(past.moment(), bytes);
    }
}

/// From when on a box that has just come up again is not hit twice in its clean-up any more.
const CLEAN_UP: Duration = Duration::from_secs(64);

impl World {
    pub(super) fn plan_crashes(&mut self) {
        if !self.dice.percent(35) {
            return;
        }
        self.keep_a_journal();
        for _ in 0..self.dice.number(1..3) {
            let (at, in_a_turn) = (self.some_moment(130_000), self.dice.percent(50));
            self.plan(at, Deed::Crash { in_a_turn });
            // Again, while the first is still being cleaned up.
            if self.dice.percent(70) {
                let soon = self.dice.pick(&[1_000, 5_000, 40_000]);
                let (after, in_a_turn) = (self.dice.millis(10..soon), self.dice.percent(50));
                self.plan(at + after, Deed::Crash { in_a_turn });
            }
        }
    }

    pub(super) fn keep_a_journal(&mut self) {
        let mut journal =
            Journal { chain: Chain::default(), segments: vec![], turn: 0, wrote: self.now };
        journal.begin(&Past::none(self.site.plan()));
        self.journal = Some(journal);
    }

    /// What must be on the disk before anything else leaves; gives the number of lines.
    pub(super) fn write_down(&mut self) -> usize {
        let mut lines = 0;
        let mut journal = self.journal.as_mut().map(Journal::segment);
        let turn = journal.as_ref().map_or(0, |(_, bytes)| bytes.len());
        while let Some(record) = self.exchange.poll_record() {
            lines += 1;
            if let Some((chain, bytes)) = &mut journal {
                chain.record(&record, bytes);
            }
        }
        while let Some(note) = self.exchange.poll_note() {
            lines += 1;
            if let Some((chain, bytes)) = &mut journal {
                chain.note(&note, bytes);
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.turn = turn;
            if lines > 0 {
                journal.wrote = self.now;
            } else if self.now >= journal.wrote + ALIVE_EVERY {
                journal.wrote = self.now;
                let alive = self.exchange.alive(self.now);
                let (chain, bytes) = journal.segment();
                alive.iter().for_each(|alive| chain.note(alive, bytes));
            }
        }
        lines
    }

    /// Now, or in the middle of the next turn.
    pub(super) fn crash(&mut self, in_a_turn: bool) -> Result<(), String> {
        match in_a_turn {
            _ if self.down_until.is_some() => Ok(()),
            true => {
                self.doomed = true;
                Ok(())
            }
            false => self.die(),
        }
    }

    /// How many datagrams of this turn leave before it dies; of what it wrote, some may be missing,
    /// and then nothing leaves.
    pub(super) fn say_before_it_dies(&mut self) -> usize {
        let is_torn = self.dice.percent(30);
        let said = usize::try_from(self.dice.number(0..4)).unwrap_or_default();
        let Some(journal) = self.journal.as_mut().filter(|_| is_torn) else { return said };
        let turn = journal.turn;
        let (_, bytes) = journal.segment();
        let kept = turn + self.dice.place(bytes.len() - turn);
        bytes.truncate(kept);
        0
    }

    pub(super) fn die(&mut self) -> Result<(), String> {
        self.note(|| "-- the box dies".to_owned());
        self.doomed = false;
        let talks = self.exchange.board().calls().next().is_some();
        self.reached.crash_with_calls_up += u64::from(talks);
        let cleaning_up = self.exchange.endpoint().orphans().left() > 0;
        self.reached.crash_in_clean_up += u64::from(cleaning_up);
        self.media.die();
        self.model.dies(self.now);
        self.down_until = Some(self.now + self.dice.millis(50..3_000));
        Ok(())
    }

    /// The next process.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.down_until = None;
        self.restarted = Some(self.now);
        let segment = self.journal.as_ref().and_then(|journal| journal.segments.last());
        let Some(segment) = segment else { return Err("the box has no journal".to_owned()) };
        let segment = journal::read(segment).map_err(|why| why.to_string())?;
        self.model.was_noted(segment.last);
        let past = journal::replay(segment);
        self.note(|| format!("-- the box lives again, {} calls ended before", past.ended.len()));
        self.hear_what_was_only_written(&past)?;
        let signed_in = self.still_signed_in(&past);
        if let Some(journal) = &mut self.journal {
            journal.begin(&past);
        }
        let (board, restart) = past.restart(Arc::clone(self.site.plan()), BTreeMap::new());
        let wall = self.clock().stamp(self.now);
        self.exchange = Site::process(board, Some(restart), self.dice.seed(), wall, self.now);
        self.model.begins(true);
        self.drain()?;
        self.model.begins(false);
        if self.down_until.is_some() {
            return Ok(());
        }
        self.model.check_cut_off()?;
        let seats = self.exchange.board().seats();
        match signed_in.into_iter().find(|&seat| !seats.is_signed_in(seat)) {
            Some(seat) => Err(format!("the restart has signed agent {} out", seat.0)),
            None => Ok(()),
        }
    }

    fn clock(&self) -> Clock {
        Clock::new(self.epoch, MORNING)
    }

    /// Records of calls that ended in the turn in which the box died, or that were told before.
    fn hear_what_was_only_written(&mut self, past: &Past) -> Result<(), String> {
        for written in &past.ended {
            match self.cdrs.iter().find(|(told, _)| told.id == written.id) {
                Some((told, _)) if told == written => {}
                Some((told, _)) => {
                    return Err(format!("{}: told as {told:?}, written as {written:?}", told.id));
                }
                None => {
                    self.model.cdr(written)?;
                    self.cdrs.push((written.clone(), self.now));
                }
            }
        }
        Ok(())
    }

    /// Whose phone need not register anew.
    fn still_signed_in(&self, past: &Past) -> Vec<SeatId> {
        let now = self.clock().stamp(self.now);
        let seats = past.board.plan().seats.iter().zip(0..);
        let reachable = seats.filter(|(seat, _)| {
            let phones = past.memory.registered().get(&seat.name);
            let mut bindings = phones.into_iter().flat_map(|phones| &phones.bindings);
            let live = bindings.any(|binding| binding.expires > now);
            seat.fixed || live
        });
        let reachable = reachable.map(|(_, place)| SeatId(place));
        reachable.filter(|&seat| past.board.seats().is_signed_in(seat)).collect()
    }

    /// Long after a restart nobody is left in a call of the process before.
    pub(super) fn check_orphans(&self) -> Result<(), String> {
        let Some(restarted) = self.restarted.filter(|at| *at + CLEAN_UP * 2 < self.now) else {
            return Ok(());
        };
        let peers = self.phones.iter().map(|phone| &phone.peer).chain(&self.carriers);
        let mut alive = peers.flat_map(|peer| peer.dialogs()).filter(|dialog| dialog.is_alive());
        let orphan = alive.find(|dialog| {
            let invited = self.model.invited_at(&dialog.call_id);
            let told = !self.model.was_never_told(&dialog.call_id, self.now)
                && !self.model.was_never_heard(&dialog.call_id, self.now);
            told && invited.is_some_and(|invited| invited < restarted)
        });
        match orphan {
            Some(dialog) => Err(format!("{} is of a process that has died", dialog.call_id)),
            None => Ok(()),
        }
    }
}
