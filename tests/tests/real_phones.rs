//! Phones and a proxy that nobody here wrote: baresip and linphonec as agents, Kamailio in front as a carrier's proxy.
//!
//! Each test has a network of its own, so the contract's fixed ports are free and nothing leaves the machine.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    baresip::{Account, Baresip},
    kamailio::Kamailio,
    linphone::Linphone,
    namespace::{self, Router},
    party::{Caller, Phone, loopback},
    rtp_peer::Packet,
    sipp::{Script, Sipp},
    tone::{self, Law, RATE},
    trace::{Message, Way},
    wait,
};
use std::net::SocketAddr;

const CALLER_HZ: f64 = 425.0;
const AGENT_HZ: f64 = 725.0;
const SECOND: usize = 50;
/// RFC 4733 §3.2: the payload type SIPp's caller has offered.
const TELEPHONE_EVENT: u8 = 101;

fn carrier() -> SocketAddr {
    loopback(2, 5062)
}

fn ana(codec: &'static str, transport: &'static str, registrar: SocketAddr) -> Account {
    Account {
        user: "1001",
        password: "only-for-tests-1001",
        codec,
        transport,
        listen: loopback(31, 6_000),
        registrar,
        register_seconds: 60,
        hz: AGENT_HZ,
    }
}

#[test]
fn baresip_over_udp_with_pcmu_is_called_talks_holds_and_sends_digits() {
    namespace::inside(|| talk_hold_and_digits("PCMU", "udp", Law::A));
}

#[test]
fn baresip_over_udp_with_pcma_is_called_talks_holds_and_sends_digits() {
    namespace::inside(|| talk_hold_and_digits("PCMA", "udp", Law::A));
}

#[test]
fn baresip_over_tcp_with_pcma_is_called_talks_holds_and_sends_digits() {
    namespace::inside(|| talk_hold_and_digits("PCMA", "tcp", Law::A));
}

#[test]
fn baresip_over_tcp_with_pcmu_is_called_talks_holds_and_sends_digits() {
    namespace::inside(|| talk_hold_and_digits("PCMU", "tcp", Law::Mu));
}

/// The caller's law is `callers`: where it differs from the phone's, the box translates.
fn talk_hold_and_digits(codec: &'static str, transport: &'static str, callers: Law) {
    let appliance = Appliance::on_contract_files_with_media_at(namespace::LAN);
    let mut ana = Baresip::start(&ana(codec, transport, appliance.sip()));
    appliance.await_agent("ana", "available");
    let mut caller =
        Caller::dial(appliance.sip(), carrier(), "+541155550100", &[callers], CALLER_HZ);
    caller.await_answer();

    ana.wait_for("CALL_INCOMING");
    ana.tell("accept", "");
    ana.wait_for("CALL_ESTABLISHED");
    let call = appliance.await_call("talking");
    let first = caller.audio.listen(2 * SECOND);
    ana.tell("hold", "");
    let alone = caller.audio.listen(SECOND);
    ana.tell("resume", "");
    let second = caller.audio.listen(3 * SECOND);
    for key in ["1", "5", "#"] {
        ana.tell("sndcode", key);
        caller.audio.listen(SECOND / 2);
        // baresip ends a key with the code 4.
        ana.tell("sndcode", "\u{4}");
        caller.audio.listen(SECOND / 4);
    }
    caller.hang_up();
    ana.wait_for("CALL_CLOSED");
    let (_, by_caller) = caller.finish();
    let by_agent = ana.finish();

    assert_eq!(call["agent"], "ana");
    let (before, after) = (
        by_caller.mostly(second_half(&first), AGENT_HZ),
        by_caller.mostly(second_half(&second), AGENT_HZ),
    );
    assert!(before > 0.9, "the agent is heard: {before}");
    assert!(after > 0.9, "and again after the hold: {after}");
    assert!(by_caller.share(first.clone(), CALLER_HZ) < 0.01, "nobody hears themselves");
    assert!(alone.len() == SECOND, "the caller's stream goes on while the phone holds");
    assert_eq!(digits(&by_caller.packets), "15#");
    let middle = by_agent.len() / 3..by_agent.len() / 3 + usize::try_from(RATE).unwrap() / 2;
    assert!(tone::share(&by_agent[middle], CALLER_HZ) > 0.5, "the phone hears the caller");
    let record = appliance.await_ended(1).remove(0);
    assert_eq!((&record["end"], &record["agent"]), (&"completed".into(), &"ana".into()));
    appliance.stop();
}

#[test]
fn keys_of_a_carrier_as_captured_are_told_once_each_and_reach_a_real_phone() {
    namespace::inside(|| keys_reach_the_phone("CAPTURED", "101"));
}

