//! The folder of uploaded music: a file is there whole or not at all, whatever stops this process.

use super::{UPLOAD_BYTES_MAX, Unchanged};
use crate::{generations::sync, start::make_folder};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// No name of a half-written file is one of a whole one, whatever tunes are called.
const WHOLE: &str = ".audio";
const HALF: &str = ".audio.new";

#[derive(Clone)]
pub(super) struct Shelf {
    dir: PathBuf,
}

/// A file that was uploaded.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) bytes: u64,
    pub(super) at: SystemTime,
}

/// A file on its way. Dropped, nothing is left of it.
pub(super) struct Half {
    file: File,
    half: PathBuf,
    whole: PathBuf,
}

impl Shelf {
    pub(super) fn at(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("music") }
    }

    /// Makes the folder, and sweeps away what a crash left half written.
    pub(super) fn sweep(&self) -> io::Result<()> {
        make_folder(&self.dir)?;
        for name in self.with_ending(HALF)? {
            let half = self.path(&name, HALF);
            if let Err(error) = fs::remove_file(&half) {
                tracing::warn!(file = %half.display(), %error, "half an upload cannot be removed");
            }
        }
        Ok(())
    }

    /// For whom there is a file.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        self.with_ending(WHOLE)
    }

    fn with_ending(&self, ending: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect())
    }

    pub(super) fn find(&self, name: &str) -> io::Result<Option<Found>> {
        let path = self.path(name, WHOLE);
        // Looked at before it is opened: whatever else somebody has put there may have no end.
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !about.is_file() || about.len() > UPLOAD_BYTES_MAX as u64 {
            return Err(io::Error::other(format!(
                "it is no file of {UPLOAD_BYTES_MAX} bytes or less"
            )));
        }
        Ok(Some(Found { file: File::open(&path)?, bytes: about.len(), at: about.modified()? }))
    }

    /// For what is about to come.
    pub(super) fn begin(&self, name: &str) -> Result<Half, Unchanged> {
        let (half, whole) = (self.path(name, HALF), self.path(name, WHOLE));
        // Recordings are the operator's and their group's; so is this. Nothing that lies there is written to.
        let room = make_folder(&self.dir).and_then(|()| remove(&half));
        let opened = room.and_then(|_was_there| {
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&half)
        });
        match opened {
            Ok(file) => Ok(Half { file, half, whole }),
            Err(error) => Err(Unchanged::Disk { path: half, error }),
        }
    }

    /// Takes the place of what was there before, for good. An error before it does leaves that.
    pub(super) fn keep(&self, half: &Half) -> Result<(), Unchanged> {
        let Half { file, half, whole } = half;
        let put = file.sync_all().and_then(|()| fs::rename(half, whole));
        put.map_err(|error| Unchanged::Disk { path: whole.clone(), error })?;
        sync(&self.dir).map_err(|error| Unchanged::Unsure { path: whole.clone(), error })
    }

    /// Whether there was one.
    pub(super) fn remove(&self, name: &str) -> Result<bool, Unchanged> {
        let whole = self.path(name, WHOLE);
        match remove(&whole) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => return Err(Unchanged::Disk { path: whole, error }),
        }
        sync(&self.dir).map_err(|error| Unchanged::Unsure { path: whole, error })?;
        Ok(true)
    }

    /// Names of tunes are letters, digits, dot, dash and underscore, and no more than 64.
    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.dir.join(format!("{name}{ending}"))
    }
}

impl Half {
    /// To be written to.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// From its beginning. It shares its place with who writes.
    pub(super) fn reader(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.half
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // It has another name by now if it was kept; a start sweeps it away if this cannot.
        let _swept = fs::remove_file(&self.half);
    }
}

