//! Request methods: those with a meaning to somebody, and every other token (RFC 3261 §7.1).

use super::rsip;
use std::fmt;

/// A request method. Names are case-sensitive: `invite` is [`Method::Other`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Ack,
    Bye,
    Cancel,
    Info,
    Invite,
    Message,
    Notify,
    Options,
    Prack,
    Publish,
    Refer,
    Register,
    Subscribe,
    Update,
    /// Any other token.
    Other(String),
}

impl Method {
    /// The method of that name, known or not.
    pub fn from_name(name: &str) -> Self {
        rsip::known_method(name).unwrap_or_else(|| Self::Other(name.to_owned()))
    }

    /// The name as it is written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known @ (Self::Ack
            | Self::Bye
            | Self::Cancel
            | Self::Info
            | Self::Invite
            | Self::Message
            | Self::Notify
            | Self::Options
            | Self::Prack
            | Self::Publish
            | Self::Refer
            | Self::Register
            | Self::Subscribe
            | Self::Update) => known.label(),
        }
    }

    /// A name out of a closed set, for metrics: `OTHER` for what we do not know.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Info => "INFO",
            Self::Invite => "INVITE",
            Self::Message => "MESSAGE",
            Self::Notify => "NOTIFY",
            Self::Options => "OPTIONS",
            Self::Prack => "PRACK",
            Self::Publish => "PUBLISH",
            Self::Refer => "REFER",
            Self::Register => "REGISTER",
            Self::Subscribe => "SUBSCRIBE",
            Self::Update => "UPDATE",
            Self::Other(_) => "OTHER",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_name_counts_only_in_capitals() {
        assert_eq!(Method::from_name("INVITE"), Method::Invite);
        assert_eq!(Method::from_name("Invite"), Method::Other("Invite".into()));
        assert_eq!(Method::from_name("PRACK").as_str(), "PRACK");
    }

    #[test]
    fn an_unknown_method_keeps_its_name_and_has_one_label() {
        let method = Method::from_name("RE%47IST%45R");

        assert_eq!((method.as_str(), method.label()), ("RE%47IST%45R", "OTHER"));
    }
}