#[test]
fn keys_of_a_carrier_under_another_ssrc_are_told_once_each_and_reach_a_real_phone() {
    namespace::inside(|| keys_reach_the_phone("MADE", "96"));
}

/// SIPp presses 4, *, # and 4, baresip says what it was told.
fn keys_reach_the_phone(how: &str, event: &str) {
    let appliance = Appliance::on_contract_files_with_media_at(namespace::LAN);
    let mut ana = Baresip::start(&ana("PCMA", "udp", appliance.sip()));
    appliance.await_agent("ana", "available");
    let script = Script::new("carrier_keys", carrier()).to(appliance.sip());
    let mut caller = Sipp::start(
        script
            .key("from", "+541144440000")
            .key("event", event)
            .arg("-s")
            .arg("+541155550100")
            .arg("-mp")
            .arg("41000"),
    );
    caller.wait_for("200", |m| m.is_response(Way::Received, "INVITE", 200));
    ana.wait_for("CALL_INCOMING");
    ana.tell("accept", "");
    ana.wait_for("CALL_ESTABLISHED");
    appliance.await_call("talking");

    caller.tell(how);
    let heard: String = (0..4)
        .map(|_| {
            let key = ana.wait_for("CALL_DTMF_START")["param"].as_str().unwrap().to_owned();
            ana.wait_for("CALL_DTMF_END");
            key
        })
        .collect();
    ana.wait_for("CALL_CLOSED");
    caller.finish();

    assert_eq!(heard, "4*#4");
    let record = appliance.await_ended(1).remove(0);
    let told: Vec<_> = record["events"].as_array().unwrap().iter().collect();
    let told: Vec<&str> = told
        .iter()
        .filter(|step| step["event"] == "digit")
        .map(|step| step["detail"].as_str().unwrap())
        .collect();
    let keys: String = told.iter().map(|detail| &detail[..1]).collect();
    assert_eq!(keys, "4*#4", "{told:?}");
    assert!(told.iter().all(|detail| detail.contains("by the caller")), "{told:?}");
    let metrics = appliance.metrics();
    let count = |direction| metrics.sum("clavija_dtmf_events_total", &[("direction", direction)]);
    assert_eq!((count("in"), count("out")), (4.0, 4.0));
    appliance.stop();
}

#[test]
fn a_phone_behind_a_nat_is_called_and_heard_over_udp_and_again_after_its_router_restarted() {
    namespace::inside(|| {
        let router = Router::start("40000-40999");
        let appliance = Appliance::on_contract_files_at(Router::OUTSIDE);
        let mut ana = router.home.run(|| Baresip::start(&ana_at_home("udp", appliance.sip())));
        let first = await_way(&appliance, 40_000..41_000);
        assert_eq!((&first["flow"], &first["transport"]), (&"nat".into(), &"udp".into()));
        let uri = first["uri"].as_str().unwrap();
        assert!(uri.contains(&Router::INSIDE.to_string()), "it knows itself by {uri}");
        one_talk_with_home(&appliance, &mut ana);

        router.restart("50000-50999");

        let second = await_way(&appliance, 50_000..51_000);
        assert_eq!(second["flow"], "nat");
        one_talk_with_home(&appliance, &mut ana);
        let by_agent = ana.finish();
        assert!(hears_anywhere(&by_agent, CALLER_HZ), "the phone hears its second caller");
        appliance.stop();
    });
}

#[test]
fn a_phone_behind_a_nat_is_called_and_heard_over_the_tcp_connection_it_made() {
    namespace::inside(|| {
        let router = Router::start("40000-40999");
        let appliance = Appliance::on_contract_files_at(Router::OUTSIDE);
        let mut ana = router.home.run(|| Baresip::start(&ana_at_home("tcp", appliance.sip())));
        let way = await_way(&appliance, 40_000..41_000);
        assert_eq!((&way["flow"], &way["transport"]), (&"nat".into(), &"tcp".into()));

        one_talk_with_home(&appliance, &mut ana);

        assert!(hears_anywhere(&ana.finish(), CALLER_HZ), "the phone hears its caller");
        appliance.stop();
    });
}

/// It comes again every few seconds, as a phone behind a router should.
fn ana_at_home(transport: &'static str, registrar: SocketAddr) -> Account {
    let listen = SocketAddr::new(Router::INSIDE, 6_000);
    Account { listen, register_seconds: 12, ..ana("PCMA", transport, registrar) }
}

