//! rtpengine's control protocol: a cookie and a bencoded dictionary in a datagram each way.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Talks to one rtpengine.
pub struct Ng {
    socket: UdpSocket,
    cookies: u64,
}

impl Ng {
    pub fn new(from: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((from, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, cookies: 0 })
    }

    pub fn is_there(&mut self) -> bool {
        self.ask(&[("command", "ping")]).is_ok()
    }

    /// Gives one party's description, gets what the other is shown.
    pub fn offer(&mut self, call: &str, description: &str) -> io::Result<String> {
        self.describe("offer", call, &[("from-tag", "a")], description)
    }

    pub fn answer(&mut self, call: &str, description: &str) -> io::Result<String> {
        self.describe("answer", call, &[("from-tag", "a"), ("to-tag", "b")], description)
    }

    pub fn delete(&mut self, call: &str) -> io::Result<()> {
        self.ask(&[("command", "delete"), ("call-id", call), ("from-tag", "a")]).map(drop)
    }

    fn describe(
        &mut self,
        command: &str,
        call: &str,
        tags: &[(&str, &str)],
        description: &str,
    ) -> io::Result<String> {
        let mut asked =
            vec![("command", command), ("call-id", call), ("ICE", "remove"), ("sdp", description)];
        asked.extend(tags);
        match self.ask(&asked)?.remove("sdp") {
            Some(Value::Text(description)) => Ok(description),
            other => Err(io::Error::other(format!("{command} gave {other:?} for a description"))),
        }
    }

    fn ask(&mut self, asked: &[(&str, &str)]) -> io::Result<BTreeMap<String, Value>> {
        self.cookies += 1;
        // It answers a cookie it has seen, whoever sends it, with what it said then.
        let cookie = format!("{}-{} ", self.socket.local_addr()?.port(), self.cookies);
        self.socket.send((cookie.clone() + &dictionary(asked)).as_bytes())?;
        let mut buffer = vec![0; 65_536];
        loop {
            let length = self.socket.recv(&mut buffer)?;
            // An answer that came after we lost patience is not the one to this question.
            if let Some(body) = buffer[..length].strip_prefix(cookie.as_bytes()) {
                return understand(body);
            }
        }
    }
}

fn understand(body: &[u8]) -> io::Result<BTreeMap<String, Value>> {
    let Some((Value::Dictionary(answer), [])) = read(body, DEPTH_MAX) else {
        return Err(io::Error::other("rtpengine's answer is no dictionary"));
    };
    match answer.get("result") {
        Some(Value::Text(result)) if result == "ok" || result == "pong" => Ok(answer),
        other => Err(io::Error::other(format!("rtpengine said {other:?}"))),
    }
}

/// What comes bencoded. Numbers do not matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Number,
    List(Vec<Self>),
    Dictionary(BTreeMap<String, Self>),
}

/// Lists in lists.
const DEPTH_MAX: u8 = 32;

fn dictionary(entries: &[(&str, &str)]) -> String {
    let text = |text: &str| format!("{}:{text}", text.len());
    let written: String = entries.iter().map(|(key, value)| text(key) + &text(value)).collect();
    format!("d{written}e")
}

/// One value and what comes after it.
fn read(bytes: &[u8], depth: u8) -> Option<(Value, &[u8])> {
    let depth = depth.checked_sub(1)?;
    match bytes.first()? {
        b'i' => {
            let end = bytes.iter().position(|&byte| byte == b'e')?;
            Some((Value::Number, &bytes[end + 1..]))
        }
        b'l' => {
            let (mut values, mut rest) = (Vec::new(), &bytes[1..]);
            while *rest.first()? != b'e' {
                let (value, after) = read(rest, depth)?;
                values.push(value);
                rest = after;
            }
            Some((Value::List(values), &rest[1..]))
        }
        b'd' => {
            let (mut entries, mut rest) = (BTreeMap::new(), &bytes[1..]);
            while *rest.first()? != b'e' {
                let (Value::Text(key), after) = read(rest, depth)? else { return None };
                let (value, after) = read(after, depth)?;
                entries.insert(key, value);
                rest = after;
            }
            Some((Value::Dictionary(entries), &rest[1..]))
        }
        _ => {
            let colon = bytes.iter().position(|&byte| byte == b':')?;
            let length: usize = str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
            let (text, rest) = bytes[colon + 1..].split_at_checked(length)?;
            Some((Value::Text(String::from_utf8_lossy(text).into_owned()), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_bencoded_as_rtpengine_wants_it() {
        assert_eq!(dictionary(&[("command", "ping")]), "d7:command4:pinge");
    }

    #[test]
    fn an_answer_with_lists_and_numbers_is_read_and_half_a_one_is_not() {
        let answer = b"d6:result2:ok3:sdp5:v=0\r\n4:tagsld1:ai-7eee4:lastle";
        let whole = [answer.as_slice(), b"e"].concat();

        let read = understand(&whole).expect("an answer");

        assert_eq!(read.get("sdp"), Some(&Value::Text("v=0\r\n".to_owned())));
        assert!(understand(answer).is_err());
        assert!(understand(b"d6:result5:errore").is_err());
        assert!(understand("l".repeat(99).as_bytes()).is_err());
    }
}
