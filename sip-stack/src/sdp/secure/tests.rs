//! Offers of both profiles under each wish, and what comes of them.

use super::*;
use crate::sdp::{
    Session,
    answer::{Agreed, Allowed, Local, accept_secured, answer_secured, offer_secured},
    codec::Codec,
    parse,
};

const LOCAL: Local = Local {
    addr: std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)),
    rtp_port: 20_000,
    session_id: 77,
    version: 3,
};
const LINE: &str =
    "a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20";
const MKI: &str =
    "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|1:4";

fn session(media: &str) -> Session {
    let head = "v=0\no=- 1 2 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n";
    parse(format!("{head}{media}\n").replace('\n', "\r\n").as_bytes()).expect(media)
}

fn allowed() -> Allowed {
    Allowed {
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        telephone_event: true,
        comfort_noise: false,
        passed: vec![],
    }
}

fn security(srtp: Srtp, seed: u8) -> Security {
    let mut next = seed;
    let fill = |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_mul(5).wrapping_add(17);
            *byte = next;
        }
    };
    Security { srtp, own: OwnKeys::draw(fill), only: None }
}

fn answered(media: &str, srtp: Srtp) -> Result<(String, Agreed), NoAnswer> {
    let (text, agreed) = answer_secured(&session(media), &allowed(), &security(srtp, 1), LOCAL)?;
    Ok((String::from_utf8(text).unwrap(), agreed))
}

#[test]
fn an_encrypted_offer_is_answered_with_its_profile_its_tag_and_our_key() {
    for srtp in [Srtp::Optional, Srtp::Required] {
        for profile in ["RTP/SAVP", "RTP/SAVPF"] {
            let offer = format!("m=audio 4000 {profile} 8\n{MKI}\n{LINE}");
            let (text, agreed) = answered(&offer, srtp).unwrap();

            let secured = agreed.srtp.unwrap();
            assert_eq!(secured.theirs.tag, 5);
            assert_eq!(secured.theirs.key.reveal().len(), 30);
            assert_eq!(secured.ours.key.suite(), Suite::AesCm128HmacSha1_32);
            assert_ne!(secured.ours.key, secured.theirs.key);
            assert!(text.contains(&format!("m=audio 20000 {profile} 8\r\n")), "{text}");
            assert!(text.ends_with(&format!("{}\r\n", secured.ours)), "{text}");
            assert_eq!(text.matches("a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:").count(), 1);
        }
    }
}

#[test]
fn a_plain_offer_stays_plain_where_it_may() {
    for srtp in [Srtp::Off, Srtp::Optional] {
        // Keys in a plain profile are only a wish.
        let (text, agreed) = answered(&format!("m=audio 4000 RTP/AVP 8\n{LINE}"), srtp).unwrap();
        assert_eq!(agreed.srtp, None);
        assert!(text.contains("RTP/AVP 8") && !text.contains("crypto"), "{text}");
    }
}

#[test]
fn of_two_streams_the_first_that_may_be_is_taken() {
    let both = format!("m=audio 4000 RTP/SAVP 8\n{LINE}\nm=audio 4002 RTP/AVP 8");
    let port = |srtp| answered(&both, srtp).unwrap().1.remote_rtp.port();

    assert_eq!([port(Srtp::Off), port(Srtp::Optional), port(Srtp::Required)], [4002, 4000, 4000]);
}

#[test]
fn a_refusal_names_what_was_offered_and_what_is_allowed() {
    let safe = format!("m=audio 4000 RTP/SAVP 8\n{LINE}");
    for (offer, srtp, why, warning) in [
        (safe.as_str(), Srtp::Off, "transport RTP/SAVP offered, RTP/AVP allowed", 302),
        (
            "m=audio 4000 RTP/AVP 8",
            Srtp::Required,
            "transport RTP/AVP offered, RTP/SAVP allowed",
            302,
        ),
        (
            "m=audio 4000 UDP/TLS/RTP/SAVPF 8",
            Srtp::Optional,
            "transport UDP/TLS/RTP/SAVPF offered, RTP/AVP or RTP/SAVP allowed",
            302,
        ),
        (
            &format!("m=audio 4000 RTP/SAVP 8\n{MKI}"),
            Srtp::Required,
            "no usable key for SRTP: a master key identifier (MKI)",
            306,
        ),
        (
            "m=audio 4000 RTP/SAVP 8",
            Srtp::Optional,
            "no usable key for SRTP: there is no a=crypto line",
            306,
        ),
    ] {
        let no = answered(offer, srtp).unwrap_err();
        assert_eq!((no.to_string().as_str(), no.status(), no.warning()), (why, 488, warning));
    }
}

#[test]
fn our_offer_has_two_suites_and_its_answer_one_of_them() {
    let (ours, theirs) = (security(Srtp::Required, 1), security(Srtp::Optional, 9));
    let offer = parse(&offer_secured(&allowed(), &ours, LOCAL)).unwrap();
    assert_eq!(offer.media[0].protocol, "RTP/SAVP");
    let suites: Vec<_> =
        offer.media[0].crypto.iter().map(|line| line.unwrap().key.suite()).collect();
    assert_eq!(suites, [Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80]);

    let (text, far) = answer_secured(&offer, &allowed(), &theirs, LOCAL).unwrap();
    let near = accept_secured(&parse(&text).unwrap(), &allowed(), &ours).unwrap();

    let (far, near) = (far.srtp.unwrap(), near.srtp.unwrap());
    assert_eq!((near.ours, near.theirs), (far.theirs, far.ours));
    assert_eq!(near.ours.tag, near.theirs.tag);
}

#[test]
fn in_the_middle_of_a_call_the_suite_it_has_is_offered_under_the_same_key() {
    let before = security(Srtp::Required, 1);
    let now = Security { only: Some(Suite::AesCm128HmacSha1_80), ..before };

    let lines = now.offered();

    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].key, before.offered()[1].key);
}

#[test]
fn an_answer_that_is_not_what_was_offered_is_none() {
    let (off, may, must) =
        (security(Srtp::Off, 1), security(Srtp::Optional, 1), security(Srtp::Required, 1));
    let plain = session("m=audio 4000 RTP/AVP 8");
    let safe = session(&format!("m=audio 4000 RTP/SAVP 8\n{LINE}"));
    let accepted = |answer, security| accept_secured(answer, &allowed(), security).is_ok();

    assert!(accepted(&plain, &off) && accepted(&plain, &may));
    assert!(!accepted(&safe, &off) && !accepted(&safe, &may), "our offer was plain");
    assert!(!accepted(&plain, &must), "nobody takes the keys away");
    assert!(!accepted(&safe, &must), "a suite and tag we did not offer");
}

#[test]
fn our_offer_is_plain_unless_it_must_not_be() {
    for srtp in [Srtp::Off, Srtp::Optional] {
        let offer = parse(&offer_secured(&allowed(), &security(srtp, 1), LOCAL)).unwrap();
        assert_eq!((offer.media[0].protocol.as_str(), offer.media[0].crypto.len()), ("RTP/AVP", 0));
    }
}

#[test]
fn own_keys_differ_by_suite_and_never_print_themselves() {
    let security = security(Srtp::Required, 3);
    let lines = security.offered();

    assert_ne!(lines[0].key.reveal()[..16], lines[1].key.reveal()[..16]);
    assert_eq!(format!("{security:?}"), "Security { srtp: Required, own: ***, only: None }");
}
