//! Recordings as files: which there are, what they hold, and whether that can be believed.

use control_plane::ids::CallId;
use firmware_config::{Config, RecordingFormat};
use media_core::record::{
    peaks::{self, PIXEL_BYTES, Peaks},
    seal::{Content, SealKey, Told},
};
use media_rt::{
    opus,
    recorder::{Format, Seal},
    sealed::{self, SealedError, SealedFile},
    wav,
};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use utoipa::ToSchema;

/// 20 ms of two channels of 16 bits at 8 kHz.
pub(crate) const FRAME_BYTES: u64 = FRAME as u64;

/// The same as a length.
const FRAME: usize = 640;
pub(crate) const WAV_HEADER_BYTES: u64 = 44;
const WAV_HEADER: usize = 44;
const FRAME_SECONDS: f64 = 0.02;

/// How a file holds its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    Wav,
    /// In Ogg.
    Opus,
    Sealed,
}

impl Form {
    /// Sealed first: whoever can write into the folder puts no other file in its place.
    const ALL: [Self; 3] = [Self::Sealed, Self::Wav, Self::Opus];

    fn extension(self) -> &'static str {
        match self {
            Self::Wav => wav::EXTENSION,
            Self::Opus => opus::EXTENSION,
            Self::Sealed => sealed::EXTENSION,
        }
    }

    /// By the ending of its name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        Self::ALL.into_iter().find(|form| extension == form.extension())
    }
}

/// What sound is given out as: the word, which is a file name's ending too, and the media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sound {
    pub(crate) word: &'static str,
    pub(crate) media_type: &'static str,
}

impl Sound {
    pub(crate) const WAV: Self = Self { word: wav::EXTENSION, media_type: "audio/wav" };
    const OPUS: Self = Self { word: opus::EXTENSION, media_type: "audio/ogg" };

    pub(crate) fn of(content: Content) -> Self {
        match content {
            Content::Pcm => Self::WAV,
            Content::Opus => Self::OPUS,
        }
    }
}

/// What is known of a file's truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    /// Nothing is missing.
    Whole,
    /// Its call goes on, and so does the file.
    Growing,
    /// The end is missing.
    Cut,
    /// A part of it is not what was written.
    Damaged,
}

/// What a look at all of a file has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Verified {
    /// The recording's name: of a sealed one as it stands in the file.
    pub(crate) id: String,
    pub(crate) form: Form,
    pub(crate) condition: Condition,
    /// Length of what can be believed.
    pub(crate) seconds: f64,
    /// Frames of 20 ms that are silence because they were lost; null where the file does not say.
    pub(crate) frames_lost: Option<u64>,
    /// Frames of 20 ms that are silence because somebody asked for it.
    pub(crate) frames_paused: Option<u64>,
    /// For people.
    pub(crate) detail: String,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error(
        "it is sealed, and no recording.seal_key is configured; name it there and start anew, or open the \
         file with `clavija recording get FILE --key KEYFILE`"
    )]
    NoKey,
    #[error("it is the recording of {0} under another name; give the file its own name back")]
    OtherName(String),
    #[error(transparent)]
    Sealed(#[from] SealedError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A recording on the disk.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk {
    pub(crate) path: PathBuf,
    pub(crate) form: Form,
    pub(crate) bytes: u64,
}

/// The recording of this name.
pub(crate) fn find(dir: &Path, name: &str) -> io::Result<Option<OnDisk>> {
    for form in Form::ALL {
        let path = dir.join(format!("{name}.{}", form.extension()));
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {
                return Ok(Some(OnDisk { path, form, bytes: found.len() }));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// All calls that have a recording.
pub(crate) fn all(dir: &Path) -> io::Result<Vec<CallId>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let call = path.file_stem().and_then(|stem| stem.to_str()?.parse::<CallId>().ok());
        if let (Some(call), Some(form)) = (call, Form::of(&path)) {
            found.insert(call, form);
        }
    }
    Ok(found.into_keys().collect())
}

/// How the recorder is to write them.
pub(crate) fn seal(config: &Config) -> Seal {
    match &config.recording.seal_key {
        None => Seal::Off,
        Some(secret) => match secret.reveal().map(SealKey::from_hex) {
            Some(Ok(key)) => Seal::With { key, random },
            // What is no key is refused with the configuration.
            Some(Err(_)) | None => Seal::KeyMissing,
        },
    }
}

/// What their sound is.
pub(crate) fn format(config: &Config) -> Format {
    match config.recording.format {
        RecordingFormat::Wav => Format::Wav,
        RecordingFormat::Opus => Format::Opus,
    }
}

/// The key that opens what the recorder writes.
pub(crate) fn key(config: &Config) -> Option<SealKey> {
    match seal(config) {
        Seal::With { key, .. } => Some(key),
        Seal::Off | Seal::KeyMissing => None,
    }
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    SysRng.try_fill_bytes(bytes).map_err(|error| io::Error::other(error.to_string()))
}

pub(crate) fn seconds(frames: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "37 hours have far fewer than 2^53 frames")]
    let seconds = frames as f64 * FRAME_SECONDS;
    seconds
}

