//! Sealed recordings on a disk: what the recorder writes, and what is left of it after a fault.

mod opus;

use super::*;
use crate::{
    clerk::Clerk,
    recorder::{Format, RecorderConfig, RecorderEvent, Seal, Writer},
    tape::Disk,
    test_disk::{HALF_TAKING, be_full},
    test_folder::TestFolder,
};
use media_core::{
    codec::g711,
    order::{Law, RecordFrame, RecordKind, TalkName},
    record::{peaks::Peaks, seal::walk},
};
use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

const TALK: TalkName = TalkName(29);
const KEY: SealKey = SealKey::new([7; 32]);

struct Bench {
    writer: Writer,
    now: Instant,
    folder: TestFolder,
}

/// Not random, and never the same twice.
fn random(bytes: &mut [u8]) -> io::Result<()> {
    thread_local!(static NEXT: Cell<u8> = const { Cell::new(0) });
    for byte in bytes {
        NEXT.set(NEXT.get().wrapping_add(1));
        *byte = NEXT.get();
    }
    Ok(())
}

impl Bench {
    fn new(test: &str, seal: Seal, disk: Disk) -> Self {
        Self::of(Format::Wav, test, seal, disk)
    }

    fn of(format: Format, test: &str, seal: Seal, disk: Disk) -> Self {
        let folder = TestFolder::new(test);
        let dir = folder.path().to_path_buf();
        let name = |talk: TalkName| format!("call-{:08x}", talk.0);
        let config = RecorderConfig { dir, name, format, seal };
        let writer = Writer::new(config, disk, Clerk::start().unwrap(), Arc::default());
        Self { writer, now: Instant::now(), folder }
    }

    fn sealed(test: &str, disk: Disk) -> Self {
        Self::new(test, Seal::With { key: KEY, random }, disk)
    }

    fn frame(&mut self, kind: RecordKind, index: u32) {
        let said = (kind == RecordKind::Audio).then_some((Law::Mu, [code(index); 160]));
        let frame = RecordFrame { talk: TALK, kind, index, tracks: [said; 2] };
        self.writer.handle_frame(&frame, self.now);
        self.now += Duration::from_millis(20);
        self.writer.write_and_wait(self.now);
    }

    fn audio(&mut self, indices: impl IntoIterator<Item = u32>) {
        indices.into_iter().for_each(|index| self.frame(RecordKind::Audio, index));
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("call-0000001d.sealed")
    }

    fn events(&mut self) -> Vec<RecorderEvent> {
        self.writer.take_events()
    }
}

/// Never zero, which is silence.
fn loud(index: u32) -> i16 {
    g711::decode(Law::Mu, code(index))
}

fn code(index: u32) -> u8 {
    0x80 + u8::try_from(index % 127).unwrap()
}

/// The first sample of each frame.
fn heard(file: &mut SealedFile) -> Vec<i16> {
    let mut bytes = vec![];
    loop {
        let piece = file.sound(bytes.len() as u64).unwrap();
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    assert_eq!(bytes.len() as u64, file.sound_bytes());
    let reader = hound::WavReader::new(io::Cursor::new(bytes)).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8_000, 16));
    let samples: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
    samples.chunks(320).map(|frame| frame[0]).collect()
}

