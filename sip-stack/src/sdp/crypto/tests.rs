//! Lines of the RFC and of the field, and which are refused by what name.

use super::*;

const KEY_30: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn read(line: &str) -> Result<Crypto, Unusable> {
    parse(line.as_bytes())
}

fn with(rest: &str) -> Result<Crypto, Unusable> {
    read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}{rest}"))
}

#[test]
fn the_example_of_rfc_4568_is_read() {
    let crypto =
        read("1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20")
            .unwrap();

    assert_eq!((crypto.tag, crypto.key.suite()), (1, Suite::AesCm128HmacSha1_80));
    assert_eq!(crypto.key.reveal(), b"=-n@%^x!Bjufr9)?,#5h\\`=&]{qiPQ");
}

#[test]
fn what_we_write_we_read() {
    for (tag, suite) in (1..).zip(Suite::ALL) {
        let bytes: Vec<u8> = (0..).take(suite.key_bytes()).collect();
        let crypto = Crypto { tag, key: Key::new(suite, &bytes).unwrap() };
        let line = crypto.to_string();

        assert_eq!(read(line.strip_prefix("a=crypto:").unwrap()), Ok(crypto), "{line}");
    }
}

#[test]
fn peers_write_it_in_their_own_way() {
    let plain = with("").unwrap();
    for rest in ["|2^48", "|1048576", "|2^31 KDR=0", " WSH=64", " -X-OWN=1 KDR=0", " "] {
        assert_eq!(with(rest), Ok(plain), "{rest}");
    }
    assert_eq!(read(&format!(" 1  aes_cm_128_hmac_sha1_80\tINLINE:{KEY_30} ")), Ok(plain));
    // The padding of a GCM key left out.
    let bytes = [7; 28];
    let whole = Crypto { tag: 999_999_999, key: Key::new(Suite::AeadAes128Gcm, &bytes).unwrap() };
    let line = whole.to_string();
    assert!(line.ends_with("=="));
    let bare = line.trim_end_matches('=').strip_prefix("a=crypto:").unwrap();
    assert_eq!(read(bare), Ok(whole));
}

#[test]
fn what_we_cannot_honour_is_refused_by_name() {
    let length = |given| Unusable::KeyLength { suite: Suite::AesCm128HmacSha1_80, given };
    for (rest, why) in [
        ("|2^20|1:4", Unusable::Mki),
        ("|1:4", Unusable::Mki),
        ("|2^20|5", Unusable::Syntax),
        ("|0", Unusable::Lifetime),
        ("|2^49", Unusable::Lifetime),
        ("|281474976710657", Unusable::Lifetime),
        ("|2^x", Unusable::Syntax),
        ("|", Unusable::Syntax),
        (" KDR=1", Unusable::Kdr),
        (" kdr=24", Unusable::Kdr),
        (" UNENCRYPTED_SRTP", Unusable::UnencryptedSrtp),
        (" KDR=0 UNENCRYPTED_SRTCP", Unusable::UnencryptedSrtcp),
        (" UNAUTHENTICATED_SRTP", Unusable::UnauthenticatedSrtp),
        (" FEC_ORDER=FEC_SRTP", Unusable::Fec),
        (" FEC_KEY=inline:abc", Unusable::Fec),
        (" NEW=1", Unusable::Parameter),
        (&format!(";inline:{KEY_30}|2^20|2:4"), Unusable::SeveralKeys),
        ("AAAA", length(33)),
        ("A", Unusable::Base64),
    ] {
        assert_eq!(with(rest), Err(why), "{rest}");
    }
    for (line, why) in [
        ("", Unusable::Syntax),
        ("1 AES_CM_128_HMAC_SHA1_80", Unusable::Syntax),
        ("x AES_CM_128_HMAC_SHA1_80 inline:AAAA", Unusable::Syntax),
        ("-1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", Unusable::Syntax),
        ("1000000000 AES_CM_128_HMAC_SHA1_80 inline:AAAA", Unusable::Syntax),
        ("1 F8_128_HMAC_SHA1_80 inline:AAAA", Unusable::Suite),
        ("1 AES_256_CM_HMAC_SHA1_80 inline:AAAA", Unusable::Suite),
        ("1 AES_CM_128_HMAC_SHA1_80 uri:AAAA", Unusable::Method),
        ("1 AES_CM_128_HMAC_SHA1_80 AAAA", Unusable::Syntax),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", length(3)),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:", length(0)),
    ] {
        assert_eq!(read(line), Err(why), "{line}");
    }
}

