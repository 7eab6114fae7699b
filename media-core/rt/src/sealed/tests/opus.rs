//! Sealed recordings in Opus on a disk, beside those in the open.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use media_core::record::{
    opus::FRAME_BYTES,
    seal::{FileSecret, Sealer},
};
use nix::sys::eventfd::EventFd;
use ringbuf::{
    HeapRb,
    traits::{Producer, Split},
};

use super::*;
use crate::{
    opus::{self, Check},
    recorder::Recorder,
};

/// The same talk sealed and in the open.
struct Both {
    sealed: Bench,
    open: Bench,
}

impl Both {
    fn new(test: &str, disk: Disk) -> Self {
        let bench =
            |kind: &str, seal| Bench::of(Format::Opus, &format!("{test}-{kind}"), seal, disk);
        let sealed = bench("sealed", Seal::With { key: KEY, random });
        Self { sealed, open: bench("open", Seal::Off) }
    }

    fn frame(&mut self, kind: RecordKind, index: u32) {
        self.sealed.frame(kind, index);
        self.open.frame(kind, index);
    }

    fn audio(&mut self, indices: impl IntoIterator<Item = u32>) {
        indices.into_iter().for_each(|index| self.frame(RecordKind::Audio, index));
    }

    /// The sealed file: what is in it is as sound and as long as what stands in the open one.
    fn opened(&self) -> SealedFile {
        let mut file = SealedFile::open(&self.sealed.path(), &KEY).unwrap();
        assert_eq!(file.content(), Content::Opus);
        let there = opus::check(&self.open_path()).unwrap();
        let opened = self.sealed.folder.path().with_extension("opus");
        fs::write(&opened, sound(&mut file)).unwrap();
        assert_eq!(opus::check(&opened).unwrap(), there);
        fs::remove_file(opened).unwrap();
        let told = frames(&self.sealed.path()).unwrap();
        assert_eq!((file.frames(), told), (there.1, there.1));
        file
    }

    fn open_path(&self) -> PathBuf {
        self.open.path().with_extension("opus")
    }
}

fn sound(file: &mut SealedFile) -> Vec<u8> {
    let mut sound = vec![];
    file.reader().read_to_end(&mut sound).unwrap();
    assert_eq!(sound.len() as u64, file.sound_bytes());
    sound
}

