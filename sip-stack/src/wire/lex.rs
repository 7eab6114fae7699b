//! Bytes of the SIP grammar (RFC 3261 §25.1): tokens, quoted strings, lists. Linear, no recursion.

/// `token`: what method names, header names and most parameter values are made of.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Without the blanks at both ends; folding has been undone before.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|byte| !blank(byte)) else { return &[] };
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// Before and after the first `separator`, which belongs to neither.
pub(crate) fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// The pieces between separators that stand outside quoted strings and outside `<>`, trimmed,
/// empty ones included. A quote or bracket that is never closed runs to the end.
pub(crate) fn split_list(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let current = rest?;
        let end = find_outside(current, separator);
        rest = end.and_then(|end| current.get(end + 1..));
        Some(trim(end.and_then(|end| current.get(..end)).unwrap_or(current)))
    })
}

/// Where `wanted` first stands outside quoted strings and `<>`.
pub(crate) fn find_outside(bytes: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut angled, mut escaped) = (false, false, false);
    bytes.iter().position(|&byte| {
        match (quoted, byte) {
            _ if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => quoted = false,
            (true, _) => {}
            (false, b'>') if angled => angled = false,
            (false, _) if angled => {}
            (false, byte) if byte == wanted => return true,
            (false, b'"') => quoted = true,
            (false, b'<') => angled = true,
            (false, _) => {}
        }
        false
    })
}

/// The inside of a quoted string that starts at the first byte, escapes undone, and what follows
/// its closing quote. Bytes that are not UTF-8 become replacement characters.
pub(crate) fn quoted(bytes: &[u8]) -> Option<(String, &[u8])> {
    let inside = bytes.strip_prefix(b"\"")?;
    let mut text = Vec::new();
    let mut bytes = inside.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => {
                let text = String::from_utf8_lossy(&text).into_owned();
                return Some((text, inside.get(at + 1..)?));
            }
            b'\\' => text.push(*bytes.next()?.1),
            byte => text.push(byte),
        }
    }
    None
}

/// A control character that is not half of a quoted pair: `"\\NUL"` is legal (RFC 4475 §3.1.1.2). CR
/// and LF never are; a tab is a blank (RFC 3261 §25.1).
pub(super) fn has_bare_control(bytes: &[u8]) -> bool {
    // Nearly no value has any, and this question is asked of sixteen bytes at once.
    if !bytes.iter().fold(false, |any, byte| any | byte.is_ascii_control()) {
        return false;
    }
    let mut escaped = false;
    bytes.iter().any(|&byte| {
        let never = matches!(byte, b'\r' | b'\n');
        let bare = never || (byte.is_ascii_control() && byte != b'\t' && !escaped);
        escaped = byte == b'\\' && !escaped;
        bare
    })
}

/// Decimal digits and nothing else; `None` also when it does not fit.
pub(crate) fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    // `parse` alone would take a plus sign.
    bytes.iter().all(u8::is_ascii_digit).then_some(())?;
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        split_list(text.as_bytes(), b',').map(|piece| std::str::from_utf8(piece).unwrap()).collect()
    }

    #[test]
    fn commas_inside_quotes_and_brackets_do_not_split() {
        assert_eq!(pieces(r#""a, \", b" <sip:x,y@z>, c"#), [r#""a, \", b" <sip:x,y@z>"#, "c"]);
        assert_eq!(pieces(r#"<sip:a"b@c>, d"#), [r#"<sip:a"b@c>"#, "d"]);
        assert_eq!(pieces(" a ,,b, "), ["a", "", "b", ""]);
        assert_eq!(pieces(r#""never closed, b"#), [r#""never closed, b"#]);
    }

    #[test]
    fn quoted_strings_lose_their_escapes() {
        let (text, rest) = quoted(br#""J Rosenberg \\\"" <sip:a>"#).unwrap();

        assert_eq!((text.as_str(), rest), (r#"J Rosenberg \""#, b" <sip:a>".as_slice()));
        assert_eq!(quoted(br#""open"#), None);
        assert_eq!(quoted(br#""open\"#), None);
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number::<u8>(b"0255"), Some(255));
        assert_eq!(number::<u8>(b"256"), None);
        assert_eq!(number::<u8>(b"+1"), None);
        assert_eq!(number::<u8>(b""), None);
    }

    #[test]
    fn trimming_takes_blanks_from_the_ends_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b""), b"");
    }
}
