//! Files of every kind, written by the tools customers use (`tests/corpus/README.md`), whole and broken.

use super::*;

macro_rules! corpus {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/corpus/fuzz/tune/", $name))
    };
}

const MP3: &[u8] = corpus!("mp3");
const FLAC: &[u8] = corpus!("flac");
const VORBIS: &[u8] = corpus!("vorbis");

fn linear_samples(tune: &Tune, rate: Rate) -> Vec<f32> {
    let frames = (0..tune.frames()).flat_map(|n| tune.pcm(rate, n).iter());
    frames.map(|sample| f32::from(*sample) / 32_768.0).collect()
}

fn warnings(bytes: &[u8]) -> Vec<String> {
    warnings_at(bytes, 0.0)
}

fn warnings_at(bytes: &[u8], db: f32) -> Vec<String> {
    let sound = Tune::import_at(bytes, Gain::from_db(db).unwrap()).unwrap().sound;
    sound.warnings.iter().map(ToString::to_string).collect()
}

/// A WAV of 16 bits at 8 kHz.
fn wav_of(channels: u16, samples: impl Iterator<Item = i16>) -> Vec<u8> {
    wav_at(8_000, channels, samples)
}

fn wav_at(rate: u32, channels: u16, samples: impl Iterator<Item = i16>) -> Vec<u8> {
    let mut file = Cursor::new(vec![]);
    let mut writer = WavWriter::new(&mut file, int(rate, channels, 16)).unwrap();
    samples.for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}

#[test]
fn files_of_every_kind_keep_their_tone_length_and_level() {
    let files: [(&str, &[u8], u32, usize); 11] = [
        ("WAV (A-law)", corpus!("alaw"), 8_000, 1),
        ("WAV (mu-law)", corpus!("mulaw"), 8_000, 1),
        ("MP3", MP3, 22_050, 1),
        ("MP3", corpus!("mp3_tagged"), 22_050, 1),
        ("MP3", corpus!("mp3_stereo_vbr"), 44_100, 2),
        ("MP3", corpus!("mp3_8k_headless"), 8_000, 1),
        ("Ogg Vorbis", VORBIS, 8_000, 1),
        ("Ogg Vorbis", corpus!("vorbis_16k"), 16_000, 1),
        ("FLAC", FLAC, 8_000, 1),
        ("Ogg FLAC", corpus!("ogg_flac"), 8_000, 1),
        ("WAV", corpus!("mono8k"), 8_000, 1),
    ];
    for (coding, bytes, rate_hz, channels) in files {
        let Imported { tune, sound } = Tune::import(bytes).unwrap();

        assert_eq!((sound.coding, sound.rate_hz, sound.channels), (coding, rate_hz, channels));
        if coding == "WAV" {
            continue;
        }
        // Without a header that says how much of its first and last packet is none of the tone, an MP3
        // is up to two packets longer; at 8 kHz that is 144 ms.
        assert!((0.499..0.65).contains(&sound.seconds), "{coding}: {} s", sound.seconds);
        // A sine of -9 dBFS at its peaks, which a lossy coder overshoots by 1 dB (sox reads the same).
        let loudness = sound.loudness_dbfs.unwrap();
        assert!((-13.6..-11.5).contains(&loudness), "{coding}: {loudness}");
        assert!((-9.6..-7.9).contains(&sound.peak_dbfs), "{coding}: {}", sound.peak_dbfs);
        assert_eq!(sound.warnings, [], "{coding}");
        // Silence before and after is no power at 700 Hz.
        let least = 0.9 * 0.5 / sound.seconds;
        for law in [Law::A, Law::Mu] {
            let share = share(&samples(&tune, law), 700.0);
            assert!(share > least, "{coding} {law:?} of {rate_hz} Hz: {share}, {sound:?}");
        }
        assert!(share(&linear_samples(&tune, Rate::Hz8000), 700.0) > least, "{coding}");
        // As if it were 8 kHz.
        assert!(share(&linear_samples(&tune, Rate::Hz16000), 350.0) > least, "{coding}");
    }
}

