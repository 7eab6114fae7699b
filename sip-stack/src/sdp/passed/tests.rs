//! Offers and answers of what passes through.

use super::*;
use crate::sdp::{
    answer::{Allowed, Local, accept, answer, offer},
    parse,
};

const LOCAL: Local = Local {
    addr: std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)),
    rtp_port: 20_000,
    session_id: 1,
    version: 1,
};

const NAMED: [Codec; 3] = [Codec::G729, Codec::Amr, Codec::AmrWb];

fn session(media: &str) -> Session {
    let media = media.replace('\n', "\r\n");
    parse(
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}\r\n"
        )
        .as_bytes(),
    )
    .unwrap()
}

fn only(passed: &[Passed]) -> Allowed {
    let (codecs, passed) = (vec![Codec::Pcma], passed.to_vec());
    Allowed { codecs, telephone_event: true, comfort_noise: true, passed }
}

fn format(codec: Codec, parameters: Option<&str>) -> Passed {
    let parameters = parameters.map(str::to_owned);
    Passed { codec, parameters, ptime_ms: None, ptime_ms_max: None }
}

/// One side's offer, the other's answer: what each of them is written, and agreed with each.
fn between(caller: &str, other: &str) -> Result<[(String, Agreed); 2], String> {
    let caller = session(caller);
    let passed = Passed::offered(&caller, &NAMED);
    let asked = String::from_utf8(offer(&only(&passed), LOCAL)).unwrap();
    let answered = session(other);
    let agreed = accept(&answered, &only(&passed)).map_err(|no| no.to_string())?;
    let passed = Passed::agreed(&answered, &agreed).ok_or("not agreed")?;
    let (bytes, with_caller) =
        answer(&caller, &only(&[passed]), LOCAL).map_err(|no| no.to_string())?;
    Ok([(String::from_utf8(bytes).unwrap(), with_caller), (asked, agreed)])
}

#[test]
fn g729_is_offered_and_answered_with_the_parameters_of_the_other_side() {
    let [(answer, caller), (offer, other)] = between(
        "m=audio 4000 RTP/AVP 18 101\na=rtpmap:101 telephone-event/8000\na=fmtp:18 annexb=yes",
        "m=audio 4000 RTP/AVP 96\na=rtpmap:96 G729/8000\na=fmtp:96 annexb=no",
    )
    .unwrap();

    assert!(
        offer.contains("RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=yes\r\n"),
        "{offer}"
    );
    assert!(!offer.contains("PCMA") && !offer.contains("CN/"), "{offer}");
    assert!(
        answer.contains("RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n"),
        "{answer}"
    );
    assert_eq!((caller.codec, caller.payload_type), (Codec::G729, 18));
    assert_eq!((other.codec, other.payload_type), (Codec::G729, 96));
}

#[test]
fn amr_is_passed_only_where_both_lay_their_packets_out_alike() {
    let amr = |name: &str, parameters: &str| {
        format!("m=audio 4000 RTP/AVP 97\na=rtpmap:97 {name}\na=fmtp:97 {parameters}")
    };
    let same = between(
        &amr("AMR-WB/16000", "octet-align=1; mode-set=0,2"),
        &amr("amr-wb/16000/1", "mode-set=2;octet-align=1;crc=0"),
    );
    let [(answer, caller), _] = same.unwrap();
    assert!(answer.contains("a=fmtp:97 mode-set=2;octet-align=1;crc=0\r\n"), "{answer}");
    assert_eq!(caller.codec, Codec::AmrWb);

    let other = between(&amr("AMR/8000", "octet-align=1"), &amr("AMR/8000", "mode-set=7"));
    assert_eq!(
        other.unwrap_err(),
        "no codec in common: they offer AMR/8000, we allow AMR (octet-align=1) passed through"
    );
    assert!(between(&amr("AMR/8000", "crc=1"), &amr("AMR-WB/16000", "crc=1")).is_err());
    assert!(between(&amr("AMR/8000", "x=1"), "m=audio 4000 RTP/AVP 8").is_err());
}

#[test]
fn what_implies_octets_is_one_layout_with_what_says_so() {
    let amr = |parameters: &str| {
        format!("m=audio 4000 RTP/AVP 97\na=rtpmap:97 AMR/8000\na=fmtp:97 {parameters}")
    };
    for key in ["crc", "robust-sorting", "interleaving"] {
        let (short, full) = (format!("{key}=1"), format!("octet-align=1; {key}=1"));
        assert!(between(&amr(&short), &amr(&full)).is_ok(), "{key}");
        assert!(between(&amr(&full), &amr(&short)).is_ok(), "{key}");
        assert!(between(&amr(&short), &amr("octet-align=1")).is_err(), "{key}");
    }
}

