//! Memory that the media thread uses was written to at the start: hundreds of legs at once cost it no
//! page fault.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

#[expect(dead_code, reason = "shared with tests that also talk and record")]
mod common;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use common::{Folder, give, media_with};
use media_core::order::{Codec, Law, LegName, Order, PortName, Remote, Source, Stream, TalkName};
use media_rt::handle::Media;

/// Each has a page of its own, and most of a second.
const LEGS: u16 = 300;

#[test]
fn legs_that_are_opened_cost_the_media_thread_no_page_fault() {
    let folder = Folder::new("prefaulted");
    let address = IpAddr::from([127, 77, 5, 1]);
    let mut media = media_with(1, address, &folder, 21_000..=21_000 + 2 * LEGS - 1);
    // Code is mapped as it is first run: one leg goes through all of it.
    open(&mut media, address, 0..1);
    sent(&media, 20);
    let before = faults("media-0");

    open(&mut media, address, 1..LEGS);
    sent(&media, u64::from(LEGS) * 5);

    let faults = faults("media-0") - before;
    assert!(faults < u64::from(LEGS) / 2, "{faults} page faults for {LEGS} legs");
}

fn open(media: &mut Media, address: IpAddr, legs: std::ops::Range<u16>) {
    let rtp = SocketAddr::new(address, 9);
    let remote = Remote { rtp, rtcp: rtp, signalling: address };
    let codec = Codec::g711(Law::A, 8);
    let stream = Stream { ssrc: 1, sequence: 1, timestamp: 1 };
    for number in legs {
        let (leg, port) = (LegName(u64::from(number) + 1), PortName(21_000 + 2 * number));
        give(
            media,
            [
                Order::Open { leg, port, stream, talk: TalkName(0) },
                Order::Connect {
                    leg,
                    remote,
                    codec,
                    telephone_event: None,
                    sends: true,
                    receives: true,
                },
                Order::Hear { leg, source: Source::Silence },
            ],
        );
    }
}

/// Until so many packets have left. The bound is only there so that a fault is not a hang.
fn sent(media: &Media, packets: u64) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while media.counters().engine.packets_out < packets {
        assert!(Instant::now() < give_up, "{:?}", media.counters());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Minor page faults of a thread so far (proc(5), the tenth field of `stat`).
fn faults(name: &str) -> u64 {
    let found = fs::read_dir("/proc/self/task").unwrap().find_map(|task| {
        let task = task.unwrap().path();
        let comm = fs::read_to_string(task.join("comm")).unwrap_or_default();
        (comm.trim() == name).then(|| fs::read_to_string(task.join("stat")).unwrap())
    });
    let stat = found.expect("the thread runs under its name");
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().nth(7).unwrap().parse().unwrap()
}
