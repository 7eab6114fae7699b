//! The recordings' file form: RIFF/WAVE, two channels of 16-bit PCM at 8 kHz, and its repair
//! after a crash.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Of the files' names.
pub const EXTENSION: &str = "wav";

pub(crate) const HEADER_BYTES: u32 = 44;

/// 20 ms: 160 pairs of samples.
pub(crate) const FRAME_BYTES: u32 = 640;

/// Both sizes of the header are 32-bit numbers: 37 hours.
pub(crate) const FRAMES_MAX: u32 = (u32::MAX - HEADER_BYTES) / FRAME_BYTES;

/// One left and one right sample.
const PAIR_BYTES: u64 = 4;

type Header = [u8; HEADER_BYTES as usize];

/// What precedes `data_bytes` of samples.
pub(crate) fn header(data_bytes: u32) -> Header {
    let mut header = *b"RIFF____WAVEfmt \
        \x10\0\0\0\
        \x01\0\
        \x02\0\
        \x40\x1f\0\0\
        \x00\x7d\0\0\
        \x04\0\
        \x10\0\
        data____";
    // RIFF counts what follows its own eight bytes.
    let after_riff = data_bytes.saturating_add(HEADER_BYTES - 8);
    header[4..8].copy_from_slice(&after_riff.to_le_bytes());
    header[40..44].copy_from_slice(&data_bytes.to_le_bytes());
    header
}

/// Of so many frames. Never too large for the header: no line is longer than [`FRAMES_MAX`].
pub(crate) fn data_bytes(frames: u32) -> u32 {
    frames.saturating_mul(FRAME_BYTES)
}

/// Bytes a header of ours promises; `None` for any other form of file.
fn promised(found: &Header) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_le_bytes(*found.get(at..)?.first_chunk()?));
    let (riff, data) = (number(4)?, number(40)?);
    let mut same = header(0);
    same[4..8].copy_from_slice(&riff.to_le_bytes());
    same[40..44].copy_from_slice(&data.to_le_bytes());
    (same == *found).then_some((riff, data))
}

/// What [`repair`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// How many were looked at.
    pub files: usize,
    /// Those whose sizes did not match their length, and now do.
    pub mended: Vec<PathBuf>,
    /// Those that are not recordings of ours or cannot be opened; left as they are.
    pub left: Vec<PathBuf>,
}

/// The WAV files of a folder, as they are listed before any recording of this process begins.
pub fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Mends the recordings a crash has left: between the write of samples and that of the sizes, the
/// samples are given back; after a power cut that lost samples, the sizes shrink to what is there.
/// Only for [`files`] that nobody records into.
pub fn repair(files: Vec<PathBuf>) -> Repaired {
    let mut repaired = Repaired { files: files.len(), ..Repaired::default() };
    for path in files {
        match repair_file(&path) {
            Ok(Condition::Whole) => {}
            Ok(Condition::Mended) => repaired.mended.push(path),
            Ok(Condition::NotOurs) | Err(_) => repaired.left.push(path),
        }
    }
    repaired
}

/// What [`check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The header promises what is there.
    Whole,
    /// It promises more or less.
    OtherLength,
    NotOurs,
}

/// Whether a recording's header and length agree. Changes nothing.
pub fn check(path: &Path) -> io::Result<Check> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some((riff, data)) = read_header(&file, length)? else { return Ok(Check::NotOurs) };
    let there = length.checked_sub(u64::from(HEADER_BYTES));
    let agrees = there == Some(data.into()) && riff == data.saturating_add(HEADER_BYTES - 8);
    Ok(if agrees { Check::Whole } else { Check::OtherLength })
}

enum Condition {
    Whole,
    Mended,
    NotOurs,
}

fn repair_file(path: &Path) -> io::Result<Condition> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(Condition::NotOurs);
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let Some((riff, data)) = read_header(&file, length)? else {
        return Ok(Condition::NotOurs);
    };
    let samples = length.saturating_sub(u64::from(HEADER_BYTES));
    let whole = u32::try_from(samples - samples % PAIR_BYTES).unwrap_or(u32::MAX - 47);
    if length >= u64::from(HEADER_BYTES) && (riff, data) == (whole.saturating_add(36), whole) {
        return Ok(Condition::Whole);
    }
    file.write_all_at(&header(whole), 0)?;
    file.sync_data()?;
    Ok(Condition::Mended)
}