#[test]
fn a_sealed_recording_in_opus_is_as_long_as_one_in_the_open_at_any_instant_and_as_sound() {
    let mut both = Both::new("opus-whole", Disk::REAL);
    both.frame(RecordKind::Start, 0);
    for index in 0..70 {
        both.frame(RecordKind::Audio, index);

        let file = both.opened();

        assert!(file.told() == Told::Cut && file.frames() + 25 > u64::from(index), "at {index}");
        assert!(!has_end(&both.sealed.path()).unwrap());
    }
    both.audio(80..130);
    assert!(both.opened().frames() > 105, "what was lost counts");
    (130..160).for_each(|index| both.frame(RecordKind::Paused, index));
    both.audio(160..190);
    both.frame(RecordKind::End, 200);

    let mut file = both.opened();

    let end = End { frames: 200, lost: 20, paused: 30 };
    assert_eq!((file.told(), file.verify().unwrap()), (Told::Whole(end), Told::Whole(end)));
    assert!(has_end(&both.sealed.path()).unwrap());
    assert_eq!(opus::check(&both.open_path()).unwrap(), (Check::Whole, 200));
    assert_eq!(opus::play(file.reader(), |_| ()).unwrap(), 200);
    let kept = file.peaks().unwrap();
    let beside = fs::read_to_string(both.open_path().with_extension("peaks.json")).unwrap();
    assert_eq!(media_core::record::peaks::to_json(&kept), beside);
    assert_eq!(opus::peaks(file.reader()).unwrap().len(), kept.len());
    let whole = sound(&mut file);
    for at in (0..whole.len()).step_by(97) {
        let piece = file.sound(at as u64).unwrap();
        assert!(!piece.is_empty() && whole[at..].starts_with(&piece), "from byte {at}");
    }
    assert!(file.sound(whole.len() as u64).unwrap().is_empty());
    let path = both.sealed.path();
    let names: Vec<_> = fs::read_dir(both.sealed.folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing in the clear beside it");
    let bytes = fs::metadata(&path).unwrap().len();
    let finished = RecorderEvent::Finished { talk: TALK, path, bytes, frames: 200, lost: 20 };
    assert_eq!(both.sealed.events().pop(), Some(finished));
}

#[test]
fn a_full_disk_that_takes_half_a_page_leaves_no_damage_in_a_sealed_file_and_it_goes_on() {
    let mut both = Both::new("opus-full", HALF_TAKING);
    both.frame(RecordKind::Start, 0);
    both.audio(0..100);
    be_full(true);
    both.audio(100..300);
    assert_eq!(both.opened().verify().unwrap(), Told::Cut, "a disk that is full is no damage");
    be_full(false);
    both.audio(300..400);
    both.frame(RecordKind::End, 400);

    let mut file = both.opened();

    let Told::Whole(end) = file.verify().unwrap() else { panic!("{:?}", file.told()) };
    assert!((200..=275).contains(&end.lost), "{} lost: the fault and a second after it", end.lost);
    assert_eq!((end.frames, opus::play(file.reader(), |_| ()).unwrap()), (400, 400));
}

static HELD: AtomicBool = AtomicBool::new(false);
static WRITES: AtomicBool = AtomicBool::new(false);

/// A disk that takes bytes when it likes to.
const SLOW: Disk = Disk {
    write: |file, bytes, at| {
        WRITES.store(true, Ordering::Release);
        while HELD.load(Ordering::Acquire) {
            thread::yield_now();
        }
        file.write_all_at(bytes, at)
    },
    ..Disk::REAL
};

#[test]
fn what_a_slow_disk_leaves_no_room_for_is_lost_counted_and_silent_in_its_place() {
    let bench = Bench::of(Format::Opus, "opus-sealed-slow", Seal::With { key: KEY, random }, SLOW);
    let path = bench.path();
    let (mut frames, taken) = HeapRb::new(64).split();
    let (events, _told) = HeapRb::new(8).split();
    let stop = Arc::new(AtomicBool::new(false));
    let recorder = Recorder {
        writer: bench.writer,
        frames: vec![taken],
        events,
        bell: Arc::new(EventFd::new().unwrap()),
        stop: stop.clone(),
    };
    let tone: [u8; 160] = std::array::from_fn(|at| if at / 4 % 2 == 0 { 0x90 } else { 0x10 });
    let frame = |kind, index| {
        let said = (kind == RecordKind::Audio).then_some((Law::Mu, tone));
        RecordFrame { talk: TALK, kind, index, tracks: [said; 2] }
    };
    HELD.store(true, Ordering::Release);
    frames.try_push(frame(RecordKind::Start, 0)).unwrap();
    let running = thread::spawn(move || recorder.run());
    while !WRITES.load(Ordering::Acquire) {
        thread::yield_now();
    }

    // As the media thread does it: nobody waits for room.
    let audio = |index| frame(RecordKind::Audio, index);
    let lost = (0..300).filter(|&index| frames.try_push(audio(index)).is_err()).count() as u64;
    HELD.store(false, Ordering::Release);
    let behind = (300..330).map(audio);
    for frame in behind.chain([frame(RecordKind::End, 330)]) {
        while frames.try_push(frame).is_err() {
            thread::yield_now();
        }
    }
    stop.store(true, Ordering::Release);
    let recorder = running.join().unwrap();

    let mut file = SealedFile::open(&path, &KEY).unwrap();
    let end = End { frames: 330, lost, paused: 0 };
    assert_eq!((lost, file.verify().unwrap()), (300 - 64, Told::Whole(end)));
    assert_eq!(recorder.writer.frames_lost(), lost);
    let mut samples = vec![];
    assert_eq!(opus::play(file.reader(), |piece| samples.extend_from_slice(piece)).unwrap(), 330);
    let frames = samples.chunks(FRAME_BYTES);
    let loudest = |frame: &[u8]| {
        let samples = frame.as_chunks::<2>().0.iter();
        samples.map(|&it| i16::from_le_bytes(it).unsigned_abs()).max().unwrap()
    };
    let loud: Vec<_> = frames.map(|frame| loudest(frame) > 500).collect();
    assert!(loud[1..63].iter().all(|&it| it), "what there was room for is heard");
    assert!(!loud[66..299].contains(&true), "nothing where it was lost");
    assert!(loud[301..].iter().all(|&it| it), "and what came then is heard in its time");
}

#[test]
fn a_disk_that_is_full_at_the_first_byte_leaves_an_opus_file_that_begins_with_its_head() {
    let mut both = Both::new("opus-full-at-first", HALF_TAKING);
    be_full(true);
    both.frame(RecordKind::Start, 0);
    both.audio(0..30);
    be_full(false);
    both.audio(30..150);
    both.frame(RecordKind::End, 150);

    let mut file = both.opened();

    assert!(matches!(file.verify().unwrap(), Told::Whole(End { frames: 150, .. })));
    assert_eq!(opus::play(file.reader(), |_| ()).unwrap(), 150);
}

#[test]
fn the_reader_says_of_opus_what_the_definition_says_and_gives_out_nothing_from_the_damage_on() {
    let mut both = Both::new("opus-walk", Disk::REAL);
    both.audio(0..60);
    both.frame(RecordKind::End, 60);
    let whole = fs::read(both.sealed.path()).unwrap();
    let open = sound(&mut both.opened());
    let path = both.sealed.folder.path().join("harmed.sealed");
    for at in (0..whole.len()).step_by(61).chain(whole.len() - 60..whole.len()) {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        for (what, bytes) in [("cut", &whole[..at]), ("changed", &changed[..])] {
            fs::write(&path, bytes).unwrap();
            let mut pages = vec![];
            let defined = walk(bytes, &KEY, |kind, _, text| {
                pages.extend_from_slice(if kind == Kind::Page { text } else { &[] });
            });
            match (defined, SealedFile::open(&path, &KEY)) {
                (Ok(walk), Ok(mut file)) => {
                    assert_eq!(walk.told, file.verify().unwrap(), "{what} at {at}");
                    assert_eq!(walk.frames, file.frames(), "{what} at {at}");
                    let there = sound(&mut file);
                    assert!(there == pages && open.starts_with(&there), "{what} at {at}");
                }
                (Err(flaw), Err(SealedError::Flaw(found))) => {
                    assert_eq!(flaw, found, "{what} at {at}");
                }
                other => panic!("{what} at {at}: {:?} and {:?}", other.0, other.1.map(|_| ())),
            }
        }
    }
}

#[test]
fn the_reader_refuses_sound_of_another_content_where_the_definition_does() {
    use Kind::{Audio, End, Page, Peaks, Silence};
    let folder = TestFolder::new("opus-mixed");
    let path = folder.path().join("mixed.sealed");
    let mixed = |content, chunks: &[Kind]| {
        let secret = FileSecret { key: [1; 32], wrap_nonce: [2; 12] };
        let mut sealer = Sealer::new(content, "mixed", &KEY, &secret).unwrap();
        let mut bytes = sealer.header().to_vec();
        for kind in chunks {
            match kind {
                Audio => sealer.audio(&[7; FRAME_BYTES], &mut bytes),
                Silence => sealer.silence(3, &mut bytes),
                Peaks => sealer.peaks(&[1, 2, 3, 4], &mut bytes),
                Page => sealer.page(2, b"OggS and so on", &mut bytes),
                End => sealer.end(0, 0, &mut bytes),
            }
        }
        fs::write(&path, &bytes).unwrap();
        let mut file = SealedFile::open(&path, &KEY).unwrap();
        let walk = walk(&bytes, &KEY, |_, _, _| ()).unwrap();
        assert_eq!((file.verify().unwrap(), file.frames()), (walk.told, walk.frames), "{chunks:?}");
        matches!(walk.told, Told::Whole(_))
    };
    assert!(mixed(Content::Opus, &[Page, Page, Peaks, End]));
    assert!(mixed(Content::Pcm, &[Audio, Silence, Peaks, End]));
    assert!(!mixed(Content::Opus, &[Page, Audio, End]));
    assert!(!mixed(Content::Opus, &[Page, Silence, End]));
    assert!(!mixed(Content::Pcm, &[Audio, Page, End]));
    assert!(!mixed(Content::Pcm, &[Peaks, Audio, End]));
}
