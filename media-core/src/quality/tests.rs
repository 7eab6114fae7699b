//! The E-model against its table, its bounds, and whatever one may give it.

use super::*;

const CODINGS: [Coding; 7] = [
    Coding::G711,
    Coding::G711Bare,
    Coding::G729a,
    Coding::G722,
    Coding::OpusNarrow,
    Coding::Opus,
    Coding::Linear,
];

fn mos(coding: Coding, percent: f64, one_way_ms: f64) -> f64 {
    Rating::new(coding, Loss { percent, burst_ratio: 1.0 }, one_way_ms).mos()
}

#[test]
fn the_table_of_g711_is_reproduced_to_a_hundredth() {
    let losses = [0.0, 0.5, 1.0, 2.0, 5.0];
    for (coding, one_way_ms, wanted) in [
        (Coding::G711, 50.0, [4.41, 4.37, 4.33, 4.23, 3.92]),
        (Coding::G711, 250.0, [4.18, 4.11, 4.05, 3.92, 3.53]),
        (Coding::G711Bare, 50.0, [4.41, 4.14, 3.83, 3.26, 2.17]),
    ] {
        for (percent, wanted) in losses.into_iter().zip(wanted) {
            let found = mos(coding, percent, one_way_ms);
            // The table itself is rounded to a hundredth.
            let rounded = (found * 100.0).round() / 100.0;
            assert!(
                (rounded - wanted).abs() < 1e-9,
                "{coding:?} {percent} % {one_way_ms} ms: {found}, not {wanted}"
            );
        }
    }
}

#[test]
fn the_whole_curve_of_delay_costs_next_to_nothing_at_150_ms() {
    let cost = |ms| delay_impairment(ms);

    assert!((cost(150.0) - 0.16).abs() < 0.01, "{}", cost(150.0));
    assert_eq!(cost(100.0), 0.0);
    assert!(cost(100.001) < 1e-6, "no step at the knee");
}

#[test]
fn nothing_that_gets_worse_is_rated_better() {
    for coding in CODINGS {
        for burst_ratio in [1.0, 1.5, 2.0, 8.0] {
            let mut before = f64::INFINITY;
            for percent in 0..=1_000 {
                let loss = Loss { percent: f64::from(percent) / 10.0, burst_ratio };
                let r = Rating::new(coding, loss, 0.0).r;
                assert!(r <= before, "{coding:?} {loss:?}");
                before = r;
            }
        }
        let mut before = f64::INFINITY;
        for ms in 0..2_000 {
            let r = Rating::new(coding, Loss::NONE, f64::from(ms)).r;
            assert!(r <= before + 1e-9, "{coding:?} {ms} ms");
            before = r;
        }
        let mut before = f64::INFINITY;
        for tenths in 10..=80 {
            let loss = Loss { percent: 5.0, burst_ratio: f64::from(tenths) / 10.0 };
            let r = Rating::new(coding, loss, 0.0).r;
            assert!(r < before, "{coding:?} {loss:?}");
            before = r;
        }
    }
}

#[test]
fn any_input_gives_a_score_between_1_and_four_and_a_half() {
    let odd = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        -1.0,
        -0.0,
        0.0,
        100.0,
        1e9,
    ];
    for coding in CODINGS {
        for percent in odd {
            for burst_ratio in odd {
                for one_way_ms in odd {
                    let rating = Rating::new(coding, Loss { percent, burst_ratio }, one_way_ms);
                    assert!(rating.r.is_finite(), "{coding:?} {percent} {burst_ratio}");
                    assert!((1.0..=4.5).contains(&rating.mos()));
                    assert!((0.0..=100.0).contains(&rating.of_hundred()));
                }
            }
        }
    }
}

#[test]
fn wideband_is_rated_on_a_scale_of_its_own_and_says_so() {
    for (coding, model) in [
        (Coding::G711, Model::Narrowband),
        (Coding::G729a, Model::Narrowband),
        (Coding::OpusNarrow, Model::Narrowband),
        (Coding::G722, Model::Wideband),
        (Coding::Opus, Model::Wideband),
        (Coding::Linear, Model::Wideband),
    ] {
        assert_eq!(coding.model(), model, "{coding:?}");
        assert_eq!(Rating::new(coding, Loss::NONE, 0.0).model, model);
    }
    // G.113: 64 kbit/s cost 13 of the 129.
    assert_eq!(Rating::new(Coding::G722, Loss::NONE, 0.0).r, 116.0);
    assert!((mos(Coding::G722, 0.0, 0.0) - 4.34).abs() < 0.01);
    assert_eq!(mos(Coding::Linear, 0.0, 0.0), 4.5);
    // Delay costs 1.29 as much on the longer scale, which is the same for the ear.
    let cost = |coding| {
        let at = |ms| Rating::new(coding, Loss::NONE, ms).r;
        at(0.0) - at(300.0)
    };
    assert!((cost(Coding::Linear) / cost(Coding::G711) - 1.29).abs() < 1e-9);
}

#[test]
fn bands_begin_where_their_floor_is() {
    let band = |r| Rating { model: Model::Narrowband, r }.band();
    assert_eq!(
        [93.2, 90.0, 89.9, 80.0, 79.9, 70.0, 69.9, 60.0, 59.9, 50.0, 49.9, -5.0].map(band),
        [
            Band::VerySatisfied,
            Band::VerySatisfied,
            Band::Satisfied,
            Band::Satisfied,
            Band::SomeDissatisfied,
            Band::SomeDissatisfied,
            Band::ManyDissatisfied,
            Band::ManyDissatisfied,
            Band::NearlyAllDissatisfied,
            Band::NearlyAllDissatisfied,
            Band::Unusable,
            Band::Unusable,
        ]
    );
    assert_eq!(Rating { model: Model::Wideband, r: 129.0 }.band(), Band::VerySatisfied);
    assert_eq!(Rating { model: Model::Wideband, r: 93.2 }.band(), Band::SomeDissatisfied);
}
