//! Accepts connections, so many at once and not for ever: the API must not eat the descriptors
//! that calls need, and who connects and says nothing must not stand in the way of others.

use axum::serve::Listener;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

/// The listener of the API. Connections beyond the limit wait in the kernel.
pub(super) struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    idle: Duration,
}

impl Bounded {
    /// A connection on which nothing moves for `idle` is closed.
    pub(super) fn new(listener: TcpListener, connections_max: usize, idle: Duration) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(connections_max)), idle }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.room).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let sleep = Box::pin(sleep(self.idle));
        (Connection { stream, idle: self.idle, sleep, _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection and its place among those that may be.
pub(super) struct Connection {
    stream: TcpStream,
    idle: Duration,
    sleep: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// What moves puts the end off; what does not is ended when its time has come.
    fn watch<T>(
        &mut self,
        moved: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.sleep.as_mut().reset(Instant::now() + self.idle);
            return moved;
        }
        self.sleep.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(moved, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(moved, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, pin::pin};
    use tokio::io::AsyncReadExt;

    const LONG: Duration = Duration::from_secs(600);

    async fn bounded(connections_max: usize, idle: Duration) -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Bounded::new(listener, connections_max, idle), address)
    }

    #[tokio::test]
    async fn one_more_than_may_be_is_taken_when_another_has_gone() {
        let (mut listener, address) = bounded(1, LONG).await;
        let _clients = (TcpStream::connect(address).await, TcpStream::connect(address).await);
        let (first, _) = listener.accept().await;

        let mut second = pin!(listener.accept());
        let now = poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_ready())).await;
        assert!(!now, "there is no room");
        drop(first);

        second.await;
    }

    #[tokio::test]
    async fn who_connects_and_says_nothing_is_let_go() {
        let (mut listener, address) = bounded(1, Duration::from_millis(1)).await;
        let _client = TcpStream::connect(address).await;
        let (mut connection, _) = listener.accept().await;

        let heard = connection.read(&mut [0; 10]).await;

        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
