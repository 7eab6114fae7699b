//! Orders go where their legs are, in their order, whoever has to come first.

use super::*;
use media_core::order::{LegReport, PortName, Source, Stream};
use std::time::Instant;

const CALLER: LegName = LegName(1);
const AGENT: LegName = LegName(2);
const OTHER: LegName = LegName(3);
const TALK: TalkName = TalkName(10);
const ANOTHER: TalkName = TalkName(11);

fn open(leg: LegName, talk: TalkName) -> Order {
    let stream = Stream { ssrc: 1, sequence: 1, timestamp: 1 };
    Order::Open { leg, port: PortName(20_000), stream, talk }
}

fn hear(leg: LegName) -> Order {
    Order::Hear { leg, source: Source::Silence }
}

fn bridge(talk: TalkName, caller: LegName, other: LegName) -> Order {
    Order::Bridge { talk, caller, other, record: false }
}

fn closed(leg: LegName) -> Said {
    Said::Event(Event::Closed { leg, report: LegReport::default() })
}

/// Two conversations on two threads: the caller's and the agent's first, then the other's.
fn two_threads() -> Router {
    let mut router = Router::new(2);
    for order in [open(CALLER, TALK), open(AGENT, TALK), open(OTHER, ANOTHER)] {
        router.take(order).unwrap();
    }
    assert_eq!(threads(&mut router), [0, 0, 1]);
    router
}

fn tasks(router: &mut Router) -> Vec<(usize, Task)> {
    std::iter::from_fn(|| router.next()).collect()
}

fn threads(router: &mut Router) -> Vec<usize> {
    tasks(router).into_iter().map(|(thread, _)| thread).collect()
}

fn carried(orders: &[(usize, Order)]) -> Vec<(usize, Task)> {
    orders.iter().map(|&(thread, order)| (thread, Task::Carry(order))).collect()
}

fn moves(leg: LegName, from: usize, to: usize, leaves: bool) -> (usize, Task) {
    (from, Task::Move { leg, to, leaves })
}

#[test]
fn a_conversations_legs_live_on_one_thread_and_the_next_one_begins_on_the_other() {
    let mut router = two_threads();

    let orders =
        [hear(CALLER), hear(OTHER), bridge(TALK, CALLER, AGENT), Order::EndTalk { talk: TALK }];
    orders.into_iter().for_each(|order| router.take(order).unwrap());

    assert_eq!(threads(&mut router), [0, 1, 0, 0]);
    assert!(router.is_settled());
}

#[test]
fn who_is_elsewhere_comes_first_and_what_speaks_of_the_same_waits_in_its_order() {
    let mut router = two_threads();

    let orders = [
        bridge(TALK, CALLER, OTHER),
        hear(AGENT),
        Order::Part { talk: TALK, caller_hears: Source::Silence, other_hears: Source::Silence },
        hear(CALLER),
        Order::Close { leg: OTHER },
    ];
    orders.into_iter().for_each(|order| router.take(order).unwrap());

    let before = [moves(OTHER, 1, 0, true), (0, Task::Carry(hear(AGENT)))];
    assert_eq!(tasks(&mut router), before, "who has no part in it waits for nobody");
    assert_eq!(router.hear(Said::Moved(OTHER)), None);
    let after = [orders[0], orders[2], orders[3], orders[4]].map(|order| (0, order));
    assert_eq!(tasks(&mut router), carried(&after));
    assert!(router.is_settled());
}

#[test]
fn a_talk_stays_where_it_began_and_both_come_to_it() {
    let mut router = two_threads();
    router.take(bridge(TALK, CALLER, AGENT)).unwrap();
    router.take(open(LegName(4), ANOTHER)).unwrap();
    tasks(&mut router);

    router.take(bridge(TALK, LegName(4), OTHER)).unwrap();

    assert_eq!(tasks(&mut router), [moves(LegName(4), 1, 0, true), moves(OTHER, 1, 0, true)]);
    router.hear(Said::Moved(OTHER));
    assert_eq!(tasks(&mut router), [], "both");
    router.hear(Said::Moved(LegName(4)));
    assert_eq!(threads(&mut router), [0]);
}

