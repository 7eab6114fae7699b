//! Session timers (RFC 4028): how long a session lives without a refresh, who refreshes it, and when.
//!
//! Headers in, headers out, and moments; nothing is sent from here.

use crate::wire::{Headers, lex};
use std::time::{Duration, Instant};

/// The option tag (§7.1).
pub(crate) const TAG: &str = "timer";
/// §4: the shortest life that anybody may ask for, in seconds.
pub(crate) const MIN_SE: u32 = 90;
/// §4: what is recommended, and what we ask for, in seconds.
const EXPIRES: u32 = 1_800;
/// Whoever wants longer lives than a day has none: nothing would be found out in time.
const EXPIRES_MAX: u32 = 86_400;
/// How often an interval that somebody finds too brief is asked for anew: once for each hop that may.
const RAISES_MAX: u8 = 4;

/// Who keeps a session alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresher {
    Us,
    Them,
}

/// What two sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    seconds: u32,
    refresher: Refresher,
}

/// The life that was asked for is shorter than [`MIN_SE`]: 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooBrief;

/// What is to be done for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Refresh,
    /// Its life is over.
    End,
}

/// The timer of one session.
#[derive(Debug, Default)]
pub(crate) struct SessionTimer {
    agreed: Option<Agreed>,
    refresh_at: Option<Instant>,
    end_at: Option<Instant>,
    asks: Asks,
}

/// What our next INVITE or UPDATE asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks {
    seconds: u32,
    /// Somebody on the way wants no shorter one (§7.4).
    min: Option<u32>,
    raises: u8,
}

impl Default for Asks {
    fn default() -> Self {
        Self { seconds: EXPIRES, min: None, raises: 0 }
    }
}

impl Asks {
    /// Into an INVITE that begins a call. Who refreshes is for whoever answers to say (§7.1).
    pub(crate) fn write(self, headers: &mut Headers) {
        self.write_as(headers, "");
    }

    fn write_as(self, headers: &mut Headers, refresher: &str) {
        headers.push("Session-Expires", format!("{}{refresher}", self.seconds));
        // Also where it is what everybody takes for granted: some peers know only what they are told.
        headers.push("Min-SE", self.min.unwrap_or(MIN_SE).to_string());
    }

    /// How often it was [raised](Self::raise).
    pub(crate) fn raises(self) -> u8 {
        self.raises
    }

    /// Takes in a 422 (§7.3). True: asked anew it may do.
    pub(crate) fn raise(&mut self, refusal: &Headers) -> bool {
        let min = refusal.get("Min-SE").and_then(seconds_of);
        let Some(min) = min.filter(|min| *min > self.seconds && *min <= EXPIRES_MAX) else {
            return false;
        };
        if self.raises >= RAISES_MAX {
            return false;
        }
        (self.seconds, self.min) = (min, Some(min));
        self.raises += 1;
        true
    }
}

/// Whether an INVITE or UPDATE may be answered with success (§9). One that a proxy asks too little for, of a caller who
/// knows nothing of it, may: it is answered as if nobody had asked.
pub(crate) fn check(request: &Headers) -> Result<(), TooBrief> {
    match asked(request) {
        Some((seconds, _)) if seconds < MIN_SE && supports(request) => Err(TooBrief),
        Some(_) | None => Ok(()),
    }
}

impl SessionTimer {
    pub(crate) fn asking(asks: Asks) -> Self {
        Self { asks, ..Self::default() }
    }

    /// Our 2xx to a request of theirs: what it says, and from now on holds (§9). Who leaves it to us is relieved of it:
    /// our refreshes are the ones we can be sure of.
    pub(crate) fn answer(&mut self, request: &Headers, response: &mut Headers, now: Instant) {
        let supports = supports(request);
        let agreed = match asked(request) {
            Some((seconds, role)) if (MIN_SE..=EXPIRES_MAX).contains(&seconds) => {
                let them = role == Some(Role::Uac) && supports;
                let refresher = if them { Refresher::Them } else { Refresher::Us };
                Some(Agreed { seconds, refresher })
            }
            Some(_) => None,
            // A request that says nothing would end what holds (§9), though who sent it knows of it.
            None => {
                let before = self.agreed.filter(|_| supports);
                before.map(|before| Agreed { refresher: Refresher::Us, ..before })
            }
        };
        self.hold(agreed, now);
        let Some(Agreed { seconds, refresher }) = agreed else { return };
        match refresher {
            Refresher::Us => response.push("Session-Expires", format!("{seconds};refresher=uas")),
            Refresher::Them => {
                response.push("Session-Expires", format!("{seconds};refresher=uac"));
                response.push("Require", TAG);
            }
        }
    }

