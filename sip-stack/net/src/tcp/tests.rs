//! Connections over loopback: what comes, what leaves, who does not read, who is not there.

use super::*;
use sip_stack::NetworkId;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream as Far},
    thread,
};

const CONN: ConnId = ConnId(1);

/// The machine may be busy; what is waited for comes long before.
const PATIENCE: Duration = Duration::from_secs(20);

fn listener() -> Tcp {
    bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap().listen().unwrap()
}

/// A listener, and a connection of it that is taken.
async fn connected() -> (Tcp, Far, SocketAddr) {
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let far = Far::connect(bound.address()).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tcp = bound.listen().unwrap();
    let News::Accepted(stream, from) = next(&mut tcp).await else { panic!("nobody came") };
    assert_eq!(from, far.local_addr().unwrap());
    tcp.take(CONN, stream);
    (tcp, far, from)
}

async fn next(tcp: &mut Tcp) -> News {
    timeout(PATIENCE, tcp.next()).await.expect("something happens")
}

fn stream(to: SocketAddr, bytes: &[u8]) -> Transmit {
    Transmit { to, bytes: bytes.to_vec(), way: Way::Stream(CONN), network: NetworkId::FIRST }
}

fn close(to: SocketAddr) -> Transmit {
    Transmit { to, bytes: vec![], way: Way::Close(CONN), network: NetworkId::FIRST }
}

#[tokio::test]
async fn bytes_pass_both_ways_until_the_far_side_ends_it() {
    let (mut tcp, mut far, from) = connected().await;
    far.write_all(b"hello").unwrap();
    assert!(matches!(next(&mut tcp).await, News::Heard(CONN, bytes) if bytes == b"hello"));
    tcp.send(&stream(from, b"world"));
    let mut heard = [0; 5];
    far.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"world");

    far.shutdown(Shutdown::Write).unwrap();

    assert!(matches!(next(&mut tcp).await, News::Closed(CONN, Closed::ByPeer)));
    // Half of it is closed: the answer still gets there.
    tcp.send(&stream(from, b"late!"));
    tcp.send(&close(from));
    far.read_exact(&mut heard).unwrap();
    assert_eq!((&heard, far.read(&mut [0]).unwrap(), tcp.len()), (b"late!", 0, 0));
}

#[tokio::test]
async fn last_words_are_read_although_the_far_side_had_more_to_say() {
    let (mut tcp, mut far, from) = connected().await;
    far.write_all(&[b'x'; 1000]).unwrap();
    assert!(matches!(next(&mut tcp).await, News::Heard(CONN, _)));
    far.write_all(&[b'y'; 1000]).unwrap();

    tcp.send(&stream(from, b"400"));
    tcp.send(&close(from));

    let mut heard = Vec::new();
    let reader = thread::spawn(move || far.read_to_end(&mut heard).map(|_| heard));
    while !reader.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(reader.join().unwrap().unwrap(), b"400");
}

#[tokio::test]
async fn what_the_far_side_does_not_read_waits_up_to_a_bound_and_in_order() {
    let (mut tcp, mut far, from) = connected().await;
    let portion: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let mut given = 0;
    let unread = loop {
        tcp.send(&stream(from, &portion));
        match tcp.try_next() {
            None => given += portion.len(),
            Some(news) => break news,
        }
        assert!(given < 64 << 20, "never refused");
    };
    assert!(matches!(unread, News::Closed(CONN, Closed::Unread)), "{unread:?}");

    // What was taken arrives whole, once somebody reads.
    let wanted = given;
    let reader = thread::spawn(move || {
        let mut heard = vec![0; wanted];
        far.read_exact(&mut heard).map(|()| heard)
    });
    while !reader.is_finished() {
        let _quiet = timeout(Duration::from_millis(10), tcp.next()).await;
    }
    let heard = reader.join().unwrap().unwrap();
    assert!(heard.chunks(portion.len()).all(|chunk| chunk == portion));
}

#[tokio::test]
async fn whoever_reads_nothing_for_30_s_is_given_up() {
    let (mut tcp, _far, from) = connected().await;
    let portion = vec![0; 64 * 1024];
    while tcp.blocked.is_empty() {
        tcp.send(&stream(from, &portion));
    }
    tcp.check(Instant::now());
    assert!(tcp.try_next().is_none());

    tcp.check(Instant::now() + UNSENT_MAX);

    assert!(matches!(tcp.try_next(), Some(News::Closed(CONN, Closed::Unread))));
}

#[tokio::test]
async fn what_is_said_while_connecting_leaves_when_the_connection_stands() {
    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = far.local_addr().unwrap();
    let mut tcp = listener();
    tcp.send(&Transmit { to, bytes: vec![], way: Way::Connect(CONN), network: NetworkId::FIRST });
    tcp.send(&stream(to, b"INVITE"));

    assert!(matches!(next(&mut tcp).await, News::Connected(CONN)));

    let (mut far, _) = far.accept().unwrap();
    let mut heard = [0; 6];
    far.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"INVITE");
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    // Bound by one who does not listen, so that nobody else listens there meanwhile.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = taken.local_addr().unwrap();
    let mut tcp = listener();
    tcp.send(&Transmit {
        to: free,
        bytes: vec![],
        way: Way::Connect(CONN),
        network: NetworkId::FIRST,
    });

    assert!(matches!(next(&mut tcp).await, News::Closed(CONN, Closed::Refused)));
}

#[test]
fn a_taken_address_is_named() {
    let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();

    let refused = bind(first.address()).unwrap_err().to_string();

    assert!(refused.starts_with(&first.address().to_string()), "{refused}");
}
