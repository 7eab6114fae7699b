//! Base 64 (RFC 4648 §4) of short secrets.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let mut group = [0; 4];
        for (at, byte) in group.iter_mut().skip(1).zip(piece) {
            *at = *byte;
        }
        let group = u32::from_be_bytes(group);
        for place in 0..4 {
            let six = usize::try_from(group >> (18 - 6 * place) & 0x3F).unwrap_or(0);
            let figure = ALPHABET.get(six).copied().unwrap_or(b'=');
            text.push(if place <= piece.len() { char::from(figure) } else { '=' });
        }
    }
    text
}

/// `None`: a foreign letter, an impossible length, or bits left over that are not zero. The padding
/// may be left out; some peers do.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    let padding = text.len() - bare.len();
    if padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Vec::with_capacity(bare.len() * 3 / 4);
    for piece in bare.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for place in 0..4 {
            let six = match piece.get(place) {
                Some(letter) => ALPHABET.iter().position(|known| known == letter)?,
                None => 0,
            };
            group = group << 6 | u32::try_from(six).ok()?;
        }
        let [_, a, b, c] = group.to_be_bytes();
        let (kept, rest) = match piece.len() {
            4 => (3, 0),
            3 => (2, c),
            2 => (1, b | c),
            _ => return None,
        };
        if rest != 0 {
            return None;
        }
        bytes.extend([a, b, c].into_iter().take(kept));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4648_10() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()), "{text}");
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..=bytes.len() {
            assert_eq!(decode(&encode(&bytes[..length])).as_deref(), Some(&bytes[..length]));
        }
    }

    #[test]
    fn what_is_no_base_64_is_refused() {
        for text in [
            "Z", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8=Zm8=", "Zm9v====", "Zm_v", "Zm 9v", "=",
            "é9vé",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
