//! CPU time of threads, and where and how urgently they run.

use nix::{
    libc::pid_t,
    sched::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::{Pid, gettid},
};
use std::{
    fs, io,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// CPU time that `work` takes on this thread.
pub fn span<T>(work: impl FnOnce() -> T) -> Duration {
    let before = now(ClockId::CLOCK_THREAD_CPUTIME_ID);
    let made = work();
    let took = now(ClockId::CLOCK_THREAD_CPUTIME_ID).saturating_sub(before);
    drop(made);
    took
}

fn now(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("a live thread of this process has a CPU clock").into()
}

// include/linux/posix-timers_types.h: a CPU clock's number is the inverted id above three bits.
const OF_A_THREAD: pid_t = 4;
const AS_SCHEDULED: pid_t = 2;

/// CPU time a process has used so far, its ended threads included; `None` when it is gone.
pub fn of_process(id: u32) -> Option<Duration> {
    let id = pid_t::try_from(id).ok()?;
    Some(clock_gettime(ClockId::from_raw((!id << 3) | AS_SCHEDULED)).ok()?.into())
}

/// One thread of this process.
#[derive(Clone, Copy, Debug)]
pub struct Thread(Pid);

impl Thread {
    pub fn this() -> Self {
        Self(gettid())
    }

    /// The one that has this name, as soon as it has it: a thread names itself when it starts.
    pub fn named(name: &str) -> io::Result<Self> {
        for _ in 0..1_000 {
            if let Some(thread) = Self::find(name)? {
                return Ok(thread);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("no thread is called {name}")))
    }

    fn find(name: &str) -> io::Result<Option<Self>> {
        for entry in fs::read_dir("/proc/self/task")? {
            let path = entry?.path();
            if fs::read_to_string(path.join("comm"))?.trim_end() == name {
                let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
                return Ok(number.map(|id| Self(Pid::from_raw(id))));
            }
        }
        Ok(None)
    }

    /// CPU time it has used so far.
    pub fn cpu(self) -> Duration {
        now(ClockId::from_raw((!self.0.as_raw() << 3) | OF_A_THREAD | AS_SCHEDULED))
    }

    /// Keeps it on one core.
    pub fn pin(self, core: usize) -> io::Result<()> {
        let mut cores = CpuSet::new();
        cores.set(core)?;
        Ok(sched_setaffinity(self.0, &cores)?)
    }

    /// Lets it run before everything usual: a relay that waits for its core finds several packets
    /// when it wakes, and looks cheaper than it is.
    pub fn be_real_time(self, priority: u8) -> io::Result<()> {
        let (priority, thread) = (priority.to_string(), self.0.to_string());
        let mut chrt = Command::new("chrt");
        chrt.args(["--fifo", "--pid", &priority, &thread]).stderr(Stdio::null());
        if chrt.status()?.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}
