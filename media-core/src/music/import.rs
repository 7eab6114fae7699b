//! From the bytes of a file to a tune, whatever the bytes are.
//!
//! PCM in WAV is read by `hound`, everything else by `symphonia`. Both read what somebody uploaded: what
//! they do of it is bounded by the samples they give, and where one of them panics the file is refused.

use super::{
    BadTune, MINUTES_MAX, Pcm, RATE_MAX, RATE_MIN, Warning,
    format::{Format, format},
    gain::{Gain, Level},
    resample::Resample,
    sound::{Meter, Sound},
};
use hound::{SampleFormat, WavReader, WavSpec};
use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};
use symphonia::{
    core::{
        codecs::audio::{
            AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known,
        },
        errors::Error,
        formats::{FormatOptions, FormatReader},
        io::{MediaSourceStream, ReadOnlySource},
    },
    default::{formats, get_codecs},
};

pub(super) fn import(bytes: &[u8], gain: Gain) -> Result<(Pcm, Sound), BadTune> {
    let imported = catch_unwind(AssertUnwindSafe(|| read(bytes, gain)));
    imported.unwrap_or_else(|_| Err(BadTune::Unreadable("its reader gave up on it".into())))
}

fn read(bytes: &[u8], gain: Gain) -> Result<(Pcm, Sound), BadTune> {
    let (format, bytes) = format(bytes)?;
    // What was written to a pipe says a length that nobody knew.
    let piped = bytes.get(4..8) == Some(&[0xFF; 4]);
    if format == Format::Wav && !piped {
        match read_wav(bytes, gain) {
            Err(BadTune::Coding { .. }) => {}
            read => return read,
        }
    }
    read_packets(format, bytes, gain)
}

/// What a file has become so far.
struct Intake {
    rate: u32,
    channels: usize,
    /// Of all channels, since the last that were complete.
    sum: f32,
    summed: usize,
    /// Samples of each channel.
    taken: u64,
    meter: Meter,
    to_wide: Resample,
    to_narrow: Resample,
    /// Of what is kept at each rate.
    wide_level: Level,
    narrow_level: Level,
    wide: Vec<i16>,
    narrow: Vec<i16>,
}

impl Intake {
    fn new(rate: u32, channels: usize, gain: Gain) -> Result<Self, BadTune> {
        if !(RATE_MIN..=RATE_MAX).contains(&rate) {
            return Err(BadTune::Rate { rate });
        }
        if channels == 0 {
            return Err(BadTune::Empty);
        }
        Ok(Self {
            rate,
            channels,
            sum: 0.0,
            summed: 0,
            taken: 0,
            meter: Meter::new(channels),
            to_wide: Resample::new(rate, 16_000)?,
            to_narrow: Resample::new(rate, 8_000)?,
            wide_level: Level::new(gain),
            narrow_level: Level::new(gain),
            wide: vec![],
            narrow: vec![],
        })
    }

    /// The next sample, channel by channel; full scale is 1.
    fn take(&mut self, sample: f32) -> Result<(), BadTune> {
        // A float may be any number: beyond full scale is full scale, as for whoever plays it, and none
        // is so great that a filter's sums are no number.
        let sample = if sample.is_finite() { sample } else { 0.0 };
        self.meter.take(self.summed, sample);
        self.sum += sample.clamp(-1.0, 1.0);
        self.summed += 1;
        if self.summed < self.channels {
            return Ok(());
        }
        let mix = self.sum / self.channels as f32;
        (self.sum, self.summed) = (0.0, 0);
        self.taken += 1;
        check_length(self.taken, self.rate)?;
        self.meter.take_mix(mix);
        self.to_wide.take(mix, |sample| self.wide.push(self.wide_level.take(sample)))?;
        self.to_narrow.take(mix, |sample| self.narrow.push(self.narrow_level.take(sample)))
    }

    fn finish(mut self, coding: &'static str) -> Result<(Pcm, Sound), BadTune> {
        self.to_wide.finish(|sample| self.wide.push(self.wide_level.take(sample)))?;
        self.to_narrow.finish(|sample| self.narrow.push(self.narrow_level.take(sample)))?;
        let mut sound = self.meter.sound(coding, self.rate, &self.narrow);
        let cut_off = self.wide_level.cut_off();
        sound.warnings.extend(cut_off.map(|(samples, db)| Warning::Gained { samples, db }));
        Ok((Pcm::new(self.wide, self.narrow).ok_or(BadTune::Empty)?, sound))
    }
}

fn check_length(samples: u64, rate: u32) -> Result<(), BadTune> {
    let seconds = samples / u64::from(rate);
    if seconds > u64::from(MINUTES_MAX) * 60 {
        return Err(BadTune::TooLong { minutes: seconds.div_ceil(60) });
    }
    Ok(())
}

