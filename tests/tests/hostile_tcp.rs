//! A thousand connections that cost others if they could, at the real binary: who says nothing, half, endlessly, too much at once.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    namespace,
    party::{Caller, Phone, loopback},
    tone::Law,
    trace::Way,
    wait,
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream},
    os::fd::AsRawFd,
    thread::{self, JoinHandle},
    time::Duration,
};

/// Of strangers from one address (`strange_connections_per_source`), and in all.
const PER_SOURCE: usize = 200;
const STRANGERS_MAX: usize = 1_000;
const CALLER_HZ: f64 = 425.0;
const DESK_HZ: f64 = 725.0;

#[test]
fn a_thousand_connections_that_lead_nowhere_cost_no_call_and_leave_nothing_behind() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();
        appliance.metrics();
        let before = appliance.open_files();
        let sip = appliance.sip();
        let from = |last: u8, count: usize| -> Vec<TcpStream> {
            (0..count).map(|_| connect_from(Ipv4Addr::new(127, 0, 0, last), sip)).collect()
        };

        // Five hosts, as many as each may have; then one more of the last, and fifty of a sixth.
        let idle = from(51, PER_SOURCE);
        let slow = from(52, PER_SOURCE);
        let mut endless = from(53, PER_SOURCE);
        let mut pinging = from(54, PER_SOURCE);
        let mut various = from(55, PER_SOURCE);
        await_connections(&appliance, STRANGERS_MAX);
        let refused = from(55, 1);
        await_closed(&appliance, "source_max", 1.0);
        let late = from(56, 50);
        await_closed(&appliance, "crowded_out", 50.0);
        // A trunk that has lost its way in the middle of a message, too.
        let mut torn = from(2, 5);
        let half = register("torn").split_at(60).0.to_owned();
        torn.iter_mut().for_each(|stream| stream.write_all(half.as_bytes()).unwrap());

        let slow = byte_by_byte(slow);
        let line = "X-Endless: and on and on and on and on\r\n".repeat(300);
        for stream in &mut endless {
            say(stream, &format!("REGISTER sip:clavija.test SIP/2.0\r\n{line}"));
        }
        for stream in &mut pinging {
            say(stream, "\r\n\r\n");
        }
        let mut pong = [0; 2];
        pinging[0].set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        pinging[0].read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\r\n", "RFC 5626 §4.4.1");
        let (several, others) = various.split_at_mut(5);
        for stream in several {
            say(stream, &[register("a"), register("b"), register("c")].concat());
            assert_eq!(answers(stream, 3), ["401"; 3], "one behind the other");
        }
        let (web, halves) = others.split_at_mut(95);
        web.iter_mut().for_each(|stream| say(stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        for stream in halves {
            say(stream, &half);
            drop(stream.shutdown(Shutdown::Write));
        }

        // Meanwhile somebody calls over TCP and is put through.
        let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
        let mut caller =
            Caller::dial_over_tcp(sip, loopback(1, 5062), "+541155550101", Law::A, CALLER_HZ);
        caller.await_answer();
        desk.answer();
        appliance.await_call("talking");
        let talk = caller.audio.listen(100);
        desk.hang_up();
        let (signalled, by_caller) = caller.finish();
        desk.finish();
        assert!(by_caller.mostly(talk, DESK_HZ) > 0.9, "the caller hears who answered");
        assert!(signalled.iter().any(|m| m.is_request(Way::Received, "BYE")));
        assert_eq!(appliance.await_ended(1)[0]["end"], "completed");

        // Each ends by its own name, and no bound was passed.
        await_closed(&appliance, "unreadable", 295.0);
        await_closed(&appliance, "by_peer", 100.0);
        await_closed(&appliance, "half_message", 205.0);
        await_closed(&appliance, "stranger", 1.0);
        wait::until("only connections of trunks to be left", || {
            let left = appliance.metrics().sum("clavija_sip_connections", &[]);
            (left <= 6.0).then_some(())
        });
        drop((idle, endless, pinging, various, refused, late, torn));
        slow.join().unwrap();
        wait::until("the descriptors to come back", || {
            (appliance.open_files() <= before).then_some(())
        });
        assert_eq!(appliance.metrics().sum("clavija_panics_total", &[]), 0.0);
        appliance.stop();
    });
}

/// A connection from this address of the test's own.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let SocketAddr::V4(to) = to else { panic!("{to} is not IPv4") };
    let family = AddressFamily::Inet;
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0))).unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    TcpStream::from(socket)
}

/// Whoever has been closed meanwhile hears nothing.
fn say(stream: &mut TcpStream, text: &str) {
    drop(stream.write_all(text.as_bytes()));
}

fn register(name: &str) -> String {
    format!(
        "REGISTER sip:clavija.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.55:5060;branch=z9hG4bK{name}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@clavija.test>;tag=f\r\nTo: <sip:1001@clavija.test>\r\n\
         Call-ID: {name}\r\nCSeq: 1 REGISTER\r\nContact: <sip:1001@127.0.0.55:5060>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A REGISTER that would take a quarter of an hour, on each of them, until they are closed.
fn byte_by_byte(mut streams: Vec<TcpStream>) -> JoinHandle<()> {
    thread::spawn(move || {
        for stream in &streams {
            stream.set_nonblocking(true).unwrap();
        }
        let text = register("slow").replace("Max-Forwards", &"X-Slow: slow\r\n".repeat(200));
        for byte in text.bytes() {
            streams.retain_mut(|stream| match stream.write(&[byte]) {
                Ok(_) => !is_closed(stream),
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            });
            if streams.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(250));
        }
    })
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// The status codes of so many answers.
fn answers(stream: &mut TcpStream, count: usize) -> Vec<String> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 4_096]);
    while text.matches("\r\n\r\n").count() < count {
        let read = stream.read(&mut bytes).unwrap();
        assert_ne!(read, 0, "it was closed after {text}");
        text += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    text.split("SIP/2.0 ")
        .skip(1)
        .map(|answer| answer[..3].to_owned())
        .filter(|code| code.parse::<u16>().is_ok())
        .collect()
}

fn await_connections(appliance: &Appliance, count: usize) {
    let wanted = f64::from(u32::try_from(count).unwrap());
    wait::until("all of them to be accepted", || {
        (appliance.metrics().sum("clavija_sip_connections", &[]) >= wanted).then_some(())
    });
}

fn await_closed(appliance: &Appliance, reason: &str, least: f64) {
    let closed = || {
        let labels = [("reason", reason)];
        appliance.metrics().sum("clavija_sip_connections_closed_total", &labels)
    };
    let seen = wait::within(wait::PATIENCE, || (closed() >= least).then_some(()));
    assert!(seen.is_some(), "{} of {least} were closed as {reason}", closed());
}
