//! What a file is, by its first bytes.

use super::BadTune;

/// The kinds that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Flac,
    Mp3,
    Ogg,
    Wav,
}

/// The kind of a file, and where it begins: tags may stand before.
pub(super) fn format(bytes: &[u8]) -> Result<(Format, &[u8]), BadTune> {
    let (untagged, tagged) = skip_tags(bytes)?;
    let format = match untagged {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', chunks @ ..] => {
            wav(chunks)?;
            Format::Wav
        }
        [b'f', b'L', b'a', b'C', ..] => Format::Flac,
        [b'O', b'g', b'g', b'S', ..] => {
            ogg(untagged)?;
            Format::Ogg
        }
        _ => {
            let audio = skip_zeros(untagged);
            match audio {
                [0xFF, second, ..] if second & 0xE0 == 0xE0 => mpeg(*second)?,
                _ if tagged => return Err(BadTune::Unreadable("no audio after its tags".into())),
                _ => return Err(foreign(bytes)),
            }
            return Ok((Format::Mp3, audio));
        }
    };
    Ok((format, untagged))
}

/// What stands in a WAV file, by the tag of its first chunk. Where that is another one its reader says.
fn wav(chunks: &[u8]) -> Result<(), BadTune> {
    let [b'f', b'm', b't', b' ', _, _, _, _, low, high, ..] = chunks else { return Ok(()) };
    let coding = match u16::from_le_bytes([*low, *high]) {
        // PCM, float, A-law, mu-law, and any of them in the longer form.
        1 | 3 | 6 | 7 | 0xFFFE => return Ok(()),
        2 | 0x11 => "WAV with ADPCM in it",
        0x31 => "WAV with GSM in it",
        0x50 | 0x55 => "WAV with MPEG audio in it",
        _ => "WAV with another coding in it",
    };
    Err(BadTune::Coding { coding })
}

/// What stands in an Ogg file, by the first packet of its first page (RFC 3533 §6).
fn ogg(bytes: &[u8]) -> Result<(), BadTune> {
    let segments = bytes.get(26).map_or(0, |count| usize::from(*count));
    let coding = match bytes.get(27 + segments..).unwrap_or_default() {
        [b'O', b'p', b'u', b's', b'H', ..] => "Opus",
        [b'S', b'p', b'e', b'e', b'x', ..] => "Speex",
        [0x80, b't', b'h', b'e', b'o', ..] => "video",
        _ => return Ok(()),
    };
    Err(BadTune::Coding { coding })
}

/// ISO/IEC 11172-3 §2.4.2.3: two bits of the header's second byte say the layer.
fn mpeg(second: u8) -> Result<(), BadTune> {
    let coding = match (second >> 1) & 3 {
        0 => "AAC",
        1 => return Ok(()),
        2 => "MPEG audio of layer 2",
        _ => "MPEG audio of layer 1",
    };
    Err(BadTune::Coding { coding })
}

fn foreign(bytes: &[u8]) -> BadTune {
    let coding = match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "MP4 (AAC or ALAC)",
        [b'F', b'O', b'R', b'M', ..] => "AIFF",
        [0x1A, 0x45, 0xDF, 0xA3, ..] => "Matroska or WebM",
        [0x30, 0x26, 0xB2, 0x75, ..] => "WMA",
        [b'.', b's', b'n', b'd', ..] => "AU",
        [b'#', b'!', b'A', b'M', b'R', ..] => "AMR",
        [b'c', b'a', b'f', b'f', ..] => "CAF",
        [b'M', b'T', b'h', b'd', ..] => "MIDI",
        [b'R', b'F', b'6', b'4', ..] => "WAV of 64 bits (RF64)",
        [b'R', b'I', b'F', b'X', ..] => "WAV of the other byte order (RIFX)",
        _ => return BadTune::NotAudio,
    };
    BadTune::Coding { coding }
}

/// ID3v2 tags: ten bytes, of which the last four are a length of seven bits each. True: there were some.
fn skip_tags(mut bytes: &[u8]) -> Result<(&[u8], bool), BadTune> {
    let mut tagged = false;
    while let [b'I', b'D', b'3', _, _, flags, size @ ..] = bytes {
        let Some(size) = size.first_chunk::<4>() else { break };
        let size = size.iter().fold(0, |all, byte| (all << 7) | usize::from(byte & 0x7F));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        let rest = bytes.get(10 + size + footer..);
        bytes = rest.ok_or_else(|| BadTune::Unreadable("it ends within its tags".into()))?;
        tagged = true;
    }
    Ok((bytes, tagged))
}

/// Some writers leave room between tags and audio.
fn skip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take(PADDING_MAX).take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

const PADDING_MAX: usize = 64 * 1024;
