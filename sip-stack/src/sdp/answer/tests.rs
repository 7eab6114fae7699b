//! Offers of the field and what we make of them.

use super::*;
use crate::sdp::{MEDIA_MAX, parse};

const LOCAL: Local = Local {
    addr: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)),
    rtp_port: 20_000,
    session_id: 77,
    version: 3,
};

fn session(media: &str) -> Session {
    let head = "v=0\no=- 1 2 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n";
    parse(format!("{head}{media}\n").replace('\n', "\r\n").as_bytes()).expect(media)
}

fn both_laws() -> Allowed {
    Allowed {
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        telephone_event: true,
        comfort_noise: false,
        passed: vec![],
    }
}

fn answered(media: &str) -> (String, Agreed) {
    let (bytes, agreed) = answer(&session(media), &both_laws(), LOCAL).expect(media);
    (String::from_utf8(bytes).unwrap(), agreed)
}

fn refused(media: &str) -> NoAnswer {
    answer(&session(media), &both_laws(), LOCAL).expect_err(media)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn an_offer_is_answered_in_full_with_its_own_numbers() {
    let (text, agreed) = answered(
        "m=audio 4000 RTP/AVP 18 96 8 97\na=rtpmap:18 G729/8000\na=rtpmap:96 pcmu/8000\n\
         a=rtpmap:97 telephone-event/8000\na=fmtp:97 0-16\na=ptime:30",
    );

    assert_eq!(
        text,
        "v=0\r\no=- 77 3 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 96 97\r\na=rtpmap:96 PCMU/8000\r\n\
         a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    assert_eq!(
        agreed,
        Agreed {
            remote_rtp: addr("192.0.2.1:4000"),
            remote_rtcp: addr("192.0.2.1:4001"),
            codec: Codec::Pcmu,
            payload_type: 96,
            opus: OpusWishes::NONE,
            comfort_noise: false,
            telephone_event: Some(97),
            event_clock_hz: 8_000,
            sends: true,
            receives: true,
            ptime_ms: 30,
            voip_metrics: false,
            srtp: None,
        }
    );
}

#[test]
fn voip_metrics_are_agreed_with_who_asks_for_them_and_offered_to_nobody() {
    let asked = "m=audio 4000 RTP/AVP 8\na=rtcp-xr:rcvr-rtt=all voip-metrics";

    let (text, agreed) = answered(asked);
    assert!(agreed.voip_metrics);
    assert_eq!(text.matches("a=rtcp-xr:voip-metrics\r\n").count(), 1, "{text}");
    assert!(answered("a=rtcp-xr:voip-metrics\nm=audio 4000 RTP/AVP 8").1.voip_metrics);

    let (text, agreed) = answered("m=audio 4000 RTP/AVP 8\na=rtcp-xr:rcvr-rtt=all");
    assert!(!agreed.voip_metrics && !text.contains("rtcp-xr"), "{text}");
    let allowed = Allowed {
        codecs: vec![Codec::Pcma],
        telephone_event: true,
        comfort_noise: false,
        passed: vec![],
    };
    let ours = String::from_utf8(offer(&allowed, LOCAL)).unwrap();
    assert!(!ours.contains("rtcp-xr"), "{ours}");
    // What was not offered is not agreed to, whatever an answer says (RFC 3264 §6).
    assert!(!accept(&session(asked), &allowed).unwrap().voip_metrics);
}

#[test]
fn the_peers_order_counts_among_what_we_allow() {
    let law = |formats: &str| answered(&format!("m=audio 4000 RTP/AVP {formats}")).1.codec;

    assert_eq!((law("0 8"), law("8 0"), law("3 9 0")), (Codec::Pcmu, Codec::Pcma, Codec::Pcmu));
    let only_a = Allowed {
        codecs: vec![Codec::Pcma],
        telephone_event: false,
        comfort_noise: false,
        passed: vec![],
    };
    let offer = session("m=audio 4000 RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000");
    let agreed = answer(&offer, &only_a, LOCAL).unwrap().1;
    assert_eq!((agreed.codec, agreed.telephone_event), (Codec::Pcma, None));
}

#[test]
fn a_static_number_that_was_given_another_meaning_has_it() {
    let (_, agreed) = answered("m=audio 4000 RTP/AVP 0 8\na=rtpmap:0 G729/8000");
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::Pcma, 8));

    let (_, agreed) = answered("m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMA/8000");
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::Pcma, 0));
}

