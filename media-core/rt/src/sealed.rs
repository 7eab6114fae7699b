//! Reads sealed recordings from the disk: a chunk at a time, from any instant on, as the WAV or the Opus
//! file they would be in the open.
//!
//! Where chunks begin is read from their heads, in the clear; nothing of a chunk is given out before
//! its seal has been seen to fit.

mod reader;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use media_core::record::seal::{
    Content, End, Flaw, HEAD_BYTES, HEADER_BYTES, Head, Header, Kind, Opener, Place, SealKey, Told,
};

use crate::wav;
use reader::Reader;

/// Of the files' names.
pub const EXTENSION: &str = "sealed";

/// Silence is handed out in pieces of this.
const PIECE_BYTES: u64 = 65_536;

/// Why a sealed file, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    #[error(transparent)]
    Flaw(#[from] Flaw),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// For who reads it as a file.
impl From<SealedError> for io::Error {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::Io(error) => error,
            SealedError::Flaw(flaw) => Self::other(flaw),
        }
    }
}

/// A chunk whose head has been read.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    offset: u64,
    place: Place,
    /// Bytes of sound before it.
    sound: u64,
    head: Head,
}

/// All chunks of a file by their heads. Nothing of it is believed yet.
#[derive(Debug, Default)]
struct Heads {
    chunks: Vec<Chunk>,
    /// Behind the last whole chunk that is no end.
    place: Place,
    sound: u64,
    tail: Tail,
}

/// What stands behind the chunks.
#[derive(Clone, Copy, Debug, Default)]
enum Tail {
    #[default]
    Cut,
    End(Chunk),
    Flawed(Flaw),
}

/// A sealed recording that its key opens.
pub struct SealedFile {
    file: File,
    opener: Opener,
    name: String,
    content: Content,
    chunks: Vec<Chunk>,
    frames: u64,
    sound: u64,
    told: Told,
    /// The chunk that was opened last, and its text.
    open: Option<(u64, Vec<u8>)>,
}

impl SealedFile {
    /// Finds the chunks and opens the last one. Those between are opened when they are read.
    pub fn open(path: &Path, key: &SealKey) -> Result<Self, SealedError> {
        let file = File::open(path)?;
        let header = header(&file)?;
        let opener = header.unwrap(key)?;
        let heads = Heads::read(&file, header.content)?;
        let told = match heads.tail {
            Tail::Cut => Told::Cut,
            Tail::Flawed(flaw) => Told::Damaged(flaw),
            Tail::End(chunk) => {
                let mut sealed = sealed(&file, &chunk)?;
                match opener.end(chunk.place, &chunk.head, &mut sealed) {
                    Ok(end) => Told::Whole(end),
                    Err(flaw) => Told::Damaged(flaw),
                }
            }
        };
        let Header { name, content, .. } = header;
        let Heads { chunks, place: Place { frame: frames, .. }, sound, .. } = heads;
        Ok(Self { file, opener, name, content, chunks, frames, sound, told, open: None })
    }

    /// The recording's name, as it was when it was made.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is read as.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Length of what can be read, in frames of 20 ms.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// What is known of its end. Of the chunks before it [`Self::verify`] says more.
    pub fn told(&self) -> Told {
        self.told
    }

    /// Opens every chunk: what is told then is true of all of it. From a flaw on there is nothing.
    pub fn verify(&mut self) -> io::Result<Told> {
        for at in 0..self.chunks.len() {
            match self.text(at).map(|_| ()) {
                Ok(()) => {}
                Err(SealedError::Flaw(flaw)) => {
                    let flawed = self.chunks.get(at);
                    (self.frames, self.sound) =
                        flawed.map_or((0, 0), |it| (it.place.frame, it.sound));
                    self.chunks.truncate(at);
                    self.told = Told::Damaged(flaw);
                }
                Err(SealedError::Io(error)) => return Err(error),
            }
        }
        Ok(self.told)
    }

    /// Length of the file that it is read as.
    pub fn sound_bytes(&self) -> u64 {
        match self.content {
            Content::Pcm => u64::from(wav::HEADER_BYTES) + u64::from(self.data_bytes()),
            Content::Opus => self.sound,
        }
    }

    /// A piece of the file that it is read as, from this byte on; nothing behind its end.
    pub fn sound(&mut self, at: u64) -> Result<Vec<u8>, SealedError> {
        match self.content {
            Content::Pcm => self.wav(at),
            Content::Opus => self.piece(at),
        }
    }

    /// The same from its beginning, as others read files. What they are told is no [`SealedError`] then.
    pub fn reader(&mut self) -> impl Read {
        Reader::new(self)
    }

    fn wav(&mut self, at: u64) -> Result<Vec<u8>, SealedError> {
        let header = wav::header(self.data_bytes());
        if let Some(rest) =
            usize::try_from(at).ok().and_then(|at| header.get(at..)).filter(|rest| !rest.is_empty())
        {
            return Ok(rest.to_vec());
        }
        let at = at - u64::from(wav::HEADER_BYTES);
        let left = u64::from(self.data_bytes()).saturating_sub(at);
        let mut piece = self.piece(at)?;
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(piece)
    }

    /// What players draw, if the recording came to its end.
    pub fn peaks(&mut self) -> Result<Vec<u8>, SealedError> {
        let mut peaks = vec![];
        for at in 0..self.chunks.len() {
            if self.chunks.get(at).is_some_and(|chunk| chunk.head.kind == Kind::Peaks) {
                peaks.extend_from_slice(self.text(at)?);
            }
        }
        Ok(peaks)
    }

