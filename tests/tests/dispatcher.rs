//! Two boxes behind Kamailio's dispatcher, and one of them dies, is full or drains while calls come.

use clavija_tests::{
    appliance::Appliance,
    kamailio::Kamailio,
    namespace,
    party::{Caller, loopback},
    sipp::{Script, Sipp},
    tone::Law,
    trace::{Message, Way},
    wait,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

const CALLS: u32 = 200;
const CALLS_PER_SECOND: u32 = 20;

/// Her phone is never there: callers wait to music.
const SITE: &str = r#"
schema = "clavija/v1"

[[trunk]]
name = "carrier"
peers = ["127.0.0.2"]
calls_max = 200
pstn = true

[[agent]]
name = "ana"
extension = "1001"
contact = "sip:ana@127.0.0.12:5070"

[[music]]
name = "waltz"
file = "music/waltz.wav"

[[team]]
name = "support"
agents = ["ana"]
channels = ["sip"]
strategy = "longest-idle"
music = "waltz"
ring_seconds = 20

[[number]]
number = "+541155550100"
team = "support"
"#;

#[test]
fn one_of_two_boxes_is_killed_under_load_and_every_later_call_is_answered_by_the_other() {
    namespace::inside(|| {
        let (boxes, proxy_at, proxy) = two_boxes();
        // Somebody who waits from before to after.
        let mut caller =
            Caller::dial(proxy_at, loopback(3, 5_062), "+541155550100", &[Law::A], 425.0);
        caller.await_answer();
        let [one, two] = boxes;
        let (lives, dies) = if active(&one) > 0 { (one, two) } else { (two, one) };
        let dead_at = dies.sip();
        let mut calls = load(proxy_at, 5_064);
        calls.look_for("calls of both boxes", |trace| (answered(trace).len() >= 60).then_some(()));

        dies.kill();

        let trace = calls.finish_whatever_failed();
        let answered = answered(&trace);
        assert_eq!(answered.len(), usize::try_from(CALLS).unwrap(), "each found a box");
        let ended: BTreeSet<_> = trace
            .iter()
            .filter(|m| m.is_response(Way::Received, "BYE", 200))
            .map(|m| m.call_id().to_owned())
            .collect();
        let cut: Vec<_> = answered.iter().filter(|(id, _)| !ended.contains(*id)).collect();
        assert!(cut.iter().all(|(_, at)| **at == dead_at), "only who talked there: {cut:?}");
        assert!(ended.iter().any(|id| answered[id] == dead_at), "it had calls before");
        // Whoever waits at the other has not heard anything of it.
        caller.audio.listen(50);
        caller.hang_up();
        let (_, heard) = caller.finish();
        assert_eq!(heard.breaks(), [""; 0], "the music goes on");
        drop(proxy);
        lives.stop();
    });
}

#[test]
fn a_box_that_drains_gets_no_more_calls_and_none_is_lost() {
    namespace::inside(|| {
        let (boxes, proxy_at, proxy) = two_boxes();
        let [mut drains, stays] = boxes;
        let mut calls = load(proxy_at, 5_064);
        calls.look_for("calls of both boxes", |trace| (answered(trace).len() >= 60).then_some(()));

        drains.terminate();

        drains.await_exit();
        calls.finish();
        drop(proxy);
        stays.stop();
    });
}

fn two_boxes() -> ([Appliance; 2], SocketAddr, Kamailio) {
    let boxes = ["14000-14999", "15000-15999"].map(|ports| Appliance::on_site(SITE, ports));
    let proxy_at = loopback(2, 5_160);
    let proxy = Kamailio::dispatch(proxy_at, &[boxes[0].sip(), boxes[1].sip()]);
    (boxes, proxy_at, proxy)
}

fn load(proxy_at: SocketAddr, port: u16) -> Sipp {
    let script = Script::new("carrier_short", loopback(3, port)).to(proxy_at).calls(CALLS);
    let script = script.key("from", "+541144440000").audio(42_000, &[Law::A]);
    Sipp::start(script.arg("-s").arg("+541155550100").arg("-r").arg(CALLS_PER_SECOND.to_string()))
}

/// Where each call was answered, by its Call-ID.
fn answered(trace: &[Message]) -> BTreeMap<String, SocketAddr> {
    let answers = trace.iter().filter(|m| m.is_response(Way::Received, "INVITE", 200));
    answers.map(|m| (m.call_id().to_owned(), contact(m))).collect()
}

/// Of `<sip:name@127.0.0.1:5060>` the address.
fn contact(answer: &Message) -> SocketAddr {
    let contact = answer.header("Contact").unwrap_or_default();
    let address = contact.trim_start_matches("<sip:").rsplit('@').next().unwrap_or_default();
    let address = address.split(['>', ';']).next().unwrap_or_default();
    address.parse().unwrap_or_else(|_| panic!("{contact} names no address"))
}

fn active(appliance: &Appliance) -> usize {
    wait::until("the call to be seen", || Some(appliance.items("calls?state=active").len()))
}
