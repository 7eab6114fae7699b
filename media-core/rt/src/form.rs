//! How a recording's samples become bytes of its file: in the open as WAV, or sealed.
//!
//! A sealed file is only ever appended to. What could not be written is sealed anew, and nothing
//! stays behind the last whole chunk.

use std::{fs::File, io, time::Duration};

use media_core::record::{
    peaks::{Peaks, to_json},
    seal::{FileSecret, Sealer},
};

use crate::{
    recorder::Seal,
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
    Sealed(Box<Sealed>),
    /// Nothing may be written, for this reason.
    Refused(&'static str),
}

impl Form {
    pub(crate) fn of(seal: &Seal, name: &str) -> Self {
        match seal {
            Seal::Off => Self::Wav,
            Seal::KeyMissing => {
                Self::Refused("recording.seal_key cannot be had: nothing is recorded")
            }
            Seal::With { key, random } => {
                let mut secret = FileSecret { key: [0; 32], wrap_nonce: [0; 12] };
                let drawn = random(&mut secret.key).and_then(|()| random(&mut secret.wrap_nonce));
                match drawn.ok().and_then(|()| Sealer::new(name, key, &secret)) {
                    Some(sealer) => {
                        Self::Sealed(Box::new(Sealed { sealer, at: 0, buffer: vec![] }))
                    }
                    None => Self::Refused(
                        "the system gives no randomness for a key: nothing is recorded",
                    ),
                }
            }
        }
    }

    /// Samples wait this long for company, so that a talk costs few writes: of samples and of sizes in a
    /// WAV file, of a chunk with its head and its tag in a sealed one. It is also what a killed process
    /// loses, with one pass of the writer.
    pub(crate) fn write_after(&self) -> Duration {
        match self {
            Self::Wav | Self::Refused(_) => Duration::from_millis(250),
            Self::Sealed(_) => Duration::from_millis(400),
        }
    }

    /// Whether there may be a file at all.
    pub(crate) fn allowed(&self) -> io::Result<()> {
        match self {
            Self::Wav | Self::Sealed(_) => Ok(()),
            Self::Refused(why) => Err(io::Error::other(*why)),
        }
    }

    /// Into a file that has just been made.
    pub(crate) fn begin(&mut self, disk: Disk, file: &File) -> io::Result<()> {
        match self {
            Self::Wav => (disk.write)(file, &header(0), 0),
            Self::Sealed(sealed) => sealed.append(disk, file, |_, _| ()),
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
            Self::Sealed(sealed) => sealed.append(disk, file, |sealer, into| {
                sealer.silence(gap(sealer, at), into);
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
            Self::Sealed(sealed) => sealed.append(disk, file, |sealer, into| {
                sealer.silence(gap(sealer, length.frames), into);
                sealer.peaks(&peaks.into_bytes(length.frames.into()), into);
                sealer.end(length.lost, length.paused, into);
            }),
            Self::Refused(why) => Err(io::Error::other(*why)),
        }
    }

    /// What players draw lies beside a recording in the open; a sealed one has it inside.
    pub(crate) fn peaks_beside(&self, frames: u32, peaks: &Peaks) -> Option<String> {
        match self {
            Self::Wav => Some(to_json(&peaks.clone().into_bytes(frames.into()))),
            Self::Sealed(_) | Self::Refused(_) => None,
        }
    }

    /// Length of a file of so many frames.
    pub(crate) fn bytes(&self, frames: u32) -> u64 {
        match self {
            Self::Wav => u64::from(wav::data_bytes(frames)) + u64::from(HEADER_BYTES),
            Self::Sealed(sealed) => sealed.at,
            Self::Refused(_) => 0,
        }
    }
}

pub(crate) struct Sealed {
    sealer: Sealer,
    /// Behind the last whole chunk.
    at: u64,
    buffer: Vec<u8>,
}

impl Sealed {
    fn append(
        &mut self,
        disk: Disk,
        file: &File,
        seal: impl FnOnce(&mut Sealer, &mut Vec<u8>),
    ) -> io::Result<()> {
        let Self { sealer, at, buffer } = self;
        let place = sealer.place();
        buffer.clear();
        if *at == 0 {
            buffer.extend_from_slice(sealer.header());
        }
        seal(sealer, buffer);
        if let Err(error) = (disk.write)(file, buffer, *at) {
            sealer.give_up(place);
            // A part of it may be there, which would read as damage. Giving back needs no room.
            let _kept = file.set_len(*at);
            return Err(error);
        }
        *at += buffer.len() as u64;
        Ok(())
    }
}

/// Frames from where the sealed file ends to this one of the time line.
fn gap(sealer: &Sealer, to: u32) -> u32 {
    u32::try_from(u64::from(to).saturating_sub(sealer.place().frame)).unwrap_or(0)
}

const _: () = assert!(FRAME_BYTES as usize == media_core::record::seal::FRAME_BYTES);