/// Waits until ana's one phone is where the router's ports are, and gives it.
fn await_way(appliance: &Appliance, ports: std::ops::Range<u16>) -> serde_json::Value {
    wait::until("the phone to register through the router", || {
        let mut contacts = appliance.get("agents/ana")["contacts"].as_array().unwrap().clone();
        let source: SocketAddr = contacts.first()?["source"].as_str()?.parse().ok()?;
        assert_eq!((contacts.len(), source.ip()), (1, Router::PUBLIC));
        ports.contains(&source.port()).then(|| contacts.remove(0))
    })
}

/// Somebody calls, both hear each other, and the caller hangs up.
fn one_talk_with_home(appliance: &Appliance, ana: &mut Baresip) {
    appliance.await_agent("ana", "available");
    let mut caller =
        Caller::dial(appliance.sip(), carrier(), "+541155550100", &[Law::A], CALLER_HZ);
    caller.await_answer();
    ana.wait_for("CALL_INCOMING");
    ana.tell("accept", "");
    ana.wait_for("CALL_ESTABLISHED");
    let call = appliance.await_call("talking");
    let talk = caller.audio.listen(3 * SECOND);
    caller.hang_up();
    ana.wait_for("CALL_CLOSED");
    let (_, by_caller) = caller.finish();

    assert_eq!(call["agent"], "ana");
    let share = by_caller.mostly(second_half(&talk), AGENT_HZ);
    assert!(share > 0.9, "who is behind the router is heard: {share}");
}

/// Whether half a second in the middle of it is this tone.
fn hears_anywhere(heard: &[i16], hz: f64) -> bool {
    let length = usize::try_from(RATE).unwrap() / 2;
    let middle = heard.len() / 2;
    heard.get(middle..middle + length).is_some_and(|part| tone::share(part, hz) > 0.5)
}

#[test]
fn linphonec_registers_is_called_and_both_sides_hear_each_other() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();
        let mut bruno =
            Linphone::start(6_100, appliance.sip(), "1002", "only-for-tests-1002", AGENT_HZ);
        appliance.await_agent("bruno", "available");
        let mut caller =
            Caller::dial(appliance.sip(), carrier(), "+541155550100", &[Law::Mu], CALLER_HZ);
        caller.await_answer();

        bruno.wait_for("Receiving new incoming call");
        bruno.tell("answer");
        let call = appliance.await_call("talking");
        let talk = caller.audio.listen(4 * SECOND);
        caller.hang_up();
        let (_, by_caller) = caller.finish();
        appliance.await_ended(1);
        let by_agent = bruno.finish();

        assert_eq!(call["agent"], "bruno");
        assert!(by_caller.mostly(second_half(&talk), AGENT_HZ) > 0.9, "the agent is heard");
        let middle = by_agent.len() / 2..by_agent.len() / 2 + usize::try_from(RATE).unwrap() / 2;
        assert!(tone::share(&by_agent[middle], CALLER_HZ) > 0.5, "the phone hears the caller");
        appliance.stop();
    });
}

/// A call of a carrier by way of its proxy, talked and ended by the desk; what the caller's side was
/// told.
fn talk_through_kamailio(transport: &str, at: SocketAddr) -> (Appliance, Kamailio, Vec<Message>) {
    let appliance = Appliance::on_contract_files();
    let proxy = Kamailio::start_by(transport, at, appliance.sip());
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, AGENT_HZ);
    let mut caller = Caller::dial(at, loopback(3, 5062), "+541155550101", &[Law::A], CALLER_HZ);
    caller.await_answer();
    desk.answer();
    appliance.await_call("talking");
    let talk = caller.audio.listen(2 * SECOND);
    desk.hang_up();
    let (signalled, by_caller) = caller.finish();
    desk.finish();
    assert!(by_caller.mostly(talk, AGENT_HZ) > 0.9);
    (appliance, proxy, signalled)
}

#[test]
fn a_call_through_kamailio_keeps_the_proxy_in_the_path_until_the_last_bye() {
    namespace::inside(|| {
        let proxy_at = loopback(2, 5_160);
        let (appliance, proxy, signalled) = talk_through_kamailio("udp", proxy_at);

        let answer = signalled.iter().find(|m| m.is_response(Way::Received, "INVITE", 200));
        let route = answer.unwrap().header("Record-Route").unwrap_or_default();
        assert!(route.contains(&proxy_at.to_string()), "the proxy stays in the path: {route:?}");
        let bye = signalled.iter().find(|m| m.is_request(Way::Received, "BYE")).unwrap();
        let hops = bye.text.lines().filter(|line| line.starts_with("Via:")).count();
        assert_eq!(hops, 2, "our BYE went by way of the proxy\n{}", bye.text);
        let record = appliance.await_ended(1).remove(0);
        assert_eq!(record["end"], "completed");
        drop(proxy);
        appliance.stop();
    });
}

