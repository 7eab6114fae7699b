//! A leg that goes from one engine to another says, hears and counts what one that stays does.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::{Bench, Wire, config, leg, port};
use media_core::{
    engine::{Channel, Engine},
    music::Tune,
    order::{Digit, Digits, Event, Law, LegReport, Order, Role, Source, TalkName, TuneId},
};
use std::time::Duration;

/// What the party's leg sent, whatever engine sent it: when, whether it is RTP, and what.
type Sent = Vec<(u64, bool, Vec<u8>)>;

/// A second engine with the epoch of the first.
struct Two {
    home: Bench,
    away: Engine,
    wire: Wire,
    events: Vec<Event>,
    /// The leg is in the second.
    gone: bool,
}

impl Two {
    fn new() -> Self {
        let home = Bench::new();
        let away = Engine::new(config(Tune::test_tone()), home.epoch);
        Self { home, away, wire: Wire::default(), events: vec![], gone: false }
    }

    /// Where the leg is, and where it is not.
    fn engines(&mut self) -> (&mut Engine, &mut Engine) {
        match self.gone {
            false => (&mut self.home.engine, &mut self.away),
            true => (&mut self.away, &mut self.home.engine),
        }
    }

    /// To where it is not; it is on its way for so many ticks.
    fn travel(&mut self, ticks: u64) {
        let traveller = self.engines().0.take_out(leg(1), true).unwrap();
        assert_eq!((traveller.leg(), traveller.port()), (leg(1), port(1)));
        (0..ticks).for_each(|_| self.tick());
        assert!(self.engines().1.put_in(traveller));
        self.gone = !self.gone;
    }

    fn tick(&mut self) {
        self.home.tick();
        self.wire.now_ms = self.home.now_ms();
        self.away.tick(self.home.now, &mut self.wire);
        self.events.extend(std::iter::from_fn(|| self.away.poll_event()));
        self.home.now += Duration::from_millis(1);
    }

    fn order(&mut self, order: Order) {
        let now = self.home.now;
        self.engines().0.handle_order(order, now);
    }

    fn hear(&mut self, bytes: &[u8]) {
        let (now, from, rtp) = (self.home.now, bench::phone(1), Channel::Rtp);
        match self.gone {
            false => {
                let Bench { engine, wire, .. } = &mut self.home;
                engine.handle_packet(port(1), rtp, from, bytes, now, wire);
            }
            true => {
                self.away.handle_packet(port(1), rtp, from, bytes, now, &mut self.wire);
            }
        }
    }

    fn sent(&self, by: u16) -> Sent {
        let both = self.home.wire.sent.iter().chain(&self.wire.sent);
        let own = both.filter(|sent| sent.port == port(by));
        let told = own.map(|sent| (sent.at_ms, sent.channel == Channel::Rtp, sent.bytes.clone()));
        let mut told: Sent = told.collect();
        told.sort_by_key(|(at_ms, ..)| *at_ms);
        told
    }

    fn report(&mut self) -> LegReport {
        self.order(Order::Close { leg: leg(1) });
        self.tick();
        let mut all = self.home.events.iter().chain(&self.events);
        let closed = all.find_map(|event| {
            let Event::Closed { leg: closed, report } = event else { return None };
            (*closed == leg(1)).then_some(*report)
        });
        closed.unwrap()
    }

    /// Keys that were told, and for how long each was down.
    fn keys(&self) -> Vec<(char, Duration)> {
        let all = self.home.events.iter().chain(&self.events);
        let told = all.filter_map(|event| {
            let Event::Digit { digit, duration, .. } = event else { return None };
            Some((digit.key(), *duration))
        });
        told.collect()
    }
}

/// An uneven, lossy stream with keys in it, and what of it comes at this millisecond.
fn said(ms: u64) -> Option<Vec<u8>> {
    const JITTER_MS: [u64; 8] = [0, 13, 4, 0, 31, 2, 0, 9];
    let comes = |number: &u64| number * 20 + JITTER_MS[usize::try_from(number % 8).unwrap()];
    let number = (ms.saturating_sub(31) / 20..=ms / 20).rev().find(|n| comes(n) == ms)?;
    let key = (40..46).contains(&(number % 60));
    if number % 17 == 5 && !key {
        return None;
    }
    let began = if key { number / 60 * 60 + 40 } else { number };
    let mut bytes = vec![0x80, if key { 101 } else { 8 }];
    bytes.extend(u16::try_from(number).unwrap().to_be_bytes());
    bytes.extend(u32::try_from(began * 160).unwrap().to_be_bytes());
    bytes.extend(7_u32.to_be_bytes());
    if key {
        let duration = u16::try_from((number % 60 - 39) * 160).unwrap();
        bytes.extend([5, if number % 60 == 45 { 0x8A } else { 0x0A }]);
        bytes.extend(duration.to_be_bytes());
    } else {
        bytes.extend((0..160).map(|n| u8::try_from(n * number % 251).unwrap()));
    }
    Some(bytes)
}

/// Twelve seconds of a leg that waits to music, is spoken to, tells and is told keys; it moves at these
/// moments.
fn twelve_seconds(moves: &[u64], ticks: u64) -> (Two, LegReport) {
    let mut two = Two::new();
    two.home.party(1, Law::A);
    two.order(Order::Hear { leg: leg(1), source: Source::Music(TuneId(0)) });
    let keys: Vec<_> = "123456".chars().map(|key| Digit::try_from(key).unwrap()).collect();
    while two.home.now_ms() < 12_000 {
        let ms = two.home.now_ms();
        if moves.contains(&ms) {
            two.travel(ticks);
        }
        if ms == 3_000 {
            two.order(Order::Digits { leg: leg(1), digits: Digits::new(&keys).unwrap() });
        }
        // Of what comes on the way nothing is lost: it lies in the sockets.
        for ms in ms..=two.home.now_ms() {
            said(ms).iter().for_each(|bytes| two.hear(bytes));
        }
        two.tick();
    }
    let report = two.report();
    (two, report)
}

