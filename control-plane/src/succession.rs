//! A plan takes the place of another while calls go on: who is in both keeps their id, by name; who
//! is new gets one that nobody ever had; who is gone keeps theirs, as a grave with a name on it.

use crate::{
    config::{Destination, Gone, NumberRow, Plan, Team},
    door::{Closed, Door},
    ids::{SeatId, TeamId},
};
use sip_stack::ids::TrunkId;
use std::collections::{BTreeMap, BTreeSet};

/// The plan as it will be, and which id each place of the lists it was made from has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    pub plan: Plan,
    pub trunks: Vec<TrunkId>,
    pub seats: Vec<SeatId>,
}

/// Only a start gives ids anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than 65,536 trunks, agents or teams have come and gone since the start; restart the \
     appliance"
)]
pub struct NoIdLeft;

impl Plan {
    /// `next` speaks of places in its own lists; what comes back speaks of ids. A name that was gone
    /// and is back has its old id: a call may hold that seat still, and an agent is one seat.
    pub fn succeeded_by(&self, next: &Self) -> Result<Succession, NoIdLeft> {
        let trunks = places(&self.trunks, &next.trunks, |trunk| &trunk.name)?;
        let seats = places(&self.seats, &next.seats, |seat| &seat.name)?;
        let teams = places(&self.teams, &next.teams, |team| &team.name)?;
        let gone = Gone {
            trunks: rest(self.trunks.len(), &trunks).map(TrunkId).collect(),
            seats: rest(self.seats.len(), &seats).map(SeatId).collect(),
            teams: rest(self.teams.len(), &teams).map(TeamId).collect(),
        };
        let seat = |old: &SeatId| moved(&seats, old.0).map(SeatId);
        let place = |to: Destination| {
            Some(match to {
                Destination::Seat(to) => Destination::Seat(SeatId(moved(&seats, to.0)?)),
                Destination::Team(to) => Destination::Team(TeamId(moved(&teams, to.0)?)),
                Destination::Trunk(to) => Destination::Trunk(TrunkId(moved(&trunks, to.0)?)),
            })
        };
        let door = |door: Door| {
            let closed = door.closed.and_then(|closed| match closed {
                Closed::Goes(to) => place(to).map(Closed::Goes),
                Closed::Hears(tune) => Some(Closed::Hears(tune)),
            });
            Door { closed, ..door }
        };
        let team = |team: &Team| Team {
            seats: team.seats.iter().filter_map(seat).collect(),
            door: door(team.door),
            ..team.clone()
        };
        let next_teams: Vec<Team> = next.teams.iter().map(team).collect();
        let row = |row: &NumberRow| {
            let from = row.from.iter().filter_map(|from| moved(&trunks, from.0)).map(TrunkId);
            let (to, door) = (place(row.to)?, door(row.door));
            Some(NumberRow { to, from: from.collect(), door, ..row.clone() })
        };
        let numbers = next.numbers.iter().filter_map(row).collect();
        let mut plan = Self {
            trunks: merged(&self.trunks, &next.trunks, &trunks),
            seats: merged(&self.seats, &next.seats, &seats),
            teams: merged(&self.teams, &next_teams, &teams),
            numbers,
            // No call holds one: what a calendar says is known anew.
            hours: next.hours.clone(),
            gone,
        };
        plan.bury();
        let (trunks, seats) = (trunks.into_iter().map(TrunkId), seats.into_iter().map(SeatId));
        Ok(Succession { plan, trunks: trunks.collect(), seats: seats.collect() })
    }

    /// Nothing new leads to who is gone. Who waits for a team that is gone still waits for those of
    /// its agents who are there.
    fn bury(&mut self) {
        for id in &self.gone.trunks {
            if let Some(trunk) = self.trunks.get_mut(usize::from(id.0)) {
                trunk.address = None;
            }
        }
        for id in &self.gone.seats {
            if let Some(seat) = self.seats.get_mut(usize::from(id.0)) {
                seat.fixed = false;
            }
        }
        for id in &self.gone.teams {
            if let Some(team) = self.teams.get_mut(usize::from(id.0)) {
                team.door = Door::default();
            }
        }
        for team in &mut self.teams {
            team.seats.retain(|seat| !self.gone.seats.contains(seat));
        }
    }
}

/// The id of each place in `next`.
fn places<T>(old: &[T], next: &[T], name: fn(&T) -> &String) -> Result<Vec<u16>, NoIdLeft> {
    let known: BTreeMap<&String, usize> =
        old.iter().enumerate().map(|(place, item)| (name(item), place)).collect();
    let mut free = old.len()..;
    let mut id = |item| known.get(name(item)).copied().or_else(|| free.next());
    next.iter().map(|item| id(item).and_then(|id| u16::try_from(id).ok()).ok_or(NoIdLeft)).collect()
}

