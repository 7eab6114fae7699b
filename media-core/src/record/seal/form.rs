//! The sealed form's bytes: header, heads of chunks, and the last chunk's words.

use super::{FileSecret, Flaw, KeyId, Opener, SealKey};
use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};

pub const HEADER_BYTES: usize = 148;
pub const HEAD_BYTES: usize = 12;
pub const TAG_BYTES: usize = 16;

/// 20 ms: 160 pairs of 16-bit samples.
pub const FRAME_BYTES: usize = 640;

/// Two seconds. No chunk is longer, so that a reader needs no more memory than this of samples.
pub const AUDIO_FRAMES_MAX: u32 = 100;

/// Of one chunk: 27 minutes of them.
pub const PEAKS_MAX: u32 = 16_384;

const MAGIC: [u8; 8] = *b"CLVSEAL\n";
const VERSION: u16 = 1;

/// What a file's sound is, once it is open. The numbers are the header's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Two channels of 16 bits at 8 kHz.
    Pcm = 1,
    /// A file of Ogg pages (RFC 7845).
    Opus = 2,
}

impl Content {
    fn of(number: u16) -> Option<Self> {
        [Self::Pcm, Self::Opus].into_iter().find(|&content| content as u16 == number)
    }

    /// Whether a chunk of this kind may stand behind one of that kind: sound comes first, and is of one
    /// kind of content.
    pub fn allows(self, kind: Kind, behind: Option<Kind>) -> bool {
        let sound = match kind {
            Kind::Audio | Kind::Silence => self == Self::Pcm,
            Kind::Page => self == Self::Opus,
            Kind::Peaks | Kind::End => return true,
        };
        sound && behind != Some(Kind::Peaks)
    }
}

/// Where what is bound by the wrapped key's tag ends.
const WRAP_AT: usize = 100;
const NAME_AT: usize = 16;
const KEY_ID_AT: usize = 80;
const NONCE_AT: usize = 88;
const NAME_MAX: usize = KEY_ID_AT - NAME_AT - 1;

/// What stands before the chunks, as it can be read without a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The recording's: the id of its call.
    pub name: String,
    pub content: Content,
    /// The master key that opens it.
    pub key: KeyId,
    bytes: [u8; HEADER_BYTES],
}

impl Header {
    pub(super) fn seal(
        content: Content,
        name: &str,
        master: &SealKey,
        secret: &FileSecret,
    ) -> Option<[u8; HEADER_BYTES]> {
        let length = u8::try_from(name.len()).ok().filter(|_| name.len() <= NAME_MAX)?;
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(content as u16).to_le_bytes());
        bytes[NAME_AT] = length;
        bytes[NAME_AT + 1..][..name.len()].copy_from_slice(name.as_bytes());
        bytes[KEY_ID_AT..NONCE_AT].copy_from_slice(&master.id().0);
        bytes[NONCE_AT..WRAP_AT].copy_from_slice(&secret.wrap_nonce);
        let mut key = secret.key;
        let (bound, wrapped) = bytes.split_at_mut(WRAP_AT);
        let cipher = Aes256Gcm::new(&master.bytes().into());
        let nonce = secret.wrap_nonce.into();
        let tag = cipher.encrypt_inout_detached(&nonce, bound, (&mut key[..]).into()).ok()?;
        wrapped[..32].copy_from_slice(&key);
        wrapped[32..].copy_from_slice(&tag);
        Some(bytes)
    }

    /// What a file begins with. It is believed once [`Self::unwrap`] has opened it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let Some(&bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(if MAGIC.starts_with(bytes.get(..8).unwrap_or(bytes)) {
                Flaw::HeaderCut
            } else {
                Flaw::NotSealed
            });
        };
        if bytes[..8] != MAGIC {
            return Err(Flaw::NotSealed);
        }
        let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (version, content) = (number(8), number(10));
        let content = Content::of(content)
            .filter(|_| version == VERSION)
            .ok_or(Flaw::Unknown { version, content })?;
        let length = usize::from(bytes[NAME_AT]);
        let name = bytes[NAME_AT + 1..KEY_ID_AT].get(..length).ok_or(Flaw::Header)?;
        let name = str::from_utf8(name).map_err(|_| Flaw::Header)?.to_owned();
        let key = bytes[KEY_ID_AT..NONCE_AT].try_into().map_err(|_| Flaw::Header)?;
        Ok(Self { name, content, key: KeyId(key), bytes })
    }

    /// Opens the chunks behind this header, if this is the key it was made with and nobody has
    /// changed it since.
    pub fn unwrap(&self, master: &SealKey) -> Result<Opener, Flaw> {
        if master.id() != self.key {
            return Err(Flaw::WrongKey { needed: self.key, given: master.id() });
        }
        let (bound, wrapped) = self.bytes.split_at(WRAP_AT);
        let (wrapped, tag) = wrapped.split_at(32);
        let mut key: [u8; 32] = wrapped.try_into().map_err(|_| Flaw::Header)?;
        let tag: [u8; TAG_BYTES] = tag.try_into().map_err(|_| Flaw::Header)?;
        let nonce: [u8; 12] = bound[NONCE_AT..].try_into().map_err(|_| Flaw::Header)?;
        let cipher = Aes256Gcm::new(&master.bytes().into());
        cipher
            .decrypt_inout_detached(&nonce.into(), bound, (&mut key[..]).into(), &tag.into())
            .map_err(|_| Flaw::Header)?;
        Ok(Opener::new(key))
    }
}

