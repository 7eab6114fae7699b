//! How a recording's samples become bytes of its file: as WAV or as Opus, in the open or sealed.
//!
//! A file that is no WAV is only ever appended to. What could not be written is made anew, and nothing
//! stays behind the last whole chunk or page.

use std::{fs::File, io, time::Duration};

use media_core::record::{
    opus::Coder,
    peaks::{Peaks, to_json},
    seal::{Content, FileSecret, OpusSealer, SealKey, Sealer},
};

use crate::{
    recorder::{Format, Seal},
    tape::Disk,
    wav::{self, FRAME_BYTES, HEADER_BYTES, header},
};

/// What a file ends with, in frames.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    pub(crate) frames: u32,
    pub(crate) lost: u64,
    pub(crate) paused: u64,
}

/// One of the forms, and how far this file has come.
pub(crate) enum Form {
    Wav,
    Opus(Box<Coded>),
    Sealed(Box<Sealed>),
    SealedOpus(Box<SealedOpus>),
    /// Nothing may be written, for this reason.
    Refused(&'static str),
}

impl Form {
    pub(crate) fn of(seal: &Seal, format: Format, name: &str) -> Self {
        match seal {
            Seal::Off => match format {
                Format::Wav => Self::Wav,
                Format::Opus => match Coder::new(SERIAL) {
                    Ok(coder) => Self::Opus(Box::new(Coded { coder, growing: Growing::default() })),
                    Err(_) => Self::Refused(NO_CODER),
                },
            },
            Seal::KeyMissing => {
                Self::Refused("recording.seal_key cannot be had: nothing is recorded")
            }
            Seal::With { key, random } => {
                let mut secret = FileSecret { key: [0; 32], wrap_nonce: [0; 12] };
                let drawn = random(&mut secret.key).and_then(|()| random(&mut secret.wrap_nonce));
                match drawn {
                    Ok(()) => Self::sealed(format, name, key, &secret),
                    Err(_) => Self::Refused(
                        "the system gives no randomness for a key: nothing is recorded",
                    ),
                }
            }
        }
    }

    fn sealed(format: Format, name: &str, key: &SealKey, secret: &FileSecret) -> Self {
        let growing = Growing::default();
        let sealed = match format {
            Format::Wav => Sealer::new(Content::Pcm, name, key, secret)
                .map(|sealer| Self::Sealed(Box::new(Sealed { sealer, growing }))),
            Format::Opus => match OpusSealer::new(SERIAL, name, key, secret) {
                Ok(sealer) => {
                    sealer.map(|sealer| Self::SealedOpus(Box::new(SealedOpus { sealer, growing })))
                }
                Err(_) => return Self::Refused(NO_CODER),
            },
        };
        sealed.unwrap_or(Self::Refused("its name is too long to be sealed: nothing is recorded"))
    }

    /// Samples wait this long for company, so that a talk costs few writes: of samples and of sizes in a
    /// WAV file, of a chunk with its head and its tag or of a page in the others. It is also what a killed process
    /// loses, with one pass of the writer.
    pub(crate) fn write_after(&self) -> Duration {
        match self {
            Self::Wav | Self::Refused(_) => Duration::from_millis(250),
            Self::Opus(_) | Self::Sealed(_) | Self::SealedOpus(_) => Duration::from_millis(400),
        }
    }

    /// Whether there may be a file at all.
    pub(crate) fn allowed(&self) -> io::Result<()> {
        match self {
            Self::Wav | Self::Opus(_) | Self::Sealed(_) | Self::SealedOpus(_) => Ok(()),
            Self::Refused(why) => Err(io::Error::other(*why)),
        }
    }

    /// Into a file that has just been made.
    pub(crate) fn begin(&mut self, disk: Disk, file: &File) -> io::Result<()> {
        match self {
            Self::Wav => (disk.write)(file, &header(0), 0),
            Self::Opus(coded) => coded.append(disk, file, |_, _| ()),
            Self::Sealed(sealed) => sealed.append(disk, file, |_, _| ()),
            Self::SealedOpus(sealed) => sealed.append(disk, file, |_, _| ()),
            Self::Refused(why) => Err(io::Error::other(*why)),
        }
    }

    /// Whole frames, the first of which is number `at` of the time line. A gap before them reads as
    /// silence.
    pub(crate) fn write(
        &mut self,
        disk: Disk,
        file: &File,
        at: u32,
        samples: &[u8],
    ) -> io::Result<()> {
        match self {
            Self::Wav => {
                // The samples first, then the sizes: at any instant the header promises what is there.
                let offset = u64::from(HEADER_BYTES) + u64::from(wav::data_bytes(at));
                (disk.write)(file, samples, offset)?;
                let written = u32::try_from(samples.len()).unwrap_or(u32::MAX);
                (disk.write)(file, &header(wav::data_bytes(at).saturating_add(written)), 0)
            }
            Self::Opus(coded) => coded.append(disk, file, |coder, into| {
                coder.silence(u64::from(at).saturating_sub(coder.place().frame), into);
                coder.audio(samples, into);
            }),
            Self::Sealed(sealed) => sealed.append(disk, file, |sealer, into| {
                sealer.silence(gap(sealer, at), into);
                sealer.audio(samples, into);
            }),
            Self::SealedOpus(sealed) => sealed.append(disk, file, |sealer, into| {
                sealer.silence(u64::from(at).saturating_sub(sealer.frame()), into);
                sealer.audio(samples, into);
            }),
            Self::Refused(why) => Err(io::Error::other(*why)),
        }
    }

