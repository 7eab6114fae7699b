//! 5,000 unwanted requests a second beside twenty calls a second that are wanted, at the real binary.
//! `FLOOD_SECONDS` says for how long.
#![expect(clippy::print_stdout, reason = "what was refused and how much it cost is told")]

use clavija_tests::{
    appliance::Appliance,
    flood::Flood,
    party::{Caller, Phone, loopback, register},
    sipp::{Script, Sipp},
    tone::Law,
    trace::Way,
    wait,
};
use std::{env, time::Duration};

const PER_SECOND: u32 = 5_000;
const CALLS_PER_SECOND: u32 = 20;
/// What the flood may cost in memory.
const GROWTH_MAX: u64 = 32 << 20;

const SITE: &str = r#"
schema = "clavija/v1"

[[trunk]]
name = "carrier"
peers = ["127.0.0.51"]
calls_max = 200
pstn = true

[[agent]]
name = "ana"
extension = "1001"
password = "only-for-tests-1001"

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
fn a_flood_from_strangers_costs_no_call_no_packet_and_no_memory() {
    let seconds = env::var("FLOOD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let appliance = Appliance::on_site(SITE, "14000-14999");
    let ana = loopback(52, 5060);
    register(appliance.sip(), "1001", "only-for-tests-1001", ana, 3_600);
    appliance.await_agent("ana", "available");
    let mut phone = Phone::wait_at("phone_answer", ana, Law::A, 725.0);
    let carrier = loopback(51, 5062);
    let mut caller = Caller::dial(appliance.sip(), carrier, "+541155550100", &[Law::A], 425.0);
    caller.await_answer();
    phone.answer();
    appliance.await_call("talking");
    // What the first calls take once is not the flood's.
    calls(&appliance, 5_064, 20).finish();
    let before = appliance.resident_bytes();

    let flood =
        Flood::start(appliance.sip(), carrier.ip(), PER_SECOND, Duration::from_secs(seconds));
    let wanted = u32::try_from(seconds).unwrap() * CALLS_PER_SECOND;
    let trace = calls(&appliance, 5_066, wanted).finish();
    let unwanted = flood.finish();

    assert!(unwanted >= u64::from(PER_SECOND) * seconds, "{unwanted} unwanted messages");
    let answered = trace.iter().filter(|m| m.is_response(Way::Received, "BYE", 200)).count();
    assert!(answered >= usize::try_from(wanted).unwrap(), "{answered} of {wanted} calls");
    let growth = appliance.resident_bytes().saturating_sub(before);
    assert!(growth <= GROWTH_MAX, "it grew by {growth} bytes");
    assert_eq!(appliance.agent("ana")["state"], "busy", "the talk goes on");
    caller.audio.listen(50);
    caller.hang_up();
    let (_, by_caller) = caller.finish();
    let (_, by_agent) = phone.finish();
    assert_eq!(by_caller.breaks(), [""; 0], "what the caller heard has no gap");
    assert_eq!(by_agent.breaks(), [""; 0], "what the agent heard has no gap");

    let bans = appliance.items("bans");
    let guessers = bans.iter().filter(|ban| ban["reason"] == "passwords").count();
    assert!(guessers >= 1, "who guessed passwords is banned: {bans:?}");
    let lines = appliance.log().lines().filter(|line| line.contains("not heard")).count();
    assert!(lines <= 500, "{lines} lines are not one a ban");
    // The phone at its own address is heard as ever, and who is let off is heard again.
    register(appliance.sip(), "1001", "only-for-tests-1001", ana, 3_600);
    appliance.await_agent("ana", "available");
    let address = bans[0]["address"].as_str().unwrap();
    let lift = format!("bans/{address}/actions/lift");
    assert_eq!(appliance.post(&lift, &serde_json::json!({})), 202);
    wait::until("the ban to be lifted", || {
        appliance.items("bans").iter().all(|ban| ban["address"] != address).then_some(())
    });
    assert_eq!(appliance.post(&lift, &serde_json::json!({})), 404);
    say_what_it_took(&appliance, growth);
    appliance.stop();
}

fn calls(appliance: &Appliance, port: u16, count: u32) -> Sipp {
    let script = Script::new("carrier_short", loopback(51, port)).to(appliance.sip());
    let script = script.calls(count).key("from", "+541144440000").audio(42_000, &[Law::A]);
    Sipp::start(script.arg("-s").arg("+541155550100").arg("-r").arg(CALLS_PER_SECOND.to_string()))
}

fn say_what_it_took(appliance: &Appliance, growth: u64) {
    let metrics = appliance.metrics();
    let rejected = |reason| metrics.sum("clavija_sip_rejected_total", &[("reason", reason)]);
    println!(
        "unknown_source {} rate {} banned {}; {} bans; {} dropped by the kernel; {growth} bytes more",
        rejected("unknown_source"),
        rejected("rate"),
        rejected("banned"),
        metrics.sum("clavija_sip_bans_total", &[]),
        metrics.sum("clavija_sip_receive_dropped_total", &[]),
    );
}