#[test]
fn a_leg_that_moves_says_hears_and_counts_what_one_that_stays_does() {
    let (stays, report) = twelve_seconds(&[], 0);
    let sent = stays.sent(1);
    assert!(sent.len() > 500 && stays.keys().len() >= 5, "{} {:?}", sent.len(), stays.keys());
    assert!(report.packets_lost > 10 && report.jitter_us > 0, "{report:?}");

    // In the middle of a key of ours, of a key of theirs, before and after a frame, and all the time.
    let often: Vec<u64> = (50..12_000).step_by(37).collect();
    for moves in [vec![3_310], vec![2_050], vec![5_000, 5_001, 5_019, 5_020, 5_021], often] {
        let (moved, counted) = twelve_seconds(&moves, 0);
        let also = moved.sent(1);
        assert_eq!(also.len(), sent.len(), "{moves:?}");
        let other = also.iter().zip(&sent).position(|(one, other)| one != other);
        assert_eq!(other, None, "{moves:?}: the first packet that is another");
        assert_eq!(moved.keys().len(), stays.keys().len(), "{moves:?}");
        assert_eq!(counted, report, "{moves:?}");
    }
}

#[test]
fn a_leg_that_is_on_its_way_for_some_ticks_sends_what_came_due_and_no_more() {
    let moves: Vec<u64> = (100..12_000).step_by(43).collect();

    let [stays, moved] = [vec![], moves].map(|moves| {
        let (two, _) = twelve_seconds(&moves, 3);
        two.sent(1).into_iter().filter(|(_, rtp, _)| *rtp).collect::<Vec<_>>()
    });

    assert_eq!(stays.len(), moved.len());
    for ((due, _, one), (left, _, other)) in stays.iter().zip(&moved) {
        assert_eq!(one, other);
        assert!((*due..=due + 3).contains(left), "due at {due} ms, left at {left} ms");
    }
}

#[test]
fn two_who_meet_after_a_move_hear_each_other_as_if_they_had_been_together() {
    let [together, apart] = [false, true].map(|apart| {
        let mut two = Two::new();
        let open = |n| {
            let talk = TalkName(7);
            Order::Open { leg: leg(n), port: port(n), stream: bench::stream(n), talk }
        };
        two.home.party(1, Law::A);
        two.order(Order::Hear { leg: leg(1), source: Source::Silence });
        (0..500).for_each(|_| two.tick());
        // The other is in the first engine or in the second, at the same phase.
        two.gone = apart;
        if apart {
            two.order(open(9));
        }
        two.order(open(2));
        two.order(bench::connect(2, Law::Mu));
        two.gone = false;
        if apart {
            two.travel(0);
        }
        let (talk, record) = (TalkName(7), true);
        two.order(Order::Bridge { talk, caller: leg(1), other: leg(2), record });
        while two.home.now_ms() < 4_000 {
            said(two.home.now_ms()).iter().for_each(|bytes| two.hear(bytes));
            two.tick();
        }
        let recorded = two.home.wire.recorded.iter().chain(&two.wire.recorded);
        let recorded: Vec<_> = recorded.map(|frame| frame.tracks).collect();
        (two.sent(2), recorded)
    });

    assert!(together.0.len() > 100 && together.1.len() > 100);
    assert!(together.0 == apart.0, "what is heard");
    assert!(together.1 == apart.1, "what is recorded");
}

#[test]
fn who_is_in_a_talk_leaves_it_for_a_bridge_and_not_to_join_another() {
    let mut bench = Bench::new();
    (1..=3).for_each(|n| bench.party(n, Law::A));
    bench.bridge(1, 2, false);
    bench.order(Order::Join { talk: TalkName(7), leg: leg(3), role: Role::Speaks });

    assert!(bench.engine.take_out(leg(1), false).is_none());
    assert!(bench.engine.take_out(leg(3), false).is_none());
    assert!(bench.engine.take_out(leg(4), true).is_none(), "nobody");
    assert!(bench.engine.take_out(leg(3), true).is_some());
    assert!(bench.engine.take_out(leg(1), true).is_some());

    bench.run_ms(100);
    assert_eq!(bench.engine.legs(), 1, "and who is left hears silence");
    let speaks = |n| bench.wire.sent.iter().any(|sent| sent.port == port(n));
    assert_eq!([1, 2, 3].map(speaks), [false, true, false]);
}

#[test]
fn a_leg_that_cannot_be_put_in_is_said_and_its_close_is_answered() {
    let (mut bench, mut full) = (Bench::new(), Bench::new());
    bench.party(1, Law::A);
    full.party(1, Law::A);
    let traveller = bench.engine.take_out(leg(1), true).unwrap();

    assert!(!full.engine.put_in(traveller));

    full.tick();
    assert!(matches!(full.events[..], [Event::Refused { .. }]), "{:?}", full.events);
    bench.order(Order::Close { leg: leg(1) });
    assert!(matches!(bench.events[..], [Event::Closed { .. }]), "{:?}", bench.events);
}
