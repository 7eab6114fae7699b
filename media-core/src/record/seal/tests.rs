//! What a sealed file promises to who cuts it, changes it, or mixes it with another.

use super::*;
use sha2::{Digest, Sha256};

const MASTER: SealKey = SealKey::new([7; 32]);

fn secret(seed: u8) -> FileSecret {
    FileSecret { key: [seed; 32], wrap_nonce: [seed + 1; 12] }
}

fn frame(index: u8) -> Vec<u8> {
    vec![index; FRAME_BYTES]
}

/// Where each chunk of a file begins, and the file.
struct Made {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

/// Audio, silence and audio again, `seconds` of each in chunks of a second; then peaks and the end.
fn recording(seed: u8, seconds: u8, frames: u8) -> Made {
    let mut sealer = Sealer::new(Content::Pcm, "call-0000001d", &MASTER, &secret(seed)).unwrap();
    let mut bytes = sealer.header().to_vec();
    let mut starts = vec![];
    for part in 0..3 {
        for second in 0..seconds {
            starts.push(bytes.len());
            match part {
                1 => sealer.silence(frames.into(), &mut bytes),
                _ => sealer.audio(&frame(second + part + 1).repeat(frames.into()), &mut bytes),
            }
        }
    }
    starts.push(bytes.len());
    for part in [[1, 2, 3, 4], [5, 6, 7, 8]] {
        sealer.peaks(&part, &mut bytes);
        starts.push(bytes.len());
    }
    sealer.end(u64::from(frames) * u64::from(seconds), 9, &mut bytes);
    Made { bytes, starts }
}

/// What it says, the audio in it with silence as zeros, and the peaks.
fn read(bytes: &[u8]) -> Result<(Walk, Vec<u8>, Vec<u8>), Flaw> {
    let (mut audio, mut peaks) = (vec![], vec![]);
    let walk = walk(bytes, &MASTER, |kind, count, text| match kind {
        Kind::Audio => audio.extend_from_slice(text),
        Kind::Silence => audio.resize(audio.len() + count as usize * FRAME_BYTES, 0),
        Kind::Peaks => peaks.extend_from_slice(text),
        Kind::Page | Kind::End => unreachable!(),
    })?;
    assert_eq!(audio.len() as u64, walk.frames * FRAME_BYTES as u64);
    Ok((walk, audio, peaks))
}

#[test]
fn what_is_sealed_is_read_again_and_nothing_of_it_stands_in_the_file() {
    let made = recording(1, 3, 50);

    let (walk, audio, peaks) = read(&made.bytes).unwrap();

    let end = End { frames: 450, lost: 150, paused: 9 };
    let (name, content) = ("call-0000001d".into(), Content::Pcm);
    assert_eq!(walk, Walk { name, content, frames: 450, told: Told::Whole(end) });
    assert_eq!(peaks, [1, 2, 3, 4, 5, 6, 7, 8]);
    let second = |of: u8| vec![of; 50 * FRAME_BYTES];
    let expected = [1, 2, 3, 0, 0, 0, 3, 4, 5].map(second).concat();
    assert!(audio == expected);
    for known in [frame(1), frame(3), secret(1).key.to_vec()] {
        assert!(!made.bytes.windows(32).any(|window| window == &known[..32]));
    }
}

#[test]
fn a_file_cut_anywhere_is_read_to_its_last_whole_chunk_and_says_that_its_end_is_missing() {
    let made = recording(1, 20, 50);
    let (_, whole, _) = read(&made.bytes).unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut held = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cut = HEADER_BYTES + (random >> 33) as usize % (made.bytes.len() - HEADER_BYTES);

        let (walk, audio, _) = read(&made.bytes[..cut]).unwrap();

        let chunks = made.starts.iter().skip(1).filter(|&&start| start <= cut).count();
        let frames = chunks.min(60) as u64 * 50;
        assert_eq!((walk.told, walk.frames), (Told::Cut, frames), "cut at {cut}");
        assert!(whole.starts_with(&audio), "cut at {cut}");
        held.insert(chunks);
    }
    assert!(held.len() > 30, "cuts all over: {held:?}");
    for cut in 8..HEADER_BYTES {
        assert_eq!(read(&made.bytes[..cut]), Err(Flaw::HeaderCut), "cut at {cut}");
    }
}

#[test]
fn zeros_that_a_power_cut_leaves_behind_a_whole_chunk_are_a_cut() {
    let made = recording(1, 2, 50);
    let mut bytes = made.bytes[..made.starts[1]].to_vec();
    bytes.resize(bytes.len() + 4096, 0);

    let (walk, _, _) = read(&bytes).unwrap();

    assert_eq!((walk.told, walk.frames), (Told::Cut, 50));
}

#[test]
fn one_bit_changed_anywhere_is_found_and_what_was_before_it_is_still_read() {
    let made = recording(1, 1, 2);
    let (_, whole, _) = read(&made.bytes).unwrap();
    for at in 0..made.bytes.len() {
        let mut bytes = made.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        match read(&bytes) {
            Err(_) => assert!(at < HEADER_BYTES, "byte {at}"),
            Ok((walk, audio, _)) => {
                assert!(at >= HEADER_BYTES, "byte {at} of the header");
                assert!(!matches!(walk.told, Told::Whole(_)), "byte {at}: {walk:?}");
                assert!(whole.starts_with(&audio), "byte {at}");
                let before = made.starts.iter().skip(1).filter(|&&start| start <= at).count();
                assert_eq!(walk.frames, before.min(3) as u64 * 2, "byte {at}");
            }
        }
    }
}

