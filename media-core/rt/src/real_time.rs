//! What makes a media thread punctual. Each may be refused; the calls go on, less evenly.

use std::{fmt, hint::black_box};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::{
        mman::{MlockAllFlags, mlockall},
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    },
    unistd::Pid,
};

use crate::sys::be_real_time;

/// Above what usually runs, below the kernel's own threads and what watches the machine.
const PRIORITY: u8 = 10;

/// Several times what a tick needs of its stack.
const STACK_TOUCHED: usize = 256 * 1024;

/// What a media thread got of what makes it punctual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub thread: String,
    /// The one core it runs on; none: any.
    pub core: Option<u16>,
    /// Its priority under SCHED_FIFO; none: it shares the processor with everything else.
    pub fifo: Option<u8>,
    /// Nothing of this process is ever swapped.
    pub memory_locked: bool,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.thread)?;
        match self.fifo {
            Some(priority) => write!(f, "SCHED_FIFO {priority}; ")?,
            None => f.write_str("not real-time; ")?,
        }
        match self.core {
            Some(core) => write!(f, "core {core}; ")?,
            None => f.write_str("any core; ")?,
        }
        f.write_str(if self.memory_locked { "memory locked" } else { "memory not locked" })
    }
}

/// Nothing of this process is ever swapped, or why not and what to grant.
pub(crate) fn lock_memory() -> Result<(), String> {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((0, 0));
    // Under a limit every later allocation could fail, which is worse than being swapped.
    if hard != RLIM_INFINITY || setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).is_err() {
        return Err(format!(
            "memory is not locked: at most {hard} bytes are allowed; set LimitMEMLOCK=infinity"
        ));
    }
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
        .map_err(|error| format!("memory is not locked: {}; allow the call mlockall", error.desc()))
}

/// For the calling thread. Returns what it got, and what was refused with what to grant.
pub(crate) fn prepare_thread(
    thread: &str,
    core: Option<u16>,
    real_time: bool,
    memory_locked: bool,
) -> (Condition, Vec<String>) {
    touch_stack();
    let mut got = Condition { thread: thread.to_owned(), core: None, fifo: None, memory_locked };
    let mut refused = Vec::new();
    // The kernel may delay a sleeper by 50 us unless told otherwise.
    if let Err(error) = prctl::set_timerslack(1) {
        refused.push(format!("{thread} keeps the usual timer slack: {}", error.desc()));
    }
    if let Some(core) = core {
        match pin(core) {
            Ok(()) => got.core = Some(core),
            Err(error) => refused.push(format!(
                "{thread} is not pinned to core {core}: {}; name one in media.cpus that this host \
                 has and AllowedCPUs= allows, and allow the call sched_setaffinity",
                error.desc()
            )),
        }
    }
    if real_time {
        match be_real_time(PRIORITY.into()) {
            Ok(()) => got.fifo = Some(PRIORITY),
            Err(error) => refused.push(format!(
                "{thread} is not real-time (SCHED_FIFO {PRIORITY}): {error}; set \
                 LimitRTPRIO={PRIORITY} and RestrictRealtime=no"
            )),
        }
    }
    (got, refused)
}

fn pin(core: u16) -> nix::Result<()> {
    let mut only = CpuSet::new();
    only.set(core.into())?;
    sched_setaffinity(Pid::from_raw(0), &only)
}

/// Writes to the part of the stack that ticks use: a page that is first written to is a wait.
#[inline(never)]
fn touch_stack() {
    let pages = [0_u8; STACK_TOUCHED];
    black_box(&pages);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::sched_getaffinity;
    use std::thread;

    #[test]
    fn a_thread_runs_on_the_core_it_was_given_and_on_no_other() {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let core = (0..CpuSet::count()).find(|core| allowed.is_set(*core).unwrap()).unwrap();
        let wish = u16::try_from(core).unwrap();

        let (got, refused, cores) = thread::spawn(move || {
            let (got, refused) = prepare_thread("media-7", Some(wish), false, false);
            (got, refused, sched_getaffinity(Pid::from_raw(0)).unwrap())
        })
        .join()
        .unwrap();

        assert_eq!((got.core, refused), (Some(wish), vec![]));
        let left: Vec<_> = (0..CpuSet::count()).filter(|n| cores.is_set(*n).unwrap()).collect();
        assert_eq!(left, [core]);
        assert_eq!(
            got.to_string(),
            format!("media-7: not real-time; core {core}; memory not locked")
        );
    }

    #[test]
    fn a_core_that_is_not_there_is_refused_with_what_to_name() {
        for core in [1_000, u16::MAX] {
            let (got, refused) = prepare_thread("media-0", Some(core), false, true);

            assert_eq!(got.to_string(), "media-0: not real-time; any core; memory locked");
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(refused[0].starts_with(&format!("media-0 is not pinned to core {core}: ")));
            assert!(refused[0].contains("media.cpus"), "{refused:?}");
        }
    }
}
