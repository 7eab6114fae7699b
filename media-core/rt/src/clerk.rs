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
};

use media_core::order::TalkName;

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
    fn run(self) -> Done {
        let Self { folder, made, files } = self;
        let folder = match made.is_empty() {
            true => Ok(()),
            false => File::open(&folder).and_then(|folder| folder.sync_all()),
        };
        let durable = files.len() >= TOGETHER && sync_together(&files);
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

/// False: something could not be written, and each file knows whether it was in it. They lie in one
/// folder, and have been open since they were made, so none of their faults can have been missed.
fn sync_together(files: &[(TalkName, Handed)]) -> bool {
    let file = files.iter().find_map(|(_, (file, _))| file.as_ref());
    file.is_some_and(|file| nix::unistd::syncfs(file).is_ok())
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
            for errand in take {
                if tell.send(errand.run()).is_err() {
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
            self.heard = Some(errand.run());
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
