//! Seals a recording that is Opus in Ogg: a page is a chunk, and all pages together are the file.
//!
//! Where a chunk ends stands in the clear, so packets are of one length: as many bytes for silence as for
//! speech.

use super::{Content, FileSecret, HEADER_BYTES, Place, SealKey, Sealer};
use crate::{
    codec::opus::OpusError,
    record::{
        ogg,
        opus::{self, Coder, Told},
    },
};

/// Codes and seals one recording. What could not be written is given up with
/// [`give_up`](Self::give_up).
pub struct OpusSealer {
    coder: Coder,
    sealer: Sealer,
    /// What the pages say of themselves, once they have begun.
    told: Option<Told>,
    /// Coded and not sealed yet.
    pages: Vec<u8>,
}

/// How far a file has come, as it is played and as it is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    coded: opus::Place,
    sealed: Place,
}

impl OpusSealer {
    /// `serial`: the Ogg stream's number. `name`: the recording's, at most 63 bytes. None: it is longer.
    pub fn new(
        serial: u32,
        name: &str,
        master: &SealKey,
        secret: &FileSecret,
    ) -> Result<Option<Self>, OpusError> {
        let coder = Coder::of_one_length(serial)?;
        let sealer = Sealer::new(Content::Opus, name, master, secret);
        Ok(sealer.map(|sealer| Self { coder, sealer, told: None, pages: vec![] }))
    }

    /// What the file begins with, before any page.
    pub fn header(&self) -> &[u8; HEADER_BYTES] {
        self.sealer.header()
    }

    /// Of the time line, in frames, up to where it has been coded.
    pub fn frame(&self) -> u64 {
        self.coder.place().frame
    }

    pub fn reached(&self) -> Reached {
        Reached { coded: self.coder.place(), sealed: self.sealer.place() }
    }

    /// Back to before the chunks that did not get into the file.
    pub fn give_up(&mut self, reached: Reached) {
        self.coder.give_up(reached.coded);
        self.sealer.give_up(reached.sealed);
    }

    /// What the pages begin with.
    pub fn head(&mut self, into: &mut Vec<u8>) {
        self.coder.head(&mut self.pages);
        self.seal(into);
    }

    /// Whole frames of interleaved 16-bit PCM, little-endian.
    pub fn audio(&mut self, samples: &[u8], into: &mut Vec<u8>) {
        self.coder.audio(samples, &mut self.pages);
        self.seal(into);
    }

    /// So many frames are not there: they are silence.
    pub fn silence(&mut self, frames: u64, into: &mut Vec<u8>) {
        self.coder.silence(frames, &mut self.pages);
        self.seal(into);
    }

    /// The last page, what players draw, and that nothing comes behind this.
    pub fn end(&mut self, peaks: &[u8], lost: u64, paused: u64, into: &mut Vec<u8>) {
        self.coder.end(&mut self.pages);
        self.seal(into);
        self.sealer.peaks(peaks, into);
        self.sealer.end(lost, paused, into);
    }

    fn seal(&mut self, into: &mut Vec<u8>) {
        let mut rest = &self.pages[..];
        while let ogg::Read::Page(page, length) = ogg::read(rest) {
            self.told = self.told.or_else(|| Told::by(&page));
            let played = self.told.map_or(0, |told| told.frames(&page));
            let more = played.saturating_sub(self.sealer.place().frame);
            let (page, behind) = rest.split_at(length);
            // A page is a second at most.
            self.sealer.page(u32::try_from(more).unwrap_or(0), page, into);
            rest = behind;
        }
        self.pages.clear();
    }
}

#[cfg(test)]
mod tests;