    /// Into a request of ours inside the dialog: whoever refreshes goes on doing it (§7.4).
    pub(crate) fn write(&self, headers: &mut Headers) {
        let refresher = match self.agreed {
            Some(Agreed { refresher: Refresher::Them, .. }) => ";refresher=uas",
            Some(Agreed { refresher: Refresher::Us, .. }) => ";refresher=uac",
            None => "",
        };
        let seconds =
            self.agreed.map_or(0, |agreed| agreed.seconds).max(self.asks.min.unwrap_or(0));
        let asks = Asks { seconds: if seconds == 0 { EXPIRES } else { seconds }, ..self.asks };
        asks.write_as(headers, refresher);
    }

    /// Their 2xx to a request of ours: what it says holds from now on (§7.2). One that says nothing ends it.
    pub(crate) fn granted(&mut self, response: &Headers, now: Instant) {
        let agreed = asked(response).map(|(seconds, role)| Agreed {
            // Whoever grants less than anybody may ask for is kept alive as often as anybody may ask for.
            seconds: seconds.clamp(MIN_SE, EXPIRES_MAX),
            refresher: if role == Some(Role::Uas) { Refresher::Them } else { Refresher::Us },
        });
        self.hold(agreed, now);
    }

    /// Takes in a 422 to a refresh. True: it may be tried again with more.
    pub(crate) fn raise(&mut self, refusal: &Headers) -> bool {
        self.asks.seconds = self.agreed.map_or(EXPIRES, |agreed| agreed.seconds);
        self.asks.raise(refusal)
    }

    /// The refresh that was due did not come about: it is tried again after this long, if there is a life to save.
    pub(crate) fn try_again(&mut self, after: Duration, now: Instant) {
        self.refresh_at = self.end_at.map(|_| now + after);
    }

    /// The session is over, or nobody watches it any longer.
    pub(crate) fn stop(&mut self) {
        self.hold_nothing();
    }

    /// What is due by now, once.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        if self.end_at.is_some_and(|at| at <= now) {
            self.hold_nothing();
            return Some(Due::End);
        }
        self.refresh_at.take_if(|at| *at <= now).map(|_| Due::Refresh)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.refresh_at.into_iter().chain(self.end_at).min()
    }

    fn hold(&mut self, agreed: Option<Agreed>, now: Instant) {
        let Some(Agreed { seconds, refresher }) = agreed else { return self.hold_nothing() };
        let life = Duration::from_secs(seconds.into());
        let refresh = match refresher {
            // §10: half of it.
            Refresher::Us => life / 2,
            // Where §10 would hang up because they have not, we refresh it ourselves: a call in which two still talk does
            // not end because one of them forgot.
            Refresher::Them => life - (life / 3).min(MARGIN),
        };
        self.agreed = agreed;
        (self.refresh_at, self.end_at) = (Some(now + refresh), Some(now + life));
    }

    fn hold_nothing(&mut self) {
        (self.agreed, self.refresh_at, self.end_at) = (None, None, None);
    }
}

/// §10: how long before the end whoever waits for a refresh gives it up; a third of short lives.
const MARGIN: Duration = Duration::from_secs(32);

/// Who is which in the exchange of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Uac,
    Uas,
}

fn supports(headers: &Headers) -> bool {
    let mut tags = headers.list("Supported").into_iter().chain(headers.list("Require"));
    tags.any(|tag| tag.trim_ascii().eq_ignore_ascii_case(TAG.as_bytes()))
}

/// Session-Expires: its seconds and who is to refresh. One that cannot be read is none.
fn asked(headers: &Headers) -> Option<(u32, Option<Role>)> {
    let value = headers.get("Session-Expires")?;
    let seconds = seconds_of(value)?;
    let params = lex::split_list(value, b';').skip(1);
    let role = params.filter_map(|param| lex::split_once(param, b'=')).find_map(|(name, value)| {
        let value = lex::trim(value);
        match lex::trim(name).eq_ignore_ascii_case(b"refresher") {
            true if value.eq_ignore_ascii_case(b"uac") => Some(Role::Uac),
            true if value.eq_ignore_ascii_case(b"uas") => Some(Role::Uas),
            true | false => None,
        }
    });
    Some((seconds, role))
}

/// Delta-seconds before the parameters; more than fit are as good as for ever.
fn seconds_of(value: &[u8]) -> Option<u32> {
    let digits = lex::trim(lex::split_list(value, b';').next()?);
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| lex::number(digits).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
