//! Reads what a SIPp process sent and received, as its own message file tells it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// SIPp's line before each message.
const RULE: &str = "-----------------------------------------------";

/// Seen from the SIPp process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Received,
    Sent,
}

/// One SIP message on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub way: Way,
    /// Local time of day, microseconds since midnight.
    pub at_us: u64,
    pub text: String,
}

impl Message {
    /// `INVITE sip:… SIP/2.0` or `SIP/2.0 200 OK`.
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The method, of a request.
    pub fn method(&self) -> Option<&str> {
        let word = self.first_line().split(' ').next()?;
        (!word.starts_with("SIP/")).then_some(word)
    }

    /// The code, of a response.
    pub fn status(&self) -> Option<u16> {
        self.first_line().strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The first header of this full name, without the spaces round its value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// `7 INVITE` gives `INVITE`: also of a response.
    pub fn cseq_method(&self) -> &str {
        self.header("CSeq").and_then(|cseq| cseq.split_whitespace().nth(1)).unwrap_or_default()
    }

    pub fn is_request(&self, way: Way, method: &str) -> bool {
        self.way == way && self.method() == Some(method)
    }

    pub fn is_response(&self, way: Way, method: &str, status: u16) -> bool {
        self.way == way && self.status() == Some(status) && self.cseq_method() == method
    }

    /// Where the sender of this session description wants its audio, and its first payload type.
    pub fn audio(&self) -> Option<(SocketAddr, u8)> {
        let body = self.text.split_once("\r\n\r\n")?.1;
        let line = |start: &str| body.lines().find_map(|line| line.strip_prefix(start));
        let ip: IpAddr = line("c=IN IP4 ").or_else(|| line("c=IN IP6 "))?.trim().parse().ok()?;
        let mut words = line("m=audio ")?.split_whitespace();
        let port = words.next()?.parse().ok()?;
        let payload_type = words.nth(1)?.parse().ok()?;
        Some((SocketAddr::new(ip, port), payload_type))
    }
}

/// Takes a message file apart; a last message that is not written whole yet is left out.
pub fn parse(file: &str) -> Vec<Message> {
    let mut messages = vec![];
    let mut rest = file;
    while let Some((_, after)) = rest.split_once(RULE) {
        let Some((message, left)) = parse_one(after) else { break };
        messages.extend(message);
        rest = left;
    }
    messages
}

/// After the rule: the time, then `UDP message sent (243 bytes):` or `UDP message received [248] bytes :`, an empty line, the bytes.
/// `Some((None, _))` for an entry that is something else.
fn parse_one(text: &str) -> Option<(Option<Message>, &str)> {
    let (stamp, after) = text.split_once('\n')?;
    let (title, after) = after.split_once("\n\n")?;
    let way = if title.contains("message sent") {
        Way::Sent
    } else if title.contains("message received") {
        Way::Received
    } else {
        return Some((None, after));
    };
    // What was not expected is there once more, without its length.
    let Some(length) = title.split(['(', '[']).nth(1) else { return Some((None, after)) };
    let digits = length.split([' ', ']']).next()?;
    let (text, left) = after.split_at_checked(digits.parse().ok()?)?;
    Some((Some(Message { way, at_us: time_of_day(stamp)?, text: text.to_owned() }), left))
}

/// `2026-11-20 11:07:00.388505`
fn time_of_day(stamp: &str) -> Option<u64> {
    let clock = stamp.trim().split([' ', '\t']).nth(1)?;
    let (whole, micros) = clock.split_once('.')?;
    let seconds =
        whole.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))?;
    Some(seconds * 1_000_000 + micros.get(..6)?.parse::<u64>().ok()?)
}

/// The place of the first INVITE that came to this phone while it had another call.
///
/// A call lasts from its INVITE to the message with which the phone's own part of it is over: a refusal or the 487 it sent, its BYE, or its
/// answer to a BYE.
pub fn second_call(messages: &[Message]) -> Option<usize> {
    let mut open = BTreeSet::new();
    messages.iter().position(|message| {
        if message.is_request(Way::Received, "INVITE") {
            open.insert(message.call_id());
        } else if ends_a_call(message) {
            open.remove(message.call_id());
        }
        open.len() > 1
    })
}

