//! Talks of more than two: who hears whom, and that nobody's stream notices.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::*;
use media_core::{
    codec::g711,
    engine::EngineConfig,
    music::Tune,
    order::{Event, Law, LegReport, Order, Recorded, Role, Source, TalkName, TuneId},
    record::unpack,
    rtp::header::Header,
};

const TALK: TalkName = TalkName(7);

/// Parties who say one sample value each, over and over, at their own millisecond.
struct Company(Vec<(u16, Speaker, u8, u64)>);

impl Company {
    fn new(bench: &mut Bench, said: &[(u16, Law, i16)]) -> Self {
        let member = |&(n, law, sample): &(u16, Law, i16)| {
            bench.party(n, law);
            let at = u64::from(n) * 7 % 20;
            (n, Speaker::new(n, law), g711::encode(law, sample), at)
        };
        Self(said.iter().map(member).collect())
    }

    fn run(&mut self, bench: &mut Bench, ms: u64) {
        bench.run(ms, |bench, ms| {
            for (n, speaker, code, at) in &mut self.0 {
                if ms % 20 == *at {
                    speaker.say(bench, *n, *code);
                }
            }
        });
    }
}

fn join(bench: &mut Bench, n: u16, role: Role) {
    bench.order(Order::Join { talk: TALK, leg: leg(n), role });
}

fn leave(bench: &mut Bench, n: u16) {
    bench.order(Order::Leave { leg: leg(n), hears: Source::Silence });
}

/// What a party heard from the n-th packet on: one sample of each.
fn levels(heard: &[(u64, Header, Vec<u8>)], law: Law) -> Vec<i32> {
    heard.iter().map(|(_, _, said)| i32::from(g711::decode(law, said[80]))).collect()
}

fn near(level: i32, wanted: i32) -> bool {
    (level - wanted).abs() <= wanted.abs() / 16 + 40
}

fn assert_levels(bench: &Bench, n: u16, law: Law, from: usize, wanted: i32) {
    let heard = bench.heard(n);
    let levels = levels(heard.get(from..).unwrap(), law);
    assert!(levels.len() > 20, "party {n}: {} packets", levels.len());
    // The first of them may stand on the way from one to the other.
    assert!(levels[10..].iter().all(|level| near(*level, wanted)), "party {n}: {levels:?}");
}

/// A caller (1) in mu-law and an agent (2) in A-law in a recorded talk, and a supervisor (3).
fn supervised() -> (Bench, Company) {
    let mut bench = Bench::new();
    let said = [(1, Law::Mu, 1_000), (2, Law::A, 2_000), (3, Law::A, 4_000)];
    let mut company = Company::new(&mut bench, &said);
    bench.bridge(1, 2, true);
    company.run(&mut bench, 1_000);
    (bench, company)
}

fn packets(bench: &Bench) -> [usize; 3] {
    [1, 2, 3].map(|n| bench.heard(n).len())
}

#[test]
fn a_third_party_hears_both_and_is_heard_and_nobodys_stream_breaks() {
    let (mut bench, mut company) = supervised();
    let [caller, agent, third] = packets(&bench);

    join(&mut bench, 3, Role::Speaks);
    company.run(&mut bench, 2_000);
    assert_levels(&bench, 1, Law::Mu, caller, 6_000);
    assert_levels(&bench, 2, Law::A, agent, 5_000);
    assert_levels(&bench, 3, Law::A, third, 3_000);
    let [caller, agent, third] = packets(&bench);
    leave(&mut bench, 3);
    company.run(&mut bench, 2_000);

    assert_levels(&bench, 1, Law::Mu, caller, 2_000);
    assert_levels(&bench, 2, Law::A, agent, 1_000);
    assert_levels(&bench, 3, Law::A, third, 0);
    for n in 1..=3 {
        assert_one_stream(n, &bench.heard(n));
    }
    for n in 1..=2 {
        let heard = bench.heard(n);
        assert!(longest_gap_ms(&heard) <= 40, "party {n}: {} ms", longest_gap_ms(&heard));
        assert!((246..=252).contains(&heard.len()), "party {n}: {} packets in 5 s", heard.len());
    }
    let counters = bench.engine.counters();
    assert_eq!((counters.frames_concealed, counters.frames_inserted), (0, 0), "{counters:?}");
}