fn read_wav(bytes: &[u8], gain: Gain) -> Result<(Pcm, Sound), BadTune> {
    let mut reader = WavReader::new(Cursor::new(bytes)).map_err(explain_wav)?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    if !(1..=32).contains(&bits_per_sample) {
        return Err(BadTune::Coding { coding: "PCM of odd bits" });
    }
    let mut intake = Intake::new(sample_rate, usize::from(channels), gain)?;
    check_length(u64::from(reader.duration()), sample_rate)?;
    match sample_format {
        SampleFormat::Float => take_wav(&mut intake, reader.samples::<f32>())?,
        SampleFormat::Int => {
            let scale = 0.5_f32.powi(i32::from(bits_per_sample) - 1);
            let samples = reader.samples::<i32>();
            take_wav(&mut intake, samples.map(|sample| sample.map(|s| s as f32 * scale)))?;
        }
    }
    intake.finish("WAV")
}

fn take_wav(
    intake: &mut Intake,
    samples: impl ExactSizeIterator<Item = hound::Result<f32>>,
) -> Result<(), BadTune> {
    let channels = intake.channels as u64;
    let promised = samples.len() as u64 / channels;
    for (n, sample) in (0..).zip(samples) {
        let sample = sample.map_err(|error| match error {
            hound::Error::IoError(_) => BadTune::CutShort { present: n / channels, promised },
            other @ (hound::Error::FormatError(_)
            | hound::Error::TooWide
            | hound::Error::UnfinishedSample
            | hound::Error::Unsupported
            | hound::Error::InvalidSampleFormat) => explain_wav(other),
        })?;
        intake.take(sample)?;
    }
    Ok(())
}

fn explain_wav(error: hound::Error) -> BadTune {
    match error {
        hound::Error::Unsupported => BadTune::Coding { coding: "WAV with another coding in it" },
        hound::Error::IoError(_) => BadTune::Unreadable("it ends within its header".into()),
        hound::Error::FormatError(what) => BadTune::Unreadable(what.into()),
        other @ (hound::Error::TooWide
        | hound::Error::UnfinishedSample
        | hound::Error::InvalidSampleFormat) => BadTune::Unreadable(other.to_string()),
    }
}

/// A file's one track of audio, and what it said of itself.
struct Track {
    id: u32,
    params: AudioCodecParameters,
    /// Samples of each channel, where the file says how many there are.
    promised: Option<u64>,
}

fn read_packets(format: Format, bytes: &[u8], gain: Gain) -> Result<(Pcm, Sound), BadTune> {
    let mut reader = open(format, bytes)?;
    let track = track(reader.as_ref())?;
    let coding = coding(format, track.params.codec);
    let options = AudioDecoderOptions::default().gapless(true);
    let decoder = get_codecs().make_audio_decoder(&track.params, &options);
    let mut decoder = decoder.map_err(|_| BadTune::Coding { coding })?;
    if let (Some(promised), Some(rate)) = (track.promised, track.params.sample_rate) {
        check_length(promised, rate.max(1))?;
    }
    let mut intake = None;
    let mut tally = Tally::default();
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) if packet.track_id == track.id => packet,
            Ok(Some(_)) => continue,
            Ok(None) => break,
            Err(Error::ResetRequired) => return Err(BadTune::Several),
            // Its length was not known when it began.
            Err(Error::IoError(_)) if format == Format::Wav && track.promised.is_none() => break,
            Err(Error::IoError(_)) => {
                let (present, rate) =
                    intake.as_ref().map_or((0, 1), |i: &Intake| (i.taken, i.rate));
                return Err(match track.promised {
                    Some(promised) => BadTune::CutShort { present, promised },
                    None => BadTune::NoEnd { seconds: present / u64::from(rate) },
                });
            }
            Err(error) => return Err(BadTune::Unreadable(error.to_string())),
        };
        tally.packets += 1;
        if !take_packet(decoder.as_mut(), &packet, &mut intake, gain)? {
            tally.bad += 1;
            // Where a packet says how long it is; of other kinds the last one may be there in part.
            tally.missing += if format == Format::Mp3 { packet.dur.get() } else { 0 };
        }
    }
    tally.check(intake.as_ref().map_or(0, |intake| intake.taken), track.promised)?;
    let (pcm, mut sound) = intake.ok_or(BadTune::Empty)?.finish(coding)?;
    sound.warnings.extend(tally.warning());
    Ok((pcm, sound))
}