fn ends_a_call(message: &Message) -> bool {
    let refused = message.cseq_method() == "INVITE" && message.status() >= Some(300);
    message.way == Way::Sent
        && (refused
            || message.method() == Some("BYE")
            || message.is_response(Way::Sent, "BYE", 200))
}

/// The conversation as a ladder, one line a message, for whoever reads a failure.
pub fn ladder(messages: &[Message]) -> String {
    let line = |message: &Message| {
        let arrow = match message.way {
            Way::Received => "<-",
            Way::Sent => "->",
        };
        format!("  {arrow} {} [{}]\n", message.first_line(), message.call_id())
    };
    messages.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "----------------------------------------------- 2026-11-20 11:07:00.388505\n\
        UDP message received [58] bytes :\n\n\
        INVITE sip:1001@127.0.0.21 SIP/2.0\r\nCSeq: 7 INVITE\r\n\r\nv=0\n\
        \n----------------------------------------------- 2026-11-20 11:07:00.388600\n\
        Unexpected UDP message received:\n\n\
        INVITE sip:1001@127.0.0.21 SIP/2.0\r\nCSeq: 7 INVITE\r\n\r\nv=0\n\
        \n----------------------------------------------- 2026-11-20 11:07:01.000001\n\
        UDP message sent (40 bytes):\n\nSIP/2.0 180 Ringing\r\nCSeq: 7 INVITE\r\n\r\n\
        \n----------------------------------------------- 2026-11-20 11:07:01.000002\n\
        UDP message sent (4000 bytes):\n\nSIP/2.0 200 OK\r\n";

    #[test]
    fn messages_come_apart_by_their_length_one_that_is_told_twice_counts_once_and_a_half_written_one_waits()
     {
        let messages = parse(FILE);

        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].is_request(Way::Received, "INVITE"));
        assert!(messages[1].is_response(Way::Sent, "INVITE", 180));
        assert_eq!(messages[1].at_us, ((11 * 60 + 7) * 60 + 1) * 1_000_000 + 1);
    }

    #[test]
    fn audio_address_and_first_codec_are_read_from_the_description() {
        let text = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 20002 RTP/AVP 8 101\r\n";
        let message = Message { way: Way::Received, at_us: 0, text: text.to_owned() };

        assert_eq!(message.audio(), Some(("127.0.0.1:20002".parse().expect("an address"), 8)));
    }

    /// `<` received, `>` sent; the first line, the CSeq method and the call.
    fn conversation(lines: &[(Way, &str, &str, &str)]) -> Vec<Message> {
        let message = |&(way, first, cseq, call): &(Way, &str, &str, &str)| {
            let text = format!("{first} SIP/2.0\r\nCSeq: 1 {cseq}\r\nCall-ID: {call}\r\n\r\n");
            Message { way, at_us: 0, text: text.replace("SIP/2.0 487 SIP/2.0", "SIP/2.0 487 Gone") }
        };
        lines.iter().map(message).collect()
    }

    #[test]
    fn a_second_call_is_seen_until_the_phone_is_through_with_the_first() {
        use Way::{Received, Sent};
        let invite = |call| (Received, "INVITE sip:a", "INVITE", call);

        let overlap = [invite("a"), (Received, "CANCEL sip:a", "CANCEL", "a"), invite("b")];
        let repeated = [invite("a"), invite("a")];
        let after_487 = [invite("a"), (Sent, "SIP/2.0 487", "INVITE", "a"), invite("b")];
        let after_bye = [invite("a"), (Sent, "BYE sip:b", "BYE", "a"), invite("b")];
        let before_bye_is_answered =
            [invite("a"), (Received, "BYE sip:b", "BYE", "a"), invite("b")];

        assert_eq!(second_call(&conversation(&overlap)), Some(2));
        assert_eq!(second_call(&conversation(&repeated)), None);
        assert_eq!(second_call(&conversation(&after_487)), None);
        assert_eq!(second_call(&conversation(&after_bye)), None);
        assert_eq!(second_call(&conversation(&before_bye_is_answered)), Some(2));
    }
}