#[test]
fn a_supervisor_listens_unheard_whispers_to_the_agent_alone_and_barges_in() {
    let (mut bench, mut company) = supervised();
    for (role, caller_hears, agent_hears) in [
        (Role::Listens, 2_000, 1_000),
        (Role::Whispers { to: leg(2) }, 2_000, 5_000),
        (Role::Speaks, 6_000, 5_000),
        (Role::Listens, 2_000, 1_000),
    ] {
        let [caller, agent, supervisor] = packets(&bench);
        join(&mut bench, 3, role);
        company.run(&mut bench, 1_000);

        assert_levels(&bench, 1, Law::Mu, caller, caller_hears);
        assert_levels(&bench, 2, Law::A, agent, agent_hears);
        assert_levels(&bench, 3, Law::A, supervisor, 3_000);
    }
    assert!(bench.events.iter().all(|event| !matches!(event, Event::Refused { .. })));
}

#[test]
fn the_recording_has_what_the_caller_heard_and_no_whisper_and_is_as_long_as_the_talk() {
    let (mut bench, mut company) = supervised();
    join(&mut bench, 3, Role::Whispers { to: leg(2) });
    company.run(&mut bench, 1_000);
    join(&mut bench, 3, Role::Speaks);
    company.run(&mut bench, 1_000);
    leave(&mut bench, 3);
    company.run(&mut bench, 1_000);
    bench.order(Order::EndTalk { talk: TALK });
    bench.run_ms(300);

    let ended = bench.events.iter().find_map(|event| {
        if let Event::TalkEnded { recorded, .. } = event { *recorded } else { None }
    });
    assert_eq!(ended, Some(Recorded { frames: 200, lost: 0, paused: 0 }));
    let audio = &bench.wire.recorded[1..201];
    let sides: Vec<(i32, i32)> =
        audio.iter().map(|frame| unpack(&frame.tracks)[80].map(i32::from).into()).collect();
    for (second, right) in [(0, 2_000), (1, 2_000), (2, 6_000), (3, 2_000)] {
        let of_it = &sides[second * 50 + 8..second * 50 + 44];
        assert!(of_it.iter().all(|(left, _)| near(*left, 1_000)), "{of_it:?}");
        assert!(of_it.iter().all(|(_, side)| near(*side, right)), "{of_it:?}");
    }
    let holes = sides.iter().filter(|(left, right)| *left == 0 || *right == 0).count();
    assert!(holes <= 8, "{holes} frames of one side are missing where the grids change");
}

#[test]
fn who_has_joined_stays_through_a_hold_and_hears_the_two_again_when_they_meet() {
    let (mut bench, mut company) = supervised();
    join(&mut bench, 3, Role::Listens);
    company.run(&mut bench, 1_000);
    let [_, _, supervisor] = packets(&bench);
    bench.part(Source::Music(TuneId(0)));
    company.run(&mut bench, 1_000);
    assert_levels(&bench, 3, Law::A, supervisor, 0);

    let [caller, _, supervisor] = packets(&bench);
    bench.bridge(1, 2, true);
    company.run(&mut bench, 1_000);

    assert_levels(&bench, 3, Law::A, supervisor, 3_000);
    assert_levels(&bench, 1, Law::Mu, caller, 2_000);
    (1..=3).for_each(|n| assert_one_stream(n, &bench.heard(n)));
}

#[test]
fn whoever_hangs_up_the_others_go_on_and_everything_is_given_back() {
    for gone in 1..=3 {
        let (mut bench, mut company) = supervised();
        join(&mut bench, 3, Role::Speaks);
        company.run(&mut bench, 500);
        let before = packets(&bench);
        company.0.retain(|(n, ..)| *n != gone);
        bench.order(Order::Close { leg: leg(gone) });
        company.run(&mut bench, 1_000);

        let said = [0, 1_000, 2_000, 4_000];
        for n in (1..=3).filter(|n| *n != gone) {
            let wanted: i32 =
                (1..=3).filter(|m| *m != n && *m != gone).map(|m| said[m as usize]).sum();
            let law = if n == 1 { Law::Mu } else { Law::A };
            assert_levels(&bench, n, law, before[usize::from(n) - 1], wanted);
            bench.order(Order::Close { leg: leg(n) });
        }
        bench.order(Order::EndTalk { talk: TALK });
        bench.run_ms(300);
        assert!(bench.engine.is_idle());
    }
}