#[test]
fn a_caller_behind_kamailio_hangs_up_and_gives_up_like_any_other() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();
        let proxy_at = loopback(2, 5_160);
        let proxy = Kamailio::start(proxy_at, appliance.sip());
        let mut switch = Phone::wait_at("trunk_uas", loopback(11, 5080), Law::A, AGENT_HZ);
        let mut caller = Caller::dial_as(
            "carrier_cancel",
            proxy_at,
            loopback(3, 5062),
            "900001",
            &[Law::A],
            CALLER_HZ,
        );
        switch.ring();
        caller.await_progress(180);

        caller.hang_up();

        caller.finish();
        let (by_switch, _) = switch.finish();
        assert!(by_switch.iter().any(|m| m.is_request(Way::Received, "CANCEL")));
        wait::until("the abandoned call to be accounted for", || {
            (appliance.await_ended(1)[0]["end"] == "abandoned").then_some(())
        });
        drop(proxy);
        appliance.stop();
    });
}

#[test]
fn a_carriers_proxy_speaks_tcp_to_the_box_and_stays_in_the_path() {
    namespace::inside(|| {
        let (appliance, proxy, signalled) = talk_through_kamailio("tcp", loopback(2, 5_160));

        assert!(signalled.iter().any(|m| m.is_request(Way::Received, "BYE")));
        assert!(connections(&appliance, "in") >= 1.0, "it came over TCP");
        let record = appliance.await_ended(1).remove(0);
        assert_eq!((&record["end"], &record["trunk"]), (&"completed".into(), &"carrier".into()));
        drop(proxy);
        appliance.stop();
    });
}

#[test]
fn a_trunk_that_is_called_over_tcp_by_way_of_a_real_proxy_rings_answers_and_ends() {
    namespace::inside(|| {
        let appliance = Appliance::on_site(TCP_TRUNK, "20000-20999");
        let proxy_at = loopback(11, 5_080);
        let switch_at = loopback(13, 5_090);
        let proxy = Kamailio::start(proxy_at, switch_at);
        let mut switch = Phone::wait_at("trunk_uas", switch_at, Law::A, AGENT_HZ);
        let mut caller = Caller::dial(appliance.sip(), carrier(), "900001", &[Law::A], CALLER_HZ);

        switch.answer();
        caller.await_answer();
        appliance.await_call("talking");
        let at_caller = caller.audio.listen(2 * SECOND);
        let at_switch = switch.audio.listen(SECOND);
        switch.hang_up();
        let (_, by_caller) = caller.finish();
        let (_, by_switch) = switch.finish();

        assert!(by_caller.mostly(second_half(&at_caller), AGENT_HZ) > 0.9);
        assert!(by_switch.mostly(at_switch, CALLER_HZ) > 0.9);
        assert_eq!(connections(&appliance, "out"), 1.0, "one for the whole call");
        let record = appliance.await_ended(1).remove(0);
        assert_eq!(record["end"], "completed");
        drop(proxy);
        appliance.stop();
    });
}

const TCP_TRUNK: &str = r#"
schema = "clavija/v1"

[[trunk]]
name = "carrier"
peers = ["127.0.0.2"]
calls_max = 10
pstn = true

[[trunk]]
name = "pbx"
peers = ["127.0.0.11"]
address = "127.0.0.11:5080"
transport = "tcp"
calls_max = 10
pstn = false

[[number]]
number = "9?????"
trunk = "pbx"
record = false
"#;

/// TCP connections so far.
fn connections(appliance: &Appliance, direction: &str) -> f64 {
    let labels = [("direction", direction), ("transport", "tcp")];
    appliance.metrics().sum("clavija_sip_connections_total", &labels)
}

fn second_half(part: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    part.start + part.len() / 2..part.end
}

/// The keys pressed, one for each event timestamp (RFC 4733 §2.5.1.2).
fn digits(packets: &[Packet]) -> String {
    let mut keys: Vec<(u32, u8)> = vec![];
    for packet in packets.iter().filter(|packet| packet.payload_type == TELEPHONE_EVENT) {
        let event = packet.payload.first().copied().unwrap();
        if keys.last().is_none_or(|&(timestamp, _)| timestamp != packet.timestamp) {
            keys.push((packet.timestamp, event));
        }
    }
    let name = |event: u8| "0123456789*#ABCD".chars().nth(event.into()).unwrap();
    keys.into_iter().map(|(_, event)| name(event)).collect()
}
