//! A segment of the journal after a crash: read as far as it is whole.

use control_plane::journal::{read, replay};

/// # Panics
/// Where more is read than there is, or what was read cannot be lived again.
pub fn journal(bytes: &[u8]) {
    let Ok(segment) = read(bytes) else { return };
    assert!(segment.whole_bytes <= bytes.len());
    assert!(bytes.get(..segment.whole_bytes).is_some_and(|whole| whole.ends_with(b"\n")));
    // The checksums make what is read ours; bytes that somebody else wrote end before this.
    let _ = replay(segment);
}