#[test]
fn thirty_two_hear_each_other_and_one_more_is_refused() {
    let mut bench = Bench::new();
    let said: Vec<_> = (1..=33).map(|n| (n, Law::A, 500)).collect();
    let mut company = Company::new(&mut bench, &said);
    bench.bridge(1, 2, false);
    (3..=32).for_each(|n| join(&mut bench, n, Role::Speaks));
    assert!(bench.events.iter().all(|event| !matches!(event, Event::Refused { .. })));

    join(&mut bench, 33, Role::Speaks);
    company.run(&mut bench, 1_000);

    let what = "join: 32 are in this talk, which is the most";
    assert!(bench.events.contains(&Event::Refused { leg: leg(33), what }));
    for n in 1..=32 {
        assert_levels(&bench, n, Law::A, 0, 31 * 500);
    }
}

#[test]
fn what_cannot_be_joined_is_refused_with_a_reason_and_changes_nothing() {
    let (mut bench, mut company) = supervised();
    bench.party(4, Law::A);
    bench.party(5, Law::A);
    bench.order(Order::Bridge { talk: TalkName(8), caller: leg(4), other: leg(5), record: false });
    let before = packets(&bench);
    for (talk, n, role, reason) in [
        (9, 3, Role::Speaks, "join: no such talk"),
        (7, 9, Role::Speaks, "join: no such leg"),
        (7, 1, Role::Listens, "join: this leg is one of the talk's two"),
        (7, 4, Role::Speaks, "join: this leg is in another talk"),
        (7, 3, Role::Whispers { to: leg(4) }, "join: whom it whispers to is not in the talk"),
        (7, 3, Role::Whispers { to: leg(3) }, "join: whom it whispers to is not in the talk"),
    ] {
        bench.order(Order::Join { talk: TalkName(talk), leg: leg(n), role });
        assert_eq!(bench.events.pop(), Some(Event::Refused { leg: leg(n), what: reason }));
    }
    for (n, reason) in [
        (9, "leave: no such leg"),
        (3, "leave: this leg has joined no talk"),
        (1, "leave: this leg has joined no talk"),
    ] {
        leave(&mut bench, n);
        assert_eq!(bench.events.pop(), Some(Event::Refused { leg: leg(n), what: reason }));
    }
    company.run(&mut bench, 1_000);
    assert_levels(&bench, 1, Law::Mu, before[0], 2_000);

    join(&mut bench, 3, Role::Listens);
    leave(&mut bench, 1);
    let what = "leave: one of the talk's two; part the talk";
    assert_eq!(bench.events.pop(), Some(Event::Refused { leg: leg(1), what }));
    bench.hear(3, Source::Silence);
    let what = "hear: this leg is in a talk; part the talk or let it leave first";
    assert_eq!(bench.events.pop(), Some(Event::Refused { leg: leg(3), what }));
}

#[test]
fn a_click_is_heard_by_all_within_a_frame_and_what_even_packets_need() {
    let (mut bench, _) = supervised();
    join(&mut bench, 3, Role::Speaks);
    let mut speakers: Vec<Speaker> = [(1, Law::Mu), (2, Law::A), (3, Law::A)]
        .map(|(n, law)| {
            let mut speaker = Speaker::new(n, law);
            speaker.header.ssrc += 0x100;
            speaker
        })
        .into();
    let mut clicked = vec![];
    bench.run(4_000, |bench, ms| {
        for (n, at) in [(1_u16, 3), (2, 11), (3, 18)] {
            if ms % 20 == at {
                let click = n == 1 && ms / 20 % 10 == 5;
                let law = if n == 1 { Law::Mu } else { Law::A };
                let code = g711::encode(law, if click { 16_000 } else { 0 });
                clicked.extend(click.then_some(bench.now_ms()));
                speakers[usize::from(n) - 1].say(bench, n, code);
            }
        }
    });

    for (n, law) in [(2, Law::A), (3, Law::A)] {
        let heard = bench
            .heard(n)
            .into_iter()
            .filter(|(at, _, said)| *at > clicked[0] && g711::decode(law, said[80]) > 12_000);
        let heard: Vec<u64> = heard.map(|(at, ..)| at).collect();
        let pairs = clicked.iter().skip(5).zip(heard.iter().skip(5));
        let delays: Vec<u64> = pairs.map(|(said, heard)| heard - said).collect();
        assert!(delays.len() > 10 && delays.iter().all(|ms| *ms <= 24), "party {n}: {delays:?}");
    }
}

