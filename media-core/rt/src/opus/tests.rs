//! Opus recordings on a disk: what the recorder writes, and what is left of it after a fault.

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
};
use std::{
    f64::consts::TAU,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

const TALK: TalkName = TalkName(29);

struct Bench {
    writer: Writer,
    now: Instant,
    folder: TestFolder,
}

impl Bench {
    fn new(test: &str, disk: Disk) -> Self {
        let folder = TestFolder::new(test);
        let config = RecorderConfig {
            dir: folder.path().to_path_buf(),
            name: |talk| format!("call-{:08x}", talk.0),
            format: Format::Opus,
            seal: Seal::Off,
        };
        let writer = Writer::new(config, disk, Clerk::start().unwrap(), Arc::default());
        Self { writer, now: Instant::now(), folder }
    }

    fn frame(&mut self, kind: RecordKind, index: u32) {
        let tracks = match kind {
            RecordKind::Audio => [Some((Law::A, tone())), None],
            RecordKind::Start | RecordKind::Paused | RecordKind::End => [None; 2],
        };
        self.writer.handle_frame(&RecordFrame { talk: TALK, kind, index, tracks }, self.now);
        self.now += Duration::from_millis(20);
        self.writer.write_and_wait(self.now);
    }

    fn audio(&mut self, indices: impl IntoIterator<Item = u32>) {
        indices.into_iter().for_each(|index| self.frame(RecordKind::Audio, index));
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("call-0000001d.opus")
    }
}

/// 20 ms of 500 Hz, ten whole periods.
fn tone() -> [u8; 160] {
    std::array::from_fn(|at| {
        let angle = TAU * 500.0 * f64::from(u8::try_from(at).unwrap()) / 8_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "at most 8,000")]
        g711::encode(Law::A, (8_000.0 * angle.sin()) as i16)
    })
}

/// Frame by frame whether the left is loud, after checking that the right is not.
fn heard(path: &Path) -> Vec<bool> {
    let mut samples = vec![];
    let frames = play(File::open(path).unwrap(), |piece| samples.extend_from_slice(piece)).unwrap();
    assert_eq!(samples.len() as u64, frames * FRAME_BYTES as u64);
    let loud = |frame: &[u8], side: usize| {
        let pairs = frame.as_chunks::<4>().0.iter();
        pairs.map(|it| i16::from_le_bytes([it[side], it[side + 1]]).unsigned_abs()).max().unwrap()
            > 2_000
    };
    samples
        .chunks(FRAME_BYTES)
        .map(|frame| {
            assert!(!loud(frame, 2));
            loud(frame, 0)
        })
        .collect()
}

/// Whether these frames are as loud as they should be, but for those at a joint.
fn assert_heard(heard: &[bool], expected: impl Fn(usize) -> bool) {
    for (at, loud) in heard.iter().enumerate() {
        let joint =
            expected(at) != expected(at.saturating_sub(1)) || expected(at) != expected(at + 1);
        assert!(joint || *loud == expected(at), "frame {at}: {loud}");
    }
}

#[test]
fn a_recording_is_as_long_as_the_talk_and_what_was_lost_or_paused_is_silence_in_its_place() {
    let mut bench = Bench::new("opus-whole", Disk::REAL);
    bench.frame(RecordKind::Start, 0);
    bench.audio((0..70).chain(80..130));
    (130..160).for_each(|index| bench.frame(RecordKind::Paused, index));
    bench.audio(160..190);
    bench.frame(RecordKind::End, 200);

    let heard = heard(&bench.path());

    assert_eq!(check(&bench.path()).unwrap(), (Check::Whole, 200));
    assert_eq!((heard.len(), frames(&bench.path()).unwrap()), (200, 200));
    assert_heard(&heard, |at| matches!(at, 0..70 | 80..130 | 160..190));
    let bytes = fs::metadata(bench.path()).unwrap().len();
    let finished =
        RecorderEvent::Finished { talk: TALK, path: bench.path(), bytes, frames: 200, lost: 20 };
    assert_eq!(bench.writer.take_events().pop(), Some(finished));
    let beside = fs::read_to_string(bench.path().with_extension("peaks.json")).unwrap();
    assert!(beside.contains("\"length\":40,"), "{beside}");
    assert_eq!(peaks(File::open(bench.path()).unwrap()).unwrap().len(), 40 * 4);
}

#[test]
fn a_killed_recorder_loses_less_than_half_a_second_and_the_file_says_that_its_end_is_missing() {
    let mut bench = Bench::new("opus-killed", Disk::REAL);
    bench.frame(RecordKind::Start, 0);
    for index in 0..150_u32 {
        bench.audio([index]);

        let (check, there) = check(&bench.path()).unwrap();

        assert_eq!((check, frames(&bench.path()).unwrap()), (Check::Cut, there));
        assert!(!has_end(&bench.path()).unwrap());
        assert!(there + 25 > u64::from(index), "{there} of {index}");
    }
    assert_heard(&heard(&bench.path()), |_| true);
}

#[test]
fn a_file_cut_at_any_byte_plays_to_its_last_whole_page_and_one_changed_byte_is_found() {
    let mut bench = Bench::new("opus-cut", Disk::REAL);
    bench.audio(0..120);
    bench.frame(RecordKind::End, 120);
    let whole = fs::read(bench.path()).unwrap();
    let path = bench.folder.path().join("cut.opus");
    let mut before = 0;
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();

        let (found, there) = check(&path).unwrap();

        assert_eq!(found, Check::Cut, "at {length}");
        assert!(there >= before && there <= 120, "{there} at {length}");
        assert_eq!(frames(&path).unwrap(), there, "at {length}");
        before = there;
    }
    assert!(before > 110, "{before}");
    for at in (0..whole.len()).step_by(11) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();

        let (found, there) = check(&path).unwrap();

        assert!(!matches!(found, Check::Whole) && there < 120, "{found:?} at {at}");
        assert!(play(File::open(&path).unwrap(), |_| ()).unwrap() < 120);
    }
    let zeros = [&whole[..whole.len() - 900], &[0; 900]].concat();
    fs::write(&path, zeros).unwrap();
    assert!(matches!(check(&path).unwrap().0, Check::Cut | Check::Damaged(_)));
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert_eq!(check(&path).unwrap(), (Check::Damaged(whole.len() as u64), 120));
}

#[test]
fn a_full_disk_that_takes_half_a_page_leaves_no_damage_and_the_recording_goes_on() {
    let mut bench = Bench::new("opus-full", HALF_TAKING);
    bench.frame(RecordKind::Start, 0);
    bench.audio(0..100);
    be_full(true);
    bench.audio(100..300);
    let alarms = bench.writer.take_events();
    let alarms = alarms.iter().filter(|it| matches!(it, RecorderEvent::Failed { .. }));
    assert_eq!(alarms.count(), 1);
    assert_eq!(check(&bench.path()).unwrap().0, Check::Cut, "a disk that is full is no damage");
    be_full(false);
    bench.audio(300..400);
    bench.frame(RecordKind::End, 400);

    let heard = heard(&bench.path());

    assert_eq!(check(&bench.path()).unwrap(), (Check::Whole, 400));
    let Some(RecorderEvent::Finished { lost, frames: 400, .. }) = bench.writer.take_events().pop()
    else {
        panic!("not finished");
    };
    assert!((200..=275).contains(&lost), "{lost} lost: the fault and little more than a second");
    let silent = heard.iter().filter(|loud| !**loud).count() as u64;
    assert!(silent.abs_diff(lost) <= 2, "{silent} silent, {lost} lost");
    assert!(heard[70] && !heard[200] && heard[399]);
}