#[test]
fn a_refusal_says_the_suite_and_both_lengths() {
    let line = format!("1 AEAD_AES_256_GCM inline:{KEY_30}");

    assert_eq!(
        read(&line).unwrap_err().to_string(),
        "key and salt of 30 bytes, AEAD_AES_256_GCM has 44"
    );
}

#[test]
fn the_first_line_that_is_allowed_is_chosen_with_its_tag() {
    let line = |tag: u32, suite: Suite| {
        Ok(Crypto {
            tag,
            key: Key::new(suite, &vec![tag.to_be_bytes()[3]; suite.key_bytes()]).unwrap(),
        })
    };
    let offered = [
        Err(Unusable::Mki),
        line(7, Suite::AeadAes256Gcm),
        line(3, Suite::AesCm128HmacSha1_80),
        line(4, Suite::AesCm128HmacSha1_80),
    ];
    let old = [Suite::AesCm128HmacSha1_32, Suite::AesCm128HmacSha1_80];

    assert_eq!(choose(&offered, &Suite::ALL).unwrap().tag, 7);
    assert_eq!(choose(&offered, &old).unwrap().tag, 3);
    assert_eq!(choose(&offered, &[Suite::AeadAes128Gcm]), Err(Unusable::Mki));
    assert_eq!(choose(&offered[1..], &[]), Err(Unusable::Suite));
    assert_eq!(choose(&[], &Suite::ALL), Err(Unusable::Missing));
    assert_eq!(choose(&[Err(Unusable::Suite), Err(Unusable::Kdr)], &old), Err(Unusable::Kdr));
}

#[test]
fn an_answer_takes_one_of_our_lines_by_tag_and_suite() {
    let crypto = |tag, suite: Suite, byte: u8| Crypto {
        tag,
        key: Key::new(suite, &vec![byte; suite.key_bytes()]).unwrap(),
    };
    let ours = [crypto(1, Suite::AeadAes128Gcm, 1), crypto(2, Suite::AesCm128HmacSha1_80, 2)];
    let theirs = crypto(2, Suite::AesCm128HmacSha1_80, 9);

    assert_eq!(taken(&ours, &[Ok(theirs)]), Ok((ours[1], theirs)));
    let wrong_tag = crypto(1, Suite::AesCm128HmacSha1_80, 9);
    assert_eq!(taken(&ours, &[Ok(wrong_tag)]), Err(Unusable::Suite));
    let never_offered = crypto(3, Suite::AeadAes256Gcm, 9);
    assert_eq!(taken(&ours, &[Ok(never_offered)]), Err(Unusable::Suite));
    assert_eq!(taken(&ours, &[Err(Unusable::Mki)]), Err(Unusable::Mki));
}

#[test]
fn a_key_never_prints_itself() {
    let crypto = with("").unwrap();

    assert_eq!(format!("{crypto:?}"), "Crypto { tag: 1, key: AES_CM_128_HMAC_SHA1_80 *** }");
    assert!(!format!("{:?}", with("AAAA")).contains("d0Rm"));
}

#[test]
fn a_description_that_is_written_down_has_no_key_and_all_else() {
    let session = b"v=0\r\nm=audio 4 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:k\r\n\
                    a=sendrecv\r\na=crypto:2 AEAD_AES_128_GCM inline:l";

    let written = without_keys(session);

    assert_eq!(written, b"v=0\r\nm=audio 4 RTP/SAVP 8\r\na=sendrecv\r\n");
    assert_eq!(without_keys(b"v=0\r\n"), b"v=0\r\n");
}
