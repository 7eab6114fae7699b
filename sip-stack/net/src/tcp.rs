//! The TCP listener and every connection: accepted and opened, read in portions, never waited for
//! when sending.
//!
//! Each connection has a task that reads and holds nothing but one portion; what waits to be sent
//! is held here, up to a bound. Which connections may be, and for how long, the endpoint says.

use crate::udp::{BindError, bind_device, mark};
use sip_stack::event::{Closed, Transmit, Way};
use sip_stack::flow::ConnId;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// Connections the kernel holds until we take them.
const LISTEN_BACKLOG: i32 = 1024;
/// Read at once from one connection.
const PORTION_BYTES: usize = 8 * 1024;
/// Portions of all connections that wait for the loop.
const PORTIONS_WAITING: usize = 64;
/// What may wait for a far side that does not read. A call's messages are a few kilobytes.
const UNSENT_BYTES_MAX: usize = 256 * 1024;
/// How long anything may wait for it.
const UNSENT_MAX: Duration = Duration::from_secs(30);
/// How long what we said last may take to be read, before a close that would take it away.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Connections that have such last words at once.
const LAST_WORDS_AT_ONCE: usize = 256;
/// Without a free file descriptor there is nothing to accept with.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// A host that vanished is noticed by the kernel after so long a silence.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// A bound listener that nobody reads yet.
#[derive(Debug)]
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    interface: Option<String>,
}

/// Binds a listener. Only this address: a wildcard must be asked for.
pub fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    bind_to(address, None)
}

/// The same, hearing and connecting by this interface alone.
pub fn bind_to(address: SocketAddr, interface: Option<&str>) -> Result<Bound, BindError> {
    let fail = |source| BindError { address, source };
    let listener = open(address, interface).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok(Bound { listener, address, interface: interface.map(str::to_owned) })
}

fn open(address: SocketAddr, interface: Option<&str>) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of the last process may still be closing.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && !address.ip().is_unspecified() {
        socket.set_only_v6(true)?;
    }
    bind_device(&socket, interface)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

impl Bound {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands the listener to the runtime this is called in.
    pub fn listen(self) -> io::Result<Tcp> {
        let listener = TcpListener::from_std(self.listener)?;
        let (tell, told) = mpsc::channel(PORTIONS_WAITING);
        let acceptor = tokio::spawn(accept(listener, tell.clone())).abort_handle();
        Ok(Tcp {
            local: self.address.ip(),
            interface: self.interface,
            told,
            tell,
            acceptor,
            streams: BTreeMap::new(),
            blocked: BTreeSet::new(),
            own: VecDeque::new(),
            last_words: Arc::new(AtomicUsize::new(0)),
        })
    }
}

/// What the loop hears of the connections.
#[derive(Debug)]
pub enum News {
    /// Somebody connected: owes [`Tcp::take`], or a drop.
    Accepted(TcpStream, SocketAddr),
    /// A connection could not be accepted: no descriptor is free.
    NotAccepted,
    Connected(ConnId),
    Heard(ConnId, Vec<u8>),
    Closed(ConnId, Closed),
}

/// What the tasks say to the owner of the streams.
#[derive(Debug)]
enum Told {
    Accepted(TcpStream, SocketAddr),
    NotAccepted,
    Connected(ConnId, TcpStream),
    Heard(ConnId, Vec<u8>),
    Writable(ConnId),
    Closed(ConnId, Closed),
}

/// The listener and its connections.
#[derive(Debug)]
pub struct Tcp {
    /// What connections of ours come from.
    local: IpAddr,
    interface: Option<String>,
    told: mpsc::Receiver<Told>,
    tell: mpsc::Sender<Told>,
    acceptor: AbortHandle,
    streams: BTreeMap<ConnId, Stream>,
    /// Something waits to be sent, and the connection stands.
    blocked: BTreeSet<ConnId>,
    /// What we noticed ourselves.
    own: VecDeque<News>,
    last_words: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Stream {
    /// `None` while it is being made.
    socket: Option<Arc<TcpStream>>,
    unsent: VecDeque<u8>,
    unsent_since: Instant,
    /// Asks the task to say when more can be sent.
    blocked: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.streams.values().for_each(|stream| stream.task.abort());
    }
}

