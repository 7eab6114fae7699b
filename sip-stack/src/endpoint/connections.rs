//! The table of TCP connections: who may have one, for how long, and what has come of its bytes.
//!
//! Whoever connects is a stranger until a trunk's address or a registration says otherwise, and
//! has half a minute for that. Every connection has a deadline; nothing here waits for ever.

use crate::{
    config::Limits,
    flow::{ConnId, Far, Flow},
    ids::NetworkId,
    wire::stream::{Framer, Piece},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a connection of ours may take to stand.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// From the first byte of a message to its last.
const MESSAGE_MAX: Duration = Duration::from_secs(20);
/// How long nobody we know may stay.
const STRANGER_MAX: Duration = Duration::from_secs(30);
/// Silence on a connection that nobody has registered by and no call goes by. RFC 5626 §4.4.1 has
/// clients ping every two minutes at the latest.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// Longest message of somebody we do not know; no REGISTER needs a quarter of it.
const STRANGER_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug)]
struct Connection {
    far: Far,
    /// We opened it.
    ours: bool,
    stands: bool,
    known: bool,
    framer: Framer,
    since: Instant,
    heard_at: Instant,
    /// A message has begun and is not whole.
    begun_at: Option<Instant>,
    due: Instant,
}

impl Connection {
    fn next_due(&self) -> Instant {
        let life = match (self.stands, self.known) {
            (false, _) => self.since + CONNECT_MAX,
            (true, false) => self.since + STRANGER_MAX,
            (true, true) => self.heard_at + IDLE_MAX,
        };
        self.begun_at.map_or(life, |begun| life.min(begun + MESSAGE_MAX))
    }
}

/// Whose deadline has come, and why it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Connecting,
    HalfMessage,
    /// Unless somebody has registered by it or talks by it.
    Stranger,
    Idle,
}

impl Overdue {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connecting => "refused",
            Self::HalfMessage => "half_message",
            Self::Stranger => "stranger",
            Self::Idle => "idle",
        }
    }
}

