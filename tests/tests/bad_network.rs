//! A call over a bad network: what is lost, late and twice between the caller and the box, and pressed keys.

use clavija_tests::{
    appliance::{Appliance, epoch_ms},
    namespace,
    party::{Caller, Phone, loopback},
    rtp_peer::{Says, Trouble},
    tone::{self, Law},
    wait,
};

const CALLER_HZ: f64 = 425.0;
const DESK_HZ: f64 = 950.0;
const SECOND: usize = 50;

#[test]
fn over_a_bad_network_a_call_is_heard_recorded_in_time_and_its_keys_are_in_its_story() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();
        let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
        let carrier = loopback(2, 5062);
        let mut caller =
            Caller::dial(appliance.sip(), carrier, "+541155550101", &[Law::A], CALLER_HZ);
        caller.audio.trouble(Trouble { seed: 7, lost: 8, twice: 5, late: 2 });
        caller.await_answer();
        desk.answer();
        appliance.await_call("talking");
        desk.audio.listen(3 * SECOND);
        caller.audio.press("4*#");
        let at_desk = desk.audio.listen(4 * SECOND);
        // The desk falls silent: somebody talks, and nothing comes back.
        desk.audio.say(Says::Nothing);
        wait::until("the silent side to be named", || {
            let told = appliance.metrics().sum("clavija_one_way_audio_total", &[("side", "agent")]);
            (told >= 1.0).then_some(())
        });
        let warned = |side: &str| {
            let log = appliance.log();
            let line = log.lines().find(|line| {
                line.contains("one_way_audio") && line.contains(&format!("side=\"{side}\""))
            });
            line.map(str::to_owned)
        };
        let of_desk = wait::until("a warning with the side", || warned("agent"));
        // The other way round.
        desk.audio.say(Says::Tone { hz: DESK_HZ });
        caller.audio.listen(SECOND);
        caller.audio.say(Says::Nothing);
        let of_caller = wait::until("a warning with the other side", || warned("caller"));
        caller.hang_up();
        let (_, by_caller) = caller.finish();
        let (_, by_desk) = desk.finish();

        let record = appliance.await_ended(1).remove(0);
        let call = format!("call={} ", record["id"].as_str().unwrap());
        for line in [of_desk, of_caller] {
            assert!(line.contains("WARN") && line.contains(&call), "{line}");
        }
        let events = record["events"].as_array().unwrap();
        let of = |name: &str| -> Vec<String> {
            let told = events.iter().filter(|step| step["event"] == name);
            told.map(|step| step["detail"].as_str().unwrap().to_owned()).collect()
        };
        let keys: String = of("digit").iter().map(|detail| &detail[..1]).collect();
        assert_eq!(keys, "4*#", "{events:?}");
        assert!(of("digit").iter().all(|detail| detail.contains("by the caller")));
        assert!(of("one_way_audio")[0].contains("the agent"), "{events:?}");
        let said = by_desk.mostly(at_desk.start + 2 * SECOND..at_desk.end, CALLER_HZ);
        assert!(said > 0.8, "the caller is heard: {said}");
        assert_eq!(by_caller.breaks(), [""; 0], "the other way is one stream");
        let report = &record["quality"][0]["report"];
        let count = |key: &str| report[key].as_u64().unwrap();
        assert!(count("packets_lost") > 10 && count("packets_duplicate") > 5, "{report}");
        assert!(count("frames_concealed") > 5 && count("packets_reordered") > 5, "{report}");
        let talk_ms = epoch_ms(&record["ended_at"]) - epoch_ms(&record["bridged_at"]);
        let id = record["recording_id"].as_str().unwrap();
        let recording = wait::until("the recording to be written", || {
            let bytes = appliance.get_bytes(&format!("recordings/{id}/audio"));
            Some(tone::read_recording(&bytes)).filter(|r| r.length_ms() >= talk_ms - 20.0)
        });
        assert!((recording.length_ms() - talk_ms).abs() <= 20.0, "of {talk_ms} ms");
        appliance.stop();
    });
}