#[test]
fn a_tune_is_had_at_two_rates_which_are_as_many_frames() {
    for rate in [8_000, 11_025, 16_000, 44_100, 48_000, 44_101] {
        let file = wav(int(rate, 1, 16), 0.333, 300.0);
        let tune = read(&file).unwrap();

        assert_eq!(tune.frames(), 17, "{rate}");
        for ours in [Rate::Hz8000, Rate::Hz16000] {
            assert_eq!(linear_samples(&tune, ours).len(), 17 * ours.samples(), "{rate}");
            assert_eq!(tune.pcm(ours, 20), tune.pcm(ours, 3), "{rate}: a loop");
        }
        assert_eq!(tune.pcm(Rate::Hz48000, 5), tune.pcm(Rate::Hz16000, 5));
    }
    let wide = read(&wav(int(48_000, 1, 16), 0.5, 6_000.0)).unwrap();
    let heard = linear_samples(&wide, Rate::Hz16000);
    // At 8 kHz nothing of it is left; at 16 kHz it is there.
    assert!(share(&heard, 3_000.0) > 0.9, "as if at 8 kHz");
    assert!(linear_samples(&wide, Rate::Hz8000)[400..3_600].iter().all(|s| s.abs() < 0.01));
}

#[test]
fn who_hears_a_tune_once_hears_it_to_its_last_sample_and_then_silence() {
    let file = wav_of(1, (1..=410).map(|n| n * 50));
    let tune = read(&file).unwrap();

    let once: Vec<i16> = (0..4)
        .filter_map(|n| tune.pcm_once(Rate::Hz8000, n))
        .flat_map(|frame| frame.iter().copied())
        .collect();
    assert_eq!(once.len(), 480);
    assert_eq!(once[..410], (1..=410).map(|n| n * 50).collect::<Vec<i16>>());
    assert_eq!(once[410..], [0; 70]);
    for (law, silence) in [(Law::A, 0xD5), (Law::Mu, 0xFF)] {
        let last = tune.frame_once(law, 2).unwrap();
        assert_eq!(last[89], g711::encode(law, 20_500));
        assert_eq!(last[90..], [silence; 70]);
        assert_eq!((tune.frame_once(law, 3), tune.frame_once(law, u64::MAX)), (None, None));
    }
    assert_eq!(tune.pcm_once(Rate::Hz16000, 2).unwrap()[190..], [0; 130]);
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let mut wma = vec![0x30, 0x26, 0xB2, 0x75];
    wma.extend([0; 60]);
    let files: [(&[u8], &str); 8] = [
        (corpus!("opus"), "it is Opus, which is not supported; write WAV"),
        (corpus!("adpcm"), "it is WAV with ADPCM in it, which"),
        (corpus!("gsm"), "it is WAV with GSM in it, which"),
        (b"\0\0\0\x20ftypM4A ....", "it is MP4 (AAC or ALAC), which"),
        (b"FORM....AIFF", "it is AIFF, which"),
        (&wma, "it is WMA, which"),
        (&[0xFF, 0xF1, 0x50, 0x80], "it is AAC, which"),
        (&[0xFF, 0xFD, 0x50, 0x80], "it is MPEG audio of layer 2, which"),
    ];
    for (bytes, said) in files {
        let reason = Tune::import(bytes).unwrap_err().to_string();

        assert!(reason.starts_with(said), "{reason}");
        assert!(reason.ends_with(ACCEPTED), "{reason}");
    }
}

#[test]
fn what_was_cut_short_is_refused() {
    let cut = |bytes: &[u8], length: usize| read(&bytes[..length]).unwrap_err();

    assert_eq!(cut(FLAC, 1_000), BadTune::CutShort { present: 0, promised: 4_000 });
    let vbr = corpus!("mp3_stereo_vbr");
    assert!(matches!(cut(vbr, 2_000), BadTune::CutShort { promised: 22_050, .. }));
    let long = include_bytes!("six_seconds.ogg");
    assert_eq!(read(long).unwrap().frames(), 300);
    // All its audio stands in one page.
    assert!(matches!(cut(long, long.len() - 40), BadTune::Unreadable(_)));
    let reason = cut(VORBIS, VORBIS.len() - 40).to_string();
    let said = "it cannot be read: it ends before its audio begins; write it anew from where it comes from";
    assert_eq!(reason, said);
    assert_eq!(cut(corpus!("alaw"), 2_000), BadTune::CutShort { present: 1_942, promised: 4_000 });
    let all_but_one = corpus!("alaw").len() - 1;
    assert!(matches!(cut(corpus!("alaw"), all_but_one), BadTune::CutShort { .. }));
    assert!(matches!(cut(corpus!("mp3_tagged"), 60), BadTune::Unreadable(_)));
    for length in [0, 3, 10, 40, 100] {
        for whole in [FLAC, MP3, VORBIS] {
            cut(whole, length);
        }
    }
}

