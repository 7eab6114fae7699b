//! What is asked, answered and due.

use super::*;

fn headers(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    lines.iter().for_each(|(name, value)| headers.push(name, *value));
    headers
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What our 2xx says to a request with these lines: Session-Expires, and what it requires.
fn answered(lines: &[(&str, &str)]) -> (Option<String>, Option<String>) {
    let (mut timer, mut response) = (SessionTimer::default(), Headers::new());
    timer.answer(&headers(lines), &mut response, Instant::now());
    let value = |name| response.text(name).map(str::to_owned);
    (value("Session-Expires"), value("Require"))
}

#[test]
fn who_refreshes_is_as_table_2_of_rfc_4028_has_it_and_we_where_it_is_left_to_us() {
    let timer = ("Supported", "100rel, timer");
    let says = |lines: &[_], expires: Option<&str>, require: Option<&str>| {
        let expected = (expires.map(str::to_owned), require.map(str::to_owned));
        assert_eq!(answered(lines), expected, "{lines:?}");
    };
    says(&[], None, None);
    says(&[timer], None, None);
    says(&[timer, ("Session-Expires", "1800")], Some("1800;refresher=uas"), None);
    says(&[timer, ("Session-Expires", "90;refresher=uas")], Some("90;refresher=uas"), None);
    says(
        &[timer, ("Session-Expires", "600;refresher=uac")],
        Some("600;refresher=uac"),
        Some("timer"),
    );
    says(&[timer, ("x", " 600 ; Refresher = UAC ;a=b")], Some("600;refresher=uac"), Some("timer"));
    // A proxy asks in the name of one who knows nothing of it.
    says(&[("Session-Expires", "1800")], Some("1800;refresher=uas"), None);
    says(&[("Session-Expires", "1800;refresher=uac")], Some("1800;refresher=uas"), None);
    says(&[("Session-Expires", "30")], None, None);
    for nonsense in ["", ";refresher=uac", "-1", "9x", "99999999999999999999", "86401"] {
        says(&[timer, ("Session-Expires", nonsense)], None, None);
    }
}

#[test]
fn less_than_ninety_seconds_is_too_brief_for_whoever_can_ask_for_more() {
    let asks = |lines: &[_]| check(&headers(lines));
    let timer = ("Supported", "timer");

    assert_eq!(asks(&[timer, ("Session-Expires", "89")]), Err(TooBrief));
    assert_eq!(
        asks(&[("Require", "timer"), ("Session-Expires", "0;refresher=uas")]),
        Err(TooBrief)
    );
    assert_eq!(asks(&[timer, ("Session-Expires", "90")]), Ok(()));
    assert_eq!(asks(&[("Session-Expires", "30")]), Ok(()));
    assert_eq!(asks(&[timer]), Ok(()));
}

#[test]
fn we_refresh_at_half_of_the_life_and_in_their_place_shortly_before_its_end() {
    for (granted, first, life) in [
        ("1800;refresher=uac", 900, 1_800),
        ("1800", 900, 1_800),
        ("1800;refresher=uas", 1_768, 1_800),
        ("90;refresher=uas", 60, 90),
        ("10;refresher=uac", 45, 90),
    ] {
        let (mut timer, start) = (SessionTimer::default(), Instant::now());
        timer.granted(&headers(&[("Session-Expires", granted)]), start);

        let due = |timer: &SessionTimer| timer.poll_timeout().map(|at| at - start);
        assert_eq!(due(&timer), Some(seconds(first)), "{granted}");
        assert_eq!(timer.take_due(start + seconds(first - 1)), None);
        assert_eq!(timer.take_due(start + seconds(first)), Some(Due::Refresh));
        assert_eq!(due(&timer), Some(seconds(life)));
        timer.try_again(seconds(5), start + seconds(first));
        assert_eq!(timer.take_due(start + seconds(first + 5)), Some(Due::Refresh));
        assert_eq!(timer.take_due(start + seconds(life)), Some(Due::End));
        assert_eq!(due(&timer), None, "{granted}");
    }
}

#[test]
fn an_answer_that_says_nothing_ends_the_timer_and_a_request_that_says_nothing_does_not() {
    let start = Instant::now();
    let (mut timer, mut response) = (SessionTimer::default(), Headers::new());
    timer.granted(&headers(&[("Session-Expires", "600;refresher=uas")]), start);

    timer.answer(&headers(&[("Supported", "timer")]), &mut response, start);
    assert_eq!(response.text("Session-Expires"), Some("600;refresher=uas"));
    timer.answer(&headers(&[]), &mut Headers::new(), start);
    assert_eq!(timer.poll_timeout(), None, "it knows nothing of timers any more");

    timer.granted(&headers(&[("Session-Expires", "600;refresher=uas")]), start);
    timer.granted(&headers(&[]), start);
    assert_eq!(timer.poll_timeout(), None);
    timer.try_again(seconds(5), start);
    assert_eq!(timer.poll_timeout(), None, "there is no life to save");
}

#[test]
fn what_somebody_finds_too_brief_is_asked_for_anew_with_more_a_few_times() {
    let mut asks = Asks::default();
    let written = |asks: Asks| {
        let mut headers = Headers::new();
        asks.write(&mut headers);
        let value = |name| headers.text(name).unwrap_or_default().to_owned();
        (value("Session-Expires"), value("Min-SE"))
    };
    assert_eq!(written(asks), ("1800".into(), "90".into()));

    for useless in ["", "1800", "90", "x", "86401"] {
        assert!(!asks.raise(&headers(&[("Min-SE", useless)])), "{useless}");
    }
    for more in ["3600", "4000", "5000", "6000"] {
        assert!(asks.raise(&headers(&[("Min-SE", more)])));
        assert_eq!(written(asks), (more.into(), more.into()));
    }
    assert!(!asks.raise(&headers(&[("Min-SE", "7000")])), "for ever");
}

#[test]
fn a_refresh_asks_for_what_holds_with_the_roles_of_its_own_request() {
    let start = Instant::now();
    let mut timer = SessionTimer::default();
    let written = |timer: &SessionTimer| {
        let mut headers = Headers::new();
        timer.write(&mut headers);
        headers.text("Session-Expires").unwrap_or_default().to_owned()
    };

    timer.granted(&headers(&[("Session-Expires", "600;refresher=uac")]), start);
    assert_eq!(written(&timer), "600;refresher=uac");
    timer.granted(&headers(&[("Session-Expires", "600;refresher=uas")]), start);
    assert_eq!(written(&timer), "600;refresher=uas");
    assert!(timer.raise(&headers(&[("Min-SE", "700")])));
    assert_eq!(written(&timer), "700;refresher=uas");
}
