//! Weeks, holidays and exceptions on clocks that are put forward and back; minute by minute beside another
//! implementation in `tests/tests/hours.rs`.

use super::*;

/// Seconds since 1970, of UTC.
fn utc(year: i16, month: u8, day: u8, hour: i64, minute: i64) -> Stamp {
    stamp(Date { year, month, day }.number() * DAY_SECONDS + hour * 3_600 + minute * 60)
}

/// Central Europe in 2026: an hour ahead, two from 29 March to 25 October, changed at 01:00 UTC.
fn berlin() -> Zone {
    let offset = |from, hours: i32| Offset { from, seconds: hours * 3_600 };
    let offsets = vec![
        offset(utc(2026, 1, 1, 0, 0), 1),
        offset(utc(2026, 3, 29, 1, 0), 2),
        offset(utc(2026, 10, 25, 1, 0), 1),
    ];
    Zone { name: "Europe/Berlin".into(), offsets }
}

fn span(from: (u16, u16), to: (u16, u16)) -> Span {
    Span::new(from, to).unwrap()
}

/// On these weekdays, from and to.
fn week(zone: Zone, days: &[u8], spans: &[Span]) -> Hours {
    let weekly = days.iter().flat_map(|&day| spans.iter().map(move |&open| Weekly { day, open }));
    let weekly = weekly.collect();
    Hours { name: "office".into(), zone, weekly, holidays: vec![], exceptions: vec![] }
}

fn every_day(spans: &[Span]) -> Hours {
    week(berlin(), &[0, 1, 2, 3, 4, 5, 6], spans)
}

/// Open or not, and until when.
fn says(hours: &Hours, at: Stamp) -> (bool, Option<Stamp>) {
    let verdict = hours.at(at);
    (verdict.open, verdict.until)
}

#[test]
fn an_ordinary_week_opens_and_closes_by_the_clock_there() {
    let office = week(berlin(), &[0, 1, 2, 3, 4], &[span((9, 0), (18, 0))]);

    // Friday, 6 March 2026; local time is an hour ahead of UTC.
    let (opens, closes) = (utc(2026, 3, 6, 8, 0), utc(2026, 3, 6, 17, 0));
    assert_eq!(says(&office, utc(2026, 3, 6, 7, 59)), (false, Some(opens)));
    assert_eq!(says(&office, opens), (true, Some(closes)));
    assert_eq!(says(&office, utc(2026, 3, 6, 16, 59)), (true, Some(closes)));
    assert_eq!(says(&office, closes), (false, Some(utc(2026, 3, 9, 8, 0))), "until Monday");
    assert_eq!(office.at(closes).why, Why::Week);
}

#[test]
fn a_span_over_midnight_is_of_the_day_on_which_it_begins() {
    let night = week(berlin(), &[4], &[span((22, 0), (6, 0))]);

    assert_eq!(says(&night, utc(2026, 3, 6, 21, 0)), (true, Some(utc(2026, 3, 7, 5, 0))));
    assert_eq!(says(&night, utc(2026, 3, 7, 4, 59)), (true, Some(utc(2026, 3, 7, 5, 0))));
    assert_eq!(says(&night, utc(2026, 3, 7, 5, 0)), (false, Some(utc(2026, 3, 13, 21, 0))));
    let mut holiday = night.clone();
    holiday.holidays.push(Holiday { year: Some(2026), month: 3, day: 7, name: "h".into() });
    assert!(holiday.at(utc(2026, 3, 7, 2, 0)).open, "who came on Friday stays until they go");
    assert_eq!(holiday.at(utc(2026, 3, 7, 2, 0)).why, Why::Week);
}

#[test]
fn spans_that_meet_are_one_and_always_has_no_end() {
    let day = every_day(&[span((8, 0), (12, 0)), span((12, 0), (20, 0)), span((11, 0), (13, 0))]);
    assert_eq!(says(&day, utc(2026, 3, 6, 8, 0)), (true, Some(utc(2026, 3, 6, 19, 0))));

    let always = every_day(&[span((0, 0), (24, 0))]);
    assert_eq!(says(&always, utc(2026, 3, 6, 8, 0)), (true, None));
    assert_eq!(says(&every_day(&[]), utc(2026, 3, 6, 8, 0)), (false, None));
}

#[test]
fn a_holiday_closes_and_an_exception_says_the_last_word() {
    let mut office = every_day(&[span((9, 0), (18, 0))]);
    let day = |year, month, day, name: &str| Holiday { year, month, day, name: name.into() };
    office.holidays = vec![day(None, 12, 25, "Christmas"), day(Some(2026), 12, 26, "Bridge")];
    let except = |day, open, name: &str| {
        let date = Date { year: 2026, month: 12, day };
        Exception { date, open, name: name.into() }
    };
    office.exceptions = vec![
        except(24, vec![span((9, 0), (12, 0))], "Christmas Eve"),
        except(26, vec![span((14, 0), (16, 0))], "sale"),
        except(28, vec![], ""),
    ];

    let said = |day, hour| {
        let verdict = office.at(utc(2026, 12, day, hour, 0));
        (verdict.open, verdict.why)
    };
    assert_eq!(said(23, 16), (true, Why::Week));
    assert_eq!(said(24, 10), (true, Why::Exception("Christmas Eve".into())));
    assert_eq!(said(24, 11), (false, Why::Exception("Christmas Eve".into())));
    assert_eq!(said(25, 10), (false, Why::Holiday("Christmas".into())));
    assert_eq!(said(26, 10), (false, Why::Exception("sale".into())));
    assert_eq!(said(26, 13), (true, Why::Exception("sale".into())));
    assert_eq!(said(28, 10), (false, Why::Exception(String::new())));
    let closed = utc(2026, 12, 24, 11, 0);
    assert_eq!(says(&office, closed).1, Some(utc(2026, 12, 26, 13, 0)));
    let next_year = office.at(utc(2027, 12, 25, 10, 0));
    assert_eq!((next_year.open, next_year.why), (false, Why::Holiday("Christmas".into())));
    assert!(office.at(utc(2027, 12, 26, 10, 0)).open, "of 2026 alone");
}

