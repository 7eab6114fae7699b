//! What a sealed Opus file promises to who cuts it, changes it, or puts other chunks into it.

use super::*;
use crate::record::{
    opus::{FRAME_BYTES, Player},
    seal::{End, Flaw, HEAD_BYTES, Head, Kind, Told, Walk, walk},
};

const MASTER: SealKey = SealKey::new([7; 32]);
const NAME: &str = "call-0000001d";

fn secret() -> FileSecret {
    FileSecret { key: [1; 32], wrap_nonce: [2; 12] }
}

fn sealer() -> OpusSealer {
    OpusSealer::new(1, NAME, &MASTER, &secret()).unwrap().unwrap()
}

/// So many frames in which a saw goes up and down, another on each side.
fn talk(frames: usize) -> Vec<u8> {
    let sample = |at: usize, period: usize| {
        i16::try_from(at % period * 16_000 / period).unwrap().saturating_sub(8_000)
    };
    let pairs = (0..frames * 160).flat_map(|at| [sample(at, 16), sample(at, 23)]);
    pairs.flat_map(i16::to_le_bytes).collect()
}

/// What is recorded of twelve seconds in writes of 400 ms, with a gap of three: sealed, and all its pages.
fn recording() -> (Vec<u8>, Vec<u8>) {
    let (mut sealer, mut coder) = (sealer(), Coder::of_one_length(1).unwrap());
    let (mut sealed, mut open) = (sealer.header().to_vec(), vec![]);
    sealer.head(&mut sealed);
    coder.head(&mut open);
    for (at, part) in talk(600).chunks(20 * FRAME_BYTES).enumerate() {
        if at == 15 {
            sealer.silence(150, &mut sealed);
            coder.silence(150, &mut open);
        }
        sealer.audio(part, &mut sealed);
        coder.audio(part, &mut open);
    }
    sealer.end(&[1, 2, 3, 4], 150, 9, &mut sealed);
    coder.end(&mut open);
    (sealed, open)
}

/// What it says, the file in it, and the peaks.
fn read(sealed: &[u8]) -> Result<(Walk, Vec<u8>, Vec<u8>), Flaw> {
    let (mut file, mut peaks) = (vec![], vec![]);
    let walk = walk(sealed, &MASTER, |kind, _, text| match kind {
        Kind::Page => file.extend_from_slice(text),
        Kind::Peaks => peaks.extend_from_slice(text),
        Kind::Audio | Kind::Silence | Kind::End => unreachable!(),
    })?;
    Ok((walk, file, peaks))
}

/// Frames that come out of a file of whole pages.
fn played(mut file: &[u8]) -> u64 {
    let (mut player, mut samples) = (None, vec![]);
    while let ogg::Read::Page(page, length) = ogg::read(file) {
        match &mut player {
            None => player = Some(Player::new(opus::Told::by(&page).unwrap()).unwrap()),
            Some(player) if page.sequence > 1 => player.play(&page, &mut samples),
            Some(_) => {}
        }
        file = &file[length..];
    }
    assert!(file.is_empty(), "half a page");
    (samples.len() / FRAME_BYTES) as u64
}

/// Where chunks begin, by their heads.
fn starts(sealed: &[u8]) -> Vec<usize> {
    let mut at = HEADER_BYTES;
    let mut starts = vec![];
    while at < sealed.len() {
        starts.push(at);
        at += Head::parse(*sealed[at..].first_chunk().unwrap()).unwrap().chunk_bytes();
    }
    starts
}

#[test]
fn a_sealed_opus_file_opens_to_the_very_pages_that_were_coded_and_has_none_in_the_clear() {
    let (sealed, open) = recording();

    let (walk, file, peaks) = read(&sealed).unwrap();

    let told = Told::Whole(End { frames: 750, lost: 150, paused: 9 });
    assert_eq!(walk, Walk { name: NAME.into(), content: Content::Opus, frames: 750, told });
    assert!(file == open && peaks == [1, 2, 3, 4]);
    for known in [&b"OggS"[..], b"OpusHead", &open[2_000..2_016]] {
        assert!(!sealed.windows(known.len()).any(|window| window == known));
    }
}

#[test]
fn a_sealed_opus_file_cut_anywhere_plays_to_its_last_whole_chunk_and_says_its_end_is_missing() {
    let (sealed, open) = recording();
    let starts = starts(&sealed);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut held = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cut = HEADER_BYTES + (random >> 33) as usize % (sealed.len() - HEADER_BYTES);

        let (walk, file, _) = read(&sealed[..cut]).unwrap();

        assert_eq!(walk.told, Told::Cut, "cut at {cut}");
        assert!(open.starts_with(&file), "cut at {cut}");
        let chunks = starts.iter().skip(1).filter(|&&start| start <= cut).count();
        if held.insert(chunks) {
            assert_eq!(played(&file), walk.frames, "cut at {cut}");
        }
        // Two head pages, then 20 frames each, of which the first fetches the coder's delay.
        if let 3..=17 = chunks {
            assert_eq!(walk.frames, chunks as u64 * 20 - 41, "cut at {cut}");
        }
    }
    assert!(held.len() > 30, "cuts all over: {held:?}");
}

#[test]
fn one_bit_changed_anywhere_in_a_sealed_opus_file_is_found_and_what_was_before_it_still_plays() {
    let mut sealer = sealer();
    let mut sealed = sealer.header().to_vec();
    sealer.head(&mut sealed);
    sealer.audio(&talk(3), &mut sealed);
    sealer.audio(&talk(3), &mut sealed);
    sealer.end(&[5; 8], 0, 0, &mut sealed);
    let (_, whole, _) = read(&sealed).unwrap();
    let starts = starts(&sealed);
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1 << (at % 8);
        let Ok((walk, file, _)) = read(&bytes) else {
            assert!(at < HEADER_BYTES, "byte {at}");
            continue;
        };
        assert!(at >= HEADER_BYTES, "byte {at} of the header");
        assert!(!matches!(walk.told, Told::Whole(_)), "byte {at}: {walk:?}");
        let before = starts.iter().skip(1).filter(|&&start| start <= at).count();
        assert!(whole.starts_with(&file), "byte {at}");
        assert_eq!(walk.frames, [0, 0, 0, 2, 5, 6, 6][before], "byte {at}");
    }
}

