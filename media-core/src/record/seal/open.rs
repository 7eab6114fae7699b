//! Opens chunks, each at its place and nowhere else.

use super::{HEAD_BYTES, Head, KeyId, Kind, TAG_BYTES, form::End};
use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};

/// Where a chunk stands in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Chunks before it.
    pub chunk: u64,
    /// The first frame of the time line it holds.
    pub frame: u64,
}

impl Place {
    /// The place of the chunk behind this one.
    pub fn behind(self, head: &Head) -> Self {
        Self { chunk: self.chunk + 1, frame: self.frame + u64::from(head.frames()) }
    }

    pub(super) fn bound_to(self, head: &Head) -> [u8; HEAD_BYTES + 16] {
        let mut bound = [0; HEAD_BYTES + 16];
        let (its_head, place) = bound.split_at_mut(HEAD_BYTES);
        its_head.copy_from_slice(&head.to_bytes());
        place[..8].copy_from_slice(&self.chunk.to_le_bytes());
        place[8..].copy_from_slice(&self.frame.to_le_bytes());
        bound
    }
}

/// Why a file, or a part of it, cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("this is no sealed recording")]
    NotSealed,
    #[error("the file was cut within its header: nothing was recorded yet")]
    HeaderCut,
    #[error("version {version} with content {content} is not known to this program")]
    Unknown { version: u16, content: u16 },
    #[error("the header was changed")]
    Header,
    #[error("it is sealed with the key {needed}, and the one given is {given}")]
    WrongKey { needed: KeyId, given: KeyId },
    #[error(
        "chunk {} does not fit its seal, {} s from the beginning: it was changed, is not this file's, or \
         did not reach the disk", .0.chunk, .0.frame / 50
    )]
    Chunk(Place),
    #[error("there are bytes behind its end")]
    BehindEnd,
}

/// Has the key of one file.
pub struct Opener {
    cipher: Aes256Gcm,
}

impl Opener {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { cipher: Aes256Gcm::new(&key.into()) }
    }

    /// `sealed`: ciphertext and tag, which become the text.
    pub fn open<'a>(
        &self,
        place: Place,
        head: &Head,
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], Flaw> {
        let flaw = Flaw::Chunk(place);
        if sealed.len() != head.body_bytes() + TAG_BYTES {
            return Err(flaw);
        }
        let (body, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(flaw)?;
        let (nonce, bound) = (head.nonce().into(), place.bound_to(head));
        self.cipher
            .decrypt_inout_detached(&nonce, &bound, (&mut *body).into(), &(*tag).into())
            .map_err(|_| flaw)?;
        Ok(body)
    }

    /// The last chunk's words, if they are about a file that ends at this place.
    pub fn end(&self, place: Place, head: &Head, sealed: &mut [u8]) -> Result<End, Flaw> {
        let flaw = Flaw::Chunk(place);
        let end = End::parse(self.open(place, head, sealed)?).ok_or(flaw)?;
        let fits = head.kind == Kind::End && end.frames == place.frame;
        fits.then_some(end).ok_or(flaw)
    }
}
