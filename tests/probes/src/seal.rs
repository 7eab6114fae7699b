//! A sealed recording after a crash, or after somebody else had it.

use media_core::record::seal::{
    AUDIO_FRAMES_MAX, FRAME_BYTES, FileSecret, Kind, SealKey, Sealer, Told, walk,
};

/// # Panics
/// Where more is heard than there is, or bytes that were cut off or changed are not missed.
pub fn seal(bytes: &[u8]) {
    open(bytes);
    harm(bytes);
}

const MASTER: SealKey = SealKey::new([7; 32]);

/// Any bytes as a file.
fn open(bytes: &[u8]) {
    let mut heard = 0;
    let walked = walk(bytes, &MASTER, |kind, count, text| {
        heard += text.len();
        assert!(kind != Kind::Audio || text.len() == count as usize * FRAME_BYTES);
        assert!(kind != Kind::Audio || count <= AUDIO_FRAMES_MAX);
    });
    assert!(heard <= bytes.len());
    if let Ok(walked) = walked {
        assert!(walked.name.len() < 64);
    }
}

/// The bytes say what is recorded, and what is done to the file then.
fn harm(bytes: &[u8]) {
    let Some((&[at_high, at_low, bit, ..], samples)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let secret = FileSecret { key: [3; 32], wrap_nonce: [4; 12] };
    let Some(mut sealer) = Sealer::new("call-0000001d", &MASTER, &secret) else { return };
    let mut file = sealer.header().to_vec();
    for frames in samples.chunks(FRAME_BYTES * 2) {
        let mut frames = frames.to_vec();
        frames.resize(frames.len().next_multiple_of(FRAME_BYTES), 0);
        sealer.audio(&frames, &mut file);
        sealer.silence(bit.into(), &mut file);
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
