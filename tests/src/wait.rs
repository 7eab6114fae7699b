//! Real waiting, in one place: for a named thing to become true, with an end.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition outside this process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Far beyond what a busy machine needs: reaching it means that something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` gives something.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Waits until `look` gives something or `patience` is over.
pub fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(LOOK);
    }
}
