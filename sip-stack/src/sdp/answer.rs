//! Offer and answer (RFC 3264): what a call's audio will be, or the exact reason why not.

use super::{
    Connection, Direction, Media, Session,
    codec::{Codec, OpusWishes},
    crypto::Unusable,
    passed::{FORMS_MAX, Passed},
    secure::{self, Secured, Security, Written},
    write::{self, Audio, Format},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// The payload numbers of our own offers; 101 is what everybody uses for telephone-event, at 8 kHz.
const OUR_TELEPHONE_EVENT: u8 = 101;
/// The same beside Opus (RFC 4733 §2.1: on the clock of the audio), and beside what is passed through at 16 kHz.
const OUR_FAST_TELEPHONE_EVENT: u8 = 102;
const OUR_WIDE_TELEPHONE_EVENT: u8 = 103;
/// Of the further forms of a codec that passes through.
const OTHER_FORMS: [u8; FORMS_MAX - 1] = [99, 100, 104];
/// Milliseconds in a packet if the peer does not say (RFC 3551 §4.2).
const PTIME_MS: u16 = 20;
/// What an error message says of the peer's codecs, at most.
const OFFERED_BYTES_MAX: usize = 120;

/// Where we receive, and what identifies our description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub addr: IpAddr,
    pub rtp_port: u16,
    pub session_id: u64,
    /// Goes up by one with each description that differs from the last (RFC 3264 §8).
    pub version: u64,
}

/// What may be agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// In our order of preference.
    pub codecs: Vec<Codec>,
    pub telephone_event: bool,
    /// Comfort noise (RFC 3389) in the place of silence.
    pub comfort_noise: bool,
    /// One of these and nothing else: nobody here speaks in the call.
    pub passed: Vec<Passed>,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub remote_rtp: SocketAddr,
    pub remote_rtcp: SocketAddr,
    pub codec: Codec,
    pub payload_type: u8,
    /// What the peer wishes of Opus, if that is the codec.
    pub opus: OpusWishes,
    pub telephone_event: Option<u8>,
    /// The peer can be sent comfort noise beside this codec.
    pub comfort_noise: bool,
    /// The clock of the keys' durations; that of the audio, but some say 8 kHz beside Opus.
    pub event_clock_hz: u32,
    /// We may send: the peer receives, and its address is not 0.0.0.0.
    pub sends: bool,
    /// The peer sends.
    pub receives: bool,
    /// Milliseconds of audio the peer wants in a packet, and no more than it takes.
    pub ptime_ms: u16,
    /// The peer asked for RTCP XR's VoIP metrics (RFC 3611 §5.2). We offer them to nobody.
    pub voip_metrics: bool,
    /// The keys of both directions; none: the stream is plain.
    pub srtp: Option<Secured>,
}

/// Why there is no audio between the two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("no audio stream offered")]
    NoAudio,
    #[error("transport {offered} offered, {allowed} allowed")]
    Protocol { offered: String, allowed: &'static str },
    #[error("no usable key for SRTP: {why}")]
    NoKey { why: Unusable },
    #[error("no codec in common: they offer {offered}, we allow {allowed}")]
    NoCommonCodec { offered: String, allowed: String },
    #[error("no usable media address: {offered}")]
    NoAddress { offered: String },
    #[error("media address {offered} is not of the family of ours, {ours}")]
    AddressFamily { offered: IpAddr, ours: IpAddr },
}

impl Allowed {
    /// What passes through under this number of a description.
    fn passed_as(&self, media: &Media, number: u8) -> Option<&Passed> {
        self.passed.iter().find(|passed| passed.is_in(media, number))
    }
}

impl NoAnswer {
    /// RFC 3261 §13.3.1.3.
    pub fn status(&self) -> u16 {
        488
    }

    /// Code of the `Warning` header (RFC 3261 §20.43).
    pub fn warning(&self) -> u16 {
        match self {
            Self::NoAudio => 304,
            Self::Protocol { .. } => 302,
            Self::NoKey { .. } => 306,
            Self::NoCommonCodec { .. } => 305,
            Self::NoAddress { .. } => 301,
            Self::AddressFamily { .. } => 300,
        }
    }
}

