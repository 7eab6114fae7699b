//! What the recorder promises, with time as an argument and a disk that can be full.

use std::{cell::Cell, os::unix::fs::FileExt};

use super::*;
use crate::{
    test_folder::TestFolder,
    wav::{self, FRAME_BYTES, HEADER_BYTES},
};
use media_core::{
    codec::g711,
    order::{Law, Track},
};

const TALK: TalkName = TalkName(29);

fn name(talk: TalkName) -> String {
    format!("call-{:08x}", talk.0)
}

struct Bench {
    writer: Writer,
    now: Instant,
    folder: TestFolder,
}

impl Bench {
    fn new(test: &str) -> Self {
        Self::on(test, Disk::REAL)
    }

    fn on(test: &str, disk: Disk) -> Self {
        Self::in_format(test, disk, Format::Wav)
    }

    pub(crate) fn in_format(test: &str, disk: Disk, format: Format) -> Self {
        let folder = TestFolder::new(test);
        let dir = folder.path().to_path_buf();
        let config = RecorderConfig { dir, name, format, seal: Seal::Off };
        let clerk = Clerk::start().unwrap();
        let writer = Writer::new(config, disk, clerk, Arc::default());
        Self { writer, now: Instant::now(), folder }
    }

    /// One frame, and a pass of the writer 20 ms later.
    fn frame(&mut self, talk: TalkName, kind: RecordKind, index: u32) {
        self.writer.handle_frame(&RecordFrame { talk, kind, index, tracks: said(index) }, self.now);
        self.pass(Duration::from_millis(20));
    }

    fn audio(&mut self, indices: impl IntoIterator<Item = u32>) {
        for index in indices {
            self.frame(TALK, RecordKind::Audio, index);
        }
    }

    fn pass(&mut self, later: Duration) {
        self.now += later;
        self.writer.write_and_wait(self.now);
    }

    fn path(&self, talk: TalkName) -> PathBuf {
        self.folder.path().join(name(talk) + ".wav")
    }

    fn events(&mut self) -> Vec<RecorderEvent> {
        self.writer.events.drain(..).collect()
    }

    fn finished(&mut self) -> (u64, u64, u64) {
        match self.events().pop() {
            Some(RecorderEvent::Finished { bytes, frames, lost, .. }) => (bytes, frames, lost),
            other => panic!("not finished but {other:?}"),
        }
    }
}

/// Never the code of silence.
fn code(index: u32) -> u8 {
    0x80 + u8::try_from(index % 127).unwrap()
}

fn left(index: u32) -> i16 {
    g711::decode(Law::Mu, code(index))
}

/// Left that, and right its negative: the first bit is the sign.
fn said(index: u32) -> [Track; 2] {
    [code(index), code(index) ^ 0x80].map(|code| Some((Law::Mu, [code; 160])))
}

/// First left sample of each frame, after checking the form and that right is its negative.
fn heard(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8_000, 16));
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    assert!(samples.chunks_exact(2).all(|pair| pair[0] == -pair[1]));
    samples.chunks(320).map(|frame| frame[0]).collect()
}

#[test]
fn a_recording_is_a_stereo_wav_of_exactly_the_frames_it_was_given() {
    let mut bench = Bench::new("whole");

    bench.frame(TALK, RecordKind::Start, 0);
    let path = bench.path(TALK);
    assert_eq!(bench.events(), [RecorderEvent::Started { talk: TALK, path: path.clone() }]);
    bench.audio(0..75);
    bench.frame(TALK, RecordKind::End, 75);

    assert_eq!(heard(&path), (0..75).map(left).collect::<Vec<_>>());
    let bytes = fs::metadata(&path).unwrap().len();
    assert_eq!(bench.finished(), (bytes, 75, 0));
    assert_eq!(bytes, u64::from(HEADER_BYTES + 75 * FRAME_BYTES));
    assert_eq!(bench.writer.counters.read().active, 0);
}

