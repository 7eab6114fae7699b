//! Who may bind what, for how long, and what a stranger learns.

use super::*;
use crate::{
    config::Secret,
    wire::{Message, parse},
};
use std::fmt::Write;

const PHONE: &str = "192.0.2.7:5070";

struct Bench {
    registrar: Registrar,
    events: VecDeque<Event>,
    now: Instant,
    sequence: u32,
}

/// One REGISTER in the making.
struct Ask<'a> {
    user: &'a str,
    to: &'a str,
    password: &'a str,
    from: &'a str,
    via: &'a str,
    lines: &'a str,
    algorithm: Option<&'a str>,
}

const ASK: Ask<'static> = Ask {
    user: "1001",
    to: "sip:1001@clavija.test",
    password: "secret",
    from: PHONE,
    via: PHONE,
    lines: "Contact: <sip:1001@192.0.2.7:5070>\r\n",
    algorithm: None,
};

impl Bench {
    fn new() -> Self {
        let user = |name: &str, password: Option<&str>, contact: Option<Target>| User {
            name: name.into(),
            password: password.map(Secret::new),
            contact,
        };
        let desk = Target {
            uri: "sip:1003@192.0.2.12:5070".into(),
            to: "192.0.2.12:5070".parse().unwrap(),
        };
        let users = vec![
            user("1001", Some("secret"), None),
            user("1002", Some("other"), None),
            user("1003", None, Some(desk)),
        ];
        let own = "198.51.100.1".parse().unwrap();
        Self {
            registrar: Registrar::new(users, "clavija.test", vec![own], [9; 32], 20),
            events: VecDeque::new(),
            now: Instant::now(),
            sequence: 0,
        }
    }

    fn send(&mut self, ask: &Ask<'_>, authorization: &str) -> Verdict {
        self.sequence += 1;
        let (to, via, lines, sequence) = (ask.to, ask.via, ask.lines, self.sequence);
        let mut text = format!(
            "REGISTER sip:clavija.test SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{sequence}\r\n\
             From: <{to}>;tag=f\r\nTo: <{to}>\r\nCall-ID: r1\r\nCSeq: {sequence} REGISTER\r\n{lines}"
        );
        if !authorization.is_empty() {
            write!(text, "Authorization: {authorization}\r\n").unwrap();
        }
        text += "Content-Length: 0\r\n\r\n";
        let request = match parse(text.as_bytes()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?} of {text}"),
        };
        let from = ask.from.parse().unwrap();
        self.registrar.handle_register(&request, from, false, self.now, &mut self.events)
    }

    /// The whole exchange: challenge, answer.
    fn register(&mut self, ask: &Ask<'_>) -> Verdict {
        match self.send(ask, "") {
            Verdict::Challenge { www_authenticate } => {
                self.send(ask, &answer(&www_authenticate[0], ask))
            }
            Verdict::Silence => Verdict::Silence,
            Verdict::Answer { .. } => panic!("the first REGISTER is challenged"),
        }
    }

    fn statuses(&mut self, ask: &Ask<'_>) -> u16 {
        match self.register(ask) {
            Verdict::Challenge { .. } => 401,
            Verdict::Silence => 0,
            Verdict::Answer { status, .. } => status,
        }
    }

    fn contacts(&self, user: u16) -> Vec<String> {
        let targets = self.registrar.contacts(UserId(user)).into_iter();
        targets.map(|target| format!("{} at {}", target.uri, target.to)).collect()
    }
}

fn nonce_of(challenge: &str) -> &str {
    let (_, rest) = challenge.split_once("nonce=\"").unwrap();
    rest.split('"').next().unwrap()
}

fn answer(challenge: &str, ask: &Ask<'_>) -> String {
    let (user, nonce, qop) = (ask.user, nonce_of(challenge), ask.algorithm.unwrap_or_default());
    let mut text = format!(
        "Digest username=\"{user}\", realm=\"clavija.test\", nonce=\"{nonce}\", \
         uri=\"sip:clavija.test\"{qop}, response=\""
    );
    let unsigned = Credentials::parse(&format!("{text}\"")).unwrap();
    text += &unsigned.expected_response("REGISTER", ask.password, b"");
    text + "\""
}