#[test]
fn who_joins_comes_and_does_not_leave_another_talk_for_it() {
    let mut router = two_threads();
    router.take(bridge(TALK, CALLER, AGENT)).unwrap();
    tasks(&mut router);
    let join = Order::Join { talk: TALK, leg: OTHER, role: Role::Listens };

    router.take(join).unwrap();
    assert_eq!(tasks(&mut router), [moves(OTHER, 1, 0, false)]);

    router.hear(Said::Stayed(OTHER));
    assert_eq!(tasks(&mut router), carried(&[(0, join)]), "it is refused there");
    router.take(hear(OTHER)).unwrap();
    assert_eq!(threads(&mut router), [1], "and is where it was");
}

#[test]
fn who_did_not_come_for_one_order_may_come_for_the_next() {
    let mut router = two_threads();
    let join = Order::Join { talk: TALK, leg: OTHER, role: Role::Speaks };
    let meet = bridge(TALK, CALLER, OTHER);
    [join, meet].into_iter().for_each(|order| router.take(order).unwrap());
    tasks(&mut router);

    router.hear(Said::Stayed(OTHER));

    assert_eq!(tasks(&mut router), [(0, Task::Carry(join)), moves(OTHER, 1, 0, true)]);
    router.hear(Said::Moved(OTHER));
    assert_eq!(tasks(&mut router), carried(&[(0, meet)]));
}

#[test]
fn to_and_fro_a_leg_is_where_it_went_last() {
    let mut router = two_threads();
    for round in 0..10 {
        let (talk, caller, from, to) = match round % 2 {
            0 => (TALK, CALLER, 1, 0),
            _ => (ANOTHER, LegName(5), 0, 1),
        };
        if round == 1 {
            router.take(open(caller, ANOTHER)).unwrap();
            tasks(&mut router);
        }
        router.take(bridge(talk, caller, OTHER)).unwrap();
        assert_eq!(tasks(&mut router), [moves(OTHER, from, to, true)], "{round}");
        router.hear(Said::Moved(OTHER));
        assert_eq!(threads(&mut router), [to]);
    }
}

#[test]
fn what_has_gone_is_forgotten_and_makes_room() {
    let mut router = two_threads();
    for leg in [CALLER, AGENT] {
        assert!(router.hear(closed(leg)).is_some());
    }
    let (talk, at) = (TALK, Instant::now());
    router.hear(Said::Event(Event::TalkEnded { talk, at, recorded: None }));

    router.take(open(LegName(8), TalkName(12))).unwrap();

    assert_eq!(threads(&mut router), [0], "nobody is there any more");
    assert_eq!((router.legs.len(), router.talks.len()), (2, 2));
}

#[test]
fn orders_for_nobody_are_carried_out_and_refused_by_an_engine() {
    let mut router = two_threads();

    for order in
        [hear(LegName(9)), Order::EndTalk { talk: TalkName(99) }, bridge(TALK, CALLER, LegName(9))]
    {
        router.take(order).unwrap();
    }

    assert_eq!(threads(&mut router), [0, 0, 0]);
    assert!(router.is_settled());
}

#[test]
fn so_many_legs_are_on_their_way_at_a_time_and_so_many_orders_wait_and_no_more() {
    let mut router = Router::new(2);
    let pairs: u64 = MOVES_MAX as u64 + 10;
    for n in 0..pairs {
        // An even number of legs a pair, so that each pair is divided.
        router.take(open(LegName(1_000 + n), TalkName(1_000 + n))).unwrap();
        router.take(open(LegName(2_000 + n), TalkName(2_000 + n))).unwrap();
    }
    tasks(&mut router);
    for n in 0..pairs {
        router.take(bridge(TalkName(1_000 + n), LegName(1_000 + n), LegName(2_000 + n))).unwrap();
    }
    assert_eq!(tasks(&mut router).len(), MOVES_MAX);

    let refused = (0..WAITING_MAX).find_map(|_| router.take(hear(LegName(2_000))).err());
    assert_eq!(refused, Some(hear(LegName(2_000))));

    let mut met = vec![];
    let mut on_their_way: VecDeque<u64> = (0..MOVES_MAX as u64).collect();
    while let Some(n) = on_their_way.pop_front() {
        router.hear(Said::Moved(LegName(2_000 + n)));
        for (_, task) in tasks(&mut router) {
            match task {
                Task::Move { leg, .. } => on_their_way.push_back(leg.0 - 2_000),
                Task::Carry(Order::Bridge { talk, .. }) => met.push(talk.0 - 1_000),
                Task::Carry(_) => {}
            }
        }
    }
    assert_eq!(met.len() as u64, pairs, "{met:?}");
    assert!(router.is_settled());
}