#[test]
fn chunks_left_out_exchanged_or_from_another_file_are_found() {
    let (one, two) = (recording(1, 2, 50), recording(3, 2, 50));
    let chunk = |made: &Made, at: usize| made.bytes[made.starts[at]..made.starts[at + 1]].to_vec();
    let header = one.bytes[..HEADER_BYTES].to_vec();
    let rest = |from: usize| one.bytes[one.starts[from]..].to_vec();
    let audio = one.bytes[..one.starts[6]].to_vec();
    let forgeries = [
        ("left out", [header.clone(), chunk(&one, 0), rest(2)].concat()),
        ("exchanged", [header.clone(), chunk(&one, 1), chunk(&one, 0), rest(2)].concat()),
        ("twice", [header.clone(), chunk(&one, 0), rest(0)].concat()),
        ("of another", [header.clone(), chunk(&two, 0), rest(1)].concat()),
        ("another header", [two.bytes[..HEADER_BYTES].to_vec(), rest(0)].concat()),
        ("an early end", [header.clone(), chunk(&one, 0), rest(8)].concat()),
        ("another's end", [&one.bytes[..one.starts[8]], &two.bytes[two.starts[8]..]].concat()),
        ("no audio", [header, rest(6)].concat()),
        ("no peaks", [audio.clone(), rest(8)].concat()),
        ("peaks exchanged", [audio, chunk(&one, 7), chunk(&one, 6), rest(8)].concat()),
        ("more behind its end", [&one.bytes[..], &one.bytes[one.starts[8]..]].concat()),
    ];
    for (what, bytes) in forgeries {
        let (walk, _, _) = read(&bytes).unwrap();
        assert!(matches!(walk.told, Told::Damaged(_)), "{what}: {walk:?}");
    }
    let (walk, _, _) = read(&one.bytes[..one.starts[8]]).unwrap();
    assert_eq!(walk.told, Told::Cut, "a whole chunk less at the end");
}

#[test]
fn a_wrong_key_is_told_by_name_and_no_key_is_ever_shown() {
    let made = recording(1, 1, 1);
    let other = SealKey::new([8; 32]);

    let refused = walk(&made.bytes, &other, |_, _, _| ()).unwrap_err();

    assert_eq!(refused, Flaw::WrongKey { needed: MASTER.id(), given: other.id() });
    let said = refused.to_string();
    assert!(
        said.contains(&MASTER.id().to_string()) && said.contains(&other.id().to_string()),
        "{said}"
    );
    assert_eq!(Header::parse(&made.bytes).unwrap().key, MASTER.id());
    let shown = format!("{MASTER:?}");
    assert!(!shown.contains("0707") && !shown.contains("7, 7"), "{shown}");
}

#[test]
fn what_was_given_up_is_sealed_anew_with_another_nonce_at_the_same_place() {
    let mut sealer = Sealer::new(Content::Pcm, "call-0000001d", &MASTER, &secret(1)).unwrap();
    let mut file = sealer.header().to_vec();
    let (place, mut first, mut second) = (sealer.place(), vec![], vec![]);

    sealer.audio(&frame(1), &mut first);
    sealer.give_up(place);
    sealer.audio(&frame(1), &mut second);
    file.extend_from_slice(&second);
    sealer.end(0, 0, &mut file);

    assert_ne!(first[HEAD_BYTES..], second[HEAD_BYTES..]);
    let (walk, audio, _) = read(&file).unwrap();
    assert!(matches!(walk.told, Told::Whole(End { frames: 1, .. })), "{walk:?}");
    assert_eq!(audio, frame(1));
}

#[test]
fn a_key_is_64_hexadecimal_digits_and_nothing_else() {
    let text = "00ff".repeat(16);
    let key = SealKey::from_hex(&text).unwrap();
    assert_eq!(key, SealKey::from_hex(&text.to_uppercase()).unwrap());
    assert_ne!(key.id(), MASTER.id());
    for not in ["", "00", &text[1..], &(text.clone() + "0"), &text.replace("ff", "fg"), "hush"] {
        assert_eq!(SealKey::from_hex(not), Err(NotAKey), "{not}");
    }
}

/// A key id that changes would leave every recording of before unnamed.
#[test]
fn the_name_of_a_key_is_the_one_it_always_was() {
    assert_eq!(SealKey::new([0; 32]).id().to_string(), "4516f83a62f3a0f2");
}

#[test]
fn names_are_kept_up_to_63_bytes() {
    let longest = "x".repeat(63);
    let sealer = Sealer::new(Content::Pcm, &longest, &MASTER, &secret(1)).unwrap();
    assert_eq!(Header::parse(sealer.header()).unwrap().name, longest);
    assert!(Sealer::new(Content::Pcm, &"x".repeat(64), &MASTER, &secret(1)).is_none());
}

/// A file that would be made otherwise tells of a reader that may not know those of before.
#[test]
fn a_sealed_file_of_samples_is_bit_for_bit_what_it_always_was() {
    let digest = Sha256::digest(recording(1, 2, 3).bytes);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "9ad42e4ead5d641bbf460af3b4144336fe2a9de8c4bf4830a0e4b96d5e6dc8db");
}
