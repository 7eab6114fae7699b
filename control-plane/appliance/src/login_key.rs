//! The key by which the journal marks with which password a phone registered: a file of the data
//! folder that nobody else may read, made when there is none.
//!
//! Without the key a mark tells nothing, also not to who tries passwords. If the file is lost,
//! phones have to register anew after the next start.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

const FILE: &str = "login.key";

/// The key of this box. `fresh`: random bytes, for a box that has none. One that cannot be kept
/// serves this process, and no registration is taken up by the next.
pub(crate) fn of(data_dir: &Path, fresh: [u8; 32]) -> [u8; 32] {
    let file = data_dir.join(FILE);
    if let Some(key) = fs::read(&file).ok().and_then(|bytes| bytes.try_into().ok()) {
        return key;
    }
    if let Err(error) = keep(&file, &fresh) {
        tracing::warn!(%error, file = %file.display(),
            "the key of registrations cannot be kept; after a restart phones register anew");
    }
    fresh
}

/// Whole or not at all: half a key would be none for ever.
fn keep(file: &Path, key: &[u8; 32]) -> io::Result<()> {
    let half_made = file.with_extension("new");
    match fs::remove_file(&half_made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half_made)?;
    made.write_all(key)?;
    made.sync_all()?;
    fs::rename(&half_made, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_for_nobody_else_to_read_and_made_anew_when_it_is_spoilt() {
        let dir = std::env::temp_dir().join(format!("clavija-key-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join(FILE);

        assert_eq!(of(&dir, [1; 32]), [1; 32]);
        assert_eq!(of(&dir, [2; 32]), [1; 32], "the one that is there");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "half").unwrap();
        assert_eq!(of(&dir, [3; 32]), [3; 32]);
        assert_eq!(of(&dir, [4; 32]), [3; 32]);

        fs::remove_dir_all(&dir).unwrap();
    }
}
