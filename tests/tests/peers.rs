//! The test peers against each other, without the box: what they prove later is worth what they do here.

use clavija_tests::{
    party::{Caller, Phone, loopback},
    rtp_peer::{FRAME_SAMPLES, RtpPeer, Says},
    tone::{self, Law},
    trace::Way,
};

const CALLER_HZ: f64 = 425.0;
const PHONE_HZ: f64 = 725.0;

#[test]
fn caller_and_phone_hear_each_other_and_not_themselves() {
    let mut phone = Phone::wait_at("phone_answer", loopback(41, 5060), Law::A, PHONE_HZ);
    let mut caller =
        Caller::dial(loopback(41, 5060), loopback(42, 5060), "1001", &[Law::A, Law::Mu], CALLER_HZ);

    phone.answer();
    caller.await_answer();
    let heard_by_caller = caller.audio.listen(60);
    let heard_by_phone = phone.audio.listen(60);
    caller.hang_up();
    let (signalled, caller) = caller.finish();
    let (_, phone) = phone.finish();

    assert!(caller.share(heard_by_caller.clone(), PHONE_HZ) > 0.9);
    assert!(caller.share(heard_by_caller, CALLER_HZ) < 0.01);
    assert!(phone.share(heard_by_phone.clone(), CALLER_HZ) > 0.9);
    assert!(phone.share(heard_by_phone, PHONE_HZ) < 0.01);
    assert_eq!(caller.breaks(), [""; 0]);
    assert_eq!(phone.breaks(), [""; 0]);
    assert!(signalled.iter().any(|m| m.is_request(Way::Sent, "BYE")));
}

#[test]
fn phone_hangs_up_when_told() {
    let mut phone = Phone::wait_at("phone_answer", loopback(43, 5060), Law::Mu, PHONE_HZ);
    let mut caller =
        Caller::dial(loopback(43, 5060), loopback(44, 5060), "1001", &[Law::Mu], CALLER_HZ);
    phone.answer();
    caller.await_answer();

    phone.hang_up();

    let (signalled, _) = caller.finish();
    phone.finish();
    assert!(signalled.iter().any(|m| m.is_request(Way::Received, "BYE")));
}

#[test]
fn caller_gives_up_while_the_trunk_rings() {
    let mut far = Phone::wait_at("trunk_uas", loopback(45, 5080), Law::Mu, PHONE_HZ);
    let caller = Caller::dial_as(
        "carrier_cancel",
        loopback(45, 5080),
        loopback(46, 5060),
        "900001",
        &[Law::A],
        CALLER_HZ,
    );
    far.ring();

    caller.hang_up();

    let (signalled, _) = caller.finish();
    far.finish();
    assert!(signalled.iter().any(|m| m.is_response(Way::Received, "INVITE", 487)));
}

#[test]
fn a_break_in_a_stream_is_named() {
    let listener = RtpPeer::open(loopback(47, 0).ip(), Law::A, Says::Nothing);
    let first = RtpPeer::open(loopback(48, 0).ip(), Law::A, Says::Tone { hz: CALLER_HZ });
    first.speak_to(loopback(47, listener.port()));
    listener.listen(10);
    first.say(Says::Nothing);
    let second =
        RtpPeer::open(loopback(48, 0).ip(), Law::A, Says::Encoded(vec![0x55; FRAME_SAMPLES]));
    second.speak_to(loopback(47, listener.port()));
    listener.listen(10);

    let heard = listener.stop();

    assert!(heard.breaks().iter().any(|found| found.contains("SSRC")), "{:?}", heard.breaks());
    assert_eq!(heard.sources().len(), 2);
}

#[test]
fn music_through_either_law_is_still_the_same_music() {
    let tune = tone::to_telephone(&tone::waltz(48_000), 48_000);
    for law in [Law::A, Law::Mu] {
        let encoded: Vec<u8> = tune.iter().map(|&sample| law.encode(sample)).collect();
        let player = RtpPeer::open(loopback(49, 0).ip(), law, Says::Encoded(encoded));
        let listener = RtpPeer::open(loopback(50, 0).ip(), law, Says::Nothing);
        player.speak_to(loopback(50, listener.port()));
        let window = listener.listen(60);

        let heard = listener.stop().pcm(window);

        let likeness = tone::likeness(&heard[..8_000], &tune);
        assert!(likeness > 0.98, "{law:?}: {likeness}");
    }
}
