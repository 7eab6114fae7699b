//! Reads recordings that are Opus in Ogg from the disk: how long they are, whether all of it is there,
//! and what they sound like, for who draws them. Nothing of an hour is in memory but the page at hand.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use media_core::record::{
    ogg::{self, Page, Stands},
    opus::{FRAME_BYTES, PAGE_MAX, Player, Told},
    peaks::Peaks,
};

/// Of the files' names (RFC 7845 §9).
pub const EXTENSION: &str = "opus";

/// What a look at all of a file has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Every page's sum fits, none is missing, and the last one says that it is.
    Whole,
    /// The last page is missing, and perhaps some before it.
    Cut,
    /// Something stands in it that was not written so: from the byte on.
    Damaged(u64),
    /// It is no recording of ours.
    NotOurs,
}

/// Looks at every page; how many frames can be believed.
pub fn check(path: &Path) -> io::Result<(Check, u64)> {
    walk(File::open(path)?, |_, _| Ok(()))
}

/// Gives all samples of a file that can be believed: 16 bit, both channels, 8 kHz. How many frames that
/// were.
pub fn play(file: impl Read, mut give: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut player = None;
    let mut samples = vec![];
    let (_, frames) = walk(file, |told, page| {
        let player = match &mut player {
            Some(player) => player,
            None => player.insert(Player::new(told).map_err(io::Error::other)?),
        };
        samples.clear();
        player.play(page, &mut samples);
        give(&samples);
        Ok(())
    })?;
    Ok(frames)
}

/// What players draw, made from the sound of a file.
pub fn peaks(file: impl Read) -> io::Result<Vec<u8>> {
    let mut peaks = Peaks::default();
    let mut frame = 0;
    let frames = play(file, |samples| {
        peaks.hear(frame, samples);
        frame += u32::try_from(samples.len() / FRAME_BYTES).unwrap_or(0);
    })?;
    Ok(peaks.into_bytes(frames))
}

/// How many frames a file says it holds, by its last whole page.
pub fn frames(path: &Path) -> io::Result<u64> {
    let found = last(path)?;
    Ok(found.map_or(0, |(frames, _)| frames))
}

/// Whether the last page of a file is there.
pub fn has_end(path: &Path) -> io::Result<bool> {
    let found = last(path)?;
    Ok(found.is_some_and(|(_, stands)| stands == Stands::Last))
}

/// The last whole page: frames up to its end, and where it stands.
fn last(path: &Path) -> io::Result<Option<(u64, Stands)>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(told) = told(&file, length)? else { return Ok(None) };
    // A page that was cut may stand behind the last whole one.
    let from = length.saturating_sub(2 * PAGE_MAX as u64);
    let tail = piece(&file, from, length)?;
    let found = tail.windows(4).enumerate().rev().filter(|(_, bytes)| bytes == b"OggS");
    let mut pages = found.filter_map(|(at, _)| match ogg::read(tail.get(at..)?) {
        ogg::Read::Page(page, _) => Some((told.frames(&page), page.stands)),
        ogg::Read::Needs(_) | ogg::Read::No => None,
    });
    Ok(pages.next())
}

fn told(file: &File, length: u64) -> io::Result<Option<Told>> {
    let head = piece(file, 0, length.min(PAGE_MAX as u64))?;
    let ogg::Read::Page(first, _) = ogg::read(&head) else { return Ok(None) };
    Ok(Told::by(&first))
}

fn piece(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// Gives every page with sound in it, in order; what is known of the file then.
fn walk(
    file: impl Read,
    mut give: impl FnMut(Told, &Page<'_>) -> io::Result<()>,
) -> io::Result<(Check, u64)> {
    let mut file = BufReader::new(file);
    let (mut bytes, mut at) = (vec![], 0);
    let (mut told, mut next, mut frames) = (None, 0, 0);
    loop {
        let page = match ogg::read(&bytes) {
            ogg::Read::Page(page, _) => page,
            ogg::Read::Needs(length) if length <= PAGE_MAX => {
                let missing = (length - bytes.len()) as u64;
                if file.by_ref().take(missing).read_to_end(&mut bytes)? as u64 == missing {
                    continue;
                }
                return Ok((Check::Cut, frames));
            }
            ogg::Read::Needs(_) | ogg::Read::No if told.is_none() => break,
            // A power cut leaves zeros where a file had grown and its bytes had not got there.
            ogg::Read::Needs(_) | ogg::Read::No => {
                let empty = bytes.iter().all(|&byte| byte == 0) && zeros(&mut file)?;
                return Ok((if empty { Check::Cut } else { Check::Damaged(at) }, frames));
            }
        };
        let Some(told) = told.or_else(|| Told::by(&page)).inspect(|it| told = Some(*it)) else {
            break;
        };
        if page.sequence != next || !told.is_of(&page) {
            return Ok((Check::Damaged(at), frames));
        }
        // The two before the sound say what it is.
        if next >= HEAD_PAGES {
            give(told, &page)?;
            frames = told.frames(&page);
        }
        next += 1;
        at += bytes.len() as u64;
        if page.stands == Stands::Last {
            let behind = file.read(&mut [0])?;
            return Ok((if behind == 0 { Check::Whole } else { Check::Damaged(at) }, frames));
        }
        bytes.clear();
    }
    Ok((Check::NotOurs, 0))
}

/// To the end of the file.
fn zeros(file: &mut impl Read) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    loop {
        let read = file.read(&mut bytes)?;
        if bytes.iter().take(read).any(|&byte| byte != 0) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

const HEAD_PAGES: u32 = 2;

#[cfg(test)]
mod tests;
