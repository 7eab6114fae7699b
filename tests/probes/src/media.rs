//! Packets of a call and files of music.

use media_core::{
    music::Tune,
    order::Law,
    rtp::{
        header::{LENGTH, Packet, is_rtcp},
        rtcp as reports,
        stats::Reception,
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
/// Where more reports are read than there is room for.
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
    }
    assert!(count >= 1 && count * 4 <= bytes.len(), "{count} packets in {} bytes", bytes.len());
}

/// One music file.
///
/// # Panics
/// Where a file is decoded into more than it holds, or a frame of it cannot be had.
pub fn tune(bytes: &[u8]) {
    let Ok(tune) = Tune::from_wav(bytes) else { return };
    assert!(tune.frames() > 0, "a tune that is accepted can be heard");
    let seconds = tune.frames() / 50;
    assert!(seconds <= bytes.len() as u64, "{seconds} s of {} bytes", bytes.len());
    for index in [0, tune.frames() - 1, tune.frames(), u64::MAX] {
        let _ = (tune.frame(Law::A, index), tune.frame(Law::Mu, index));
    }
}