impl OnDisk {
    /// A file that somebody names.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        let Some(form) = Form::of(path) else { return Ok(None) };
        let bytes = fs::metadata(path)?.len();
        Ok(Some(Self { path: path.to_owned(), form, bytes }))
    }

    /// What its sound is given out as; a sealed file says it to whoever has it. One that cannot be opened is
    /// called what the others are.
    pub(crate) fn sound(&self) -> io::Result<Sound> {
        match self.form {
            Form::Wav => Ok(Sound::WAV),
            Form::Opus => Ok(Sound::OPUS),
            Form::Sealed => match sealed::header_of(&self.path) {
                Ok(header) => Ok(Sound::of(header.content)),
                Err(SealedError::Flaw(_)) => Ok(Sound::WAV),
                Err(SealedError::Io(error)) => Err(error),
            },
        }
    }

    /// What its size, or its chunks' heads, say. Of a sealed one only the key shows whether it is true.
    pub(crate) fn frames(&self) -> io::Result<u64> {
        match self.form {
            Form::Wav => Ok(self.bytes.saturating_sub(WAV_HEADER_BYTES) / FRAME_BYTES),
            Form::Opus => opus::frames(&self.path),
            Form::Sealed => sealed::frames(&self.path),
        }
    }

    /// Whether the recorder has done with it, for a recording of so many frames.
    pub(crate) fn has_all(&self, frames: u64) -> io::Result<bool> {
        match self.form {
            Form::Wav => {
                let bytes = fs::metadata(&self.path)?.len();
                Ok(bytes >= WAV_HEADER_BYTES + frames * FRAME_BYTES)
            }
            Form::Opus => opus::has_end(&self.path),
            Form::Sealed => sealed::has_end(&self.path),
        }
    }

    pub(crate) fn open_sealed(&self, key: Option<&SealKey>) -> Result<SealedFile, Unread> {
        let file = self.open_any(key)?;
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if file.name() == stem { Ok(file) } else { Err(Unread::OtherName(file.name().to_owned())) }
    }

    /// Whatever recording it is that lies there.
    fn open_any(&self, key: Option<&SealKey>) -> Result<SealedFile, Unread> {
        Ok(SealedFile::open(&self.path, key.ok_or(Unread::NoKey)?)?)
    }

    /// Looks at all of it.
    pub(crate) fn verify(&self, key: Option<&SealKey>) -> Result<Verified, Unread> {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match self.form {
            Form::Wav => self.verify_wav(stem),
            Form::Opus => self.verify_opus(stem),
            Form::Sealed => {
                let mut file = self.open_any(key)?;
                let told = file.verify()?;
                Ok(verified(&file, told, stem))
            }
        }
    }

    fn verify_wav(&self, stem: &str) -> Result<Verified, Unread> {
        let frames = self.frames()?;
        let (condition, detail) = match wav::check(&self.path)? {
            wav::Check::Whole => (Condition::Whole, "header and length agree".to_owned()),
            wav::Check::OtherLength => {
                (Condition::Cut, "its header promises another length than it has".to_owned())
            }
            wav::Check::NotOurs => (Condition::Damaged, "it is no recording of ours".to_owned()),
        };
        Ok(self.in_the_open(stem, condition, frames, detail))
    }

    fn verify_opus(&self, stem: &str) -> Result<Verified, Unread> {
        let (check, frames) = opus::check(&self.path)?;
        let length = seconds(frames);
        let (condition, detail) = match check {
            opus::Check::Whole => {
                (Condition::Whole, "every page's sum fits, and nothing is missing".to_owned())
            }
            opus::Check::Cut => {
                (Condition::Cut, format!("the end is missing; {length:.2} s are there"))
            }
            opus::Check::Damaged(at) => (
                Condition::Damaged,
                format!("byte {at} begins no page that was written; {length:.2} s are before it"),
            ),
            opus::Check::NotOurs => (Condition::Damaged, "it is no recording of ours".to_owned()),
        };
        Ok(self.in_the_open(stem, condition, frames, detail))
    }

    fn in_the_open(
        &self,
        stem: &str,
        condition: Condition,
        frames: u64,
        detail: String,
    ) -> Verified {
        let (frames_lost, frames_paused) = (None, None);
        let (id, form, seconds) = (stem.to_owned(), self.form, seconds(frames));
        Verified { id, form, condition, seconds, frames_lost, frames_paused, detail }
    }

    /// Its sound as it is given out, up to where it can be believed; gives its length.
    pub(crate) fn copy(&self, key: Option<&SealKey>, into: &mut dyn Write) -> Result<u64, Unread> {
        match self.form {
            Form::Wav | Form::Opus => Ok(io::copy(&mut File::open(&self.path)?, into)?),
            Form::Sealed => {
                let mut file = self.open_sealed(key)?;
                file.verify()?;
                Ok(io::copy(&mut file.reader(), into)?)
            }
        }
    }

    /// All of its samples: 16 bit, both channels, 8 kHz.
    pub(crate) fn samples(&self, key: Option<&SealKey>) -> Result<Vec<u8>, Unread> {
        let (mut sound, mut samples) = (vec![], vec![]);
        self.copy(key, &mut sound)?;
        if self.sound()? == Sound::OPUS {
            opus::play(&sound[..], |piece| samples.extend_from_slice(piece))?;
        } else {
            samples.extend_from_slice(sound.get(WAV_HEADER..).unwrap_or_default());
        }
        Ok(samples)
    }

    /// What players draw, as JSON: as it was kept, or made anew where it was not.
    pub(crate) fn peaks(&self, key: Option<&SealKey>) -> Result<String, Unread> {
        match self.form {
            Form::Wav | Form::Opus => {
                let frames = self.frames()?;
                let beside = self.path.with_extension(media_rt::recorder::PEAKS_EXTENSION);
                let kept = fs::read_to_string(beside).ok();
                let pixels = frames.div_ceil(u64::from(peaks::FRAMES_PER_PIXEL));
                let fits = format!("\"length\":{pixels},");
                match kept.filter(|json| json.contains(&fits) && json.ends_with("]}")) {
                    Some(json) => Ok(json),
                    None if self.form == Form::Opus => {
                        Ok(peaks::to_json(&opus::peaks(File::open(&self.path)?)?))
                    }
                    None => Ok(peaks::to_json(&of_wav(&self.path, frames)?)),
                }
            }
            Form::Sealed => {
                let mut file = self.open_sealed(key)?;
                let kept = file.peaks()?;
                let frames = file.frames();
                let pixels = frames.div_ceil(u64::from(peaks::FRAMES_PER_PIXEL));
                match (kept.len() / PIXEL_BYTES) as u64 == pixels {
                    true => Ok(peaks::to_json(&kept)),
                    false => Ok(peaks::to_json(&of_sealed(&mut file)?)),
                }
            }
        }
    }
}