/// The answer to an offer (RFC 3264 §6): as many streams, the first usable audio among them
/// taken with the peer's payload numbers and the others refused.
pub fn answer(
    offer: &Session,
    allowed: &Allowed,
    local: Local,
) -> Result<(Vec<u8>, Agreed), NoAnswer> {
    answer_secured(offer, allowed, &Security::OFF, local)
}

/// The same where the stream may or must be encrypted.
pub fn answer_secured(
    offer: &Session,
    allowed: &Allowed,
    security: &Security,
    local: Local,
) -> Result<(Vec<u8>, Agreed), NoAnswer> {
    let (taken, agreed) = first_usable(offer, allowed, security, Written::AsOffer)?;
    if agreed.remote_rtp.is_ipv4() != local.addr.is_ipv4() {
        let (offered, ours) = (agreed.remote_rtp.ip(), local.addr);
        return Err(NoAnswer::AddressFamily { offered, ours });
    }
    let mut text = write::head(local);
    for (at, media) in offer.media.iter().enumerate() {
        if at == taken {
            let passed = allowed.passed_as(media, agreed.payload_type);
            let audio = Audio {
                formats: vec![Format {
                    number: agreed.payload_type,
                    codec: agreed.codec,
                    parameters: passed.and_then(|passed| passed.parameters.clone()),
                }],
                telephone_events: (agreed.telephone_event)
                    .map(|number| (number, agreed.event_clock_hz))
                    .into_iter()
                    .collect(),
                comfort_noise: agreed.comfort_noise,
                ptime_ms: passed.map_or(Some(PTIME_MS), |passed| passed.ptime_ms),
                ptime_ms_max: passed.and_then(|passed| passed.ptime_ms_max),
                direction: Direction::of(agreed.sends, agreed.receives),
                voip_metrics: agreed.voip_metrics,
            };
            write::audio(&mut text, local.rtp_port, &media.protocol, &audio);
            write::keys(&mut text, agreed.srtp.iter().map(|secured| &secured.ours));
        } else {
            write::refused(&mut text, media);
        }
    }
    Ok((text.into_bytes(), agreed))
}

/// Our offer: everything that is allowed, both ways.
pub fn offer(allowed: &Allowed, local: Local) -> Vec<u8> {
    offer_secured(allowed, &Security::OFF, local)
}

/// The same; encrypted if it must be.
pub fn offer_secured(allowed: &Allowed, security: &Security, local: Local) -> Vec<u8> {
    offer_again(allowed, None, security, local)
}

/// The same in the middle of a call: what was agreed keeps its numbers, and nothing else gets them (RFC 3264
/// §8.3.2).
pub fn offer_again(
    allowed: &Allowed,
    agreed: Option<&Agreed>,
    security: &Security,
    local: Local,
) -> Vec<u8> {
    let keys = security.offered();
    let protocol = if keys.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
    let mut text = write::head(local);
    let formats = match &allowed.passed[..] {
        [] => (allowed.codecs.iter())
            .map(|&codec| Format { number: codec.our_number(), codec, parameters: None })
            .collect(),
        passed => forms(passed),
    };
    let taken: Vec<_> = agreed
        .iter()
        .flat_map(|agreed| [Some(agreed.payload_type), agreed.telephone_event])
        .flatten()
        .collect();
    let formats: Vec<_> = formats
        .into_iter()
        .filter_map(|format| match agreed {
            Some(agreed) if agreed.codec == format.codec => {
                Some(Format { number: agreed.payload_type, ..format })
            }
            Some(_) | None => (!taken.contains(&format.number)).then_some(format),
        })
        .collect();
    let clocks: BTreeSet<_> = formats.iter().map(|format| event_clock(format.codec)).collect();
    let events = [
        (OUR_TELEPHONE_EVENT, 8_000),
        (OUR_WIDE_TELEPHONE_EVENT, 16_000),
        (OUR_FAST_TELEPHONE_EVENT, 48_000),
    ];
    let events = events.into_iter().filter(|(_, clock)| clocks.contains(clock));
    let events = events.filter_map(|(number, clock)| match agreed {
        Some(Agreed { telephone_event: Some(theirs), event_clock_hz, .. })
            if *event_clock_hz == clock =>
        {
            Some((*theirs, clock))
        }
        Some(_) | None => (!taken.contains(&number)).then_some((number, clock)),
    });
    let passed = allowed.passed.first();
    let audio = Audio {
        telephone_events: events.filter(|_| allowed.telephone_event).collect(),
        comfort_noise: allowed.comfort_noise && formats.iter().any(|format| format.codec.is_g711()),
        formats,
        ptime_ms: passed.map_or(Some(PTIME_MS), |passed| passed.ptime_ms),
        ptime_ms_max: passed.and_then(|passed| passed.ptime_ms_max),
        direction: Direction::SendRecv,
        voip_metrics: false,
    };
    write::audio(&mut text, local.rtp_port, protocol, &audio);
    write::keys(&mut text, keys.iter());
    text.into_bytes()
}