#[test]
fn each_side_is_unpacked_by_its_own_law_and_who_says_nothing_is_silent() {
    let mut bench = Bench::new("laws");
    let (mu, a) = (Some((Law::Mu, [0x21; 160])), Some((Law::A, [0x21; 160])));
    for (index, tracks) in (0..).zip([[mu, a], [a, None], [None, mu], [None, None]]) {
        let frame = RecordFrame { talk: TALK, kind: RecordKind::Audio, index, tracks };
        bench.writer.handle_frame(&frame, bench.now);
    }
    bench.frame(TALK, RecordKind::End, 4);

    let samples: Vec<i16> = hound::WavReader::open(bench.path(TALK))
        .unwrap()
        .into_samples()
        .map(Result::unwrap)
        .collect();

    let (mu, a) = (g711::decode(Law::Mu, 0x21), g711::decode(Law::A, 0x21));
    let expected = [[mu, a], [a, 0], [0, mu], [0, 0]].map(|pair| pair.repeat(160)).concat();
    assert_eq!(samples, expected);
}

#[test]
fn the_file_opens_at_any_instant_and_holds_all_but_the_last_moments() {
    let mut bench = Bench::new("instant");
    bench.frame(TALK, RecordKind::Start, 0);
    assert_eq!(heard(&bench.path(TALK)), []);

    for index in 0..150 {
        bench.audio([index]);

        let heard = heard(&bench.path(TALK));
        assert_eq!(heard, (0..u32::try_from(heard.len()).unwrap()).map(left).collect::<Vec<_>>());
        assert!(heard.len() + 15 > index as usize, "{} of {index} written", heard.len());
    }
}

#[test]
fn a_crash_between_samples_and_sizes_loses_nothing_that_was_written() {
    thread_local!(static WRITES_LEFT: Cell<u32> = const { Cell::new(0) });
    let disk = Disk {
        write: |file, bytes, at| {
            let left = WRITES_LEFT.get().checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            WRITES_LEFT.set(left);
            file.write_all_at(bytes, at)
        },
        ..Disk::REAL
    };
    // Writes are: header, then samples and header by turns; the crash comes after each of them.
    for writes in 1..8 {
        WRITES_LEFT.set(writes);
        let mut bench = Bench::on("crash", disk);
        bench.frame(TALK, RecordKind::Start, 0);
        bench.audio(0..90);
        let at_crash = heard(&bench.path(TALK)).len();

        wav::repair(wav::files(bench.folder.path()).unwrap());

        let mended = heard(&bench.path(TALK)).len();
        let appended = if writes % 2 == 0 { mended > at_crash } else { mended == at_crash };
        assert!(appended, "after {writes} writes: {at_crash} frames, mended {mended}");
    }
}

#[test]
fn what_does_not_arrive_is_silence_of_its_length_and_counted() {
    let mut bench = Bench::new("gaps");

    bench.frame(TALK, RecordKind::Start, 0);
    bench.audio((3..10).chain(12..30));
    bench.frame(TALK, RecordKind::End, 40);

    let expected = (0..40).map(|index| match index {
        3..10 | 12..30 => left(index),
        _ => 0,
    });
    assert_eq!(heard(&bench.path(TALK)), expected.collect::<Vec<_>>());
    let (_, frames, lost) = bench.finished();
    assert_eq!((frames, lost), (40, 15));
}

#[test]
fn a_frame_that_comes_twice_or_late_does_not_move_the_others() {
    let mut bench = Bench::new("twice");

    bench.audio([0, 1, 1, 0, 2]);
    bench.frame(TALK, RecordKind::End, 3);

    assert_eq!(heard(&bench.path(TALK)), [left(0), left(1), left(2)]);
}