#[test]
fn a_header_that_lies_about_its_length_is_found_out() {
    // STREAMINFO's 36 bits of total samples begin in the middle of byte 21.
    let mut long = FLAC.to_vec();
    long[22..26].copy_from_slice(&(8_000_u32 * 60 * 61).to_be_bytes());
    let mut unknown = FLAC.to_vec();
    unknown[22..26].copy_from_slice(&[0; 4]);

    assert_eq!(read(&long), Err(BadTune::TooLong { minutes: 61 }));
    assert_eq!(read(&unknown).unwrap().frames(), 25, "zero is: not known");
}

#[test]
fn more_than_an_hour_is_refused_however_little_of_a_file_it_is() {
    let silent = wav_at(4_000, 1, std::iter::repeat_n(0, 8_000));
    assert_eq!(read(&silent).unwrap().frames(), 100);
    // The same as what was written to a pipe, whose length nobody knew.
    let mut piped = silent[..44].to_vec();
    piped[4..8].copy_from_slice(&[0xFF; 4]);
    piped[40..44].copy_from_slice(&[0xFF; 4]);
    let data: Vec<u8> = vec![0; 2 * 4_000 * 30];
    piped.extend(&data);
    assert_eq!(read(&piped).unwrap().frames(), 50 * 30);
    for _ in 0..122 {
        piped.extend(&data);
    }
    assert_eq!(read(&piped), Err(BadTune::TooLong { minutes: 61 }));
}

#[test]
fn recordings_that_stand_one_after_the_other_are_refused() {
    let chained = [VORBIS, VORBIS].concat();

    assert_eq!(read(&chained), Err(BadTune::Several));
}

#[test]
fn an_mp3_with_one_packet_damaged_is_played_with_a_warning_and_with_many_not() {
    let mut one = corpus!("mp3_stereo_vbr").to_vec();
    let heads: Vec<usize> =
        (0..one.len() - 1).filter(|n| one[*n] == 0xFF && one[n + 1] == 0xFB).collect();
    assert!(heads.len() > 15, "{heads:?}");
    let mut many = one.clone();
    // What a packet needs of those before it is more than there is: side information of all ones.
    let spoil = |file: &mut Vec<u8>, place: usize| file[place + 4..place + 36].fill(0xFF);
    spoil(&mut one, heads[9]);
    heads[4..12].iter().for_each(|place| spoil(&mut many, *place));

    let said = warnings(&one).join(", ");
    assert!(said.contains("1 of its 2") && said.contains("damaged and left out"), "{said}");
    let refused = read(&many).unwrap_err();
    assert!(matches!(refused, BadTune::Damaged { bad: 8.., .. }), "{refused}");
}

#[test]
fn what_an_operator_should_look_at_is_said_with_its_figure() {
    let sine = |loud: f32| (0..8_000_u16).map(move |n| linear((f32::from(n) * 0.5).sin() * loud));
    let stereo = sine(0.2).flat_map(|sample| [sample, -sample]);
    let only = |bytes: Vec<u8>| {
        let said = warnings(&bytes);
        assert_eq!(said.len(), 1, "{said:?}");
        said[0].clone()
    };

    assert_eq!(warnings(&wav_of(1, sine(0.2))), Vec::<String>::new());
    assert!(only(wav_of(1, std::iter::repeat_n(0, 800))).starts_with("nothing can be heard in it"));
    assert!(only(wav_of(1, sine(0.01))).starts_with("it is quiet, -43 dBFS"));
    assert!(only(wav_of(1, sine(0.9))).starts_with("it is loud, -4 dBFS"));
    let clipped = warnings(&wav_of(1, sine(2.0))).join(", ");
    assert!(clipped.contains("it is loud, -1 dBFS") && clipped.contains("% of it is clipped"));
    let offset = sine(0.2).map(|sample| sample + 3_277);
    assert!(only(wav_of(1, offset)).starts_with("it has a direct current of 10 % of full scale"));
    let cancels = warnings(&wav_of(2, stereo)).join(", ");
    assert!(cancels.contains("its two channels cancel each other out"), "{cancels}");
}

