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

fn only(passed: Passed) -> Allowed {
    let codecs = vec![Codec::Pcma];
    Allowed { codecs, telephone_event: true, comfort_noise: true, passed: Some(passed) }
}

/// One side's offer, the other's answer: what each of them is written, and agreed with each.
fn between(caller: &str, other: &str) -> Result<[(String, Agreed); 2], String> {
    let caller = session(caller);
    let passed = Passed::offered(&caller, &NAMED).ok_or("not offered")?;
    let asked = String::from_utf8(offer(&only(passed.clone()), LOCAL)).unwrap();
    let answered = session(other);
    let agreed = accept(&answered, &only(passed)).map_err(|no| no.to_string())?;
    let passed = Passed::agreed(&answered, &agreed).ok_or("not agreed")?;
    let (bytes, with_caller) =
        answer(&caller, &only(passed), LOCAL).map_err(|no| no.to_string())?;
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
fn what_is_not_named_or_no_text_for_a_description_is_not_offered_on() {
    let offered = |media: &str, named: &[Codec]| Passed::offered(&session(media), named);
    assert_eq!(offered("m=audio 4000 RTP/AVP 18", &[Codec::Amr]), None);
    assert_eq!(offered("m=audio 0 RTP/AVP 18", &NAMED), None);
    assert_eq!(offered("m=video 4000 RTP/AVP 18", &NAMED), None);
    assert_eq!(offered("m=audio 4000 RTP/AVP 97\na=rtpmap:97 AMR/16000", &NAMED), None);
    let long = format!("m=audio 4000 RTP/AVP 18\na=fmtp:18 {}", "x".repeat(201));
    assert_eq!(offered(&long, &NAMED), None);
    assert_eq!(offered("m=audio 4000 RTP/AVP 18\na=fmtp:18 a\tb", &NAMED), None);
    let first = offered("m=audio 4000 RTP/AVP 0 18 97\na=rtpmap:97 AMR/8000", &NAMED).unwrap();
    assert_eq!(first, Passed { codec: Codec::G729, parameters: None });
}
