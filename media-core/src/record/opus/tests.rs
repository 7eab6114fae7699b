//! What was coded, as an independent look at the pages and our own player have it.

use super::*;
use crate::record::ogg;
use std::f64::consts::TAU;

/// 20 ms of a tone on the left and of another on the right; 0 Hz is nobody.
fn frame(index: usize, left: f64, right: f64) -> Vec<u8> {
    let sample = |at: usize, hertz: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "at most 8,000")]
        let sample = (8_000.0 * (TAU * hertz * at as f64 / 8_000.0).sin()) as i16;
        sample.to_le_bytes()
    };
    let all = (index * SAMPLES..(index + 1) * SAMPLES)
        .flat_map(|at| [sample(at, left), sample(at, right)]);
    all.flatten().collect()
}

fn tones(frames: std::ops::Range<usize>, left: f64, right: f64) -> Vec<u8> {
    frames.flat_map(|index| frame(index, left, right)).collect()
}

/// All pages of a file, every one of them sound.
fn pages(mut bytes: &[u8]) -> Vec<Page<'_>> {
    let mut pages = vec![];
    while !bytes.is_empty() {
        let ogg::Read::Page(page, length) = ogg::read(bytes) else { panic!("no page") };
        assert_eq!(page.sequence as usize, pages.len());
        assert!(length <= PAGE_MAX);
        pages.push(page);
        bytes = &bytes[length..];
    }
    pages
}

/// Left and right.
fn heard(bytes: &[u8]) -> [Vec<i16>; 2] {
    let pages = pages(bytes);
    let mut player = Player::new(Told::by(&pages[0]).unwrap()).unwrap();
    let mut samples = vec![];
    pages[2..].iter().for_each(|page| player.play(page, &mut samples));
    let side = |at: usize| {
        let pairs = samples.as_chunks::<4>().0.iter();
        pairs.map(|pair| i16::from_le_bytes([pair[at], pair[at + 1]])).collect()
    };
    [side(0), side(2)]
}

/// 55 dB below the tones: the coder takes a while to forget them.
const SILENT: f64 = 100.0;

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len() as f64
}

/// By how many dB what was said is above what is wrong with what is heard.
fn fidelity_db(said: &[u8], side: usize, heard: &[i16]) -> f64 {
    let said: Vec<i16> = (said.as_chunks::<4>().0.iter())
        .map(|pair| i16::from_le_bytes([pair[2 * side], pair[2 * side + 1]]))
        .collect();
    let wrong: Vec<i16> = said.iter().zip(heard).map(|(a, b)| a.saturating_sub(*b)).collect();
    10.0 * (power(&said) / power(&wrong)).log10()
}

#[test]
fn both_sides_come_back_each_on_its_own_in_their_time_and_as_long_as_they_were() {
    both_come_back(Coder::new(7).unwrap(), 0);
    // 40 dB below the other side.
    both_come_back(Coder::of_one_length(7).unwrap(), 100);
}

fn both_come_back(mut coder: Coder, silent: u16) {
    let mut file = vec![];
    coder.head(&mut file);
    let said = [tones(0..100, 700.0, 0.0), tones(100..233, 425.0, 950.0)].concat();
    said.chunks(20 * FRAME_BYTES).for_each(|some| coder.audio(some, &mut file));
    coder.end(&mut file);

    let [left, right] = heard(&file);

    assert_eq!((left.len(), right.len()), (233 * SAMPLES, 233 * SAMPLES));
    let nobody = right[..99 * SAMPLES].iter().all(|&sample| sample.unsigned_abs() <= silent);
    assert!(nobody, "nobody spoke on the right");
    // A sample late or early would leave 5 dB of it.
    for (side, heard) in [&left, &right].into_iter().enumerate() {
        let (from, to) = (105 * SAMPLES, 230 * SAMPLES);
        let fidelity = fidelity_db(&said[4 * from..4 * to], side, &heard[from..to]);
        assert!(fidelity > 12.0, "side {side}: {fidelity} dB");
    }
}

#[test]
fn the_pages_say_what_they_hold_as_rfc_7845_has_it() {
    let mut coder = Coder::new(7).unwrap();
    let mut file = vec![];
    coder.head(&mut file);
    coder.audio(&tones(0..120, 700.0, 0.0), &mut file);
    coder.end(&mut file);

    let pages = pages(&file);

    let what: Vec<&[u8]> = pages[0].packets().collect();
    let skip = coder.skip();
    assert!(skip > 0, "every coder lags");
    let mut expected = b"OpusHead\x01\x02".to_vec();
    expected.extend(skip.to_le_bytes());
    expected.extend(b"\x40\x1f\0\0\0\0\0");
    assert_eq!(what, [expected]);
    assert!(pages[1].packets().next().unwrap().starts_with(b"OpusTags"));
    let placed: Vec<_> = pages.iter().map(|page| (page.stands, page.granule)).collect();
    let end = 120 * 960 + u64::from(skip);
    assert_eq!(
        placed,
        [
            (Stands::First, 0),
            (Stands::Between, 0),
            (Stands::Between, 50 * 960),
            (Stands::Between, 100 * 960),
            (Stands::Between, 120 * 960),
            (Stands::Last, end),
        ]
    );
    let counts: Vec<_> = pages.iter().map(|page| page.packets().count()).collect();
    assert_eq!(counts, [1, 1, 50, 50, 20, 1]);
    for packet in pages[2..].iter().flat_map(Page::packets) {
        assert_eq!(crate::codec::opus::duration(packet), Some(160), "20 ms each");
    }
}

#[test]
fn what_is_not_there_is_silence_of_its_length_in_its_place() {
    let mut coder = Coder::new(7).unwrap();
    let mut file = vec![];
    coder.head(&mut file);
    coder.audio(&tones(0..50, 700.0, 950.0), &mut file);
    coder.silence(75, &mut file);
    coder.audio(&tones(125..150, 700.0, 950.0), &mut file);
    coder.end(&mut file);

    for side in heard(&file) {
        let loud =
            |frames: std::ops::Range<usize>| power(&side[frames.start * 160..frames.end * 160]);
        assert_eq!(side.len(), 150 * 160);
        assert!(loud(2..48) > 1e7 && loud(128..148) > 1e7);
        assert!(loud(52..124) < SILENT, "{}", loud(52..124));
    }
}

#[test]
fn a_page_that_was_given_up_is_made_anew_in_its_place() {
    let mut coder = Coder::new(7).unwrap();
    let (mut file, mut lost) = (vec![], vec![]);
    coder.head(&mut file);
    coder.audio(&tones(0..20, 700.0, 0.0), &mut file);
    let place = coder.place();
    coder.audio(&tones(20..40, 700.0, 0.0), &mut lost);
    coder.give_up(place);

    coder.silence(40 - coder.place().frame, &mut file);
    coder.audio(&tones(40..60, 700.0, 0.0), &mut file);
    coder.end(&mut file);

    let [left, _] = heard(&file);
    assert_eq!(left.len(), 60 * 160);
    assert!(power(&left[24 * 160..39 * 160]) < SILENT && power(&left[43 * 160..57 * 160]) > 1e7);
}