/// Who speaks when, and what becomes of the clicks of party 1: in milliseconds, how long each takes to parties 2 and 3.
struct Clicks {
    speakers: [(Speaker, u16, Law, u64); 3],
    clicked: Vec<u64>,
}

impl Clicks {
    fn new(at: [u64; 3]) -> Self {
        let law = |n| if n == 1 { Law::Mu } else { Law::A };
        let speakers = [1, 2, 3].map(|n| {
            let mut speaker = Speaker::new(n, law(n));
            speaker.header.ssrc += 0x100;
            (speaker, n, law(n), at[usize::from(n) - 1])
        });
        Self { speakers, clicked: vec![] }
    }

    /// Every fifth packet of party 1 clicks; its packet `late` comes 12 ms late.
    fn run(&mut self, bench: &mut Bench, ms: u64, late: Option<u64>) {
        bench.run(ms, |bench, ms| {
            for (speaker, n, law, at) in &mut self.speakers {
                let this_late = *n == 1 && late.is_some_and(|late| ms / 20 == late);
                if ms % 20 == if this_late { *at + 12 } else { *at } {
                    let clicks = *n == 1 && ms / 20 % 5 == 3;
                    self.clicked.extend(clicks.then(|| bench.now_ms()));
                    speaker.say(bench, *n, g711::encode(*law, if clicks { 16_000 } else { 0 }));
                }
            }
        });
    }

    fn delays(&self, bench: &Bench, n: u16, last: usize) -> Vec<u64> {
        let loud = |said: &[u8]| said.iter().any(|code| g711::decode(Law::A, *code) > 12_000);
        let heard = bench.heard(n);
        let loud: Vec<bool> = heard.iter().map(|(_, _, said)| loud(said)).collect();
        // A click that was cut into two frames begins in the first of them.
        let begins = (1..heard.len()).filter(|at| loud[*at] && !loud[*at - 1]);
        let heard: Vec<u64> = begins.map(|at| heard[at].0).collect();
        let pairs = self.clicked.iter().rev().zip(heard.iter().rev()).take(last);
        pairs.map(|(said, heard)| heard - said).collect()
    }
}

#[test]
fn who_hears_one_is_spoken_to_as_soon_as_that_one_is_taken_whenever_they_speak() {
    for at in 0..20 {
        let mut bench = Bench::new();
        for (n, law) in [(1, Law::Mu), (2, Law::A), (3, Law::A)] {
            bench.party(n, law);
        }
        bench.bridge(1, 2, true);
        let mut clicks = Clicks::new([at, (at + 7) % 20, (at * 3) % 20]);
        clicks.run(&mut bench, 1_000, None);
        join(&mut bench, 3, Role::Listens);
        clicks.run(&mut bench, 4_000, None);

        let (other, supervisor) = (clicks.delays(&bench, 2, 20), clicks.delays(&bench, 3, 20));
        assert!(other.len() == 20 && other.iter().all(|ms| *ms <= 4), "at {at}: {other:?}");
        assert!(supervisor.len() == 20, "at {at}: {supervisor:?}");
        assert!(supervisor.iter().all(|ms| *ms <= 13), "at {at}: {supervisor:?}");
        for n in [1, 2, 3] {
            assert_one_stream(n, &bench.heard(n));
        }
    }
}