#[test]
fn a_recording_whose_start_was_lost_begins_with_what_comes() {
    let mut bench = Bench::new("late-start");

    bench.audio(5..8);
    bench.frame(TALK, RecordKind::End, 8);

    assert_eq!(heard(&bench.path(TALK)), [0, 0, 0, 0, 0, left(5), left(6), left(7)]);
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let mut bench = Bench::new("exists");
    fs::write(bench.path(TALK), b"somebody's words").unwrap();

    bench.frame(TALK, RecordKind::Start, 0);
    bench.audio(0..200);
    bench.frame(TALK, RecordKind::End, 200);

    let events = bench.events();
    assert!(matches!(&events[..], [RecorderEvent::Failed { what, .. }] if what.contains("exists")));
    assert_eq!(fs::read(bench.path(TALK)).unwrap(), b"somebody's words");
    assert_eq!(bench.writer.counters.read().frames_lost, 200);
}

#[test]
fn a_full_disk_is_one_alarm_and_the_recording_resumes_when_there_is_room() {
    thread_local!(static FULL: Cell<bool> = const { Cell::new(false) });
    let disk = Disk {
        write: |file, bytes, at| match FULL.get() {
            true => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            false => file.write_all_at(bytes, at),
        },
        ..Disk::REAL
    };
    let mut bench = Bench::on("full", disk);
    bench.frame(TALK, RecordKind::Start, 0);
    bench.audio(0..100);
    FULL.set(true);
    bench.audio(100..300);
    let alarms: Vec<_> =
        bench.events().into_iter().filter(|e| matches!(e, RecorderEvent::Failed { .. })).collect();
    assert!(
        matches!(&alarms[..], [RecorderEvent::Failed { no_file: false, .. }]),
        "what was written stays: {alarms:?}"
    );
    let before = heard(&bench.path(TALK)).len();
    assert!((79..=100).contains(&before), "what was written stays: {before}");

    FULL.set(false);
    bench.audio(300..400);
    bench.frame(TALK, RecordKind::End, 400);

    let (_, frames, lost) = bench.finished();
    let heard = heard(&bench.path(TALK));
    assert_eq!((frames, heard.len()), (400, 400));
    assert!((200..=272).contains(&lost), "{lost} lost: the fault and little more than a second");
    assert_eq!(heard.iter().filter(|&&sample| sample == 0).count() as u64, lost);
    assert_eq!((heard[78], heard[399]), (left(78), left(399)));
}

#[test]
fn a_file_that_cannot_be_made_is_said_to_be_none_and_one_that_is_made_later_to_have_started() {
    thread_local!(static READ_ONLY: Cell<bool> = const { Cell::new(true) });
    let disk = Disk {
        create: |path| match READ_ONLY.get() {
            true => Err(io::Error::from_raw_os_error(libc::EROFS)),
            false => (Disk::REAL.create)(path),
        },
        ..Disk::REAL
    };
    let mut bench = Bench::on("read-only", disk);
    bench.frame(TALK, RecordKind::Start, 0);
    bench.audio(0..100);
    let events = bench.events();
    assert!(matches!(&events[..], [RecorderEvent::Failed { no_file: true, .. }]), "{events:?}");

    READ_ONLY.set(false);
    bench.audio(100..200);

    let path = bench.path(TALK);
    assert_eq!(bench.events(), [RecorderEvent::Started { talk: TALK, path }]);
}

#[test]
fn a_fault_of_one_recording_harms_no_other() {
    let other = TalkName(30);
    let mut bench = Bench::new("others");
    fs::write(bench.path(TALK), b"").unwrap();

    for index in 0..50 {
        bench.audio([index]);
        bench.frame(other, RecordKind::Audio, index);
    }
    bench.frame(other, RecordKind::End, 50);

    assert_eq!(heard(&bench.path(other)), (0..50).map(left).collect::<Vec<_>>());
    assert_eq!(bench.finished().2, 0);
}