#[derive(Debug)]
pub(super) struct Connections {
    limits: Limits,
    issued: u64,
    open: BTreeMap<ConnId, Connection>,
    /// Those we opened, by where they lead.
    to: BTreeMap<Far, ConnId>,
    /// How many each address has, and how many of these are nobody's.
    sources: BTreeMap<(NetworkId, IpAddr), (usize, usize)>,
    /// The oldest first.
    strangers: BTreeSet<ConnId>,
    deadlines: BTreeSet<(Instant, ConnId)>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            issued: 0,
            open: BTreeMap::new(),
            to: BTreeMap::new(),
            sources: BTreeMap::new(),
            strangers: BTreeSet::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// For whoever connects from now on.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A connection that came, or why it may not stay.
    pub(super) fn accept(
        &mut self,
        far: Far,
        known: bool,
        now: Instant,
    ) -> Result<ConnId, &'static str> {
        let (all, strange) = self.sources.get(&host(far)).copied().unwrap_or_default();
        if self.open.len() >= self.limits.connections_max {
            return Err("connections_max");
        }
        if all >= self.limits.connections_per_source
            || (!known && strange >= self.limits.strange_connections_per_source)
        {
            return Err("source_max");
        }
        Ok(self.insert(far, false, known, now))
    }

    /// The stranger that has to go because there are too many of them.
    pub(super) fn crowded_out(&self) -> Option<ConnId> {
        let crowded = self.strangers.len() > self.limits.strange_connections_max;
        self.strangers.first().copied().filter(|_| crowded)
    }

    /// A connection we open; `None`: there are too many.
    pub(super) fn connect(&mut self, far: Far, now: Instant) -> Option<ConnId> {
        let room = self.open.len() < self.limits.connections_max;
        room.then(|| self.insert(far, true, true, now))
    }

    fn insert(&mut self, far: Far, ours: bool, known: bool, now: Instant) -> ConnId {
        self.issued += 1;
        let conn = ConnId(self.issued);
        let bytes_max = if known { self.limits.message_bytes } else { STRANGER_BYTES_MAX };
        let mut connection = Connection {
            far,
            ours,
            stands: !ours,
            known,
            framer: Framer::new(bytes_max),
            since: now,
            heard_at: now,
            begun_at: None,
            due: now,
        };
        connection.due = connection.next_due();
        self.deadlines.insert((connection.due, conn));
        self.open.insert(conn, connection);
        let (all, strange) = self.sources.entry(host(far)).or_default();
        *all += 1;
        *strange += usize::from(!known);
        if !known {
            self.strangers.insert(conn);
        }
        if ours {
            self.to.insert(far, conn);
        }
        conn
    }

    /// A connection of ours stands.
    pub(super) fn stands(&mut self, conn: ConnId, now: Instant) {
        self.with(conn, |connection| {
            connection.stands = true;
            connection.heard_at = now;
        });
    }

    /// Somebody we know speaks by it.
    pub(super) fn prove(&mut self, conn: ConnId, now: Instant) {
        if !self.strangers.remove(&conn) {
            return;
        }
        let bytes_max = self.limits.message_bytes;
        self.with(conn, |connection| {
            connection.known = true;
            connection.heard_at = now;
            connection.framer.set_bytes_max(bytes_max);
        });
        if let Some((_, strange)) =
            self.open.get(&conn).and_then(|connection| self.sources.get_mut(&host(connection.far)))
        {
            *strange -= 1;
        }
    }

    /// It has not expired for this reason after all.
    pub(super) fn spare(&mut self, conn: ConnId, now: Instant) {
        self.prove(conn, now);
        self.with(conn, |connection| connection.heard_at = now);
    }

    pub(super) fn push(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        if let Some(connection) = self.open.get_mut(&conn) {
            connection.heard_at = now;
            connection.framer.push(bytes);
        }
    }

    /// The next whole piece. After the last the deadline is that of what is left.
    pub(super) fn next(&mut self, conn: ConnId, now: Instant) -> Option<Piece> {
        let connection = self.open.get_mut(&conn)?;
        let piece = connection.framer.next();
        match piece {
            Some(_) => connection.begun_at = None,
            None => {
                let within = connection.framer.is_within_message();
                let begun_at = within.then(|| connection.begun_at.unwrap_or(now));
                self.with(conn, |connection| connection.begun_at = begun_at);
            }
        }
        piece
    }

    pub(super) fn far(&self, conn: ConnId) -> Option<Far> {
        self.open.get(&conn).map(|connection| connection.far)
    }

    pub(super) fn is_strange(&self, conn: ConnId) -> bool {
        self.strangers.contains(&conn)
    }

    /// The connection a message for there goes by.
    pub(super) fn find(&self, to: Flow) -> Option<ConnId> {
        let own = to.conn.filter(|conn| self.open.contains_key(conn));
        own.or_else(|| self.to.get(&to.far()).copied())
    }

    /// Forgets it. `Some`: where it led, whether it had ever stood, and whether it was ours.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Gone> {
        let connection = self.open.remove(&conn)?;
        self.deadlines.remove(&(connection.due, conn));
        let strange = self.strangers.remove(&conn);
        if self.to.get(&connection.far) == Some(&conn) {
            self.to.remove(&connection.far);
        }
        let host = host(connection.far);
        if let Some((all, strangers)) = self.sources.get_mut(&host) {
            *all -= 1;
            *strangers -= usize::from(strange);
            if *all == 0 {
                self.sources.remove(&host);
            }
        }
        Some(Gone { far: connection.far, stood: connection.stands, ours: connection.ours })
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// A connection whose moment has come. It owes `remove` or `spare`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(ConnId, Overdue)> {
        let &(_, conn) = self.deadlines.first().filter(|&&(at, _)| at <= now)?;
        let connection = self.open.get(&conn)?;
        let half = connection.begun_at.is_some_and(|begun| begun + MESSAGE_MAX <= now);
        let why = match (connection.stands, connection.known) {
            (false, _) => Overdue::Connecting,
            (true, _) if half => Overdue::HalfMessage,
            (true, false) => Overdue::Stranger,
            (true, true) => Overdue::Idle,
        };
        Some((conn, why))
    }

    fn with(&mut self, conn: ConnId, act: impl FnOnce(&mut Connection)) {
        let Some(connection) = self.open.get_mut(&conn) else { return };
        act(connection);
        let due = connection.next_due();
        if due != connection.due {
            self.deadlines.remove(&(connection.due, conn));
            self.deadlines.insert((due, conn));
            connection.due = due;
        }
    }
}

/// Whose places a connection takes.
fn host(far: Far) -> (NetworkId, IpAddr) {
    (far.network, far.address.ip())
}

/// What a connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) far: Far,
    pub(super) stood: bool,
    pub(super) ours: bool,
}