fn listed(verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::Answer { status: 200, headers } => {
            headers.into_iter().map(|(_, value)| value).collect()
        }
        other @ (Verdict::Challenge { .. } | Verdict::Silence | Verdict::Answer { .. }) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_phone_with_the_right_password_is_bound_and_told_for_how_long() {
    let mut bench = Bench::new();

    let verdict = bench.register(&ASK);

    assert_eq!(listed(verdict), ["<sip:1001@192.0.2.7:5070>;expires=3600"]);
    assert_eq!(bench.contacts(0), ["sip:1001@192.0.2.7:5070 at 192.0.2.7:5070"]);
    assert_eq!(bench.events, [Event::Registered { user: UserId(0), contacts: 1 }]);
    assert_eq!(bench.registrar.user_at(PHONE.parse().unwrap(), ""), Some(UserId(0)));
}

#[test]
fn digest_with_qop_is_as_good_as_without() {
    let mut bench = Bench::new();
    let qop = Some(", qop=auth, cnonce=\"abc\", nc=00000001, algorithm=MD5");

    assert_eq!(bench.statuses(&Ask { algorithm: qop, ..ASK }), 200);
}

#[test]
fn an_unknown_user_and_a_bad_password_get_the_same_challenge() {
    let mut bench = Bench::new();
    let asks = [
        Ask { password: "wrong", ..ASK },
        Ask { user: "9999", to: "sip:9999@clavija.test", ..ASK },
        Ask { user: "1003", to: "sip:1003@clavija.test", ..ASK },
    ];

    let verdicts: Vec<_> = asks.iter().map(|ask| bench.register(ask)).collect();

    let shape = |verdict: &Verdict| match verdict {
        Verdict::Challenge { www_authenticate } => {
            let (before, rest) = www_authenticate[0].split_once("nonce=\"").unwrap();
            let (nonce, after) = rest.split_once('"').unwrap();
            (before.to_owned(), nonce.len(), after.to_owned())
        }
        Verdict::Silence | Verdict::Answer { .. } => panic!("{verdict:?}"),
    };
    assert!(verdicts.iter().all(|verdict| shape(verdict) == shape(&verdicts[0])), "{verdicts:?}");
    assert!(bench.events.is_empty());
    assert_eq!(bench.registrar.wrong_passwords, 3, "the operator is told what the phone is not");
}

#[test]
fn who_guesses_passwords_is_heard_twenty_times_and_the_phone_at_that_host_goes_on() {
    let mut bench = Bench::new();
    assert_eq!(bench.statuses(&ASK), 200);
    let elsewhere = "192.0.2.7:6000";
    let guess = Ask { user: "1002", to: "sip:1002@clavija.test", from: elsewhere, ..ASK };

    let heard = (0..300).filter(|_| bench.statuses(&guess) == 401).count();

    assert_eq!(heard, 20);
    assert_eq!(bench.statuses(&Ask { password: "other", ..guess }), 0, "not even the right one");
    assert_eq!(bench.statuses(&Ask { from: PHONE, ..guess }), 0, "nor from the phone there");
    assert_eq!(bench.statuses(&ASK), 200);
    assert_eq!(bench.statuses(&Ask { password: "other", from: "192.0.2.8:5060", ..guess }), 200);
}

#[test]
fn a_phone_answers_by_any_algorithm_that_is_offered_and_the_oldest_is_offered_first() {
    for (place, algorithm) in ["MD5", "SHA-256", "sha-512-256"].into_iter().enumerate() {
        let mut bench = Bench::new();
        let by = format!(", algorithm={algorithm}, qop=auth, cnonce=\"abc\", nc=00000001");
        let ask = Ask { algorithm: Some(&by), ..ASK };
        let Verdict::Challenge { www_authenticate } = bench.send(&ask, "") else { panic!() };
        assert_eq!(www_authenticate.len(), 3);
        let offered = www_authenticate[place].to_ascii_lowercase();
        let named = format!("algorithm={}, qop=\"auth\"", algorithm.to_ascii_lowercase());
        assert!(offered.ends_with(&named) && !offered.contains("userhash"), "{offered}");

        let bound = bench.send(&ask, &answer(&www_authenticate[place], &ask));

        assert!(matches!(bound, Verdict::Answer { status: 200, .. }), "{algorithm}: {bound:?}");
    }
}

#[test]
fn a_phone_that_gives_up_at_what_it_does_not_know_is_offered_md5_alone() {
    let mut bench = Bench::new();
    for (agent, offered) in [("baresip v1.0.0 (x86_64/Linux)", 1), ("baresip v3.16.0", 3)] {
        let lines = format!("User-Agent: {agent}\r\nContact: <sip:1001@192.0.2.7:5070>\r\n");
        let verdict = bench.send(&Ask { lines: &lines, ..ASK }, "");

        let Verdict::Challenge { www_authenticate } = verdict else { panic!("{agent}") };
        assert_eq!(www_authenticate.len(), offered, "{agent}");
        assert!(www_authenticate[0].contains("algorithm=MD5"), "{agent}");
    }
}

#[test]
fn a_used_nonce_gets_no_second_use_by_another_algorithm() {
    let mut bench = Bench::new();
    let by = |algorithm| format!(", algorithm={algorithm}, qop=auth, cnonce=\"abc\", nc=00000001");
    let (strong, weak) = (by("SHA-256"), by("MD5"));
    let ask = Ask { algorithm: Some(&strong), ..ASK };
    let Verdict::Challenge { www_authenticate } = bench.send(&ask, "") else { panic!() };
    bench.send(&ask, &answer(&www_authenticate[1], &ask));

    let again = Ask { algorithm: Some(&weak), ..ASK };
    let again = bench.send(&again, &answer(&www_authenticate[0], &again));

    assert!(matches!(again, Verdict::Challenge { .. }), "{again:?}");
}

#[test]
fn an_answer_made_for_another_uri_is_none() {
    let mut bench = Bench::new();
    let mut register = |uri: &str| {
        let Verdict::Challenge { www_authenticate } = bench.send(&ASK, "") else { panic!() };
        let nonce = nonce_of(&www_authenticate[0]);
        let mut text = format!(
            "Digest username=\"1001\", realm=\"clavija.test\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\""
        );
        let unsigned = Credentials::parse(&format!("{text}\"")).unwrap();
        text += &unsigned.expected_response("REGISTER", "secret", b"");
        matches!(bench.send(&ASK, &(text + "\"")), Verdict::Answer { status: 200, .. })
    };

    for ours in ["sip:clavija.test", "sip:198.51.100.1:5060", "sip:CLAVIJA.test:5061"] {
        assert!(register(ours), "{ours}");
    }
    for other in ["sip:other.example", "sip:1001@192.0.2.1", "/", "*"] {
        assert!(!register(other), "{other}");
    }
}

#[test]
fn an_overheard_answer_binds_nothing_even_from_the_same_address() {
    for qop in [None, Some(", qop=auth, cnonce=\"abc\", nc=00000001, algorithm=MD5")] {
        let mut bench = Bench::new();
        let ask = Ask { algorithm: qop, ..ASK };
        let Verdict::Challenge { www_authenticate } = bench.send(&ask, "") else { panic!() };
        let overheard = answer(&www_authenticate[0], &ask);
        bench.send(&ask, &overheard);
        let thief = Ask { lines: "Contact: <sip:x@192.0.2.7:6666>\r\n", ..ASK };

        let verdict = bench.send(&thief, &overheard);

        assert!(matches!(verdict, Verdict::Challenge { .. }), "{verdict:?}");
        assert_eq!(bench.contacts(0), ["sip:1001@192.0.2.7:5070 at 192.0.2.7:5070"]);
    }
}

#[test]
fn an_answer_to_an_old_nonce_is_stale_and_tells_nothing_about_the_password() {
    let mut bench = Bench::new();
    let Verdict::Challenge { www_authenticate } = bench.send(&ASK, "") else { panic!() };
    bench.now += Duration::from_secs(600);
    let is_stale = |verdict: Verdict| matches!(verdict, Verdict::Challenge { www_authenticate } if www_authenticate.iter().all(|one| one.contains("stale=true")));

    let right = bench.send(&ASK, &answer(&www_authenticate[0], &ASK));
    let wrong = Ask { password: "wrong", ..ASK };
    let wrong = bench.send(&wrong, &answer(&www_authenticate[0], &wrong));
    let elsewhere = Ask { from: "192.0.2.99:5070", ..ASK };
    let overheard = bench.send(&elsewhere, &answer(&www_authenticate[0], &ASK));

    assert!(is_stale(right) && is_stale(wrong) && is_stale(overheard));
    assert!(bench.contacts(0).is_empty());
}

#[test]
fn nobody_binds_another_users_address_nor_another_domain() {
    let mut bench = Bench::new();

    assert_eq!(bench.statuses(&Ask { to: "sip:1002@clavija.test", ..ASK }), 403);
    assert_eq!(bench.statuses(&Ask { to: "sip:1001@elsewhere.test", ..ASK }), 404);
    assert_eq!(bench.statuses(&Ask { to: "sip:1001@198.51.100.1", ..ASK }), 200);
}

#[test]
fn behind_a_nat_the_way_back_is_the_way_it_came() {
    let mut bench = Bench::new();
    bench.register(&Ask {
        from: "203.0.113.9:40000",
        via: "10.0.0.5:5060",
        lines: "Contact: <sip:1001@10.0.0.5:5060>\r\n",
        ..ASK
    });

    assert_eq!(bench.contacts(0), ["sip:1001@10.0.0.5:5060 at 203.0.113.9:40000"]);
    assert!(bench.registrar.knows("203.0.113.9:40000".parse().unwrap()));
    assert!(!bench.registrar.knows("10.0.0.5:5060".parse().unwrap()));
}

#[test]
fn without_a_nat_the_contact_holds_even_on_another_port() {
    let mut bench = Bench::new();
    bench.register(&Ask { lines: "Contact: <sip:1001@192.0.2.7:6000>\r\n", ..ASK });

    assert_eq!(bench.contacts(0), ["sip:1001@192.0.2.7:6000 at 192.0.2.7:6000"]);
}

#[test]
fn a_binding_ends_by_itself_and_says_so() {
    let mut bench = Bench::new();
    bench.register(&Ask { lines: "Contact: <sip:1001@192.0.2.7:5070>\r\nExpires: 60\r\n", ..ASK });
    let due = bench.registrar.poll_timeout().unwrap();
    bench.events.clear();

    bench.registrar.handle_timeout(due, &mut bench.events);

    assert_eq!((due - bench.now).as_secs(), 60);
    assert_eq!(bench.events, [Event::Unregistered { user: UserId(0) }]);
    assert_eq!(bench.registrar.poll_timeout(), None);
    assert!(!bench.registrar.knows(PHONE.parse().unwrap()));
}

#[test]
fn expires_is_taken_from_the_contact_first_and_kept_within_bounds() {
    let mut bench = Bench::new();
    let lines = |text| Ask { lines: text, ..ASK };
    let both = lines("Contact: <sip:1001@192.0.2.7:5070>;expires=120\r\nExpires: 60\r\n");
    let long = lines("Contact: <sip:1001@192.0.2.7:5070>;expires=99999999999\r\n");
    let short = lines("Contact: <sip:1001@192.0.2.7:5070>;expires=9\r\n");

    assert_eq!(listed(bench.register(&both)), ["<sip:1001@192.0.2.7:5070>;expires=120"]);
    assert_eq!(listed(bench.register(&long)), ["<sip:1001@192.0.2.7:5070>;expires=3600"]);
    let Verdict::Answer { status, headers } = bench.register(&short) else { panic!() };
    assert_eq!((status, headers), (423, vec![("Min-Expires", "10".to_owned())]));
}

#[test]
fn several_phones_of_one_user_are_listed_newest_first() {
    let mut bench = Bench::new();
    bench.register(&ASK);
    bench.register(&Ask { lines: "Contact: <sip:1001@192.0.2.8:5070>\r\n", ..ASK });
    let all = listed(bench.register(&Ask { lines: "", ..ASK }));

    assert_eq!(all.len(), 2);
    assert!(all[0].starts_with("<sip:1001@192.0.2.8:5070>"));
    assert_eq!(bench.events[1], Event::Registered { user: UserId(0), contacts: 2 });
}

#[test]
fn a_star_removes_everything_and_only_with_expires_0() {
    let mut bench = Bench::new();
    bench.register(&ASK);

    assert_eq!(bench.statuses(&Ask { lines: "Contact: *\r\n", ..ASK }), 400);
    assert_eq!(bench.contacts(0).len(), 1);
    assert_eq!(bench.statuses(&Ask { lines: "Contact: *\r\nExpires: 0\r\n", ..ASK }), 200);
    assert!(bench.contacts(0).is_empty());
    assert_eq!(bench.events.back(), Some(&Event::Unregistered { user: UserId(0) }));
}

#[test]
fn one_contact_is_removed_with_expires_0() {
    let mut bench = Bench::new();
    bench.register(&ASK);
    let gone = "Contact: <sip:1001@192.0.2.7:5070>;expires=0\r\n";

    assert_eq!(bench.statuses(&Ask { lines: gone, ..ASK }), 200);
    assert!(bench.contacts(0).is_empty());
}

#[test]
fn a_register_that_was_overtaken_changes_nothing() {
    let mut bench = Bench::new();
    bench.register(&ASK);
    bench.sequence = 0;
    let old = Ask { lines: "Contact: <sip:1001@192.0.2.7:5070>;expires=0\r\n", ..ASK };

    assert_eq!(bench.statuses(&old), 400);
    assert_eq!(bench.contacts(0).len(), 1);
}

#[test]
fn the_eleventh_contact_is_refused_whole() {
    let mut bench = Bench::new();
    let eleven: String =
        (1..=11).map(|at| format!("Contact: <sip:1001@192.0.2.7:{}>\r\n", 6000 + at)).collect();

    assert_eq!(bench.statuses(&Ask { lines: &eleven, ..ASK }), 403);
    assert!(bench.contacts(0).is_empty());
}

#[test]
fn what_cannot_be_called_over_udp_is_no_contact() {
    let mut bench = Bench::new();

    for uri in ["tel:+34600", "sips:1001@192.0.2.7", "sip:1001@192.0.2.7;transport=tls"] {
        let lines = format!("Contact: <{uri}>\r\n");
        assert_eq!(bench.statuses(&Ask { lines: &lines, ..ASK }), 400, "{uri}");
    }
}

#[test]
fn a_fixed_contact_is_known_by_its_exact_address_and_survives_nothing_else() {
    let bench = Bench::new();
    let known = |address: &str| bench.registrar.user_at(address.parse().unwrap(), "x");

    assert_eq!(known("192.0.2.12:5070"), Some(UserId(2)));
    assert_eq!(known("192.0.2.12:5071"), None);
    assert_eq!(bench.contacts(2), ["sip:1003@192.0.2.12:5070 at 192.0.2.12:5070"]);
    assert!(bench.contacts(0).is_empty() && bench.contacts(9).is_empty());
}

#[test]
fn of_two_users_at_one_address_the_name_decides() {
    let mut bench = Bench::new();
    bench.register(&ASK);
    bench.register(&Ask {
        user: "1002",
        password: "other",
        to: "sip:1002@clavija.test",
        lines: "Contact: <sip:1002@192.0.2.7:5070>\r\n",
        ..ASK
    });
    let here = PHONE.parse().unwrap();

    assert_eq!(bench.registrar.user_at(here, "1001"), Some(UserId(0)));
    assert_eq!(bench.registrar.user_at(here, "1002"), Some(UserId(1)));
}

fn user(name: &str, password: Option<&str>, contact: Option<&str>) -> User {
    let contact =
        contact.map(|at| Target { uri: format!("sip:{name}@{at}"), to: at.parse().unwrap() });
    User { name: name.into(), password: password.map(Secret::new), contact }
}

#[test]
fn whose_password_changed_or_who_is_gone_has_no_phone_until_they_register_again() {
    for now in [user("1001", Some("new"), None), user("1001", None, None)] {
        let mut bench = Bench::new();
        bench.register(&ASK);
        bench.events.clear();

        let others = [user("1002", Some("other"), None), user("1003", None, None)];
        let users = [now].into_iter().chain(others).collect();
        bench.registrar.reconfigure(users, &mut bench.events);

        assert_eq!(bench.events, [Event::Unregistered { user: UserId(0) }]);
        assert!(bench.contacts(0).is_empty() && !bench.registrar.knows(PHONE.parse().unwrap()));
        assert_eq!(bench.registrar.poll_timeout(), None);
        assert_eq!(bench.statuses(&ASK), 401, "the old password is good for nothing");
    }
}

#[test]
fn who_stays_the_same_keeps_their_phones_and_who_is_new_may_register() {
    let mut bench = Bench::new();
    bench.register(&ASK);
    bench.events.clear();

    let desk = "192.0.2.13:5070";
    bench.registrar.reconfigure(
        vec![
            user("1001", Some("secret"), None),
            user("1002", Some("other"), None),
            user("1003", None, Some(desk)),
            user("1004", Some("fresh"), None),
        ],
        &mut bench.events,
    );

    assert_eq!(bench.events, []);
    assert_eq!(bench.contacts(0), ["sip:1001@192.0.2.7:5070 at 192.0.2.7:5070"]);
    assert_eq!(bench.contacts(2), ["sip:1003@192.0.2.13:5070 at 192.0.2.13:5070"]);
    assert!(bench.registrar.knows(desk.parse().unwrap()));
    assert!(!bench.registrar.knows("192.0.2.12:5070".parse().unwrap()), "the desk has moved");
    let fresh = Ask { user: "1004", to: "sip:1004@clavija.test", password: "fresh", ..ASK };
    assert_eq!(bench.statuses(&fresh), 200);
}