/// Whether there was one.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// An empty folder of this test's own, gone when it ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("clavija-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn put(shelf: &Shelf, name: &str, bytes: &[u8]) {
        let half = shelf.begin(name).unwrap();
        half.writer().unwrap().write_all(bytes).unwrap();
        shelf.keep(&half).unwrap();
    }

    fn opened(folder: &Folder) -> Shelf {
        let shelf = Shelf::at(&folder.0);
        shelf.sweep().unwrap();
        shelf
    }

    fn found(shelf: &Shelf, name: &str) -> Option<Vec<u8>> {
        let Found { mut file, bytes: length, at: _ } = shelf.find(name).unwrap()?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, length);
        Some(bytes)
    }

    #[test]
    fn what_is_put_is_found_and_takes_the_place_of_what_was_there_until_it_is_removed() {
        let folder = Folder::new("shelf");
        let shelf = opened(&folder);

        assert_eq!(found(&shelf, "waltz"), None);
        put(&shelf, "waltz", b"first");
        put(&shelf, "waltz", b"second");
        put(&shelf, "waltz.audio", b"another");

        assert_eq!(found(&shelf, "waltz").as_deref(), Some(&b"second"[..]));
        let mut names = shelf.names().unwrap();
        names.sort();
        assert_eq!(names, ["waltz", "waltz.audio"]);
        assert!(shelf.remove("waltz").unwrap() && !shelf.remove("waltz").unwrap());
        assert_eq!(found(&shelf, "waltz"), None);
        assert!(found(&shelf, "waltz.audio").is_some());
        assert_eq!(fs::read_dir(folder.0.join("music")).unwrap().count(), 1, "and nothing else");
    }

    #[test]
    fn what_was_sent_is_read_from_its_beginning_while_it_is_half_and_gone_if_it_is_not_kept() {
        let folder = Folder::new("sent");
        let shelf = opened(&folder);
        put(&shelf, "waltz", b"old");
        let half = shelf.begin("waltz").unwrap();
        half.writer().unwrap().write_all(b"new").unwrap();

        let mut read = vec![];
        half.reader().unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"new");
        drop(half);

        assert_eq!(found(&shelf, "waltz").as_deref(), Some(&b"old"[..]));
        assert!(!shelf.path("waltz", HALF).exists());
    }

    #[test]
    fn what_a_crash_left_half_written_is_swept_away_and_the_old_file_stays() {
        let folder = Folder::new("half");
        let shelf = opened(&folder);
        put(&shelf, "waltz", b"whole");
        fs::write(shelf.path("waltz", HALF), b"hal").unwrap();

        let shelf = opened(&folder);

        assert_eq!(found(&shelf, "waltz").as_deref(), Some(&b"whole"[..]));
        assert!(!shelf.path("waltz", HALF).exists());
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_a_start_that_cannot_sweep_it_goes_on() {
        let folder = Folder::new("full");
        let shelf = opened(&folder);
        put(&shelf, "waltz", b"old");
        // A folder where the new file would be written, as nothing else stops who may do everything.
        fs::create_dir(shelf.path("waltz", HALF)).unwrap();

        let refused = shelf.begin("waltz").err().unwrap().to_string();

        assert!(refused.contains("waltz.audio.new: Is a directory"), "{refused}");
        assert!(refused.ends_with("; the tune is as it was"), "{refused}");
        let shelf = opened(&folder);
        assert_eq!(found(&shelf, "waltz").as_deref(), Some(&b"old"[..]));
    }

    #[test]
    fn what_lies_where_an_upload_goes_is_replaced_and_not_written_through() {
        let folder = Folder::new("link");
        let shelf = opened(&folder);
        let other = folder.0.join("admin.token");
        fs::write(&other, b"secret").unwrap();
        std::os::unix::fs::symlink(&other, shelf.path("waltz", HALF)).unwrap();

        put(&shelf, "waltz", b"new");

        assert_eq!(fs::read(&other).unwrap(), b"secret");
        assert!(fs::symlink_metadata(shelf.path("waltz", WHOLE)).unwrap().is_file());
    }

    #[test]
    fn what_somebody_else_has_put_there_is_read_within_bounds_or_not_at_all() {
        let folder = Folder::new("bounds");
        let shelf = opened(&folder);
        fs::create_dir(shelf.path("folder", WHOLE)).unwrap();
        let long = File::create(shelf.path("long", WHOLE)).unwrap();
        long.set_len(UPLOAD_BYTES_MAX as u64 + 1).unwrap();
        std::os::unix::fs::symlink("/dev/zero", shelf.path("endless", WHOLE)).unwrap();

        for name in ["folder", "long", "endless"] {
            assert!(shelf.find(name).is_err(), "{name}");
        }
    }
}