    fn data_bytes(&self) -> u32 {
        let frames = u32::try_from(self.frames).unwrap_or(u32::MAX);
        wav::data_bytes(frames.min(wav::FRAMES_MAX))
    }

    /// Sound from this byte of it on, up to the end of a chunk.
    fn piece(&mut self, at: u64) -> Result<Vec<u8>, SealedError> {
        let behind = self.chunks.partition_point(|chunk| chunk.sound <= at);
        let Some(index) = behind.checked_sub(1) else { return Ok(vec![]) };
        let Some(&chunk) = self.chunks.get(index) else { return Ok(vec![]) };
        let (into, length) = (at - chunk.sound, chunk.head.sound_bytes());
        if into >= length {
            return Ok(vec![]);
        }
        let text = self.text(index)?;
        Ok(match chunk.head.kind {
            Kind::Audio | Kind::Page => {
                text.get(usize::try_from(into).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec()
            }
            Kind::Silence | Kind::Peaks | Kind::End => {
                vec![0; usize::try_from((length - into).min(PIECE_BYTES)).unwrap_or(0)]
            }
        })
    }

    /// What a chunk holds, once its seal has been seen to fit.
    fn text(&mut self, at: usize) -> Result<&[u8], SealedError> {
        let Some(&chunk) = self.chunks.get(at) else { return Ok(&[]) };
        if self.open.as_ref().is_none_or(|(number, _)| *number != chunk.place.chunk) {
            let mut text = sealed(&self.file, &chunk)?;
            let length = self.opener.open(chunk.place, &chunk.head, &mut text)?.len();
            text.truncate(length);
            self.open = Some((chunk.place.chunk, text));
        }
        Ok(self.open.as_ref().map_or(&[], |(_, text)| text))
    }
}

/// How many frames a sealed recording says it holds, without a key: its last chunk says so, or all
/// heads together. Only the key shows whether it is true.
pub fn frames(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let content = match header(&file) {
        Ok(header) => header.content,
        Err(SealedError::Io(error)) => return Err(error),
        // Whatever stands behind it, nobody opens that.
        Err(SealedError::Flaw(_)) => return Ok(0),
    };
    let end = last_chunk(&file)?;
    if let Some(at) = end
        && let Some(head) = head(&file, at)?
        && head.kind == Kind::End
    {
        return Ok(head.count.into());
    }
    Ok(Heads::read(&file, content)?.place.frame)
}

/// Whether the last chunk of a file is there, without a key.
pub fn has_end(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let end = last_chunk(&file)?;
    let Some(at) = end else { return Ok(false) };
    Ok(head(&file, at)?.is_some_and(|head| head.kind == Kind::End))
}

/// What a file begins with, for which no key is needed.
pub fn header_of(path: &Path) -> Result<Header, SealedError> {
    header(&File::open(path)?)
}

impl Heads {
    fn read(file: &File, content: Content) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let (mut heads, mut before) = (Self::default(), None);
        let mut offset = HEADER_BYTES as u64;
        while offset + HEAD_BYTES as u64 <= length {
            let head = head(file, offset)?.filter(|it| content.allows(it.kind, before));
            let Some(head) = head else {
                if !zeros_from(file, offset)? {
                    heads.tail = Tail::Flawed(Flaw::Chunk(heads.place));
                }
                break;
            };
            let chunk = Chunk { offset, place: heads.place, sound: heads.sound, head };
            offset += head.chunk_bytes() as u64;
            if offset > length {
                break;
            }
            if head.kind == Kind::End {
                heads.tail = match offset == length {
                    true => Tail::End(chunk),
                    false => Tail::Flawed(Flaw::BehindEnd),
                };
                break;
            }
            before = Some(head.kind);
            heads.place = heads.place.behind(&head);
            // Seven million heads that nobody has sealed could promise more than there are bytes to count.
            heads.sound = heads.sound.saturating_add(head.sound_bytes());
            heads.chunks.push(chunk);
        }
        Ok(heads)
    }
}

/// Where the last chunk of a finished file would be.
fn last_chunk(file: &File) -> io::Result<Option<u64>> {
    let at = file.metadata()?.len().checked_sub(End::CHUNK_BYTES as u64);
    Ok(at.filter(|&at| at >= HEADER_BYTES as u64))
}

fn header(file: &File) -> Result<Header, SealedError> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(HEADER_BYTES);
    let mut bytes = [0; HEADER_BYTES];
    let bytes = bytes.get_mut(..length).unwrap_or_default();
    file.read_exact_at(bytes, 0)?;
    Ok(Header::parse(bytes)?)
}

fn head(file: &File, offset: u64) -> io::Result<Option<Head>> {
    let mut bytes = [0; HEAD_BYTES];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Head::parse(bytes))
}

/// Ciphertext and tag.
fn sealed(file: &File, chunk: &Chunk) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; chunk.head.chunk_bytes() - HEAD_BYTES];
    file.read_exact_at(&mut bytes, chunk.offset + HEAD_BYTES as u64)?;
    Ok(bytes)
}

/// A power cut leaves zeros where a file had grown and its bytes had not got there.
fn zeros_from(file: &File, mut offset: u64) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    loop {
        let read = file.read_at(&mut bytes, offset)?;
        if bytes.iter().take(read).any(|&byte| byte != 0) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        offset += read as u64;
    }
}

#[cfg(test)]
mod tests;