#[test]
fn a_gain_changes_the_level_of_both_rates_and_says_how_many_samples_it_cuts_off() {
    // Half of full scale at its peaks, which are as many as there are samples.
    let square = |n: u16| if n % 20 < 10 { 16_384_i16 } else { -16_384 };
    let file = wav_at(16_000, 1, (0..1_600_u16).map(square));
    let at = |db: f32| Tune::import_at(&file, Gain::from_db(db).unwrap()).unwrap();
    let cut_off = |imported: &Imported| {
        let mut all = imported.sound.warnings.iter();
        all.find_map(|warning| {
            let Warning::Gained { samples, db } = warning else { return None };
            Some((*samples, *db))
        })
    };
    let power = |tune: &Tune, rate| {
        linear_samples(tune, rate).iter().map(|sample| sample * sample).sum::<f32>()
    };
    let before = at(0.0);

    for db in [-30.0, -6.0, 3.0] {
        let imported = at(db);
        for rate in [Rate::Hz8000, Rate::Hz16000] {
            let change = 10.0 * (power(&imported.tune, rate) / power(&before.tune, rate)).log10();
            assert!((change - db).abs() < 0.1, "{db} dB at {rate:?}: {change}");
        }
        assert_eq!(cut_off(&imported), None, "{db}");
    }
    assert_eq!(at(0.0).tune, Tune::import(&file).unwrap().tune);
    let (samples, most_db) = cut_off(&at(12.0)).unwrap();
    assert_eq!(samples, 1_600, "all of a square wave");
    assert_eq!(cut_off(&at(most_db)), None, "what is advised is enough");
    assert!((5.0..6.1).contains(&most_db), "{most_db}");
    let said = warnings_at(&file, 12.0).join(", ");
    assert!(said.contains("its gain cuts off 1600 of its samples"), "{said}");
}

#[test]
fn a_gain_is_no_more_and_no_less_than_may_be() {
    for db in [-30.1, 12.1, f32::NAN, f32::INFINITY] {
        assert_eq!(Gain::from_db(db), None, "{db}");
    }
    assert_eq!(Gain::from_db(-0.0).map(|gain| gain.db().to_string()), Some("0".into()));
}

#[test]
fn pauses_do_not_make_a_prompt_quiet() {
    let loudness = |pauses: usize| {
        let said = (0..8_000_u16).map(|n| linear((f32::from(n) * 0.5).sin() * 0.2));
        let file = wav_of(1, said.chain(std::iter::repeat_n(0, pauses)));
        Tune::import(&file).unwrap().sound.loudness_dbfs.unwrap()
    };

    assert!((loudness(0) - loudness(40_000)).abs() < 1.0);
}

#[test]
fn no_damage_to_any_kind_of_file_makes_the_reader_fail() {
    let (mut state, mut played) = (3_u32, 0);
    let mut dice = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap() % below
    };
    let gave_up = BadTune::Unreadable("its reader gave up on it".into());
    for whole in
        [FLAC, MP3, VORBIS, corpus!("ogg_flac"), corpus!("alaw"), corpus!("mp3_8k_headless")]
    {
        for round in 0..300 {
            let mut bytes = whole.to_vec();
            // Headers stand at the beginning, and there most can be broken.
            let reach = if round % 2 == 0 { 120 } else { bytes.len() };
            for _ in 0..1 + dice(3) {
                let place = dice(reach);
                bytes[place] = u8::try_from(dice(256)).unwrap();
            }
            match read(&bytes) {
                Ok(_) => played += 1,
                Err(refused) => assert_ne!(refused, gave_up, "round {round}"),
            }
        }
    }
    // It proves nothing unless much of it could be read.
    assert!(played > 300, "{played}");
}