/// What passes through, each form under a number of its own.
fn forms(passed: &[Passed]) -> Vec<Format> {
    let numbers = |codec: Codec| std::iter::once(codec.our_number()).chain(OTHER_FORMS);
    let forms = passed.iter().zip(passed.first().into_iter().flat_map(|form| numbers(form.codec)));
    let format = |(form, number): (&Passed, u8)| Format {
        number,
        codec: form.codec,
        parameters: form.parameters.clone(),
    };
    forms.map(format).collect()
}

/// The peer's answer to our offer.
pub fn accept(answer: &Session, allowed: &Allowed) -> Result<Agreed, NoAnswer> {
    accept_secured(answer, allowed, &Security::OFF)
}

/// The peer's answer to what [`offer_secured`] wrote with the same `security`.
pub fn accept_secured(
    answer: &Session,
    allowed: &Allowed,
    security: &Security,
) -> Result<Agreed, NoAnswer> {
    let (_, agreed) = first_usable(answer, allowed, security, Written::AsAnswer)?;
    Ok(Agreed { voip_metrics: false, ..agreed })
}

/// The first stream we can use; if there is none, why not the first audio that was offered.
fn first_usable(
    session: &Session,
    allowed: &Allowed,
    security: &Security,
    written: Written,
) -> Result<(usize, Agreed), NoAnswer> {
    let mut why = NoAnswer::NoAudio;
    for (at, media) in session.media.iter().enumerate() {
        match usable(session, media, allowed, security, written) {
            Ok(agreed) => return Ok((at, agreed)),
            Err(NoAnswer::NoAudio) => {}
            Err(better) if why == NoAnswer::NoAudio => why = better,
            Err(_) => {}
        }
    }
    Err(why)
}

fn usable(
    session: &Session,
    media: &Media,
    allowed: &Allowed,
    security: &Security,
    written: Written,
) -> Result<Agreed, NoAnswer> {
    if media.kind != "audio" || media.port == 0 {
        return Err(NoAnswer::NoAudio);
    }
    let srtp = secure::agree(media, security, written)?;
    let (payload_type, codec) =
        chosen(media, allowed).ok_or_else(|| no_common_codec(media, allowed))?;
    let address = address(session, media)?;
    let held = address.is_unspecified();
    let direction = media.direction.or(session.direction).unwrap_or(Direction::SendRecv);
    let (rtcp_port, rtcp_address) =
        media.rtcp.unwrap_or_else(|| (media.port.saturating_add(1), None));
    let rtcp_address = rtcp_address
        .filter(|other| other.is_ipv4() == address.is_ipv4() && is_one_host(other))
        .unwrap_or(address);
    let event = telephone_event(media, codec).filter(|_| allowed.telephone_event);
    Ok(Agreed {
        remote_rtp: SocketAddr::new(address, media.port),
        remote_rtcp: SocketAddr::new(rtcp_address, rtcp_port),
        codec,
        payload_type,
        opus: media.opus_wishes(payload_type),
        telephone_event: event.map(|(number, _)| number),
        comfort_noise: allowed.comfort_noise && codec.is_g711() && media.takes_comfort_noise(),
        event_clock_hz: event.map_or_else(|| event_clock(codec), |(_, clock)| clock),
        sends: direction.receives() && !held,
        receives: direction.sends(),
        ptime_ms: media.ptime_ms.unwrap_or(PTIME_MS).min(media.ptime_ms_max.unwrap_or(u16::MAX)),
        voip_metrics: media.voip_metrics || session.voip_metrics,
        srtp,
    })
}

