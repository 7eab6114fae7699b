//! What the endpoint is told when it starts: plain data, checked by whoever made it.

use crate::{
    event::Target,
    ids::{TrunkId, UserId},
    trunk::Trunk,
};
use std::{fmt, net::SocketAddr};

/// The whole of it. The place of a trunk or a user in its list is its id.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bound address of the UDP listener.
    pub local: SocketAddr,
    /// What Via and Contact name: the address others reach us by.
    pub advertise: SocketAddr,
    /// The same for TCP.
    pub advertise_tcp: SocketAddr,
    /// The networks behind the first, which is that of the addresses above.
    pub networks: Vec<Network>,
    /// Realm of the challenge and domain of the addresses phones register.
    pub domain: String,
    /// Text of User-Agent and Server.
    pub user_agent: String,
    pub trunks: Vec<Trunk>,
    pub users: Vec<User>,
    /// The first leg id that may be given: the counter goes on over restarts.
    pub first_leg: u64,
    /// Seed of tags, branches, Call-IDs and the nonces' key. From the operating system in
    /// production, because none of them may be guessed.
    pub seed: [u8; 32],
    pub limits: Limits,
}

/// Where we are in one more network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Bound address of its listeners.
    pub local: SocketAddr,
    /// What Via and Contact name there.
    pub advertise: SocketAddr,
    /// The same for TCP.
    pub advertise_tcp: SocketAddr,
}

/// What is refused or dropped beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message; longer ones get 513.
    pub message_bytes: usize,
    /// Transactions at once; new calls beyond get 503.
    pub transactions_max: usize,
    /// Legs at once, in both directions; new calls beyond get 503.
    pub legs_max: usize,
    /// REGISTERs a second that are read of all strangers together.
    pub strangers_per_second: u32,
    /// Datagrams a second of one stranger, twice as many at once.
    pub stranger_per_second: u32,
    /// Wrong passwords in a minute; beyond, their source is banned.
    pub wrong_passwords_max: u32,
    /// The first ban of a source; each further one is twice as long.
    pub ban_seconds: u32,
    pub ban_seconds_max: u32,
    /// Connections at once, whoever opened them.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_source: usize,
    /// Connections of nobody we know; beyond, the oldest makes room.
    pub strange_connections_max: usize,
    /// Connections of nobody we know from one address.
    pub strange_connections_per_source: usize,
}

impl Limits {
    /// For the reference machine: far above what it is sold for.
    pub const STANDARD: Self = Self {
        message_bytes: 65_535,
        transactions_max: 100_000,
        legs_max: 10_000,
        strangers_per_second: 1_000,
        stranger_per_second: 20,
        wrong_passwords_max: 20,
        ban_seconds: 600,
        ban_seconds_max: 86_400,
        connections_max: 4_000,
        connections_per_source: 2_000,
        strange_connections_max: 1_000,
        strange_connections_per_source: 200,
    };
}

/// Somebody with a phone.
#[derive(Clone, Debug)]
pub struct User {
    /// User part of the address: `1001`.
    pub name: String,
    /// `None`: this phone cannot register.
    pub password: Option<Secret>,
    /// Where a phone that does not register is reached.
    pub contact: Option<Target>,
}

/// A caller and a phone of the box's own, known by their sockets and not by their hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guests {
    /// The trunk the caller is.
    pub trunk: TrunkId,
    pub caller: SocketAddr,
    /// Whose phone the phone is.
    pub user: UserId,
    pub phone: Target,
}

/// A password, which no log can print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let user =
            User { name: "1001".into(), password: Some(Secret::new("hunter2")), contact: None };

        assert!(!format!("{user:?}").contains("hunter2"));
    }
}