#[test]
fn telephone_event_on_another_clock_is_not_taken() {
    let (text, agreed) = answered("m=audio 4000 RTP/AVP 8 126\na=rtpmap:126 telephone-event/48000");

    assert_eq!(agreed.telephone_event, None);
    assert!(text.contains("m=audio 20000 RTP/AVP 8\r\n"));
}

#[test]
fn direction_is_mirrored() {
    for (offered, ours, sends, receives) in [
        ("", "sendrecv", true, true),
        ("\na=sendrecv", "sendrecv", true, true),
        ("\na=sendonly", "recvonly", false, true),
        ("\na=recvonly", "sendonly", true, false),
        ("\na=inactive", "inactive", false, false),
        // The hold of RFC 2543: it does not want to be sent to.
        ("\nc=IN IP4 0.0.0.0", "recvonly", false, true),
        ("\nc=IN IP4 0.0.0.0\na=recvonly", "inactive", false, false),
    ] {
        let (text, agreed) = answered(&format!("m=audio 4000 RTP/AVP 8{offered}"));
        assert!(text.ends_with(&format!("a={ours}\r\n")), "{offered}: {text}");
        assert_eq!((agreed.sends, agreed.receives), (sends, receives), "{offered}");
    }
    assert!(answered("a=sendonly\nm=audio 4000 RTP/AVP 8").0.ends_with("a=recvonly\r\n"));
}

#[test]
fn every_stream_gets_a_line_and_the_first_usable_audio_is_taken() {
    let (text, agreed) = answered(
        "m=video 3000 RTP/AVP 31 34\nm=audio 0 RTP/AVP 8\nm=audio 3002 RTP/SAVP 8\n\
         m=audio 3004 RTP/AVP 9\nm=audio 4000 RTP/AVPF 8\nm=audio 4002 RTP/AVP 8\nm=image 5 udptl t38",
    );

    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/AVP 8",
            "m=audio 0 RTP/SAVP 8",
            "m=audio 0 RTP/AVP 9",
            "m=audio 20000 RTP/AVPF 8",
            "m=audio 0 RTP/AVP 8",
            "m=image 0 udptl t38",
        ]
    );
    assert_eq!(agreed.remote_rtp, addr("192.0.2.1:4000"));
}

#[test]
fn our_answers_and_offers_can_be_read() {
    let v6 = Local { addr: "2001:db8::1".parse().unwrap(), ..LOCAL };

    let read = parse(&offer(&both_laws(), v6)).unwrap();
    assert_eq!(read.connection, Some(Connection::Address(v6.addr)));
    assert_eq!(read.media[0].formats, ["8", "0", "101"]);

    let (bytes, agreed) = answer(&read, &both_laws(), v6).unwrap();
    assert_eq!(agreed.remote_rtp, addr("[2001:db8::1]:20000"));
    let accepted = accept(&parse(&bytes).unwrap(), &both_laws()).unwrap();
    assert_eq!(accepted, agreed);
}

#[test]
fn an_offer_of_ours_without_keys_has_no_telephone_event() {
    let only_mu = Allowed {
        codecs: vec![Codec::Pcmu],
        telephone_event: false,
        comfort_noise: false,
        passed: vec![],
    };

    let text = String::from_utf8(offer(&only_mu, LOCAL)).unwrap();

    assert!(text.contains("m=audio 20000 RTP/AVP 0\r\n") && !text.contains("telephone-event"));
}

#[test]
fn rtcp_goes_where_the_attribute_says() {
    let rtcp =
        |line: &str| answered(&format!("m=audio 4000 RTP/AVP 8\na=rtcp:{line}")).1.remote_rtcp;

    assert_eq!(rtcp("53020"), addr("192.0.2.1:53020"));
    assert_eq!(rtcp("53020 IN IP4 192.0.2.9"), addr("192.0.2.9:53020"));
    assert_eq!(rtcp("53020 IN IP6 ::1"), addr("192.0.2.1:53020"));
    let last = answered("m=audio 65535 RTP/AVP 8").1;
    assert_eq!(last.remote_rtcp, addr("192.0.2.1:65535"));
}

#[test]
fn rtcp_goes_to_one_host_only() {
    for many in ["224.0.0.251", "255.255.255.255"] {
        let agreed = answered(&format!("m=audio 4000 RTP/AVP 8\na=rtcp:5353 IN IP4 {many}")).1;
        assert_eq!(agreed.remote_rtcp, addr("192.0.2.1:5353"), "{many}");
    }
}