fn verified(file: &SealedFile, told: Told, stem: &str) -> Verified {
    let length = seconds(file.frames());
    let named_otherwise = file.name() != stem;
    let (condition, detail) = match told {
        Told::Whole(_) if named_otherwise => {
            (Condition::Damaged, format!("it is the recording of {}", file.name()))
        }
        Told::Whole(_) => (Condition::Whole, "every seal fits, and nothing is missing".to_owned()),
        Told::Cut => (Condition::Cut, format!("the end is missing; {length:.2} s are there")),
        Told::Damaged(flaw) => {
            (Condition::Damaged, format!("{flaw}; {length:.2} s before that can be believed"))
        }
    };
    let end = if let Told::Whole(end) = told { Some(end) } else { None };
    Verified {
        id: file.name().to_owned(),
        form: Form::Sealed,
        condition,
        seconds: length,
        frames_lost: end.map(|end| end.lost),
        frames_paused: end.map(|end| end.paused),
        detail,
    }
}

/// An hour is not in memory at once.
fn of_wav(path: &Path, frames: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    io::copy(&mut Read::by_ref(&mut file).take(WAV_HEADER_BYTES), &mut io::sink())?;
    let mut peaks = Peaks::default();
    let mut samples = [0; FRAME];
    for index in 0..u32::try_from(frames).unwrap_or(u32::MAX) {
        file.read_exact(&mut samples)?;
        peaks.hear(index, &samples);
    }
    Ok(peaks.into_bytes(frames))
}

fn of_sealed(file: &mut SealedFile) -> Result<Vec<u8>, Unread> {
    if file.content() == Content::Opus {
        return Ok(opus::peaks(file.reader())?);
    }
    let mut peaks = Peaks::default();
    let mut at = WAV_HEADER_BYTES;
    loop {
        let piece = file.sound(at)?;
        if piece.is_empty() {
            return Ok(peaks.into_bytes(file.frames()));
        }
        let frame = (at - WAV_HEADER_BYTES) / FRAME_BYTES;
        peaks.hear(u32::try_from(frame).unwrap_or(u32::MAX), &piece);
        at += piece.len() as u64;
    }
}
