//! What makes the media thread punctual. Each may be refused; the calls go on, less evenly.

use nix::sys::{
    mman::{MlockAllFlags, mlockall},
    prctl,
    resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
};

use crate::sys::be_real_time;

/// Above what usually runs, below the kernel's own threads and what watches the machine.
const PRIORITY: i32 = 10;

/// Nothing of this process is ever swapped. Returns what was refused.
pub(crate) fn lock_memory() -> Vec<String> {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((0, 0));
    // Under a limit every later allocation could fail, which is worse than being swapped.
    if hard != RLIM_INFINITY || setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).is_err() {
        return vec![format!(
            "memory is not locked: at most {hard} bytes are allowed; set LimitMEMLOCK=infinity"
        )];
    }
    match mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
        Ok(()) => Vec::new(),
        Err(error) => vec![format!("memory is not locked: {}", error.desc())],
    }
}

/// For the calling thread. Returns what was refused.
pub(crate) fn prepare_thread(real_time: bool) -> Vec<String> {
    let mut refused = Vec::new();
    // The kernel may delay a sleeper by 50 us unless told otherwise.
    if let Err(error) = prctl::set_timerslack(1) {
        refused.push(format!("media-0 keeps the usual timer slack: {}", error.desc()));
    }
    if real_time && let Err(error) = be_real_time(PRIORITY) {
        refused.push(format!(
            "media-0 is not real-time (SCHED_FIFO {PRIORITY}): {error}; set LimitRTPRIO=10"
        ));
    }
    refused
}