#[test]
fn refusals_say_exactly_why() {
    for (media, why, warning) in [
        ("", "no audio stream offered", 304),
        ("m=video 4000 RTP/AVP 31", "no audio stream offered", 304),
        ("m=audio 0 RTP/AVP 8", "no audio stream offered", 304),
        ("m=audio 4000 RTP/SAVP 8", "transport RTP/SAVP offered, RTP/AVP allowed", 302),
        // The first audio is what the peer wanted most.
        (
            "m=video 2 RTP/AVP 31\nm=audio 4000 RTP/SAVP 8\nm=audio 4002 RTP/AVP 9",
            "transport RTP/SAVP offered, RTP/AVP allowed",
            302,
        ),
        (
            "m=audio 4000 UDP/TLS/RTP/SAVPF 8",
            "transport UDP/TLS/RTP/SAVPF offered, RTP/AVP allowed",
            302,
        ),
        (
            "m=audio 4000 RTP/AVP 18 3 96\na=rtpmap:96 opus/48000/2",
            "no codec in common: they offer G729, payload 3, opus/48000, we allow PCMA, PCMU",
            305,
        ),
        (
            "m=audio 4000 RTP/AVP 8\na=rtpmap:8 PCMA/16000",
            "no codec in common: they offer PCMA/16000, we allow PCMA, PCMU",
            305,
        ),
        (
            "m=audio 4000 RTP/AVP 8\nc=IN IP4 media.example.com",
            "no usable media address: media.example.com",
            301,
        ),
        (
            "m=audio 4000 RTP/AVP 8\nc=IN IP4 224.2.1.1/127",
            "no usable media address: 224.2.1.1",
            301,
        ),
        (
            "m=audio 4000 RTP/AVP 8\nc=IN IP4 255.255.255.255",
            "no usable media address: 255.255.255.255",
            301,
        ),
        (
            "m=audio 4000 RTP/AVP 8\nc=IN IP6 2001:db8::1",
            "media address 2001:db8::1 is not of the family of ours, 203.0.113.1",
            300,
        ),
    ] {
        let refusal = refused(media);
        assert_eq!((refusal.to_string().as_str(), refusal.status()), (why, 488));
        assert_eq!(refusal.warning(), warning);
    }
}

#[test]
fn a_refusal_of_many_codecs_stays_short() {
    let names: String =
        (96..128).map(|number| format!("a=rtpmap:{number} {}/8000\n", "x".repeat(50))).collect();
    let formats: Vec<_> = (96..128).map(|number| number.to_string()).collect();

    let why = refused(&format!("m=audio 4000 RTP/AVP {}\n{}", formats.join(" "), names.trim_end()));

    assert!(why.to_string().len() < 250, "{why}");
}

#[test]
fn a_rejected_stream_in_an_answer_is_no_audio() {
    assert_eq!(accept(&session("m=audio 0 RTP/AVP 8"), &both_laws()), Err(NoAnswer::NoAudio));
}

#[test]
fn as_many_streams_and_attributes_as_fit_are_answered() {
    let streams = ["m=video 9 RTP/AVP 31"; MEDIA_MAX - 1].join("\n") + "\nm=audio 4000 RTP/AVP 8";
    let (text, _) = answered(&streams);
    assert_eq!(text.matches("m=").count(), MEDIA_MAX);

    let attributes = ["a=rtpmap:101 telephone-event/8000"; 5_000].join("\n");
    let formats = ["101"; 5_000].join(" ");
    let (text, agreed) = answered(&format!("m=audio 4000 RTP/AVP {formats} 8\n{attributes}"));
    assert_eq!((agreed.telephone_event, agreed.payload_type), (Some(101), 8));
    assert!(text.contains("m=audio 20000 RTP/AVP 8 101\r\n"));
}

fn every_codec() -> Allowed {
    Allowed {
        codecs: Codec::ALL.to_vec(),
        telephone_event: true,
        comfort_noise: false,
        passed: vec![],
    }
}

fn answered_in_any(media: &str) -> (String, Agreed) {
    let (bytes, agreed) = answer(&session(media), &every_codec(), LOCAL).expect(media);
    (String::from_utf8(bytes).unwrap(), agreed)
}