/// The first of the peer's formats that is allowed.
fn chosen(media: &Media, allowed: &Allowed) -> Option<(u8, Codec)> {
    if !allowed.passed.is_empty() {
        let mut numbers = media.different_payload_types();
        return numbers.find_map(|n| Some((n, allowed.passed_as(media, n)?.codec)));
    }
    media.payload_types().find_map(|number| {
        let named = media.codec(number)?;
        let ours = allowed.codecs.iter().find(|codec| codec.is_written_as(named));
        ours.map(|codec| (number, *codec))
    })
}

/// The clock that keys beside this codec should have.
fn event_clock(codec: Codec) -> u32 {
    match codec {
        Codec::Opus | Codec::OpusFullband => 48_000,
        Codec::AmrWb => 16_000,
        Codec::Amr | Codec::G722 | Codec::G729 | Codec::L16 | Codec::Pcma | Codec::Pcmu => 8_000,
    }
}

/// The number for keys pressed (RFC 4733) and its clock: that of the codec if there is one, else 8 kHz, as
/// WhatsApp and others say beside Opus.
fn telephone_event(media: &Media, codec: Codec) -> Option<(u8, u32)> {
    let of_clock = |clock_hz: u32| {
        let number = media.payload_types().find(|number| {
            media.codecs.get(number).is_some_and(|codec| {
                codec.clock_hz == clock_hz && codec.name.eq_ignore_ascii_case("telephone-event")
            })
        });
        number.map(|number| (number, clock_hz))
    };
    of_clock(event_clock(codec)).or_else(|| of_clock(8_000))
}

/// What is sent there comes to no more than one.
fn is_one_host(address: &IpAddr) -> bool {
    let broadcast = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !address.is_multicast() && !broadcast
}

fn address(session: &Session, media: &Media) -> Result<IpAddr, NoAnswer> {
    match media.connection.as_ref().or(session.connection.as_ref()) {
        Some(Connection::Address(address)) if is_one_host(address) => Ok(*address),
        Some(Connection::Address(address)) => {
            Err(NoAnswer::NoAddress { offered: address.to_string() })
        }
        Some(Connection::Name(name)) => Err(NoAnswer::NoAddress { offered: shortened(name) }),
        None => Err(NoAnswer::NoAddress { offered: "none".to_owned() }),
    }
}

fn no_common_codec(media: &Media, allowed: &Allowed) -> NoAnswer {
    let names: Vec<_> = media
        .payload_types()
        .take(OFFERED_BYTES_MAX)
        .map(|number| media.describe(number))
        .collect();
    let allowed = match &allowed.passed[..] {
        passed @ [_, ..] => {
            let forms: Vec<_> = passed.iter().map(Passed::to_string).collect();
            format!("{} passed through", forms.join(", "))
        }
        [] => allowed.codecs.iter().map(|codec| codec.name()).collect::<Vec<_>>().join(", "),
    };
    NoAnswer::NoCommonCodec { offered: shortened(&names.join(", ")), allowed: shortened(&allowed) }
}

/// What a peer wrote goes into a header of ours: not more of it than helps.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(OFFERED_BYTES_MAX).collect()
}

impl Media {
    /// RTP in any of its profiles, so formats are payload numbers.
    pub(super) fn is_rtp(&self) -> bool {
        self.protocol.split('/').any(|part| part == "RTP")
    }
}

impl Direction {
    /// Of whoever sends and receives so.
    fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

#[cfg(test)]
mod tests;
