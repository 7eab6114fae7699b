//! A description of ours to bytes (RFC 8866 §5).

use super::{
    Direction, Media,
    answer::Local,
    codec::{COMFORT_NOISE, Codec},
    crypto::Crypto,
};
use std::{fmt::Write, net::IpAddr};

/// What we would put into an audio stream: payload numbers, ours or the peer's.
pub(super) struct Audio {
    /// Never empty; the first is what we send.
    pub(super) formats: Vec<Format>,
    /// Payload numbers of keys and the clock of each.
    pub(super) telephone_events: Vec<(u8, u32)>,
    pub(super) comfort_noise: bool,
    /// Of a packet, and the most that fits into one.
    pub(super) ptime_ms: Option<u16>,
    pub(super) ptime_ms_max: Option<u16>,
    pub(super) direction: Direction,
    /// Each is told how its voice sounds to the other (RFC 3611 §5.2).
    pub(super) voip_metrics: bool,
}

/// What a packet may be filled with.
pub(super) struct Format {
    pub(super) number: u8,
    pub(super) codec: Codec,
    /// Of what passes through, as the other side of the call wrote them.
    pub(super) parameters: Option<String>,
}

/// Everything before the first `m=` line.
pub(super) fn head(local: Local) -> String {
    let Local { addr, session_id, version, rtp_port: _ } = local;
    let family = match addr {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    format!(
        "v=0\r\no=- {session_id} {version} IN {family} {addr}\r\ns=-\r\n\
         c=IN {family} {addr}\r\nt=0 0\r\n"
    )
}

/// The stream we take, `protocol` as the peer wrote it.
pub(super) fn audio(text: &mut String, port: u16, protocol: &str, audio: &Audio) {
    let mut numbers = String::new();
    let mut attributes = String::new();
    for Format { number, codec, parameters } in &audio.formats {
        _ = write!(numbers, " {number}");
        codec.write(*number, &mut attributes);
        if let Some(parameters) = parameters {
            _ = write!(attributes, "a=fmtp:{number} {parameters}\r\n");
        }
    }
    if audio.comfort_noise {
        _ = write!(numbers, " {COMFORT_NOISE}");
        _ = write!(attributes, "a=rtpmap:{COMFORT_NOISE} CN/8000\r\n");
    }
    for (number, clock_hz) in &audio.telephone_events {
        _ = write!(numbers, " {number}");
        _ = write!(attributes, "a=rtpmap:{number} telephone-event/{clock_hz}\r\n");
        _ = write!(attributes, "a=fmtp:{number} 0-15\r\n");
    }
    let direction = audio.direction.name();
    _ = write!(text, "m=audio {port} {protocol}{numbers}\r\n");
    text.push_str(&attributes);
    for (name, ms) in [("ptime", audio.ptime_ms), ("maxptime", audio.ptime_ms_max)] {
        if let Some(ms) = ms {
            _ = write!(text, "a={name}:{ms}\r\n");
        }
    }
    _ = write!(text, "a={direction}\r\n");
    if audio.voip_metrics {
        text.push_str("a=rtcp-xr:voip-metrics\r\n");
    }
}

/// The keys of the stream that was written last.
pub(super) fn keys<'a>(text: &mut String, keys: impl Iterator<Item = &'a Crypto>) {
    for key in keys {
        _ = write!(text, "{key}\r\n");
    }
}

/// A stream we do not take: its line with port 0 (RFC 3264 §6). One format is enough.
pub(super) fn refused(text: &mut String, media: &Media) {
    let format = media.formats.first().map_or("0", String::as_str);
    _ = write!(text, "m={} 0 {} {format}\r\n", media.kind, media.protocol);
}
