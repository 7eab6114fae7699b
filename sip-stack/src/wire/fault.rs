//! What can be wrong with a message, and whether we can say so to its sender.

use super::Response;
use std::fmt;

/// The closed set of things that are wrong with messages; its names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing but line ends: a keep-alive.
    Empty,
    /// No start line of SIP.
    NotSip,
    MessageSize,
    RequestLine,
    RequestUri,
    RequestUriSize,
    StatusLine,
    Version,
    /// No empty line ends the header.
    HeaderEnd,
    HeaderLine,
    HeaderCount,
    HeaderSize,
    /// A control character that is no line end, no tab and no half of a quoted pair.
    ControlByte,
    Via,
    From,
    To,
    CallId,
    CSeq,
    CSeqMethod,
    Contact,
    Route,
    MaxForwards,
    ContentLength,
    BodyShort,
    Date,
    /// A header that may stand once stands twice.
    Repeated,
    Uri,
}

impl Fault {
    /// Label for metrics.
    pub fn label(self) -> &'static str {
        self.row().0
    }

    /// The status that says so (RFC 3261 §21.4, §21.5).
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// Reason phrase: names the field, as §21.4.1 asks.
    pub fn phrase(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Empty => ("empty", 400, "Empty Message"),
            Self::NotSip => ("not_sip", 400, "Not SIP"),
            Self::MessageSize => ("message_size", 513, "Message Too Large"),
            Self::RequestLine => ("request_line", 400, "Bad Request Line"),
            Self::RequestUri => ("request_uri", 400, "Bad Request-URI"),
            Self::RequestUriSize => ("request_uri_size", 414, "Request-URI Too Long"),
            Self::StatusLine => ("status_line", 400, "Bad Status Line"),
            Self::Version => ("version", 505, "Version Not Supported"),
            Self::HeaderEnd => ("header_end", 400, "No End Of Header"),
            Self::HeaderLine => ("header_line", 400, "Bad Header Line"),
            Self::HeaderCount => ("header_count", 513, "Too Many Header Lines"),
            Self::HeaderSize => ("header_size", 513, "Header Value Too Large"),
            Self::ControlByte => ("control_byte", 400, "Control Byte In Header"),
            Self::Via => ("via", 400, "Bad Or Missing Via"),
            Self::From => ("from", 400, "Bad Or Missing From"),
            Self::To => ("to", 400, "Bad Or Missing To"),
            Self::CallId => ("call_id", 400, "Bad Or Missing Call-ID"),
            Self::CSeq => ("cseq", 400, "Bad Or Missing CSeq"),
            Self::CSeqMethod => ("cseq_method", 400, "CSeq Method Mismatch"),
            Self::Contact => ("contact", 400, "Bad Contact"),
            Self::Route => ("route", 400, "Bad Route Or Record-Route"),
            Self::MaxForwards => ("max_forwards", 400, "Bad Max-Forwards"),
            Self::ContentLength => ("content_length", 400, "Bad Content-Length"),
            Self::BodyShort => ("body_short", 400, "Body Shorter Than Content-Length"),
            Self::Date => ("date", 400, "Bad Date"),
            Self::Repeated => ("repeated", 400, "Repeated Header"),
            Self::Uri => ("uri", 400, "Bad URI"),
        }
    }
}

/// A message, header or URI that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    fault: Fault,
    answer: Option<Box<Response>>,
}

impl Malformed {
    pub(super) fn with_answer(fault: Fault, answer: Option<Response>) -> Self {
        Self { fault, answer: answer.map(Box::new) }
    }

    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Label out of a closed set, for metrics.
    pub fn reason(&self) -> &'static str {
        self.fault.label()
    }

    /// What the sender can be told: never for an ACK or a response, nor when its Via is unusable
    /// or what would be echoed holds a control byte. Its Via is as it came: give it to
    /// [`super::stamp_via`] before it is sent.
    pub fn answer(&self) -> Option<&Response> {
        self.answer.as_deref()
    }
}

impl From<Fault> for Malformed {
    fn from(fault: Fault) -> Self {
        Self { fault, answer: None }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.phrase())
    }
}

impl std::error::Error for Malformed {}