#[test]
fn opus_is_answered_with_its_two_channels_its_parameters_and_keys_on_its_own_clock() {
    let (text, agreed) = answered_in_any(
        "m=audio 4000 RTP/AVP 96 0 97 98\na=rtpmap:96 opus/48000/2\n\
         a=fmtp:96 useinbandfec=1; maxplaybackrate=8000\na=rtpmap:97 telephone-event/8000\n\
         a=rtpmap:98 telephone-event/48000\na=ptime:60\na=maxptime:40",
    );

    assert!(
        text.contains(
            "m=audio 20000 RTP/AVP 96 98\r\na=rtpmap:96 opus/48000/2\r\n\
             a=fmtp:96 maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1\r\n\
             a=rtpmap:98 telephone-event/48000\r\na=fmtp:98 0-15\r\n"
        ),
        "{text}"
    );
    assert_eq!((agreed.codec, agreed.payload_type, agreed.ptime_ms), (Codec::Opus, 96, 40));
    assert_eq!((agreed.telephone_event, agreed.event_clock_hz), (Some(98), 48_000));
    let wishes = OpusWishes { playback_hz_max: 8_000, fec: true, ..OpusWishes::NONE };
    assert_eq!(agreed.opus, wishes);
}

#[test]
fn opus_of_48_khz_is_the_same_format_with_other_parameters_both_in_offers_and_answers() {
    let allowed = Allowed {
        codecs: vec![Codec::OpusFullband],
        telephone_event: false,
        comfort_noise: false,
        passed: vec![],
    };
    let media = "m=audio 4000 RTP/AVP 96\na=rtpmap:96 opus/48000/2";
    let said = |number: u8| {
        format!(
            "RTP/AVP {number}\r\na=rtpmap:{number} opus/48000/2\r\n\
             a=fmtp:{number} maxplaybackrate=48000;sprop-maxcapturerate=48000;useinbandfec=1\r\n"
        )
    };

    let (bytes, agreed) = answer(&session(media), &allowed, LOCAL).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(&said(96)), "{text}");
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::OpusFullband, 96));
    let offered = String::from_utf8(offer(&allowed, LOCAL)).unwrap();
    assert!(offered.contains(&said(111)), "{offered}");
    let accepted = accept(&session(media), &allowed).unwrap();
    assert_eq!(accepted.codec, Codec::OpusFullband);
    let no = answer(&session("m=audio 4000 RTP/AVP 0"), &allowed, LOCAL).unwrap_err();
    assert_eq!(no.to_string(), "no codec in common: they offer PCMU, we allow opus");
}

#[test]
fn keys_beside_opus_may_have_the_clock_of_8_khz_where_no_other_is_offered() {
    let (text, agreed) = answered_in_any(
        "m=audio 4000 RTP/AVP 111 126\na=rtpmap:111 opus/48000/2\n\
         a=rtpmap:126 telephone-event/8000",
    );

    assert_eq!((agreed.telephone_event, agreed.event_clock_hz), (Some(126), 8_000));
    assert!(text.contains("a=rtpmap:126 telephone-event/8000\r\n"), "{text}");
}

#[test]
fn what_a_phone_means_by_g722_opus_and_l16_is_understood_and_what_nobody_means_is_not() {
    let codec = |formats: &str| {
        let media = format!("m=audio 4000 RTP/AVP {formats}");
        answer(&session(&media), &every_codec(), LOCAL).ok().map(|(_, agreed)| agreed.codec)
    };

    assert_eq!(codec("9"), Some(Codec::G722));
    assert_eq!(codec("96\na=rtpmap:96 G722/8000"), Some(Codec::G722));
    assert_eq!(codec("96\na=rtpmap:96 g722/16000"), Some(Codec::G722));
    assert_eq!(codec("96\na=rtpmap:96 OPUS/48000"), Some(Codec::Opus));
    assert_eq!(codec("96\na=rtpmap:96 L16/16000"), Some(Codec::L16));
    assert_eq!(codec("96\na=rtpmap:96 L16/44100/2"), None);
    assert_eq!(codec("96\na=rtpmap:96 opus/16000"), None);
    assert_eq!(codec("96\na=rtpmap:96 G722/8000/2"), None);
    assert_eq!(codec("18 9"), Some(Codec::G722), "the first that is understood");
}