/// They are as long as each other: nothing but their seals tells them apart.
#[test]
fn pages_left_out_exchanged_or_of_another_file_are_found_and_none_behind_them_is_given_out() {
    let (one, open) = recording();
    let other = FileSecret { key: [3; 32], wrap_nonce: [4; 12] };
    let mut two = OpusSealer::new(1, NAME, &MASTER, &other).unwrap().unwrap();
    let mut another = two.header().to_vec();
    two.head(&mut another);
    talk(600).chunks(20 * FRAME_BYTES).for_each(|part| two.audio(part, &mut another));
    let starts = starts(&one);
    let page = |file: &[u8], at: usize| file[starts[at]..starts[at + 1]].to_vec();
    assert_eq!(page(&one, 5).len(), page(&one, 6).len());
    let before = one[..starts[5]].to_vec();
    for (what, forged) in [
        ("left out", one[starts[6]..].to_vec()),
        ("exchanged", [page(&one, 6), page(&one, 5), one[starts[7]..].to_vec()].concat()),
        ("twice", [page(&one, 4), one[starts[5]..].to_vec()].concat()),
        ("of another", [page(&another, 5), one[starts[6]..].to_vec()].concat()),
        ("an early end", one[*starts.last().unwrap()..].to_vec()),
    ] {
        let (walk, file, peaks) = read(&[before.clone(), forged].concat()).unwrap();

        assert!(matches!(walk.told, Told::Damaged(Flaw::Chunk(_))), "{what}: {walk:?}");
        assert!(open.starts_with(&file) && peaks.is_empty(), "{what}");
        assert_eq!((walk.frames, played(&file)), (59, 59), "{what}");
    }
}

#[test]
fn chunks_of_another_content_or_sound_behind_the_peaks_are_found_though_they_have_the_key() {
    let sealed = |content, parts: &[&str]| {
        let mut sealer = Sealer::new(content, NAME, &MASTER, &secret()).unwrap();
        let mut bytes = sealer.header().to_vec();
        for part in parts {
            match *part {
                "page" => sealer.page(7, b"OggS and so on", &mut bytes),
                "audio" => sealer.audio(&talk(2), &mut bytes),
                "silence" => sealer.silence(2, &mut bytes),
                _ => sealer.peaks(&[1, 2, 3, 4], &mut bytes),
            }
        }
        sealer.end(0, 0, &mut bytes);
        walk(&bytes, &MASTER, |_, _, _| ()).unwrap().told
    };
    for (content, parts, fits) in [
        (Content::Opus, &["page", "page", "peaks"][..], true),
        (Content::Opus, &["page", "audio"], false),
        (Content::Opus, &["silence", "page"], false),
        (Content::Opus, &["page", "peaks", "page"], false),
        (Content::Pcm, &["audio", "silence", "audio", "peaks", "peaks"], true),
        (Content::Pcm, &["audio", "page"], false),
        (Content::Pcm, &["peaks", "audio"], false),
    ] {
        let told = sealed(content, parts);
        assert_eq!(matches!(told, Told::Whole(_)), fits, "{parts:?}: {told:?}");
    }
}

#[test]
fn pages_that_were_given_up_are_sealed_anew_in_their_place_and_the_file_is_whole() {
    let (mut sealer, mut lost) = (sealer(), vec![]);
    let mut file = sealer.header().to_vec();
    sealer.head(&mut file);
    sealer.audio(&talk(20), &mut file);
    let reached = sealer.reached();
    sealer.audio(&talk(70), &mut lost);
    sealer.give_up(reached);
    let kept = file.len();

    sealer.silence(90 - sealer.frame(), &mut file);
    sealer.audio(&talk(10), &mut file);
    sealer.end(&[], 70, 0, &mut file);

    assert_ne!(lost[..HEAD_BYTES], file[kept..kept + HEAD_BYTES], "no nonce is used twice");
    let (walk, pages, _) = read(&file).unwrap();
    assert_eq!(walk.told, Told::Whole(End { frames: 100, lost: 70, paused: 0 }));
    assert_eq!(played(&pages), 100);
}

#[test]
fn how_long_the_chunks_are_tells_nothing_of_what_is_said() {
    let heads = |samples: &[u8]| {
        let mut sealer = sealer();
        let mut sealed = sealer.header().to_vec();
        sealer.head(&mut sealed);
        samples.chunks(20 * FRAME_BYTES).for_each(|part| sealer.audio(part, &mut sealed));
        sealer.silence(50, &mut sealed);
        sealer.end(&[0; 40], 50, 0, &mut sealed);
        let starts = starts(&sealed);
        let head = |&at: &usize| *sealed[at..].first_chunk::<HEAD_BYTES>().unwrap();
        starts.iter().map(head).collect::<Vec<_>>()
    };
    let loud = heads(&talk(100));
    assert!(loud.len() == 11 && loud == heads(&[0; 100 * FRAME_BYTES]));
}

/// One who knows samples alone says so, and takes them for none.
#[test]
fn a_content_that_nobody_knows_is_told_by_its_number() {
    let (mut sealed, _) = recording();
    sealed[10] = 3;
    assert_eq!(read(&sealed).unwrap_err(), Flaw::Unknown { version: 1, content: 3 });
}