#[test]
fn where_all_far_sides_speak_in_one_millisecond_we_do_not() {
    let talks = 20;
    let legs_max = usize::from(3 * talks);
    let mut bench = Bench::with(EngineConfig { legs_max, ..config(Tune::test_tone()) });
    let mut callers = vec![];
    for talk in 0..talks {
        let (caller, other, third) = (3 * talk + 1, 3 * talk + 2, 3 * talk + 3);
        for n in [caller, other, third] {
            bench.party(n, Law::A);
        }
        callers.push((caller, Speaker::new(caller, Law::A)));
        let talk = TalkName(talk.into());
        let (caller, other) = (leg(caller), leg(other));
        bench.order(Order::Bridge { talk, caller, other, record: false });
        bench.order(Order::Join { leg: leg(third), talk, role: Role::Listens });
    }
    bench.run(2_000, |bench, ms| {
        for (n, caller) in callers.iter_mut().filter(|_| ms % 20 == 7) {
            caller.say(bench, *n, 0x55);
        }
    });

    let heard = |talk: u16| bench.heard(3 * talk + 2);
    let phases: Vec<u64> = (0..talks).map(|talk| heard(talk).last().unwrap().0 % 20).collect();
    let most = (0..20).map(|phase| phases.iter().filter(|at| **at == phase).count()).max();
    assert!(most < Some(12), "{phases:?}");
    let waits = phases.iter().map(|at| (at + 20 - 7) % 20).max();
    assert!(waits <= Some(13), "{phases:?}");
}

#[test]
fn one_late_packet_makes_a_voice_late_for_a_while_and_not_for_ever() {
    let (mut bench, _) = supervised();
    join(&mut bench, 3, Role::Listens);
    let mut clicks = Clicks::new([2, 9, 6]);
    clicks.run(&mut bench, 2_000, None);
    clicks.run(&mut bench, 400, Some(4));
    let then = clicks.delays(&bench, 2, 2);
    clicks.run(&mut bench, 5_000, None);

    assert!(then.iter().all(|ms| *ms > 15), "a frame was made up: {then:?}");
    let again = clicks.delays(&bench, 2, 10);
    assert!(again.len() == 10 && again.iter().all(|ms| *ms <= 11), "{again:?}");
}

/// Four packets of the key 5, the last two of them its end.
fn press(bench: &mut Bench, company: &mut Company, n: u16, law: Law, timestamp: u32) {
    let mut header = Speaker::new(n, law).header;
    (header.payload_type, header.sequence, header.timestamp) = (101, 5_000, timestamp);
    for payload in [[5, 10, 0, 160], [5, 10, 1, 64], [5, 138, 1, 224], [5, 138, 1, 224]] {
        bench.rtp(n, &header, &payload);
        header.sequence += 1;
        company.run(bench, 20);
    }
    company.run(bench, 400);
}

fn keys(bench: &Bench, n: u16) -> usize {
    bench.heard(n).iter().filter(|(_, header, _)| header.payload_type == 101).count()
}

#[test]
fn keys_are_told_all_who_speak_and_hear_who_presses_and_nobody_else() {
    let (mut bench, mut company) = supervised();
    bench.party(4, Law::A);
    bench.hear(4, Source::Silence);
    join(&mut bench, 3, Role::Speaks);
    join(&mut bench, 4, Role::Listens);
    company.run(&mut bench, 200);
    company.0.retain(|(n, ..)| *n != 1);
    press(&mut bench, &mut company, 1, Law::Mu, 90_000);

    assert!(keys(&bench, 2) > 3 && keys(&bench, 3) > 3);
    assert_eq!((keys(&bench, 1), keys(&bench, 4)), (0, 0));
    let told = bench.events.iter().filter(|event| matches!(event, Event::Digit { .. })).count();
    assert_eq!(told, 1);

    let before = [1, 2, 3].map(|n| keys(&bench, n));
    press(&mut bench, &mut company, 4, Law::A, 190_000);
    assert_eq!(
        [1, 2, 3].map(|n| keys(&bench, n)),
        before,
        "who listens is not heard by keys either"
    );

    join(&mut bench, 4, Role::Whispers { to: leg(2) });
    press(&mut bench, &mut company, 4, Law::A, 290_000);
    let after = [1, 2, 3].map(|n| keys(&bench, n));
    assert!(after[1] > before[1] && (after[0], after[2]) == (before[0], before[2]), "{after:?}");
}