#[test]
fn many_recordings_are_made_durable_together_and_each_finishes_whole() {
    let mut bench = Bench::new("many");
    for index in 0..60 {
        for talk in 0..20 {
            let frame = RecordFrame {
                talk: TalkName(talk),
                kind: RecordKind::Audio,
                index,
                tracks: said(index),
            };
            bench.writer.handle_frame(&frame, bench.now);
        }
        bench.pass(Duration::from_millis(20));
    }
    for talk in 0..20 {
        let kind = RecordKind::End;
        let end = RecordFrame { talk: TalkName(talk), kind, index: 60, tracks: [None; 2] };
        bench.writer.handle_frame(&end, bench.now);
    }
    bench.events();

    bench.pass(Duration::ZERO);

    let finished = |event: &RecorderEvent| {
        matches!(event, RecorderEvent::Finished { frames: 60, lost: 0, .. })
    };
    let events = bench.events();
    assert!(events.len() == 20 && events.iter().all(finished), "{events:?}");
}

#[test]
fn a_vanished_folder_is_an_alarm_and_one_that_came_back_is_used_again() {
    let mut bench = Bench::new("vanished");
    bench.frame(TALK, RecordKind::Start, 0);
    bench.audio(0..10);
    fs::remove_dir_all(bench.folder.path()).unwrap();
    bench.audio(10..100);
    bench.frame(TalkName(30), RecordKind::Start, 0);

    let failed: Vec<_> = (bench.events().into_iter())
        .filter_map(|event| match event {
            RecorderEvent::Failed { talk, what, .. } => Some((talk.0, what)),
            RecorderEvent::Started { .. } | RecorderEvent::Finished { .. } => None,
        })
        .collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].1.contains("deleted") && failed[1].1.contains("No such file"), "{failed:?}");

    fs::create_dir_all(bench.folder.path()).unwrap();
    bench.frame(TalkName(31), RecordKind::Start, 0);
    bench.frame(TalkName(31), RecordKind::Audio, 0);
    bench.frame(TalkName(31), RecordKind::End, 1);
    assert_eq!(bench.finished().1, 1);
}

#[test]
fn a_recording_whose_end_was_lost_is_closed_after_a_minute_without_frames() {
    let mut bench = Bench::new("no-end");
    bench.audio(0..10);

    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.writer.counters.read().active, 1);
    bench.pass(Duration::from_secs(1));

    assert_eq!(bench.finished().1, 10);
    assert_eq!(bench.writer.counters.read().active, 0);
}

#[test]
fn stopping_closes_every_file_at_the_length_it_has() {
    let mut bench = Bench::new("stop");
    bench.frame(TALK, RecordKind::Start, 0);
    bench.audio(0..33);

    bench.writer.close_all(bench.now);

    assert_eq!(bench.finished(), (u64::from(HEADER_BYTES + 33 * FRAME_BYTES), 33, 0));
    assert_eq!(heard(&bench.path(TALK)).len(), 33);
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_what_would_do() {
    let folder = TestFolder::new("unusable");
    let file = folder.path().join("a-file");
    fs::write(&file, b"").unwrap();

    let error = check_folder(&file.join("recordings")).unwrap_err().to_string();

    assert!(error.starts_with("recording.dir ") && error.contains("a-file/recordings"), "{error}");
    check_folder(&folder.path().join("new/one")).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("new/one")).unwrap().count(), 0);
}

#[test]
fn a_disk_that_takes_its_time_to_sync_keeps_no_sample_out_of_the_file() {
    let mut bench = Bench::new("stalled");
    let (clerk, errands, done) = Clerk::by_hand();
    bench.writer.clerk = clerk;

    for index in 0..500 {
        let frame = RecordFrame { talk: TALK, kind: RecordKind::Audio, index, tracks: said(index) };
        bench.writer.handle_frame(&frame, bench.now);
        bench.now += Duration::from_millis(20);
        bench.writer.write(bench.now);
    }

    let written = heard(&bench.path(TALK)).len();
    assert!(written + 15 > 500, "{written} of 500 written while the first sync was under way");
    assert_eq!(errands.try_iter().count(), 1, "one errand at a time");
    assert_eq!(bench.events(), [], "nothing is called durable that is not");
    drop(done);
}
