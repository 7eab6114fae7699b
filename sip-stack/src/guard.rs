//! The look at a datagram before any work is done for it: a stranger costs no parsing.

/// Longest REGISTER of somebody we do not know; no phone needs a quarter of it.
const STRANGER_BYTES_MAX: usize = 8 * 1024;

/// Whether there is anything in it: phones keep their NAT open with line ends or zeros.
pub(crate) fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | 0))
}

/// The one thing a stranger may ask (contract: REGISTER from anywhere is challenged).
pub(crate) fn may_come_from_anywhere(datagram: &[u8]) -> bool {
    let text = datagram.trim_ascii_start();
    datagram.len() <= STRANGER_BYTES_MAX && text.starts_with(b"REGISTER ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_are_told_from_messages() {
        let nothing: [&[u8]; 4] = [b"", b"\r\n\r\n", b"\0\0\0\0", b" \r\n"];

        assert!(nothing.into_iter().all(is_keep_alive));
        assert!(!is_keep_alive(b"\r\n\r\nOPTIONS"));
    }

    #[test]
    fn a_stranger_may_register_and_nothing_else() {
        assert!(may_come_from_anywhere(b"REGISTER sip:clavija.test SIP/2.0\r\n"));
        assert!(may_come_from_anywhere(b"\r\n\r\nREGISTER sip:clavija.test SIP/2.0\r\n"));
        let others: [&[u8]; 4] =
            [b"INVITE sip:1@x SIP/2.0", b"SIP/2.0 200 OK", b"REGISTERED x", b"register x"];
        assert!(!others.into_iter().any(may_come_from_anywhere));
    }

    #[test]
    fn a_stranger_may_not_send_much() {
        let long = [b"REGISTER ".as_slice(), &[b'a'; STRANGER_BYTES_MAX]].concat();

        assert!(!may_come_from_anywhere(&long));
    }
}
