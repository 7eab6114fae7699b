//! What goes between the threads comes through whole, once and in order, and goes back to where memory is given back.

use super::*;
use crate::ports::PortPool;
use media_core::{
    order::Order,
    srtp::{Keys, MasterKey, Suite},
};
use std::{net::IpAddr, time::Duration};

mod rings;

fn config() -> EngineConfig {
    EngineConfig {
        legs_max: 8,
        talks_max: 4,
        silent_after: Duration::from_secs(30),
        tunes: vec![Arc::new(Tune::test_tone())],
        rtcp_interval: Duration::from_secs(5),
        cname: "tests".into(),
        shared: vec![],
        ntp_epoch: 0,
    }
}

fn lane(host: u8) -> Lane {
    let ports = PortPool::open(IpAddr::from([127, 77, 9, host]), 21_000..=21_007).unwrap();
    let common = Common {
        engine: config(),
        epoch: Instant::now(),
        pairs: Arc::new(ports.into_pairs()),
        bell: Arc::new(EventFd::new().unwrap()),
        rings: RingSizes::USUAL,
        real_time: false,
        memory_locked: false,
    };
    let (frames, _recorder) = frames(16);
    let doors = doors(1).remove(0);
    Lane::start(&common, Own { number: 0, core: None, frames, doors }).unwrap()
}

#[test]
fn everything_that_is_done_with_comes_back_however_late_it_is_fetched() {
    let mut lane = lane(1);
    let suite = Suite::AesCm128HmacSha1_80;
    let master = || MasterKey::new(suite, &[7; 30]).unwrap();
    let given = 2 * SCRAP;

    for _ in 0..given {
        // Nobody has this leg, so the keys go back.
        let keys = Some(Keys { send: master(), receive: master() });
        assert!(lane.give(Task::Carry(Order::Secure { leg: LegName(1), keys })));
    }
    let seen = lane.ticks();
    while lane.ticks() < seen + 100 {
        std::thread::yield_now();
    }

    let mut back = 0;
    let until = lane.ticks() + 5_000;
    while back < given && lane.ticks() < until {
        back += lane.drop_scrap();
        std::thread::yield_now();
    }
    lane.stop();
    assert_eq!(back, given);
}

#[test]
fn a_tune_whose_place_another_takes_is_freed_on_this_side_and_nowhere_else() {
    let mut lane = lane(2);
    let tunes = [(); 4].map(|()| Arc::new(Tune::test_tone()));
    let kept = tunes.each_ref().map(Arc::downgrade);
    let alive = || kept.iter().filter(|tune| tune.strong_count() > 0).count();

    for tune in tunes {
        assert!(lane.replace_tune(TuneId(0), tune));
    }
    let seen = lane.ticks();
    while lane.ticks() < seen + 500 {
        std::thread::yield_now();
    }

    assert_eq!(alive(), 4, "the thread frees nothing");
    assert_eq!(lane.drop_scrap(), 4, "the first of all, and three of these");
    assert_eq!(alive(), 1, "the one that is played");
    assert!(lane.replace_tune(TuneId(1), Arc::new(Tune::test_tone())), "nobody has this number");
    let seen = lane.ticks();
    while lane.ticks() < seen + 100 {
        std::thread::yield_now();
    }
    assert_eq!(lane.drop_scrap(), 1);
    lane.stop();
}