/// False: the packet is damaged. Players leave it out.
fn take_packet(
    decoder: &mut dyn AudioDecoder,
    packet: &symphonia::core::packet::Packet,
    intake: &mut Option<Intake>,
    gain: Gain,
) -> Result<bool, BadTune> {
    let audio = match decoder.decode(packet) {
        Ok(audio) => audio,
        Err(Error::DecodeError(_) | Error::IoError(_)) => return Ok(false),
        Err(Error::ResetRequired) => return Err(BadTune::Several),
        Err(error) => return Err(BadTune::Unreadable(error.to_string())),
    };
    let (rate, channels) = (audio.spec().rate(), audio.spec().channels().count());
    if intake.is_none() {
        *intake = Some(Intake::new(rate, channels, gain)?);
    }
    let Some(intake) = intake.as_mut() else { return Ok(true) };
    if (intake.rate, intake.channels) != (rate, channels) {
        return Err(BadTune::Several);
    }
    let mut samples = vec![];
    audio.copy_to_vec_interleaved::<f32>(&mut samples);
    samples.into_iter().try_for_each(|sample| intake.take(sample))?;
    Ok(true)
}

/// What of a file could be decoded.
#[derive(Default)]
struct Tally {
    packets: u64,
    bad: u64,
    /// Samples of those.
    missing: u64,
}

impl Tally {
    fn check(&self, present: u64, promised: Option<u64>) -> Result<(), BadTune> {
        let there = present.saturating_add(self.missing);
        if let Some(promised) = promised.filter(|promised| there + SLACK < *promised) {
            return Err(BadTune::CutShort { present, promised });
        }
        // The first one of what was cut out of a longer MP3 needs what stood before it.
        if self.bad > 1 + self.packets / 50 || present == 0 && self.bad > 0 {
            return Err(BadTune::Damaged { bad: self.bad, packets: self.packets });
        }
        Ok(())
    }

    fn warning(&self) -> Option<Warning> {
        (self.bad > 0).then_some(Warning::Damaged { bad: self.bad, packets: self.packets })
    }
}

/// The source is one that cannot be wound back: a length that is guessed by the bit rate is none.
fn open(format: Format, bytes: &[u8]) -> Result<Box<dyn FormatReader + '_>, BadTune> {
    let source = Box::new(ReadOnlySource::new(Cursor::new(bytes)));
    let stream =
        MediaSourceStream::new(source, symphonia::core::io::MediaSourceStreamOptions::default());
    let options = FormatOptions::default();
    fn boxed<'a, R: FormatReader + 'a>(reader: R) -> Box<dyn FormatReader + 'a> {
        Box::new(reader)
    }
    let opened = match format {
        Format::Flac => formats::FlacReader::try_new(stream, options).map(boxed),
        Format::Mp3 => formats::MpaReader::try_new(stream, options).map(boxed),
        Format::Ogg => formats::OggReader::try_new(stream, options).map(boxed),
        Format::Wav => formats::WavReader::try_new(stream, options).map(boxed),
    };
    opened.map_err(|error| explain(format, &error))
}

fn explain(format: Format, error: &Error) -> BadTune {
    if matches!(error, Error::IoError(_)) {
        return BadTune::Unreadable("it ends before its audio begins".into());
    }
    if format == Format::Wav && matches!(error, Error::Unsupported(_)) {
        return BadTune::Coding { coding: "WAV with another coding in it" };
    }
    BadTune::Unreadable(error.to_string())
}

fn track(reader: &dyn FormatReader) -> Result<Track, BadTune> {
    let mut tracks = reader.tracks().iter().filter_map(|track| {
        let params = track.codec_params.as_ref()?.audio()?.clone();
        Some(Track { id: track.id, params, promised: track.num_frames })
    });
    tracks.next().ok_or_else(|| BadTune::Unreadable("there is no audio in it".into()))
}

fn coding(format: Format, codec: AudioCodecId) -> &'static str {
    match (format, codec) {
        (Format::Wav, well_known::CODEC_ID_PCM_ALAW) => "WAV (A-law)",
        (Format::Wav, well_known::CODEC_ID_PCM_MULAW) => "WAV (mu-law)",
        (Format::Wav, _) => "WAV",
        (Format::Flac, _) => "FLAC",
        (Format::Mp3, _) => "MP3",
        (Format::Ogg, well_known::CODEC_ID_FLAC) => "Ogg FLAC",
        (Format::Ogg, well_known::CODEC_ID_VORBIS) => "Ogg Vorbis",
        (Format::Ogg, well_known::CODEC_ID_OPUS) => "Opus",
        (Format::Ogg, _) => "Ogg with another coding in it",
    }
}

/// Two packets of MP3: writers differ in whether they count the first and the last.
const SLACK: u64 = 2 * 1_152;