/// On 29 March 2026 the clock goes from 02:00 to 03:00 at 01:00 UTC.
#[test]
fn what_the_clock_leaves_out_is_not_waited_for() {
    let change = utc(2026, 3, 29, 1, 0);

    let begins_in_it = every_day(&[span((2, 30), (5, 0))]);
    assert_eq!(says(&begins_in_it, utc(2026, 3, 29, 0, 59)), (false, Some(change)));
    assert_eq!(says(&begins_in_it, change), (true, Some(utc(2026, 3, 29, 3, 0))));
    let ends_in_it = every_day(&[span((1, 0), (2, 30))]);
    assert_eq!(says(&ends_in_it, utc(2026, 3, 29, 0, 59)), (true, Some(change)));
    let lies_in_it = every_day(&[span((2, 0), (3, 0))]);
    let the_day_before = utc(2026, 3, 28, 2, 0);
    assert_eq!(says(&lies_in_it, the_day_before), (false, Some(utc(2026, 3, 30, 0, 0))));
}

/// On 25 October 2026 the clock reads 02:00 to 03:00 twice, from 00:00 UTC to 02:00.
#[test]
fn what_the_clock_reads_twice_counts_the_first_time() {
    let first_half_past_two = utc(2026, 10, 25, 0, 30);

    let ends_in_it = every_day(&[span((1, 0), (2, 30))]);
    assert_eq!(says(&ends_in_it, utc(2026, 10, 25, 0, 29)), (true, Some(first_half_past_two)));
    let again = utc(2026, 10, 25, 1, 15);
    assert_eq!(says(&ends_in_it, again), (false, Some(utc(2026, 10, 26, 0, 0))), "closed once");
    let begins_in_it = every_day(&[span((2, 30), (5, 0))]);
    let closes = utc(2026, 10, 25, 4, 0);
    assert_eq!(says(&begins_in_it, utc(2026, 10, 25, 0, 0)), (false, Some(first_half_past_two)));
    assert_eq!(says(&begins_in_it, first_half_past_two), (true, Some(closes)));
    assert_eq!(says(&begins_in_it, again), (true, Some(closes)), "open once");
    let shift = every_day(&[span((22, 0), (6, 0))]);
    assert_eq!(says(&shift, again), (true, Some(utc(2026, 10, 25, 5, 0))), "an hour longer");
}

#[test]
fn every_day_of_eight_centuries_is_found_again_and_follows_the_one_before() {
    let mut before = Date { year: 1600, month: 1, day: 1 };
    assert_eq!(Date { year: 1970, month: 1, day: 1 }.number(), 0);
    assert_eq!(weekday(Date { year: 2026, month: 12, day: 1 }.number()), 1, "a Tuesday");
    let end = Date { year: 2400, month: 1, day: 1 }.number();
    for number in before.number() + 1..end {
        let date = Date::of(number);
        assert_eq!(date.number(), number);
        assert!(date > before, "{date:?} after {before:?}");
        before = date;
    }
    assert_eq!(Date::new(2028, 2, 29).map(Date::number), Some(21_243));
    for (year, month, day) in
        [(2026, 2, 29), (2026, 4, 31), (2026, 13, 1), (2026, 0, 1), (2100, 2, 29)]
    {
        assert_eq!(Date::new(year, month, day), None, "{year}-{month}-{day}");
    }
}

#[test]
fn times_of_the_day_are_from_midnight_to_midnight() {
    assert_eq!(Span::new((9, 0), (18, 30)), Some(Span { from: 540, to: 1_110 }));
    assert_eq!(Span::new((22, 0), (6, 0)), Some(Span { from: 1_320, to: 1_800 }));
    assert_eq!(Span::new((9, 0), (9, 0)), Some(Span { from: 540, to: 1_980 }), "round the clock");
    assert_eq!(Span::new((0, 0), (24, 0)), Some(Span { from: 0, to: 1_440 }));
    for (from, to) in [((24, 0), (1, 0)), ((9, 60), (10, 0)), ((9, 0), (24, 1)), ((9, 0), (25, 0))]
    {
        assert_eq!(Span::new(from, to), None, "{from:?} {to:?}");
    }
}

#[test]
fn whatever_a_calendar_says_it_can_be_asked_at_any_time() {
    let offset = |from, seconds| Offset { from: Stamp(from), seconds };
    let offsets = vec![offset(u64::MAX, i32::MIN), offset(0, i32::MAX), offset(0, -86_400)];
    let mut mad = week(
        Zone { name: String::new(), offsets },
        &[0, 6, 255],
        &[Span { from: u16::MAX, to: 0 }],
    );
    mad.weekly.push(Weekly { day: 3, open: Span { from: 0, to: u16::MAX } });
    mad.holidays = vec![Holiday { year: Some(i16::MAX), month: 255, day: 0, name: String::new() }];
    assert!(!mad.is_sound() && every_day(&[span((22, 0), (6, 0))]).is_sound());
    for at in [0, 1, 1_790_000_000_000_000, u64::MAX >> 2, u64::MAX] {
        mad.at(Stamp(at));
        every_day(&[span((22, 0), (6, 0))]).at(Stamp(at));
    }
}