fn moved(ids: &[u16], place: u16) -> Option<u16> {
    ids.get(usize::from(place)).copied()
}

/// The ids below `old` that nobody has now.
fn rest(old: usize, ids: &[u16]) -> impl Iterator<Item = u16> {
    let taken: BTreeSet<u16> = ids.iter().copied().collect();
    (0..=u16::MAX).take(old).filter(move |id| !taken.contains(id))
}

/// The old list with the next one's items at their ids; new ids follow in order.
fn merged<T: Clone>(old: &[T], next: &[T], ids: &[u16]) -> Vec<T> {
    let mut all = old.to_vec();
    for (item, id) in next.iter().zip(ids) {
        match all.get_mut(usize::from(*id)) {
            Some(place) => place.clone_from(item),
            None => all.push(item.clone()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SeatPlan, Trunk};

    fn plan(agents: &[&str], team: &[u16]) -> Plan {
        let seat = |name: &&str| SeatPlan {
            extension: format!("1{name}"),
            fixed: true,
            ..SeatPlan::named(*name)
        };
        let address = "192.0.2.1:5060".parse().ok();
        Plan {
            trunks: vec![Trunk { address, pstn: true, ..Trunk::named("carrier") }],
            seats: agents.iter().map(seat).collect(),
            teams: vec![Team {
                seats: team.iter().copied().map(SeatId).collect(),
                set_aside: None,
                ..Team::named("front")
            }],
            numbers: vec![NumberRow {
                from: vec![TrunkId(0)],
                ..NumberRow::new("100", Destination::Seat(SeatId(0)))
            }],
            ..Plan::default()
        }
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.seats.iter().map(|seat| seat.name.as_str()).collect()
    }

    #[test]
    fn who_stays_keeps_their_id_whatever_the_order_and_who_comes_gets_a_new_one() {
        let old = plan(&["ana", "bruno", "carla"], &[0, 1, 2]);

        let next = old.succeeded_by(&plan(&["dora", "carla", "ana"], &[0, 1])).unwrap();

        assert_eq!(next.seats, [SeatId(3), SeatId(2), SeatId(0)]);
        assert_eq!(names(&next.plan), ["ana", "bruno", "carla", "dora"]);
        assert_eq!(next.plan.gone.seats, BTreeSet::from([SeatId(1)]));
        assert_eq!(next.plan.teams[0].seats, [SeatId(3), SeatId(2)]);
        assert_eq!(next.plan.numbers[0].to, Destination::Seat(SeatId(3)));
        assert!(!next.plan.seats[1].fixed && next.plan.seats[3].fixed);
    }

    #[test]
    fn who_comes_back_has_the_id_they_had() {
        let old = plan(&["ana", "bruno"], &[0]);
        let without = old.succeeded_by(&plan(&["ana"], &[0])).unwrap().plan;

        let again = without.succeeded_by(&plan(&["bruno", "ana"], &[0])).unwrap();

        assert_eq!(again.seats, [SeatId(1), SeatId(0)]);
        assert!(again.plan.gone.seats.is_empty());
    }

    #[test]
    fn a_team_or_trunk_that_is_gone_keeps_its_name_and_leads_nowhere_new() {
        let old = plan(&["ana", "bruno"], &[0, 1]);
        let mut next = plan(&["bruno"], &[]);
        (next.teams, next.trunks, next.numbers) = (vec![], vec![], vec![]);

        let next = old.succeeded_by(&next).unwrap().plan;

        assert_eq!(
            (next.teams[0].name.as_str(), next.trunks[0].name.as_str()),
            ("front", "carrier")
        );
        assert_eq!((next.trunks[0].address, next.gone.teams.len()), (None, 1));
        assert_eq!(next.teams[0].seats, [SeatId(1)], "those who wait are still answered by Bruno");
    }

    #[test]
    fn a_plan_that_is_succeeded_by_itself_is_itself() {
        let old = plan(&["ana", "bruno"], &[0, 1]);

        assert_eq!(old.succeeded_by(&old).unwrap().plan, old);
    }

    #[test]
    fn ids_that_run_out_are_said_so() {
        let mut old = plan(&[], &[]);
        let trunk = old.trunks[0].clone();
        let named = |n: u32| Trunk { name: n.to_string(), ..trunk.clone() };
        old.trunks = (0..=u32::from(u16::MAX)).map(named).collect();

        assert_eq!(old.succeeded_by(&plan(&[], &[])), Err(NoIdLeft));
    }
}
