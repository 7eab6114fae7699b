//! Keys as RFC 4733 events: pressed on one telephone, heard on another.

use std::collections::VecDeque;

/// In the order of their event codes (RFC 4733 §3.2).
const KEYS: &str = "0123456789*#ABCD";
/// One packet each 20 ms, so a key is down for 100 ms.
const PACKETS: u16 = 5;
/// The last one comes three times (§2.5.1.4).
const LAST_TIMES: u16 = 3;
/// Audio between two keys, in packets, so that the second is not taken for the first one's end.
const PAUSE: u16 = 3;
/// Samples of one packet.
const STEP: u16 = 160;
/// -10 dBm0.
const VOLUME: u8 = 10;
const END: u8 = 0x80;

/// Keys on their way out.
#[derive(Debug, Default)]
pub(super) struct Pressed {
    codes: VecDeque<u8>,
    /// Packets of the first of them that have been sent, and its timestamp.
    sent: u16,
    began: u32,
}

/// One packet of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) first: bool,
    /// That of the key's beginning, in all its packets.
    pub(super) timestamp: u32,
    pub(super) payload: [u8; 4],
}

impl Pressed {
    /// What is no key is not pressed.
    pub(super) fn press(&mut self, digits: &str) {
        let codes = digits.chars().filter_map(|digit| KEYS.find(digit));
        self.codes.extend(codes.filter_map(|code| u8::try_from(code).ok()));
    }

    /// What goes out in place of the audio of this moment, if a key is down.
    pub(super) fn next(&mut self, timestamp: u32) -> Option<Key> {
        let &code = self.codes.front()?;
        let at = self.sent;
        self.sent += 1;
        if at >= PACKETS + LAST_TIMES - 1 {
            if at >= PACKETS + LAST_TIMES - 1 + PAUSE {
                self.codes.pop_front();
                self.sent = 0;
            }
            return None;
        }
        if at == 0 {
            self.began = timestamp;
        }
        let [high, low] = (STEP * (at + 1).min(PACKETS)).to_be_bytes();
        let end = if at + 1 >= PACKETS { END } else { 0 };
        let payload = [code, end | VOLUME, high, low];
        Some(Key { first: at == 0, timestamp: self.began, payload })
    }
}

/// Keys that come in: each is told by its timestamp, however many packets it has (§2.5.2.3).
#[derive(Debug, Default)]
pub(super) struct Heard {
    last: Option<u32>,
}

impl Heard {
    /// The key, at its first packet.
    pub(super) fn hear(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
        let &code = payload.first()?;
        let key = KEYS.chars().nth(code.into())?;
        (self.last.replace(timestamp) != Some(timestamp)).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_arrives_once_even_if_it_is_the_same_twice() {
        let (mut pressed, mut heard, mut keys) =
            (Pressed::default(), Heard::default(), String::new());
        pressed.press("15x5#D");

        for packet in 0..100_u32 {
            if let Some(key) = pressed.next(packet * 160) {
                keys.extend(heard.hear(key.timestamp, &key.payload));
            }
        }

        assert_eq!(keys, "155#D");
    }

    #[test]
    fn a_key_grows_by_packet_and_ends_three_times_with_its_first_timestamp() {
        let mut pressed = Pressed::default();
        pressed.press("7");

        let sent: Vec<_> = (0..20).map_while(|packet| pressed.next(800 + packet * 160)).collect();

        assert_eq!(sent.len(), 7);
        assert!(sent.iter().all(|key| key.timestamp == 800 && key.payload[0] == 7));
        assert!(sent[0].first && sent[1..].iter().all(|key| !key.first));
        let durations = sent.iter().map(|key| u16::from_be_bytes([key.payload[2], key.payload[3]]));
        assert!(durations.eq([160, 320, 480, 640, 800, 800, 800]));
        assert_eq!(sent.iter().filter(|key| key.payload[1] & END != 0).count(), 3);
    }
}
