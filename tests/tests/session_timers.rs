//! Session timers (RFC 4028) with a real peer in real time: a call whose life is 90 seconds is refreshed and goes on.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    party::{Caller, Phone, loopback},
};
use std::env;

/// How long the call is talked: `SESSION_SECONDS`, or until its first refresh.
fn seconds() -> u32 {
    env::var("SESSION_SECONDS").map_or(45, |seconds| seconds.parse().unwrap())
}

#[test]
fn a_call_that_lives_ninety_seconds_is_refreshed_unheard_and_ends_when_its_caller_hangs_up() {
    let appliance = Appliance::on_contract_files();
    let patience = seconds() + 240;
    let mut desk = Phone::wait_long_at("phone_answer", loopback(12, 5070), 950.0, patience);
    let (sip, carrier) = (appliance.sip(), loopback(2, 5062));
    let mut caller = Caller::dial_with_timer(sip, carrier, "+541155550101", 425.0, patience);
    caller.await_answer();
    desk.answer();
    appliance.await_call("talking");
    let refreshes = usize::try_from(seconds() / 45).unwrap();

    caller.await_refreshes(refreshes);
    caller.hang_up();

    let (_, by_caller) = caller.finish();
    let (_, by_desk) = desk.finish();
    for (who, heard) in [("caller", by_caller), ("desk", by_desk)] {
        assert_eq!(heard.breaks(), [""; 0], "{who}");
    }
    let [record] = <[_; 1]>::try_from(appliance.await_ended(1)).unwrap();
    assert_eq!(record["end"], "completed");
    let refreshed = [("result", "refreshed")];
    let metrics = appliance.metrics();
    let refreshed = metrics.sum("clavija_sip_session_timers_total", &refreshed);
    assert_eq!(refreshed, f64::from(seconds() / 45));
    let refused = metrics.sum("clavija_sip_rejected_total", &[("reason", "session_expires")]);
    assert_eq!(refused, 1.0, "60 seconds were too brief");
    appliance.stop();
}