#[test]
fn who_goes_with_a_key_down_leaves_nobody_with_its_tone() {
    for in_the_bridge in [true, false] {
        let (mut bench, mut company) = supervised();
        let mut header = Speaker::new(1, Law::Mu).header;
        (header.payload_type, header.sequence, header.timestamp) = (101, 5_000, 90_000);
        if in_the_bridge {
            bench.rtp(1, &header, &[5, 10, 0, 160]);
            company.run(&mut bench, 40);
        }
        join(&mut bench, 3, Role::Speaks);
        company.run(&mut bench, 100);
        if !in_the_bridge {
            bench.rtp(1, &header, &[5, 10, 0, 160]);
        }
        company.0.retain(|(n, ..)| *n != 1);
        bench.order(Order::Close { leg: leg(1) });
        company.run(&mut bench, 500);
        let [_, agent, _] = packets(&bench);
        company.run(&mut bench, 1_000);

        assert_levels(&bench, 2, Law::A, agent, 4_000);
    }
}

#[test]
fn a_whisper_stays_a_whisper_when_its_speaker_barges_in_and_goes_on_after_a_hold() {
    let (mut bench, mut company) = supervised();
    join(&mut bench, 3, Role::Whispers { to: leg(2) });
    company.run(&mut bench, 1_000);
    company.0.retain(|(n, ..)| *n != 3);
    let [caller, ..] = packets(&bench);
    join(&mut bench, 3, Role::Speaks);
    company.run(&mut bench, 500);
    let heard = levels(&bench.heard(1)[caller..], Law::Mu);
    assert!(heard.iter().all(|level| near(*level, 2_000)), "{heard:?}");

    let (mut bench, mut company) = supervised();
    join(&mut bench, 3, Role::Whispers { to: leg(2) });
    bench.part(Source::Music(TuneId(0)));
    company.run(&mut bench, 500);
    bench.bridge(1, 2, true);
    let [caller, agent, _] = packets(&bench);
    company.run(&mut bench, 1_000);
    assert_levels(&bench, 1, Law::Mu, caller, 2_000);
    assert_levels(&bench, 2, Law::A, agent, 5_000);
}

/// Twenty seconds in which 5 % of what the first of three says is lost and the rest is up to 60 ms late:
/// how often each of the others heard what it should, in percent, and the first one's report.
fn shaky(joined: bool) -> ([usize; 2], LegReport) {
    let mut bench = Bench::new();
    let said = [(1, Law::A, 1_000), (2, Law::A, 2_000), (3, Law::A, 4_000)];
    let mut company = Company::new(&mut bench, &said);
    bench.bridge(1, 2, false);
    if joined {
        join(&mut bench, 3, Role::Speaks);
    }
    let mut dice = Dice(11);
    let mut shaky = company.0.remove(0).1;
    let code = g711::encode(Law::A, 1_000);
    let mut flying: Vec<(u64, Header)> = vec![];
    bench.run(20_000, |bench, ms| {
        for (n, speaker, code, at) in &mut company.0 {
            if ms % 20 == *at {
                speaker.say(bench, *n, *code);
            }
        }
        if ms % 20 == 5 {
            let header = shaky.next();
            if dice.roll(100) >= 5 {
                flying.push((ms + dice.roll(60), header));
            }
        }
        while let Some(at) = flying.iter().position(|(due, _)| *due <= ms) {
            let (_, header) = flying.remove(at);
            bench.rtp(1, &header, &[code; 160]);
        }
    });
    bench.order(Order::Close { leg: leg(1) });
    let report = bench.events.iter().find_map(|event| {
        if let Event::Closed { report, .. } = event { Some(*report) } else { None }
    });
    let right = [(2, if joined { 5_000 } else { 1_000 }), (3, 3_000)].map(|(n, wanted)| {
        let heard = bench.heard(n);
        assert_one_stream(n, &heard);
        let levels = levels(heard.get(100..).unwrap_or_default(), Law::A);
        levels.iter().filter(|level| near(**level, wanted)).count() * 100 / levels.len().max(1)
    });
    (right, report.unwrap())
}

#[test]
fn what_a_bad_network_costs_one_is_made_up_for_all_as_it_is_for_one() {
    let (([heard, _], bridged), (right, joined)) = (shaky(false), shaky(true));

    assert!(joined.frames_concealed <= bridged.frames_concealed + 5, "{joined:?} {bridged:?}");
    assert!(joined.frames_heard >= bridged.frames_heard - 5, "{joined:?} {bridged:?}");
    assert!(joined.delay_us <= 90_000, "{joined:?}");
    assert!(right.iter().all(|share| *share + 2 >= heard), "{right:?} of {heard}");
}
