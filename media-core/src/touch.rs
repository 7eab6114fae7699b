//! Writes to every page of memory that is taken at the start: the first write to a page is a wait, and
//! it must not come in a call.

use std::{collections::VecDeque, hint::black_box};

/// Fills it and empties it again. What it holds must need no memory of its own.
pub(crate) fn vec<T>(mut vec: Vec<T>, blank: impl Fn() -> T) -> Vec<T> {
    while vec.len() < vec.capacity() {
        vec.push(black_box(blank()));
    }
    vec.clear();
    vec
}

/// The same for a queue.
pub(crate) fn queue<T>(mut queue: VecDeque<T>, blank: impl Fn() -> T) -> VecDeque<T> {
    while queue.len() < queue.capacity() {
        queue.push_back(black_box(blank()));
    }
    queue.clear();
    queue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_is_empty_and_has_the_room_it_had() {
        let touched = vec(Vec::with_capacity(7), || [1_u64; 9]);
        assert_eq!((touched.len(), touched.capacity()), (0, 7));

        let touched = queue(VecDeque::with_capacity(7), || [1_u64; 9]);
        assert_eq!((touched.len(), touched.capacity() >= 7), (0, true));
    }
}
