//! Keys in the body of an INFO: `application/dtmf-relay` and `application/dtmf`. No RFC defines them
//! (RFC 6086 §9.1 calls such use legacy); everybody sends them.

use std::{fmt, time::Duration};

/// What we read, for an `Accept` header.
pub const TYPES: &str = "application/dtmf-relay, application/dtmf";

/// What we write.
pub(crate) const RELAY: &str = "application/dtmf-relay";
const SINGLE: &str = "application/dtmf";

/// A key that was pressed: one of `0123456789*#ABCD`, and for how long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Press {
    pub key: char,
    pub duration: Duration,
}

/// It may be a digit of a card: nobody writes it down by accident.
impl fmt::Debug for Press {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Press(for {:?})", self.duration)
    }
}

/// Why a body tells no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// RFC 3261 §21.4.13.
    #[error("a body that tells no key")]
    Type,
    #[error("a body longer than {BODY_MAX} bytes")]
    Long,
    #[error("no Signal")]
    NoSignal,
    #[error("a Signal that is no key")]
    Signal,
    #[error("a Duration that is no number of milliseconds")]
    Duration,
    #[error("a line said twice")]
    Twice,
}

impl NoKey {
    pub fn status(self) -> u16 {
        match self {
            Self::Type => 415,
            Self::Long | Self::NoSignal | Self::Signal | Self::Duration | Self::Twice => 400,
        }
    }

    /// Label out of a closed set, for metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Type => "body_type",
            Self::Long | Self::NoSignal | Self::Signal | Self::Duration | Self::Twice => "dtmf",
        }
    }
}

/// The key a body of this type tells, the type in lower case and without parameters. `None`: the hook
/// was flashed.
pub fn read(media_type: &str, body: &[u8]) -> Result<Option<Press>, NoKey> {
    let relay = match media_type {
        RELAY => true,
        SINGLE => false,
        _ => return Err(NoKey::Type),
    };
    if body.len() > BODY_MAX {
        return Err(NoKey::Long);
    }
    if relay { relayed(body) } else { press(body.trim_ascii(), DEFAULT) }
}

/// The body that tells this key.
pub(crate) fn write(press: Press) -> Vec<u8> {
    let milliseconds = press.duration.clamp(SHORTEST, LONGEST).as_millis();
    format!("Signal={}\r\nDuration={milliseconds}\r\n", press.key).into_bytes()
}

/// Lines of `name=value`; only two names mean something.
fn relayed(body: &[u8]) -> Result<Option<Press>, NoKey> {
    let (mut signal, mut duration) = (None, None);
    for line in body.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = line.split_at(at);
        let (name, value) = (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
        let place = if name.eq_ignore_ascii_case(b"Signal") {
            &mut signal
        } else if name.eq_ignore_ascii_case(b"Duration") {
            &mut duration
        } else {
            continue;
        };
        if place.replace(value).is_some() {
            return Err(NoKey::Twice);
        }
    }
    let duration = duration.map_or(Ok(DEFAULT), milliseconds)?;
    press(signal.ok_or(NoKey::NoSignal)?, duration)
}

fn press(signal: &[u8], duration: Duration) -> Result<Option<Press>, NoKey> {
    let key = match signal {
        [key @ (b'0'..=b'9' | b'*' | b'#')] => *key,
        [key @ (b'A'..=b'D' | b'a'..=b'd')] => key.to_ascii_uppercase(),
        // As RFC 4733 counts them.
        b"10" => b'*',
        b"11" => b'#',
        b"12" => b'A',
        b"13" => b'B',
        b"14" => b'C',
        b"15" => b'D',
        b"16" | b"!" => return Ok(None),
        _ => return Err(NoKey::Signal),
    };
    Ok(Some(Press { key: char::from(key), duration }))
}

fn milliseconds(value: &[u8]) -> Result<Duration, NoKey> {
    let digits = (1..=9).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    let number = text.and_then(|text| text.parse().ok()).ok_or(NoKey::Duration)?;
    Ok(Duration::from_millis(number).clamp(SHORTEST, LONGEST))
}

/// No key needs more.
const BODY_MAX: usize = 256;

/// What a press without a duration is taken for.
const DEFAULT: Duration = Duration::from_millis(250);

/// What is believed of a duration.
const SHORTEST: Duration = Duration::from_millis(40);
const LONGEST: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(body: &str) -> Result<Option<(char, u128)>, NoKey> {
        let press = read("application/dtmf-relay", body.as_bytes())?;
        Ok(press.map(|press| (press.key, press.duration.as_millis())))
    }

    #[test]
    fn a_key_is_read_however_it_is_written() {
        for (body, key) in [
            ("Signal=5\r\nDuration=160\r\n", ('5', 160)),
            ("Signal= 5\nDuration= 160", ('5', 160)),
            ("Duration=160\r\nSignal = #\r\n\r\n", ('#', 160)),
            ("signal=d\r\n", ('D', 250)),
            ("Signal=10\r\nDuration=1\r\n", ('*', 40)),
            ("Signal=*\r\nDuration=999999999\r\n", ('*', 8_000)),
            ("Signal=15\r\nVolume=10\r\nDuration=100", ('D', 100)),
        ] {
            assert_eq!(relay(body), Ok(Some(key)), "{body:?}");
        }
        for (body, key) in [("7", '7'), ("#\r\n", '#'), (" a ", 'A'), ("11", '#')] {
            let press = read("application/dtmf", body.as_bytes()).unwrap().unwrap();
            assert_eq!((press.key, press.duration), (key, DEFAULT), "{body:?}");
        }
        assert_eq!(relay("Signal=16\r\n"), Ok(None), "a flash of the hook is no key and no fault");
    }

    #[test]
    fn what_tells_no_key_is_refused_with_the_reason() {
        for (body, why) in [
            ("", NoKey::NoSignal),
            ("Duration=100\r\n", NoKey::NoSignal),
            ("Signal=\r\n", NoKey::Signal),
            ("Signal=17\r\n", NoKey::Signal),
            ("Signal=55\r\n", NoKey::Signal),
            ("Signal=E\r\n", NoKey::Signal),
            ("Signal=5\r\nSignal=6\r\n", NoKey::Twice),
            ("Signal=5\r\nDuration=1\r\nDuration=1\r\n", NoKey::Twice),
            ("Signal=5\r\nDuration=-1\r\n", NoKey::Duration),
            ("Signal=5\r\nDuration=\r\n", NoKey::Duration),
            ("Signal=5\r\nDuration=9999999999\r\n", NoKey::Duration),
        ] {
            assert_eq!(relay(body), Err(why), "{body:?}");
            assert_eq!((why.status(), why.reason()), (400, "dtmf"));
        }
        assert_eq!(relay(&"x".repeat(257)), Err(NoKey::Long));
        assert_eq!(read("application/dtmf", b""), Err(NoKey::Signal));
        assert_eq!(read("text/plain", b"5"), Err(NoKey::Type));
        assert_eq!((NoKey::Type.status(), NoKey::Type.reason()), (415, "body_type"));
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for key in "0123456789*#ABCD".chars() {
            let press = Press { key, duration: Duration::from_millis(120) };
            assert_eq!(read(RELAY, &write(press)), Ok(Some(press)));
        }
    }

    #[test]
    fn a_press_is_not_written_down_by_accident() {
        let press = Press { key: '7', duration: DEFAULT };
        assert!(!format!("{press:?}").contains('7'));
    }
}
