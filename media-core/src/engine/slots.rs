//! Tables of fixed size: things by slot and name, legs by port, and who is served when.

use crate::{clock::PHASES, order::PortName, touch};

/// Things with a name, in slots that do not move. All memory is taken, and written to, at the start.
#[derive(Debug)]
pub(super) struct Slots<T> {
    items: Vec<Option<T>>,
    free: Vec<usize>,
    /// By name, sorted. Names come in rising order, so that a new one usually goes to the end.
    names: Vec<(u64, usize)>,
}

impl<T> Slots<T> {
    pub(super) fn new(capacity: usize, blank: impl Fn() -> T) -> Self {
        let mut items = touch::vec(Vec::with_capacity(capacity), || Some(blank()));
        items.resize_with(capacity, || None);
        Self {
            items,
            free: (0..capacity).rev().collect(),
            names: touch::vec(Vec::with_capacity(capacity), Default::default),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn slot(&self, name: u64) -> Option<usize> {
        let place = self.names.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        self.names.get(place).map(|(_, slot)| *slot)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.items.get_mut(slot).and_then(Option::as_mut)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().flatten()
    }

    /// Two different slots at once.
    pub(super) fn pair_mut(&mut self, one: usize, other: usize) -> Option<(&mut T, &mut T)> {
        match self.items.get_disjoint_mut([one, other]) {
            Ok([Some(one), Some(other)]) => Some((one, other)),
            Ok(_) | Err(_) => None,
        }
    }

    /// None: no slot is free, or the name is taken.
    pub(super) fn insert(&mut self, name: u64, item: T) -> Option<usize> {
        let place = self.names.binary_search_by_key(&name, |(name, _)| *name).err()?;
        let slot = self.free.pop()?;
        *self.items.get_mut(slot)? = Some(item);
        self.names.insert(place, (name, slot));
        Some(slot)
    }

    pub(super) fn remove(&mut self, name: u64) -> Option<(usize, T)> {
        let place = self.names.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        let (_, slot) = self.names.remove(place);
        let item = self.items.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some((slot, item))
    }
}

/// Which slot has a port pair.
#[derive(Debug)]
pub(super) struct Ports(Vec<Option<usize>>);

impl Ports {
    pub(super) fn new() -> Self {
        Self(vec![None; 1 << 15])
    }

    pub(super) fn slot(&self, port: PortName) -> Option<usize> {
        self.0.get(pair(port)).copied().flatten()
    }

    pub(super) fn set(&mut self, port: PortName, slot: Option<usize>) {
        if let Some(place) = self.0.get_mut(pair(port)) {
            *place = slot;
        }
    }
}

/// A pair is an even port and the one after it.
fn pair(port: PortName) -> usize {
    usize::from(port.0 >> 1)
}

/// Slots by the millisecond of the 20 ms frame at which they are served.
#[derive(Debug)]
pub(super) struct Phases(Vec<Vec<usize>>);

impl Phases {
    pub(super) fn new(capacity: usize) -> Self {
        let slots = || touch::vec(Vec::with_capacity(capacity), Default::default);
        Self((0..PHASES).map(|_| slots()).collect())
    }

    /// The phase that serves fewest.
    pub(super) fn lightest(&self) -> u64 {
        (0..).zip(&self.0).min_by_key(|(_, slots)| slots.len()).map_or(0, |(phase, _)| phase)
    }

    /// How many a phase serves.
    pub(super) fn count(&self, phase: u64) -> usize {
        usize::try_from(phase).ok().and_then(|phase| self.0.get(phase)).map_or(0, Vec::len)
    }

    pub(super) fn add(&mut self, phase: u64, slot: usize) {
        if let Some(slots) = self.of_mut(phase) {
            slots.push(slot);
        }
    }

    pub(super) fn remove(&mut self, phase: u64, slot: usize) {
        if let Some(slots) = self.of_mut(phase)
            && let Some(place) = slots.iter().position(|other| *other == slot)
        {
            slots.swap_remove(place);
        }
    }

    /// The n-th slot of a phase.
    pub(super) fn get(&self, phase: u64, n: usize) -> Option<usize> {
        self.0.get(usize::try_from(phase).ok()?)?.get(n).copied()
    }

    fn of_mut(&mut self, phase: u64) -> Option<&mut Vec<usize>> {
        self.0.get_mut(usize::try_from(phase).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_after_its_name_has_gone() {
        let mut slots = Slots::new(2, Default::default);
        let first = slots.insert(10, 'a').unwrap();

        assert_eq!(slots.insert(10, 'x'), None, "a name is taken once");
        assert!(slots.insert(5, 'b').is_some());
        assert_eq!(slots.insert(7, 'c'), None, "two slots hold two");
        assert_eq!(slots.remove(10), Some((first, 'a')));
        assert_eq!(slots.insert(7, 'c'), Some(first));
        assert_eq!((slots.slot(10), slots.slot(7), slots.len()), (None, Some(first), 2));
    }

    #[test]
    fn phases_are_filled_evenly() {
        let mut phases = Phases::new(60);
        for slot in 0..60 {
            phases.add(phases.lightest(), slot);
        }
        assert!((0..PHASES).all(|phase| phases.get(phase, 2).is_some()));
        assert!((0..PHASES).all(|phase| phases.get(phase, 3).is_none()));

        phases.remove(4, phases.get(4, 0).unwrap());
        assert_eq!(phases.lightest(), 4);
    }

    #[test]
    fn both_ports_of_a_pair_lead_to_its_slot() {
        let mut ports = Ports::new();
        ports.set(PortName(65_534), Some(3));

        assert_eq!(ports.slot(PortName(65_534)), Some(3));
        assert_eq!(ports.slot(PortName(65_535)), Some(3));
        assert_eq!(ports.slot(PortName(20_000)), None);
    }
}