#[test]
fn a_sealed_recording_is_read_as_the_wav_file_it_would_have_been_and_has_its_peaks_inside() {
    let mut bench = Bench::sealed("sealed-whole", Disk::REAL);
    bench.frame(RecordKind::Start, 0);
    assert_eq!(bench.events(), [RecorderEvent::Started { talk: TALK, path: bench.path() }]);
    bench.audio((0..70).chain(75..100));
    (100..120).for_each(|index| bench.frame(RecordKind::Paused, index));
    bench.audio(120..130);
    bench.frame(RecordKind::End, 132);

    let mut file = SealedFile::open(&bench.path(), &KEY).unwrap();

    let end = End { frames: 132, lost: 7, paused: 20 };
    assert_eq!((file.told(), file.verify().unwrap()), (Told::Whole(end), Told::Whole(end)));
    assert_eq!(
        (file.name(), file.frames(), frames(&bench.path()).unwrap()),
        ("call-0000001d", 132, 132)
    );
    let expected = |index| match index {
        70..75 | 100..120 | 130.. => 0,
        index => loud(index),
    };
    assert_eq!(heard(&mut file), (0..132).map(expected).collect::<Vec<_>>());
    let mut peaks = Peaks::default();
    for index in (0..70).chain(75..100).chain(120..130) {
        peaks.hear(index, &loud(index).to_le_bytes().repeat(320));
    }
    assert_eq!(file.peaks().unwrap(), peaks.into_bytes(132));
    let bytes = fs::metadata(bench.path()).unwrap().len();
    let path = bench.path();
    let finished = RecorderEvent::Finished { talk: TALK, path, bytes, frames: 132, lost: 7 };
    assert_eq!(bench.events(), [finished]);
}

#[test]
fn nothing_of_a_sealed_recording_is_in_the_folder_in_the_clear_at_any_instant() {
    let mut bench = Bench::sealed("sealed-clear", Disk::REAL);
    bench.frame(RecordKind::Start, 0);
    for index in 0..200 {
        bench.frame(RecordKind::Audio, index);
    }
    bench.frame(RecordKind::End, 200);

    let files: Vec<_> =
        fs::read_dir(bench.folder.path()).unwrap().map(|it| it.unwrap().path()).collect();

    assert_eq!(files, [bench.path()], "and nothing beside it");
    let bytes = fs::read(bench.path()).unwrap();
    let samples = loud(50).to_le_bytes().repeat(8);
    assert!(!bytes.windows(samples.len()).any(|window| window == samples));
}

