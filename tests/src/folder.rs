//! A folder of a test's own, gone when the test passes and kept when it fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Removed on drop, unless the thread is panicking: then somebody wants to look inside.
#[derive(Debug)]
pub struct TestFolder {
    path: PathBuf,
}

impl TestFolder {
    /// A new, empty folder whose name begins with `name`.
    ///
    /// # Panics
    /// If the temporary folder of the system cannot be written.
    pub fn new(name: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("clavija-{name}-{}-{number}", process::id()));
        // A process of the same number, long ago, may have failed and left its folder.
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("the system's temporary folder can be written");
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if !thread::panicking() {
            drop(fs::remove_dir_all(&self.path));
        }
    }
}
