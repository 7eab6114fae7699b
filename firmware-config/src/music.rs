//! The customer's music: found, read and decoded before anything starts.

use crate::{check::name, fault::Reported, reader::Section};
use media_core::music::{Gain, Imported, Sound, Tune};
use std::{fmt, fs, path::Path, path::PathBuf, sync::Arc};

/// A longer tune than any caller waits, in any format: what must fit in memory while it is decoded.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A tune by its name.
#[derive(Clone)]
pub struct Music {
    pub name: String,
    pub file: PathBuf,
    /// What is done to whatever is played under this name.
    pub gain: Gain,
    /// What the file holds; none where it cannot be had.
    pub sound: Option<Sound>,
    /// Decoded once, shared by all who wait; the built-in tone where the file cannot be had.
    pub tune: Arc<Tune>,
}

impl fmt::Debug for Music {
    /// Without the samples.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Music").field("name", &self.name).field("file", &self.file).finish()
    }
}

pub(crate) fn read(section: &mut Section<'_>) -> Result<Music, Reported> {
    let name = section.parsed("name", "waltz", name);
    let name = section.required("name", name, r#""waltz""#);
    let file = section.path("file", "music/waltz.wav");
    let file = section.required("file", file, r#""music/waltz.wav""#)?;
    let gain = section.decimal("gain_db", Gain::DB_MIN..=Gain::DB_MAX);
    let gain = gain?.and_then(|at| Gain::from_db(at.value)).unwrap_or(Gain::NONE);
    let (tune, sound) = match import_music(&file.value, gain) {
        Ok(Imported { tune, sound }) => {
            for warning in &sound.warnings {
                let what = format!("{}: {warning}", file.value.display());
                section.warn(file.line, "file", &what);
            }
            (tune, Some(sound))
        }
        Err(why) => {
            let what = format!("{} {why}", file.value.display());
            section.lack(|missing| &mut missing.music, (file.line, "file"), &what)?;
            (Tune::test_tone(), None)
        }
    };
    Ok(Music { name: name?.value, file: file.value, gain, sound, tune: Arc::new(tune) })
}

/// Reads and decodes a file of music, or says why it cannot be played: what follows the file's name.
pub fn import_music(path: &Path, gain: Gain) -> Result<Imported, String> {
    const LIKE: &str = "write the path of a WAV, MP3, FLAC or Ogg file";
    let about = fs::metadata(path).map_err(|error| format!("cannot be found: {error}; {LIKE}"))?;
    if !about.is_file() {
        return Err(format!("is not a file; {LIKE}"));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes; {LIKE} that is shorter"));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}; {LIKE}"))?;
    Tune::import_at(&bytes, gain).map_err(|bad| format!("is no music: {bad}"))
}
