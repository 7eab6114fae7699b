//! A stream of bytes cut into messages by their Content-Length (RFC 3261 §7.5, §18.3), and the
//! line ends that keep it open (RFC 5626 §4.4.1).
//!
//! Total and linear: bytes may be cut and joined anywhere, no byte is looked for twice, and what is
//! held is bounded by the longest message allowed. What a piece means is [`super::parse()`]'s matter.

use super::{Fault, lex};

/// What comes next in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// One message, whole.
    Message(Vec<u8>),
    /// CRLF CRLF: owes a CRLF.
    Ping,
    /// Nothing behind this can be told apart: the connection must be closed. `head`: the header, if
    /// it was whole, for whoever can still be answered.
    Broken { fault: Fault, head: Option<Vec<u8>> },
}

/// The bytes of one connection that are no whole message yet.
#[derive(Clone, Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// What lies before it has been given out.
    start: usize,
    /// From `start` on: so far no end of a header was found.
    looked: usize,
    /// Whole length of the message at `start`, once its header is known.
    length: Option<usize>,
    /// The first line names SIP.
    line_checked: bool,
    bytes_max: usize,
    broken: bool,
}

impl Framer {
    /// `bytes_max`: of one message, its body included.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            looked: 0,
            length: None,
            line_checked: false,
            bytes_max,
            broken: false,
        }
    }

    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Takes what came. Drain [`Self::next`] before the next bytes are pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that are held because they are no whole piece yet.
    pub fn held(&self) -> usize {
        self.rest().len()
    }

    /// Whether a message has begun and is not whole. Line ends are no beginning.
    pub fn is_within_message(&self) -> bool {
        self.rest().iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// `None`: more bytes are needed, or nothing will come of them any more.
    #[expect(clippy::should_implement_trait, reason = "more may come after `None`")]
    pub fn next(&mut self) -> Option<Piece> {
        if self.broken {
            return None;
        }
        match self.rest() {
            [b'\r', b'\n', b'\r', b'\n', ..] => {
                self.skip(4);
                return Some(Piece::Ping);
            }
            // Of these it is not known yet whether they are half a ping.
            [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return None,
            // §7.5: a line end before the start line is nothing.
            [b'\r', b'\n', ..] => self.skip(2),
            [..] => {}
        }
        match self.whole() {
            Ok(length) => {
                let end = self.start + length?;
                let message = self.buffer.get(self.start..end)?.to_vec();
                self.skip(message.len());
                Some(Piece::Message(message))
            }
            Err((fault, head)) => {
                let head = head.and_then(|length| self.rest().get(..length)).map(<[u8]>::to_vec);
                self.broken = true;
                self.buffer = Vec::new();
                self.start = 0;
                Some(Piece::Broken { fault, head })
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.looked = 0;
        self.length = None;
        self.line_checked = false;
    }

    /// Length of the message at the front, if its header is whole. `Err` with the length of the
    /// header, if that is.
    fn whole(&mut self) -> Result<Option<usize>, (Fault, Option<usize>)> {
        if let Some(length) = self.length {
            return Ok(Some(length));
        }
        self.check_first_line()?;
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        // The last three bytes looked at may be the beginning of the end.
        let from = self.looked.saturating_sub(3);
        let found = rest.get(from..).and_then(|part| find(part, b"\r\n\r\n"));
        let Some(found) = found else {
            self.looked = rest.len();
            let full = rest.len() >= self.bytes_max;
            return if full { Err((Fault::HeaderSize, None)) } else { Ok(None) };
        };
        let head = from + found + 4;
        let body = content_length(rest.get(..head).unwrap_or_default());
        let body = body.map_err(|fault| (fault, Some(head)))?;
        let length = head.checked_add(body).filter(|&length| length <= self.bytes_max);
        self.length = Some(length.ok_or((Fault::MessageSize, Some(head)))?);
        self.looked = rest.len();
        Ok(self.length)
    }

    /// Whoever speaks something else here (TLS, HTTP) is told apart by the first line, not by the
    /// last byte that is held of it.
    fn check_first_line(&mut self) -> Result<(), (Fault, Option<usize>)> {
        if self.line_checked {
            return Ok(());
        }
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let from = self.looked.saturating_sub(1);
        let end = rest.get(from..).and_then(|part| find(part, b"\r\n")).map(|found| from + found);
        if let Some(line) = end.and_then(|end| rest.get(..end)) {
            let names_sip = |window: &[u8]| window.eq_ignore_ascii_case(b"SIP/");
            line.windows(4).any(names_sip).then_some(()).ok_or((Fault::NotSip, None))?;
            self.line_checked = true;
        }
        Ok(())
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// §18.3: over a stream it must be there. Said twice the same it is one; digits and nothing else.
fn content_length(head: &[u8]) -> Result<usize, Fault> {
    let mut length = None;
    let mut lines = Lines(head).peekable();
    while let Some(line) = lines.next() {
        let mut value = None;
        if let Some((name, rest)) = lex::split_once(line, b':') {
            let name = lex::trim(name);
            if name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l") {
                value = Some(lex::trim(rest).to_vec());
            }
        }
        // §7.3.1: a line that begins with a blank belongs to the one before.
        while let Some(more) = lines.next_if(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
            if let Some(value) = &mut value {
                value.extend_from_slice(lex::trim(more));
            }
        }
        let Some(value) = value else { continue };
        let said = lex::number::<usize>(&value).ok_or(Fault::ContentLength)?;
        if length.is_some_and(|before| before != said) {
            return Err(Fault::ContentLength);
        }
        length = Some(said);
    }
    length.ok_or(Fault::ContentLength)
}

/// The lines of a header, without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = find(self.0, b"\r\n")?;
        let line = self.0.get(..end);
        self.0 = self.0.get(end + 2..).unwrap_or_default();
        line
    }
}

#[cfg(test)]
mod tests;