impl Tcp {
    /// The next thing that happens.
    pub async fn next(&mut self) -> News {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for who waits for several: only the last task that asked is woken.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<News> {
        loop {
            if let Some(news) = self.own.pop_front() {
                return Poll::Ready(news);
            }
            // We hold a sender ourselves, so the channel is never closed.
            let Poll::Ready(Some(told)) = self.told.poll_recv(context) else {
                return Poll::Pending;
            };
            if let Some(news) = self.sort(told) {
                return Poll::Ready(news);
            }
        }
    }

    /// The next thing that has happened.
    pub fn try_next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.own.pop_front() {
                return Some(news);
            }
            let told = self.told.try_recv().ok()?;
            if let Some(news) = self.sort(told) {
                return Some(news);
            }
        }
    }

    fn sort(&mut self, told: Told) -> Option<News> {
        let open = |streams: &BTreeMap<_, _>, conn| streams.contains_key(&conn);
        match told {
            Told::Accepted(stream, from) => Some(News::Accepted(stream, from)),
            Told::NotAccepted => Some(News::NotAccepted),
            Told::Connected(conn, socket) => {
                let stream = self.streams.get_mut(&conn)?;
                let socket = Arc::new(socket);
                let read =
                    read(conn, Arc::clone(&socket), Arc::clone(&stream.blocked), self.tell.clone());
                stream.task = tokio::spawn(read).abort_handle();
                stream.socket = Some(socket);
                stream.unsent_since = Instant::now();
                self.flush(conn);
                Some(News::Connected(conn))
            }
            Told::Heard(conn, bytes) => {
                open(&self.streams, conn).then_some(News::Heard(conn, bytes))
            }
            Told::Writable(conn) => {
                self.flush(conn);
                None
            }
            Told::Closed(conn, why) => open(&self.streams, conn).then_some(News::Closed(conn, why)),
        }
    }

    /// An accepted connection may stay, by this name.
    pub fn take(&mut self, conn: ConnId, stream: TcpStream) {
        wish(&stream);
        let (socket, blocked) = (Arc::new(stream), Arc::new(Notify::new()));
        let read = read(conn, Arc::clone(&socket), Arc::clone(&blocked), self.tell.clone());
        let task = tokio::spawn(read).abort_handle();
        let (unsent, unsent_since) = (VecDeque::new(), Instant::now());
        let stream = Stream { socket: Some(socket), unsent, unsent_since, blocked, task };
        self.streams.insert(conn, stream);
    }

    /// Does what a [`Transmit`] asks, without waiting.
    pub fn send(&mut self, transmit: &Transmit) {
        match transmit.way {
            Way::Datagram => debug_assert!(false, "a datagram is not ours to send"),
            Way::Connect(conn) => self.connect(conn, transmit.to),
            Way::Stream(conn) => self.write(conn, &transmit.bytes),
            Way::Close(conn) => self.close(conn),
        }
    }

    /// Notices who has not read for too long.
    pub fn check(&mut self, now: Instant) {
        for conn in &self.blocked {
            let waits = self.streams.get(conn).is_some_and(|stream| {
                now.saturating_duration_since(stream.unsent_since) >= UNSENT_MAX
            });
            if waits {
                self.own.push_back(News::Closed(*conn, Closed::Unread));
            }
        }
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn connect(&mut self, conn: ConnId, to: SocketAddr) {
        let (local, tell) = (self.local, self.tell.clone());
        let interface = self.interface.clone();
        let connecting = async move {
            let told = match connect(local, interface.as_deref(), to).await {
                Ok(stream) => Told::Connected(conn, stream),
                Err(error) => {
                    tracing::debug!(%to, %error, "no connection");
                    Told::Closed(conn, Closed::Refused)
                }
            };
            // The loop has ended, and with it every connection.
            let _gone = tell.send(told).await;
        };
        let task = tokio::spawn(connecting).abort_handle();
        let (unsent, unsent_since) = (VecDeque::new(), Instant::now());
        let blocked = Arc::new(Notify::new());
        self.streams.insert(conn, Stream { socket: None, unsent, unsent_since, blocked, task });
    }

    fn write(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        let mut rest = bytes;
        if stream.unsent.is_empty()
            && let Some(socket) = &stream.socket
        {
            // Asked directly: the runtime lets nobody send before it has seen the socket writable.
            // What is wrong with it, its reader will say.
            let sent = SockRef::from(&**socket).send(rest).unwrap_or(0);
            rest = rest.get(sent..).unwrap_or_default();
            stream.unsent_since = Instant::now();
        }
        if rest.is_empty() {
            return;
        }
        if stream.unsent.len() + rest.len() > UNSENT_BYTES_MAX {
            self.own.push_back(News::Closed(conn, Closed::Unread));
            return;
        }
        stream.unsent.extend(rest);
        if stream.socket.is_some() {
            self.blocked.insert(conn);
            stream.blocked.notify_one();
        }
    }

    fn flush(&mut self, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        let Some(socket) = &stream.socket else { return };
        while !stream.unsent.is_empty() {
            let (first, _) = stream.unsent.as_slices();
            match socket.try_write(first) {
                Ok(sent) if sent > 0 => {
                    stream.unsent.drain(..sent);
                    stream.unsent_since = Instant::now();
                }
                Ok(_) | Err(_) => break,
            }
        }
        if stream.unsent.is_empty() {
            stream.unsent = VecDeque::new();
            self.blocked.remove(&conn);
        } else {
            self.blocked.insert(conn);
            stream.blocked.notify_one();
        }
    }

    /// The last words leave first: a close with bytes unread would take them away (RFC 1122
    /// §4.2.2.13). So the far side has a moment to read them and to close.
    fn close(&mut self, conn: ConnId) {
        self.flush(conn);
        self.blocked.remove(&conn);
        let Some(stream) = self.streams.remove(&conn) else { return };
        stream.task.abort();
        let Some(socket) = stream.socket else { return };
        let ended = SockRef::from(&*socket).shutdown(std::net::Shutdown::Write);
        if ended.is_err() || self.last_words.load(Ordering::Relaxed) >= LAST_WORDS_AT_ONCE {
            return;
        }
        let counted = Counted::new(&self.last_words);
        drop(tokio::spawn(async move {
            let _counted = counted;
            // Whatever ends it, it has ended.
            let _end = timeout(LAST_WORDS, read_away(&socket)).await;
        }));
    }
}

