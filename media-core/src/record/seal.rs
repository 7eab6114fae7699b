//! Sealed recordings: AES-256-GCM in chunks that are only ever appended, under a key of their own.
//!
//! A file is a header and chunks. The header names the recording and holds the file's random key,
//! wrapped by the master key. A chunk is a head in the clear, a ciphertext and a tag that binds them
//! to their place: no chunk can be changed, left out, moved or taken from another file, and one of
//! the kind `End` says that nothing is missing behind it. A file that was cut is read up to its last
//! whole chunk. The sound is PCM, or an Ogg file page by page. All numbers are little-endian; ADR 0019 and 0028 have the layout.

mod form;
mod key;
mod open;
mod opus;
#[cfg(test)]
mod tests;
mod walk;

pub use form::{
    AUDIO_FRAMES_MAX, Content, End, FRAME_BYTES, HEAD_BYTES, HEADER_BYTES, Head, Header, Kind,
    PEAKS_MAX, TAG_BYTES,
};
pub use key::{KeyId, NotAKey, SealKey};
pub use open::{Flaw, Opener, Place};
pub use opus::OpusSealer;
pub use walk::{Told, Walk, walk};

use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};

/// What makes a file's seal its own: bytes of the system's randomness, used once.
pub struct FileSecret {
    pub key: [u8; 32],
    pub wrap_nonce: [u8; 12],
}

/// Seals one recording, chunk by chunk.
///
/// A chunk that could not be written is given up with [`Sealer::give_up`]; its nonce is not used
/// again, as part of it may be on the disk.
pub struct Sealer {
    cipher: Aes256Gcm,
    header: [u8; HEADER_BYTES],
    place: Place,
    nonce: u32,
}

impl Sealer {
    /// `name`: the recording's, at most 63 bytes. None: it is longer.
    pub fn new(
        content: Content,
        name: &str,
        master: &SealKey,
        secret: &FileSecret,
    ) -> Option<Self> {
        let header = Header::seal(content, name, master, secret)?;
        let cipher = Aes256Gcm::new(&secret.key.into());
        Some(Self { cipher, header, place: Place::default(), nonce: 0 })
    }

    /// What the file begins with.
    pub fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// Where the next chunk stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Back to where a chunk was that did not get into the file.
    pub fn give_up(&mut self, place: Place) {
        self.place = place;
    }

    /// Whole frames of stereo PCM, at most [`AUDIO_FRAMES_MAX`].
    pub fn audio(&mut self, samples: &[u8], into: &mut Vec<u8>) {
        for part in samples.chunks(AUDIO_FRAMES_MAX as usize * FRAME_BYTES) {
            let frames = u32::try_from(part.len() / FRAME_BYTES).unwrap_or(0);
            self.chunk(Kind::Audio, frames, 0, part, into);
        }
    }

    /// So many frames are not there: they are silence.
    pub fn silence(&mut self, frames: u32, into: &mut Vec<u8>) {
        if frames > 0 {
            self.chunk(Kind::Silence, frames, 0, &[], into);
        }
    }

    /// One page of an Ogg file, with which so many frames more are played. Nothing is sealed of what is
    /// too long for any page.
    pub fn page(&mut self, frames: u32, page: &[u8], into: &mut Vec<u8>) {
        if let Ok(length) = u16::try_from(page.len()) {
            self.chunk(Kind::Page, frames, length, page, into);
        }
    }

    /// What players draw, behind all audio.
    pub fn peaks(&mut self, peaks: &[u8], into: &mut Vec<u8>) {
        for part in peaks.chunks(PEAKS_MAX as usize * Kind::PEAK_BYTES) {
            let pixels = u32::try_from(part.len() / Kind::PEAK_BYTES).unwrap_or(0);
            self.chunk(Kind::Peaks, pixels, 0, part, into);
        }
    }

    /// Nothing comes behind this.
    pub fn end(&mut self, lost: u64, paused: u64, into: &mut Vec<u8>) {
        let end = End { frames: self.place.frame, lost, paused };
        let frames = u32::try_from(end.frames).unwrap_or(u32::MAX);
        self.chunk(Kind::End, frames, 0, &end.to_bytes(), into);
    }

    fn chunk(&mut self, kind: Kind, count: u32, page: u16, body: &[u8], into: &mut Vec<u8>) {
        let head = Head { kind, count, page, nonce: self.nonce };
        let start = into.len() + HEAD_BYTES;
        into.extend_from_slice(&head.to_bytes());
        into.extend_from_slice(body);
        let Some(body) = into.get_mut(start..) else { return };
        let sealed = self.cipher.encrypt_inout_detached(
            &head.nonce().into(),
            &self.place.bound_to(&head),
            body.into(),
        );
        // It fails for 64 GiB and more.
        let tag = sealed.expect("a chunk is far shorter than GCM's longest text");
        into.extend_from_slice(&tag);
        self.nonce = self.nonce.checked_add(1).expect("2^32 chunks are fifty years");
        self.place = self.place.behind(&head);
    }
}