#[test]
fn a_killed_recorder_loses_less_than_half_a_second_and_the_file_says_that_its_end_is_missing() {
    let mut bench = Bench::sealed("sealed-killed", Disk::REAL);
    bench.frame(RecordKind::Start, 0);
    for index in 0..200_u32 {
        bench.audio([index]);

        let mut file = SealedFile::open(&bench.path(), &KEY).unwrap();

        assert_eq!(file.told(), Told::Cut);
        assert_eq!(file.frames(), frames(&bench.path()).unwrap());
        let there = u32::try_from(file.frames()).unwrap();
        assert!(there + 25 > index, "{there} of {index}");
        if index % 40 == 0 {
            assert_eq!(heard(&mut file), (0..there).map(loud).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_full_disk_that_takes_half_a_chunk_leaves_no_damage_and_the_recording_goes_on() {
    let mut bench = Bench::sealed("sealed-full", HALF_TAKING);
    bench.frame(RecordKind::Start, 0);
    bench.audio(0..100);
    be_full(true);
    bench.audio(100..300);
    let alarms = bench.events().into_iter().filter(|it| matches!(it, RecorderEvent::Failed { .. }));
    assert_eq!(alarms.count(), 1);
    let mut full = SealedFile::open(&bench.path(), &KEY).unwrap();
    assert_eq!(full.verify().unwrap(), Told::Cut, "a disk that is full is no damage");
    be_full(false);
    bench.audio(300..400);
    bench.frame(RecordKind::End, 400);

    let mut file = SealedFile::open(&bench.path(), &KEY).unwrap();

    let Told::Whole(end) = file.verify().unwrap() else { panic!("{:?}", file.told()) };
    assert!((200..=275).contains(&end.lost), "{} lost: the fault and a second after it", end.lost);
    let heard = heard(&mut file);
    assert_eq!(heard.iter().filter(|&&sample| sample == 0).count() as u64, end.lost);
    assert_eq!((heard.len(), heard[70], heard[399]), (400, loud(70), loud(399)));
    assert!(
        matches!(bench.events()[..], [RecorderEvent::Finished { frames: 400, lost, .. }] if lost == end.lost)
    );
}

#[test]
fn nothing_of_a_chunk_that_was_given_up_stays_behind_a_shorter_one() {
    thread_local!(static FULL: Cell<bool> = const { Cell::new(true) });
    let disk = Disk {
        write: |file, bytes, at| match FULL.get() && at > 0 {
            true => {
                file.write_all_at(&bytes[..bytes.len() - 1], at)?;
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
            false => file.write_all_at(bytes, at),
        },
        ..Disk::REAL
    };
    let mut bench = Bench::sealed("sealed-shorter", disk);
    for index in 0..90 {
        let frame = RecordFrame { talk: TALK, kind: RecordKind::Audio, index, tracks: [None; 2] };
        bench.writer.handle_frame(&frame, bench.now);
    }
    bench.now += Duration::from_secs(1);
    bench.writer.write_and_wait(bench.now);
    FULL.set(false);
    bench.now += Duration::from_secs(2);
    bench.audio(90..115);

    let mut file = SealedFile::open(&bench.path(), &KEY).unwrap();

    assert_eq!((file.verify().unwrap(), file.frames() > 100), (Told::Cut, true));
}

#[test]
fn without_its_key_no_recording_is_made_and_it_is_said() {
    let mut bench = Bench::new("sealed-no-key", Seal::KeyMissing, Disk::REAL);

    bench.frame(RecordKind::Start, 0);
    bench.audio(0..100);
    bench.frame(RecordKind::End, 100);

    let events = bench.events();
    assert!(
        matches!(&events[..], [RecorderEvent::Failed { what, no_file: true, .. }]
            if what.contains("seal_key")),
        "{events:?}"
    );
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 0);
    assert_eq!(bench.writer.frames_lost(), 100);
}

#[test]
fn the_reader_of_files_says_what_the_definition_says_wherever_a_file_is_cut_or_changed() {
    let mut bench = Bench::sealed("sealed-walk", Disk::REAL);
    bench.audio((0..30).chain(40..60));
    bench.frame(RecordKind::End, 70);
    let whole = fs::read(bench.path()).unwrap();
    let path = bench.folder.path().join("harmed.sealed");
    for at in (0..whole.len()).step_by(97).chain(whole.len() - 60..whole.len()) {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        for (what, bytes) in [("cut", &whole[..at]), ("changed", &changed[..])] {
            fs::write(&path, bytes).unwrap();
            let defined = walk(bytes, &KEY, |_, _, _| ());
            let read = SealedFile::open(&path, &KEY)
                .and_then(|mut file| Ok((file.verify()?, file.told())));
            match (defined, read) {
                (Ok(walk), Ok((verified, _))) => assert_eq!(walk.told, verified, "{what} at {at}"),
                (Err(flaw), Err(SealedError::Flaw(found))) => {
                    assert_eq!(flaw, found, "{what} at {at}")
                }
                other => panic!("{what} at {at}: {:?} and {:?}", other.0, other.1.map(|_| ())),
            }
        }
    }
}

#[test]
fn damaged_audio_is_never_given_out() {
    let mut bench = Bench::sealed("sealed-damaged", Disk::REAL);
    bench.audio(0..60);
    bench.frame(RecordKind::End, 60);
    let mut bytes = fs::read(bench.path()).unwrap();
    bytes[HEADER_BYTES + 500] ^= 1;
    fs::write(bench.path(), bytes).unwrap();

    let mut file = SealedFile::open(&bench.path(), &KEY).unwrap();

    assert_eq!(file.sound(0).unwrap().len(), 44);
    assert!(matches!(file.sound(44), Err(SealedError::Flaw(Flaw::Chunk(_)))));
    assert!(!file.sound(44 + 59 * 640).unwrap().is_empty(), "another chunk is as it was");
}
