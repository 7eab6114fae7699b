//! A sealed recording after a crash, or after somebody else had it.

use media_core::record::seal::{
    AUDIO_FRAMES_MAX, Content, FRAME_BYTES, FileSecret, Kind, SealKey, Sealer, Told, walk,
};

/// # Panics
/// Where more is heard than there is, or bytes that were cut off or changed are not missed.
pub fn seal(bytes: &[u8]) {
    open(bytes);
    harm(Content::Pcm, bytes);
    harm(Content::Opus, bytes);
}

const MASTER: SealKey = SealKey::new([7; 32]);

/// Any bytes as a file.
fn open(bytes: &[u8]) {
    let (mut heard, mut frames, mut sound) = (0, 0, vec![]);
    let walked = walk(bytes, &MASTER, |kind, count, text| {
        heard += text.len();
        assert!(kind != Kind::Audio || text.len() == count as usize * FRAME_BYTES);
        match kind {
            Kind::Audio | Kind::Silence | Kind::Page => {
                assert!(kind == Kind::Silence || count <= AUDIO_FRAMES_MAX);
                frames += u64::from(count);
                sound.push(kind == Kind::Page);
            }
            Kind::Peaks | Kind::End => {}
        }
    });
    assert!(heard <= bytes.len());
    if let Ok(walked) = walked {
        assert!(walked.name.len() < 64 && walked.frames == frames);
        assert!(sound.iter().all(|&page| page == (walked.content == Content::Opus)));
    }
}

/// The bytes say what is recorded, and what is done to the file then.
fn harm(content: Content, bytes: &[u8]) {
    let Some((&[at_high, at_low, bit, ..], samples)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let secret = FileSecret { key: [3; 32], wrap_nonce: [4; 12] };
    let Some(mut sealer) = Sealer::new(content, "call-0000001d", &MASTER, &secret) else {
        return;
    };
    let mut file = sealer.header().to_vec();
    match content {
        Content::Pcm => {
            for frames in samples.chunks(FRAME_BYTES * 2) {
                let mut frames = frames.to_vec();
                frames.resize(frames.len().next_multiple_of(FRAME_BYTES), 0);
                sealer.audio(&frames, &mut file);
                sealer.silence(bit.into(), &mut file);
            }
        }
        // Whatever a page is: who seals it knows what it holds.
        Content::Opus => {
            for page in samples.chunks(usize::from(bit) + 1) {
                sealer.page(u32::from(bit).min(AUDIO_FRAMES_MAX), page, &mut file);
            }
        }
    }
    sealer.end(0, 0, &mut file);
    let all = sealer.place().frame;
    let whole = walk(&file, &MASTER, |_, _, _| ()).map(|walked| walked.told);
    assert!(matches!(whole, Ok(Told::Whole(end)) if end.frames == all), "{whole:?}");

    let at = usize::from(u16::from_be_bytes([at_high, at_low])) % file.len();
    let cut = walk(file.get(..at).unwrap_or_default(), &MASTER, |_, _, _| ());
    assert!(cut.is_err() || cut.is_ok_and(|it| it.told == Told::Cut && it.frames <= all));
    if let Some(byte) = file.get_mut(at) {
        *byte ^= 1 << (bit % 8);
    }
    let changed = walk(&file, &MASTER, |_, _, _| ());
    assert!(!matches!(changed, Ok(it) if matches!(it.told, Told::Whole(_))), "at {at}");
}