    /// Brings the file to its length. Nothing is written into it any more.
    pub(crate) fn end(
        &mut self,
        disk: Disk,
        file: &File,
        length: Length,
        peaks: Peaks,
    ) -> io::Result<()> {
        match self {
            Self::Wav => {
                let bytes = wav::data_bytes(length.frames);
                file.set_len(u64::from(bytes) + u64::from(HEADER_BYTES))?;
                (disk.write)(file, &header(bytes), 0)
            }
            Self::Opus(coded) => coded.append(disk, file, |coder, into| {
                coder.silence(u64::from(length.frames).saturating_sub(coder.place().frame), into);
                coder.end(into);
            }),
            Self::Sealed(sealed) => sealed.append(disk, file, |sealer, into| {
                sealer.silence(gap(sealer, length.frames), into);
                sealer.peaks(&peaks.into_bytes(length.frames.into()), into);
                sealer.end(length.lost, length.paused, into);
            }),
            Self::SealedOpus(sealed) => sealed.append(disk, file, |sealer, into| {
                sealer.silence(u64::from(length.frames).saturating_sub(sealer.frame()), into);
                let peaks = peaks.into_bytes(length.frames.into());
                sealer.end(&peaks, length.lost, length.paused, into);
            }),
            Self::Refused(why) => Err(io::Error::other(*why)),
        }
    }

    /// What players draw lies beside a recording in the open; a sealed one has it inside.
    pub(crate) fn peaks_beside(&self, frames: u32, peaks: &Peaks) -> Option<String> {
        match self {
            Self::Wav | Self::Opus(_) => Some(to_json(&peaks.clone().into_bytes(frames.into()))),
            Self::Sealed(_) | Self::SealedOpus(_) | Self::Refused(_) => None,
        }
    }

    /// Length of a file of so many frames.
    pub(crate) fn bytes(&self, frames: u32) -> u64 {
        match self {
            Self::Wav => u64::from(wav::data_bytes(frames)) + u64::from(HEADER_BYTES),
            Self::Opus(coded) => coded.growing.at,
            Self::Sealed(sealed) => sealed.growing.at,
            Self::SealedOpus(sealed) => sealed.growing.at,
            Self::Refused(_) => 0,
        }
    }
}

pub(crate) struct Coded {
    coder: Coder,
    growing: Growing,
}

impl Coded {
    fn append(
        &mut self,
        disk: Disk,
        file: &File,
        code: impl FnOnce(&mut Coder, &mut Vec<u8>),
    ) -> io::Result<()> {
        let Self { coder, growing } = self;
        let place = coder.place();
        if growing.at == 0 {
            coder.head(&mut growing.buffer);
        }
        code(coder, &mut growing.buffer);
        growing.write(disk, file).inspect_err(|_| coder.give_up(place))
    }
}

pub(crate) struct Sealed {
    sealer: Sealer,
    growing: Growing,
}

impl Sealed {
    fn append(
        &mut self,
        disk: Disk,
        file: &File,
        seal: impl FnOnce(&mut Sealer, &mut Vec<u8>),
    ) -> io::Result<()> {
        let Self { sealer, growing } = self;
        let place = sealer.place();
        if growing.at == 0 {
            growing.buffer.extend_from_slice(sealer.header());
        }
        seal(sealer, &mut growing.buffer);
        growing.write(disk, file).inspect_err(|_| sealer.give_up(place))
    }
}

pub(crate) struct SealedOpus {
    sealer: OpusSealer,
    growing: Growing,
}

impl SealedOpus {
    fn append(
        &mut self,
        disk: Disk,
        file: &File,
        seal: impl FnOnce(&mut OpusSealer, &mut Vec<u8>),
    ) -> io::Result<()> {
        let Self { sealer, growing } = self;
        let reached = sealer.reached();
        if growing.at == 0 {
            growing.buffer.extend_from_slice(sealer.header());
            sealer.head(&mut growing.buffer);
        }
        seal(sealer, &mut growing.buffer);
        growing.write(disk, file).inspect_err(|_| sealer.give_up(reached))
    }
}

/// A file that is only ever appended to.
#[derive(Default)]
struct Growing {
    /// Behind the last whole chunk or page.
    at: u64,
    /// What is to be written there.
    buffer: Vec<u8>,
}

impl Growing {
    /// Writes all that waits, or nothing of it.
    fn write(&mut self, disk: Disk, file: &File) -> io::Result<()> {
        let Self { at, buffer } = self;
        let written = (disk.write)(file, buffer, *at);
        match written {
            Ok(()) => *at += buffer.len() as u64,
            // A part of it may be there, which would read as damage. Giving back needs no room.
            Err(_) => _ = file.set_len(*at),
        }
        buffer.clear();
        written
    }
}

/// One stream of its file: any number is its own.
const SERIAL: u32 = 1;

const NO_CODER: &str = "libopus gives no coder: nothing is recorded";

/// Frames from where the sealed file ends to this one of the time line.
fn gap(sealer: &Sealer, to: u32) -> u32 {
    u32::try_from(u64::from(to).saturating_sub(sealer.place().frame)).unwrap_or(0)
}

const _: () = assert!(FRAME_BYTES as usize == media_core::record::seal::FRAME_BYTES);
const _: () = assert!(FRAME_BYTES as usize == media_core::record::opus::FRAME_BYTES);
