//! Packets of a call and files of music.

use media_core::{
    frame::Rate,
    music::{Imported, Tune},
    order::Law,
    rtp::{
        header::{LENGTH, Packet, is_rtcp},
        rtcp as reports,
        stats::Reception,
        xr::VoipMetrics,
    },
};

/// One RTP packet, then all that is counted of it.
///
/// # Panics
/// Where more is given than came, or a packet is not written as it was read.
pub fn rtp(bytes: &[u8]) {
    let _ = is_rtcp(bytes);
    let Ok(packet) = Packet::parse(bytes) else { return };
    assert!(packet.payload.len() + LENGTH <= bytes.len());
    assert!(packet.header.payload_type < 128);
    let written = [&packet.header.bytes(), packet.payload].concat();
    assert_eq!(Packet::parse(&written), Ok(packet), "written as it was read");
    // The payload as a row of numbers and arrival times: order and loss are counted without
    // overflow, whatever comes in whatever order.
    let mut source =
        media_core::rtp::stats::Source::new(packet.header.ssrc, packet.header.sequence);
    for [high, low, a, b] in packet.payload.as_chunks::<4>().0 {
        let number = u16::from_be_bytes([*high, *low]);
        let _ = source.take(number);
        let header = media_core::rtp::header::Header { sequence: number, ..packet.header };
        source.measure_jitter(&header, u32::from_be_bytes([*a, *b, *high, *low]));
        let _: Reception = source.report();
        let _ = source.lost();
    }
}

/// One RTCP compound packet.
///
/// # Panics
/// Where more reports are read than there is room for, a value is believed that cannot be, or an
/// extended report is not written as it was read.
pub fn rtcp(bytes: &[u8]) {
    let Ok(packets) = reports::parse(bytes) else { return };
    let mut count = 0;
    for packet in packets {
        count += 1;
        if let reports::Report::Sender { ssrc, blocks, .. }
        | reports::Report::Receiver { ssrc, blocks } = packet
        {
            let block = blocks.about(ssrc);
            assert!(block.is_none_or(|block| block.ssrc == ssrc));
        }
        if let reports::Report::Extended { ssrc, blocks } = packet {
            // Every stream that it could be about.
            for about in bytes.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)) {
                let Some(told) = blocks.about(about) else { continue };
                let metrics = told.metrics;
                assert_eq!(metrics.ssrc, about);
                assert!(told.impossible <= 3);
                assert!(metrics.r_factor.is_none_or(|r| r <= 100));
                let possible = |mos: Option<u8>| mos.is_none_or(|mos| (10..=50).contains(&mos));
                assert!(possible(metrics.mos_lq) && possible(metrics.mos_cq));
                said_again(ssrc, &metrics);
            }
        }
    }
    assert!(count >= 1 && count * 4 <= bytes.len(), "{count} packets in {} bytes", bytes.len());
}

fn said_again(ssrc: u32, metrics: &VoipMetrics) {
    let mut compound = reports::Compound::new();
    compound.receiver(ssrc, None);
    compound.voice(ssrc, metrics);
    let mut read = reports::parse(compound.bytes()).expect("what we write can be read");
    let Some(reports::Report::Extended { blocks, .. }) = read.nth(1) else {
        panic!("no extended report behind ours");
    };
    assert_eq!(blocks.about(metrics.ssrc).map(|told| told.metrics), Some(*metrics));
}

/// One music file.
///
/// # Panics
/// Where a file is decoded into more than it holds, or a frame of it cannot be had.
pub fn tune(bytes: &[u8]) {
    let Ok(Imported { tune, sound }) = Tune::import(bytes) else { return };
    assert!(tune.frames() > 0, "a tune that is accepted can be heard");
    assert!(tune.frames() <= 50 * 60 * 61, "{} frames", tune.frames());
    let seconds = tune.frames() as f32 / 50.0;
    assert!((seconds - sound.seconds).abs() < 0.05, "{seconds} s, said to be {}", sound.seconds);
    for index in [0, tune.frames() - 1, tune.frames(), u64::MAX] {
        let _ = (tune.frame(Law::A, index), tune.frame(Law::Mu, index));
        for rate in [Rate::Hz8000, Rate::Hz16000] {
            assert_eq!(tune.pcm(rate, index).len(), rate.samples());
            let once = tune.pcm_once(rate, index);
            assert_eq!(once.is_some(), index < tune.frames());
            assert!(once.is_none_or(|frame| frame.len() == rate.samples()));
        }
    }
}
