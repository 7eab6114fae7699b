//! An Opus recording after a crash, or after somebody else had it.

use media_core::record::{
    ogg::{Head, Packets, Page, Read, Stands, read},
    opus::{FRAME_BYTES, Player, Told},
};

/// # Panics
/// Where more is heard than there is, packets do not come back as they went, or a change is not missed.
pub fn ogg(bytes: &[u8]) {
    walk(bytes);
    let (Some(&at), Some(&length)) = (bytes.first(), bytes.get(1)) else { return };
    let packets: Vec<&[u8]> = bytes.chunks(usize::from(length) + 1).take(50).collect();
    let mut waiting = Packets::default();
    let fit = packets.iter().take_while(|packet| waiting.add(packet)).count();
    let mut file = vec![];
    let head = Head { stands: Stands::Between, granule: u64::MAX, serial: 1, sequence: 2 };
    waiting.write(head, &mut file);
    let Read::Page(page, whole) = read(&file) else { panic!("no page of {fit} packets") };
    assert!(whole == file.len() && page.packets().eq(packets.into_iter().take(fit)));
    play(&page);
    if let Some(byte) = file.get_mut(usize::from(at)) {
        *byte ^= length | 1;
        assert!(!matches!(read(&file), Read::Page(..)), "at {at}");
    }
}

/// Any bytes as a file.
fn walk(mut bytes: &[u8]) {
    let mut told = None;
    loop {
        match read(bytes) {
            Read::Page(page, length) => {
                told = told.or_else(|| Told::by(&page));
                if let Some(told) = told {
                    let _any = (told.frames(&page), told.is_of(&page));
                }
                play(&page);
                bytes = bytes.get(length..).unwrap_or_default();
            }
            Read::Needs(length) => return assert!(length > bytes.len()),
            Read::No => return,
        }
    }
}

/// Packets that nobody has coded are as long as others.
fn play(page: &Page<'_>) {
    let mut first = vec![];
    let mut packets = Packets::default();
    packets.add(b"OpusHead\x01\x02\0\0\x40\x1f\0\0\0\0\0");
    let head = Head { stands: Stands::First, granule: 0, serial: 1, sequence: 0 };
    packets.write(head, &mut first);
    let Read::Page(first, _) = read(&first) else { panic!("no first page") };
    let player = Told::by(&first).map(Player::new);
    let Some(Ok(mut player)) = player else { panic!("no player") };
    let mut samples = vec![];
    player.play(page, &mut samples);
    assert_eq!(samples.len(), page.packets().count() * FRAME_BYTES);
}
