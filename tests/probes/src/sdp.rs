//! One session description: as many streams in the answer as in the offer, whatever they are.

use sip_stack::sdp::{
    MEDIA_MAX, Session,
    answer::{Allowed, Local, accept, answer, answer_secured, offer},
    codec::Codec,
    parse,
    passed::Passed,
    secure::{OwnKeys, Security, Srtp},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// # Panics
/// Where a description is over a limit, or our answer to it cannot be read, has another number of
/// streams or is not an answer to it.
pub fn sdp(bytes: &[u8]) {
    let offered = match parse(bytes) {
        Ok(offered) => offered,
        Err(why) => {
            assert!((400..500).contains(&why.status()) && !why.reason().is_empty());
            return;
        }
    };
    assert!(offered.media.len() <= MEDIA_MAX);
    pass_through(&offered, bytes.len());
    let allowed = Allowed {
        codecs: Codec::ALL.to_vec(),
        telephone_event: true,
        comfort_noise: false,
        passed: vec![],
    };
    for addr in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let local = Local { addr, rtp_port: 20_000, session_id: 1, version: 1 };
        let Ok((written, agreed)) = answer(&offered, &allowed, local) else { continue };
        let read = parse(&written).expect("our answer can be read");
        assert_eq!(read.media.len(), offered.media.len(), "RFC 3264 §6");
        assert_eq!(read.media.iter().filter(|media| media.port > 0).count(), 1);
        assert!(agreed.payload_type < 128 && agreed.remote_rtp.port() > 0);
        assert!(written.len() <= 2 * bytes.len() + 1024, "an answer does not multiply");
        let seen = accept(&read, &allowed).expect("our answer has the audio it takes");
        assert_eq!((seen.codec, seen.payload_type), (agreed.codec, agreed.payload_type));
    }
    let local =
        Local { addr: Ipv4Addr::LOCALHOST.into(), rtp_port: 20_000, session_id: 1, version: 1 };
    for srtp in [Srtp::Optional, Srtp::Required] {
        let own = OwnKeys::draw(|key| key.fill(0x5C));
        let security = Security { srtp, own, only: None };
        let Ok((written, agreed)) = answer_secured(&offered, &allowed, &security, local) else {
            continue;
        };
        let read = parse(&written).expect("our answer can be read");
        let taken = read.media.iter().find(|media| media.port > 0).expect("one stream is taken");
        assert_eq!(taken.protocol.starts_with("RTP/SAVP"), agreed.srtp.is_some());
        assert!(agreed.srtp.is_some() || srtp == Srtp::Optional, "required is required");
        if let Some(secured) = agreed.srtp {
            assert_eq!(taken.crypto, [Ok(secured.ours)], "RFC 4568 §5.1.2: one line");
            assert_eq!(secured.ours.tag, secured.theirs.tag);
        }
        assert!(written.len() <= 2 * bytes.len() + 1024, "an answer does not multiply");
    }
}

/// What passes through is offered on, and answered in the same form.
fn pass_through(offered: &Session, bytes: usize) {
    let all = Passed::offered(offered, &[Codec::Amr, Codec::AmrWb, Codec::G729]);
    let Some(passed) = all.first().cloned() else { return };
    let forms: Vec<_> = all.into_iter().filter(|form| form.codec == passed.codec).collect();
    let only = |passed: &[Passed]| Allowed {
        codecs: vec![],
        telephone_event: true,
        comfort_noise: true,
        passed: passed.to_vec(),
    };
    let local =
        Local { addr: Ipv4Addr::LOCALHOST.into(), rtp_port: 20_000, session_id: 1, version: 1 };
    let asked = parse(&offer(&only(&forms), local)).expect("our offer can be read");
    let agreed = accept(&asked, &only(&forms)).expect("our offer has what it is about");
    assert_eq!(agreed.codec, passed.codec);
    let theirs = Passed::agreed(&asked, &agreed).expect("and its parameters");
    assert_eq!(theirs, passed, "as they were written");
    let Ok((written, with_caller)) = answer(offered, &only(&[theirs]), local) else { return };
    assert_eq!(with_caller.codec, passed.codec);
    assert!(written.len() <= 2 * bytes + 1024, "an answer does not multiply");
    let read = parse(&written).expect("our answer can be read");
    assert_eq!(Passed::agreed(&read, &with_caller), Some(passed));
}