/// The sizes a file's header promises. A file cut off within its header, or one whose header was
/// never written (a crash at its creation), promises nothing but is ours too.
fn read_header(file: &File, length: u64) -> io::Result<Option<(u32, u32)>> {
    let mut found: Header = [0; HEADER_BYTES as usize];
    if length < u64::from(HEADER_BYTES) {
        let there = usize::try_from(length).unwrap_or(0);
        file.read_exact_at(&mut found[..there], 0)?;
        let ours = found[..there].iter().zip(header(0)).enumerate();
        let ours = ours.into_iter().all(|(at, (&found, ours))| {
            found == ours || found == 0 || (4..8).contains(&at) || at >= 40
        });
        return Ok(ours.then_some((0, 0)));
    }
    file.read_exact_at(&mut found, 0)?;
    if found.iter().all(|&byte| byte == 0) {
        return Ok(Some((0, 0)));
    }
    Ok(promised(&found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    const HEADER: usize = HEADER_BYTES as usize;
    const FRAME: usize = FRAME_BYTES as usize;

    fn recording(seconds: usize) -> Vec<u8> {
        let data = seconds * 50 * FRAME;
        let mut bytes = header(u32::try_from(data).unwrap()).to_vec();
        bytes.extend((0..data).map(|at| u8::try_from(at % 251).unwrap()));
        bytes
    }

    fn frames(path: &Path) -> u32 {
        let reader = hound::WavReader::open(path).unwrap();
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8000, 16));
        let pairs = reader.duration();
        assert_eq!(reader.into_samples::<i16>().filter(|s| s.is_ok()).count(), 2 * pairs as usize);
        pairs / 160
    }

    #[test]
    fn an_independent_reader_opens_what_the_header_says() {
        let folder = TestFolder::new("wav-header");
        let path = folder.path().join("a.wav");
        fs::write(&path, recording(3)).unwrap();

        assert_eq!(frames(&path), 150);
    }

    #[test]
    fn samples_behind_the_promised_size_are_given_back() {
        let folder = TestFolder::new("wav-behind");
        let path = folder.path().join("a.wav");
        let mut bytes = recording(2);
        bytes[..HEADER].copy_from_slice(&header(FRAME_BYTES));
        fs::write(&path, bytes).unwrap();
        assert_eq!(frames(&path), 1, "it opens before the repair too");

        let repaired = repair(files(folder.path()).unwrap());

        assert_eq!((repaired.files, repaired.mended), (1, vec![path.clone()]));
        assert_eq!(frames(&path), 100);
    }

    #[test]
    fn a_file_cut_off_anywhere_opens_after_the_repair_with_all_that_is_there() {
        let folder = TestFolder::new("wav-cut");
        let path = folder.path().join("a.wav");
        let whole = recording(1);
        for length in (0..HEADER + 9).chain([700, 701, 702, 703, 704, whole.len() - 1]) {
            fs::write(&path, &whole[..length]).unwrap();

            let repaired = repair(files(folder.path()).unwrap());

            assert_eq!(repaired.mended, [path.as_path()], "cut to {length}");
            let pairs = hound::WavReader::open(&path).unwrap().duration() as usize;
            assert_eq!(pairs, length.saturating_sub(HEADER) / 4, "cut to {length}");
        }
    }

    #[test]
    fn a_file_of_another_length_than_its_header_promises_is_found_and_left_as_it_is() {
        let folder = TestFolder::new("wav-check");
        let path = folder.path().join("a.wav");
        let whole = recording(1);
        let mut mono = whole.clone();
        mono[22] = 1;
        let mut longer = whole.clone();
        longer.push(0);
        for (bytes, expected) in [
            (&whole[..], Check::Whole),
            (&whole[..whole.len() - 1], Check::OtherLength),
            (&whole[..20], Check::OtherLength),
            (&longer[..], Check::OtherLength),
            (&mono[..], Check::NotOurs),
            (b"a note", Check::NotOurs),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(check(&path).unwrap(), expected);
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn a_header_that_never_reached_the_disk_is_written() {
        let folder = TestFolder::new("wav-zeros");
        let path = folder.path().join("a.wav");
        fs::write(&path, vec![0; HEADER + 2 * FRAME]).unwrap();

        repair(files(folder.path()).unwrap());

        assert_eq!(frames(&path), 2);
    }

    #[test]
    fn whole_files_and_files_of_others_are_left_as_they_are() {
        let folder = TestFolder::new("wav-others");
        let mut mono = recording(1);
        mono[22] = 1;
        for (name, bytes) in [("a.wav", &recording(1)), ("b.wav", &mono)] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        fs::write(folder.path().join("c.wav"), b"a note, not a sound").unwrap();
        fs::write(folder.path().join("d.txt"), b"").unwrap();
        fs::create_dir(folder.path().join("e.wav")).unwrap();

        let mut repaired = repair(files(folder.path()).unwrap());

        repaired.left.sort();
        let left: Vec<_> = ["b.wav", "c.wav", "e.wav"].map(|name| folder.path().join(name)).into();
        assert_eq!(repaired, Repaired { files: 4, mended: vec![], left });
        assert_eq!(fs::read(folder.path().join("b.wav")).unwrap(), mono);
    }
}
