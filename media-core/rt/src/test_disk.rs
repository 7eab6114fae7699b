//! A disk of a test's own that is full when it is told so.

use std::{cell::Cell, io, os::unix::fs::FileExt};

use crate::tape::Disk;

thread_local!(static FULL: Cell<bool> = const { Cell::new(false) });

/// Takes half of what it is given while it is full, on the thread that says so.
pub(crate) const HALF_TAKING: Disk = Disk {
    write: |file, bytes, at| match FULL.get() {
        true => {
            file.write_all_at(&bytes[..bytes.len() / 2], at)?;
            Err(io::Error::from_raw_os_error(libc::ENOSPC))
        }
        false => file.write_all_at(bytes, at),
    },
    ..Disk::REAL
};

pub(crate) fn be_full(full: bool) {
    FULL.set(full);
}
