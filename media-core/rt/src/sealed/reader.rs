//! A sealed recording's sound from beginning to end, for who reads files.

use super::SealedFile;
use std::io::{self, Read};

pub(super) struct Reader<'a> {
    file: &'a mut SealedFile,
    at: u64,
    piece: Vec<u8>,
    /// Of the piece.
    taken: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a mut SealedFile) -> Self {
        Self { file, at: 0, piece: vec![], taken: 0 }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() {
            self.piece = self.file.sound(self.at)?;
            self.taken = 0;
        }
        let read = self.piece.get(self.taken..).unwrap_or_default().read(into)?;
        self.taken += read;
        self.at += read as u64;
        Ok(read)
    }
}