/// One of those who have last words.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn read_away(socket: &TcpStream) -> io::Result<()> {
    let mut nobody_reads = [0; 512];
    loop {
        socket.readable().await?;
        match socket.try_read(&mut nobody_reads) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn accept(listener: TcpListener, tell: mpsc::Sender<Told>) {
    loop {
        // A place first: nobody is taken from the kernel's queue who would wait in ours.
        let Ok(place) = tell.reserve().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => place.send(Told::Accepted(stream, from)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                place.send(Told::NotAccepted);
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connect(local: IpAddr, interface: Option<&str>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if !local.is_unspecified() && local.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(to).await?;
    wish(&stream);
    Ok(stream)
}

/// What is good to have, and not worth a connection.
fn wish(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let v4 = stream.local_addr().is_ok_and(|address| address.is_ipv4());
    let keepalive = TcpKeepalive::new().with_time(PROBE_AFTER);
    for wish in [stream.set_nodelay(true), socket.set_tcp_keepalive(&keepalive), mark(&socket, v4)]
    {
        if let Err(error) = wish {
            tracing::debug!(%error, "a socket option was refused");
        }
    }
}

/// Reads until the end; says when more can be sent, if asked.
async fn read(
    conn: ConnId,
    socket: Arc<TcpStream>,
    blocked: Arc<Notify>,
    tell: mpsc::Sender<Told>,
) {
    let mut waits_to_send = false;
    let why = loop {
        tokio::select! {
            readable = socket.readable() => {
                // A place first: what is not read is the kernel's to hold, and the far side's.
                let Ok(place) = tell.reserve().await else { return };
                let mut bytes = vec![0; PORTION_BYTES];
                match readable.and_then(|()| socket.try_read(&mut bytes)) {
                    Ok(0) => break Closed::ByPeer,
                    Ok(read) => {
                        bytes.truncate(read);
                        place.send(Told::Heard(conn, bytes));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break Closed::Broken,
                }
            }
            () = blocked.notified(), if !waits_to_send => waits_to_send = true,
            writable = socket.writable(), if waits_to_send => {
                waits_to_send = false;
                if writable.is_err() {
                    break Closed::Broken;
                }
                let Ok(()) = tell.send(Told::Writable(conn)).await else { return };
            }
        }
    };
    // The loop has ended, and with it every connection.
    let _gone = tell.send(Told::Closed(conn, why)).await;
}

#[cfg(test)]
mod tests;