/// What a chunk holds. The numbers are the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio = 1,
    /// Frames that are not there.
    Silence = 2,
    /// What players draw.
    Peaks = 3,
    /// Nothing comes behind it.
    End = 4,
    /// One page of an Ogg file.
    Page = 5,
}

impl Kind {
    /// Least and most of two channels.
    pub const PEAK_BYTES: usize = 4;
}

/// What precedes a chunk's ciphertext. It is believed once its tag has been seen to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    /// Frames; of [`Kind::Peaks`] pixels, of [`Kind::End`] the frames of the whole recording, of
    /// [`Kind::Page`] how many more are played to their end with it.
    pub count: u32,
    /// Length of a page, whose packets have any length; of other kinds nothing.
    pub(super) page: u16,
    /// Never the same twice under one key.
    pub(super) nonce: u32,
}

impl Head {
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.page.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }

    /// None: these are no head of ours.
    pub fn parse(bytes: [u8; HEAD_BYTES]) -> Option<Self> {
        let [kind, 0, p0, p1, count @ .., n0, n1, n2, n3] = bytes else { return None };
        let (page, count) = (u16::from_le_bytes([p0, p1]), u32::from_le_bytes(count));
        let (kind, most) = match kind {
            1 => (Kind::Audio, AUDIO_FRAMES_MAX),
            2 => (Kind::Silence, u32::MAX),
            3 => (Kind::Peaks, PEAKS_MAX),
            4 => (Kind::End, u32::MAX),
            5 => (Kind::Page, AUDIO_FRAMES_MAX),
            _ => return None,
        };
        let some = count > 0 || matches!(kind, Kind::End | Kind::Page);
        let fits = count <= most && some && (page > 0) == (kind == Kind::Page);
        fits.then_some(Self { kind, count, page, nonce: u32::from_le_bytes([n0, n1, n2, n3]) })
    }

    /// Of the ciphertext, without the tag behind it.
    pub fn body_bytes(&self) -> usize {
        match self.kind {
            Kind::Audio => self.count as usize * FRAME_BYTES,
            Kind::Silence => 0,
            Kind::Peaks => self.count as usize * Kind::PEAK_BYTES,
            Kind::End => End::BYTES,
            Kind::Page => self.page.into(),
        }
    }

    /// Frames by which it takes the time line on.
    pub fn frames(&self) -> u32 {
        match self.kind {
            Kind::Audio | Kind::Silence | Kind::Page => self.count,
            Kind::Peaks | Kind::End => 0,
        }
    }

    /// Of the file of sound that is read from the sealed one.
    pub fn sound_bytes(&self) -> u64 {
        match self.kind {
            Kind::Audio | Kind::Silence => u64::from(self.count) * FRAME_BYTES as u64,
            Kind::Page => self.page.into(),
            Kind::Peaks | Kind::End => 0,
        }
    }

    /// From this chunk to the next.
    pub fn chunk_bytes(&self) -> usize {
        HEAD_BYTES + self.body_bytes() + TAG_BYTES
    }

    pub(super) fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[8..].copy_from_slice(&self.nonce.to_be_bytes());
        nonce
    }
}

/// What the last chunk says of the whole recording, in frames of 20 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub frames: u64,
    /// Silence in the file because they did not get there.
    pub lost: u64,
    /// Silence in the file because somebody asked for it.
    pub paused: u64,
}

impl End {
    const BYTES: usize = 24;
    /// A whole last chunk.
    pub const CHUNK_BYTES: usize = HEAD_BYTES + Self::BYTES + TAG_BYTES;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (field, value) in bytes.chunks_exact_mut(8).zip([self.frames, self.lost, self.paused]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (fields, rest) = bytes.as_chunks::<8>();
        let &[frames, lost, paused] = fields else { return None };
        let number = u64::from_le_bytes;
        rest.is_empty().then(|| Self {
            frames: number(frames),
            lost: number(lost),
            paused: number(paused),
        })
    }
}
