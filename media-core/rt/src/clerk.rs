//! Makes recordings durable beside the recorder: a disk that takes seconds for it keeps no sample
//! out of a file, and a process that is killed meanwhile has lost none of them.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use media_core::order::TalkName;
use nix::sys::{
    statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, fstatfs},
    utsname::uname,
};

/// A file, or none if it could not be made, and whether what stands in it now is its end.
type Handed = (Option<Arc<File>>, bool);

/// What is to be made durable.
pub(crate) struct Errand {
    pub(crate) folder: PathBuf,
    /// Whose files are new in the folder.
    pub(crate) made: Vec<TalkName>,
    pub(crate) files: Vec<(TalkName, Handed)>,
}

/// How it went.
pub(crate) struct Done {
    pub(crate) made: Vec<TalkName>,
    pub(crate) folder: io::Result<()>,
    /// And whether it was the file's end that was made durable.
    pub(crate) files: Vec<(TalkName, bool, io::Result<()>)>,
}

impl Errand {
    fn run(self, together: &mut Together) -> Done {
        let Self { folder, made, files } = self;
        let folder = match made.is_empty() {
            true => Ok(()),
            false => File::open(&folder).and_then(|folder| folder.sync_all()),
        };
        let durable = files.len() >= TOGETHER && together.sync(&files);
        let sync = |(talk, (file, ended)): (TalkName, Handed)| {
            let file = file.filter(|_| !durable);
            (talk, ended, file.map_or(Ok(()), |file| file.sync_data()))
        };
        Done { made, folder, files: files.into_iter().map(sync).collect() }
    }
}

/// From so many files on the whole file system is made durable in one go: one flush of the disk a second
/// in place of one for each recording.
const TOGETHER: usize = 8;

/// One that takes longer flushes what others have written there, a package or a backup: each file for
/// itself is quicker then, for so long.
const SLOW: Duration = Duration::from_secs(1);
const APART_FOR: Duration = Duration::from_secs(60);

/// The flush of a whole file system, where it can be trusted.
struct Together {
    flush: fn(&File) -> io::Result<()>,
    slow: Duration,
    /// Asked once, of the first file.
    trusted: Option<bool>,
    apart_until: Option<Instant>,
}

impl Together {
    fn usual() -> Self {
        Self {
            flush: |file| Ok(nix::unistd::syncfs(file)?),
            slow: SLOW,
            trusted: None,
            apart_until: None,
        }
    }

    /// False: it is not to be used, or something could not be written; each file knows whether it was in
    /// it. They lie in one folder, and have been open since they were made, so none of their faults can have
    /// been missed.
    fn sync(&mut self, files: &[(TalkName, Handed)]) -> bool {
        let Some(file) = files.iter().find_map(|(_, (file, _))| file.as_ref()) else {
            return false;
        };
        let begun = Instant::now();
        let apart = self.apart_until.is_some_and(|until| begun < until);
        if apart || !*self.trusted.get_or_insert_with(|| tells_faults(file)) {
            return false;
        }
        let done = (self.flush)(file).is_ok();
        let slow = begun.elapsed() >= self.slow;
        self.apart_until = slow.then(|| begun + APART_FOR);
        done
    }
}

/// syncfs(2) tells of what could not be written since Linux 5.8, and of the file system it is asked of: one
/// that lies over another may not hear of it.
fn tells_faults(file: &File) -> bool {
    let known = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC];
    let plain = fstatfs(file).is_ok_and(|it| known.contains(&it.filesystem_type()));
    let release = uname().ok().and_then(|it| it.release().to_str().and_then(version));
    plain && release.is_some_and(|release| release >= (5, 8))
}

/// Of a kernel.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// Takes one errand at a time.
pub(crate) struct Clerk {
    errands: Sender<Errand>,
    done: Receiver<Done>,
    heard: Option<Done>,
    busy: bool,
}

impl Clerk {
    /// A thread of its own; it ends with this value, after the errand it is on.
    pub(crate) fn start() -> io::Result<Self> {
        let (errands, take) = mpsc::channel::<Errand>();
        let (tell, done) = mpsc::channel();
        thread::Builder::new().name("recorder-sync".into()).spawn(move || {
            let mut together = Together::usual();
            for errand in take {
                if tell.send(errand.run(&mut together)).is_err() {
                    return; // Nobody is left who wants to know.
                }
            }
        })?;
        Ok(Self { errands, done, heard: None, busy: false })
    }

    /// The other ends of a clerk, for a test that wants to be one.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, Receiver<Errand>, Sender<Done>) {
        let (errands, take) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        (Self { errands, done, heard: None, busy: false }, take, tell)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(crate) fn send(&mut self, errand: Errand) {
        self.busy = true;
        if let Err(mpsc::SendError(errand)) = self.errands.send(errand) {
            // Its thread is gone: slower is better than never.
            self.heard = Some(errand.run(&mut Together::usual()));
        }
    }

    /// What has been done, once.
    pub(crate) fn hear(&mut self) -> Option<Done> {
        let done = self.heard.take().or_else(|| self.done.try_recv().ok())?;
        self.busy = false;
        Some(done)
    }

    /// Until the errand under way is done.
    pub(crate) fn wait(&mut self) {
        if self.busy && self.heard.is_none() {
            self.heard = self.done.recv().ok();
            self.busy = self.heard.is_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// What an errand with so many files does, and whether each was found durable.
    fn run(files: usize, together: &mut Together) -> bool {
        let folder = TestFolder::new("clerk");
        std::fs::create_dir_all(folder.path()).unwrap();
        let file = |number: usize| {
            let file = File::create(folder.path().join(number.to_string())).unwrap();
            (TalkName(number as u64), (Some(Arc::new(file)), false))
        };
        let files = (0..files).map(file).collect();
        let errand = Errand { folder: folder.path().to_path_buf(), made: vec![], files };
        errand.run(together).files.iter().all(|(.., result)| result.is_ok())
    }

    #[test]
    fn many_files_are_made_durable_by_one_flush_and_each_for_itself_where_that_is_slow_or_fails() {
        static FLUSHES: AtomicU32 = AtomicU32::new(0);
        let flushes = || FLUSHES.swap(0, Ordering::Relaxed);
        let mut together = Together {
            flush: |_| {
                FLUSHES.fetch_add(1, Ordering::Relaxed);
                Ok(())
            },
            slow: Duration::MAX,
            trusted: Some(true),
            apart_until: None,
        };

        assert!(run(TOGETHER - 1, &mut together));
        assert_eq!(flushes(), 0, "a few");
        assert!(run(TOGETHER, &mut together) && run(TOGETHER, &mut together));
        assert_eq!(flushes(), 2);
        together.slow = Duration::ZERO;
        assert!(run(TOGETHER, &mut together) && run(TOGETHER, &mut together));
        assert_eq!(flushes(), 1, "the slow one was the last for a while");
        together = Together { trusted: Some(false), apart_until: None, ..together };
        assert!(run(TOGETHER, &mut together));
        assert_eq!(flushes(), 0, "nobody would hear of a fault");
        together.flush = |_| Err(io::ErrorKind::StorageFull.into());
        together.trusted = Some(true);
        assert!(run(TOGETHER, &mut together), "each file is asked, and has no fault");
    }

    #[test]
    fn a_kernel_that_tells_of_faults_is_known_by_its_version() {
        assert_eq!(version("6.18.44-1"), Some((6, 18)));
        assert_eq!(version("5.10.0-28-amd64"), Some((5, 10)));
        assert!(version("5.4.0").unwrap() < (5, 8));
        assert_eq!(version("unknown"), None);
    }
}
