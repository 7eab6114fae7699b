//! An allocator that counts: how many allocations a piece of work makes.
#![expect(unsafe_code, reason = "an allocator that counts has to be an allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator. A bench makes it its `#[global_allocator]`.
pub struct Counting;

thread_local! {
    /// Of this thread: criterion's own work on others does not count.
    static MADE: Cell<u64> = const { Cell::new(0) };
}

/// Allocations, growing ones included, that `work` makes on this thread.
pub fn count<T>(work: impl FnOnce() -> T) -> u64 {
    let before = MADE.get();
    let made = work();
    let count = MADE.get() - before;
    drop(made);
    count
}

fn made_one() {
    // Unreachable only while the thread is being torn down.
    _ = MADE.try_with(|made| made.set(made.get() + 1));
}

// SAFETY: every call is handed on to the system's allocator unchanged; counting touches a
// thread-local that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        made_one();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `pointer` came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        made_one();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