#[test]
fn everything_we_offer_is_accepted_as_it_was_meant() {
    let text = String::from_utf8(offer(&every_codec(), LOCAL)).unwrap();
    assert!(text.contains("RTP/AVP 111 9 8 0 96 101 102\r\n"), "{text}");
    let offered = parse(text.as_bytes()).unwrap();

    for codec in Codec::ALL {
        let only = Allowed {
            codecs: vec![codec],
            telephone_event: true,
            comfort_noise: false,
            passed: vec![],
        };
        let (bytes, ours) = answer(&offered, &only, LOCAL).unwrap();
        let theirs = accept(&parse(&bytes).unwrap(), &every_codec()).unwrap();
        assert_eq!((ours.codec, theirs.codec), (codec, codec));
        assert_eq!(ours.payload_type, theirs.payload_type);
        assert_eq!(ours.event_clock_hz, theirs.event_clock_hz);
        assert!(theirs.telephone_event.is_some(), "{codec}");
    }
}

#[test]
fn no_codec_in_common_names_all_that_are_allowed() {
    let no = answer(&session("m=audio 4000 RTP/AVP 18"), &every_codec(), LOCAL).unwrap_err();

    assert_eq!(
        no.to_string(),
        "no codec in common: they offer G729, we allow opus, G722, PCMA, PCMU, L16"
    );
}

#[test]
fn comfort_noise_is_agreed_where_both_want_it_and_the_audio_is_g711() {
    let mut allowed = every_codec();
    let agreed = |media: &str, allowed: &Allowed| {
        let (bytes, agreed) = answer(&session(media), allowed, LOCAL).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (named, mapped) = (text.contains(" 13"), text.contains("a=rtpmap:13 CN/8000\r\n"));
        assert_eq!((named, mapped), (agreed.comfort_noise, agreed.comfort_noise), "{text}");
        agreed.comfort_noise
    };
    let plain = "m=audio 4000 RTP/AVP 8 13 101\na=rtpmap:101 telephone-event/8000";
    assert!(!agreed(plain, &allowed), "nobody asked for it here");
    assert!(!String::from_utf8(offer(&allowed, LOCAL)).unwrap().contains("CN/"));

    allowed.comfort_noise = true;
    assert!(agreed(plain, &allowed));
    assert!(agreed("m=audio 4000 RTP/AVP 0 13\na=rtpmap:13 CN/8000", &allowed));
    assert!(!agreed("m=audio 4000 RTP/AVP 8", &allowed), "they do not");
    assert!(!agreed("m=audio 4000 RTP/AVP 9 13", &allowed), "not beside G.722");
    assert!(!agreed("m=audio 4000 RTP/AVP 8 13\na=rtpmap:13 x/8000", &allowed), "another 13");
    assert!(!agreed("m=audio 4000 RTP/AVP 8 13\na=rtpmap:13 CN/16000", &allowed));
    let offered = String::from_utf8(offer(&allowed, LOCAL)).unwrap();
    assert!(offered.contains("RTP/AVP 111 9 8 0 96 13 101 102\r\n"), "{offered}");
    assert!(accept(&session(plain), &allowed).unwrap().comfort_noise);
    allowed.codecs = vec![Codec::G722, Codec::Opus];
    assert!(!String::from_utf8(offer(&allowed, LOCAL)).unwrap().contains("CN/"));
}

#[test]
fn an_offer_in_the_middle_of_a_call_keeps_the_numbers_that_were_agreed() {
    let again = |allowed: &Allowed, offered: &str| {
        let (_, agreed) = answer(&session(offered), allowed, LOCAL).expect(offered);
        String::from_utf8(offer_again(allowed, Some(&agreed), &Security::OFF, LOCAL)).unwrap()
    };
    let codecs = vec![Codec::Opus, Codec::L16, Codec::Pcma];
    let all = Allowed { codecs, ..both_laws() };
    let text = again(
        &all,
        "m=audio 4000 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/48000",
    );
    // 96 is Opus there and 101 its keys: neither L16 nor the keys of 8 kHz may have them.
    assert!(text.contains(" RTP/AVP 96 8 101\r\na=rtpmap:96 opus/48000/2\r\n"), "{text}");
    assert!(text.contains("a=rtpmap:101 telephone-event/48000\r\n"), "{text}");

    let amr = |number: u8| format!("m=audio 4000 RTP/AVP {number}\na=rtpmap:{number} AMR/8000");
    let passed = Passed::offered(&session(&amr(98)), &[Codec::Amr]);
    let text = again(&Allowed { passed, ..both_laws() }, &amr(98));
    assert!(text.contains(" RTP/AVP 98 101\r\na=rtpmap:98 AMR/8000\r\n"), "{text}");
}