#[test]
fn every_form_of_a_codec_is_offered_on_and_the_caller_is_answered_in_the_one_that_was_taken() {
    let caller = "m=audio 4000 RTP/AVP 110 96 97 98\na=rtpmap:110 AMR/8000\na=rtpmap:96 AMR/8000\n\
                  a=fmtp:96 octet-align=1\na=rtpmap:97 AMR/8000\na=fmtp:97 octet-align=1;mode-set=7\n\
                  a=rtpmap:98 AMR/8000\na=fmtp:98 crc=1";
    let [(answer, with_caller), (offer, _)] = between(
        caller,
        "m=audio 4000 RTP/AVP 99\na=rtpmap:99 AMR/8000\na=fmtp:99 octet-align=1;mode-set=0",
    )
    .unwrap();

    assert!(
        offer.contains(
            "RTP/AVP 97 99 100 101\r\na=rtpmap:97 AMR/8000\r\na=rtpmap:99 AMR/8000\r\n\
             a=fmtp:99 octet-align=1\r\na=rtpmap:100 AMR/8000\r\na=fmtp:100 crc=1\r\n"
        ),
        "{offer}"
    );
    assert_eq!(with_caller.payload_type, 96);
    assert!(answer.contains("a=fmtp:96 octet-align=1;mode-set=0\r\n"), "{answer}");

    let form = |n: u32| format!("a=rtpmap:{n} AMR/8000\na=fmtp:{n} interleaving={n}\n");
    let many: String = (100..110).map(form).collect();
    let many = format!("m=audio 4 RTP/AVP 100 101 102 103 104 105 106 107 108 109\n{many}");
    assert_eq!(Passed::offered(&session(many.trim_end()), &NAMED).len(), FORMS_MAX);
}

#[test]
fn the_length_of_packets_is_what_the_other_side_asks_for() {
    let g729 = |more: &str| format!("m=audio 4000 RTP/AVP 18{more}");
    let [(answer, _), (offer, _)] =
        between(&g729("\na=ptime:40\na=maxptime:80"), &g729("\na=ptime:10")).unwrap();

    assert!(offer.contains("a=ptime:40\r\na=maxptime:80\r\n"), "{offer}");
    assert!(answer.contains("a=ptime:10\r\n") && !answer.contains("maxptime"), "{answer}");
    let [(answer, _), (offer, _)] = between(&g729(""), &g729("")).unwrap();
    assert!(!answer.contains("ptime") && !offer.contains("ptime"), "{answer}{offer}");
}

#[test]
fn who_speaks_again_says_nothing_the_other_side_would_have_to_hear_of() {
    let amr = |parameters: &str| format(Codec::Amr, Some(parameters));
    let (said, told) = (amr("mode-set=0,2; max-red=0"), [amr("Octet-Align=0;mode-set=0, 2,7")]);
    for fine in ["max-red=0;mode-set=0,2", "mode-set=0,2,7", "MODE-SET=0,2;octet-align=0", "x"] {
        assert_eq!(amr(fine).goes_on(&said, &told), Ok(()), "{fine}");
    }
    let no = amr("mode-set=0").goes_on(&said, &told).unwrap_err();
    assert_eq!(
        no.to_string(),
        "no codec in common: they offer AMR (mode-set=0), we allow AMR (mode-set=0,2; max-red=0) passed through"
    );
    let g729 = |parameters| format(Codec::G729, parameters);
    let plain = g729(None);
    assert!(g729(Some("annexb=no")).goes_on(&plain, std::slice::from_ref(&plain)).is_err());
    assert!(g729(Some("annexb=yes")).goes_on(&plain, std::slice::from_ref(&plain)).is_ok());
}

#[test]
fn what_is_not_named_or_no_text_for_a_description_is_not_offered_on() {
    let offered = |media: &str, named: &[Codec]| Passed::offered(&session(media), named);
    assert_eq!(offered("m=audio 4000 RTP/AVP 18", &[Codec::Amr]), []);
    assert_eq!(offered("m=audio 0 RTP/AVP 18", &NAMED), []);
    assert_eq!(offered("m=video 4000 RTP/AVP 18", &NAMED), []);
    assert_eq!(offered("m=audio 4000 RTP/AVP 97\na=rtpmap:97 AMR/16000", &NAMED), []);
    let long = format!("m=audio 4000 RTP/AVP 18\na=fmtp:18 {}", "x".repeat(201));
    assert_eq!(offered(&long, &NAMED), []);
    assert_eq!(offered("m=audio 4000 RTP/AVP 18\na=fmtp:18 a\tb", &NAMED), []);
    let both = offered("m=audio 4000 RTP/AVP 0 18 97\na=rtpmap:97 AMR/8000", &NAMED);
    assert_eq!(both, [format(Codec::G729, None), format(Codec::Amr, None)]);
}
