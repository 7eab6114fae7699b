//! Packets that claim to be protected, and keys in session descriptions.

use media_core::srtp::{GROWTH_MAX, MasterKey, Receiver, Sender, Suite};
use sip_stack::sdp::crypto;

/// One SRTP and SRTCP packet for every suite: as it came, and as what we would make of it.
///
/// # Panics
/// Where a stranger's packet is opened or changed, or one that we protected is not opened as it was.
pub fn srtp(bytes: &[u8]) {
    for suite in Suite::ALL {
        let key = vec![0x5C; suite.key_bytes() + suite.salt_bytes()];
        let master = MasterKey::new(suite, &key).expect("a key of its suite's length");
        let (mut sender, mut receiver) = (Sender::new(&master), Receiver::new(&master));
        let mut foreign = bytes.to_vec();
        // A corpus cannot hold a right tag by chance, one of 32 bits only in theory.
        assert!(receiver.unprotect_rtp(&mut foreign).is_err(), "{suite:?}");
        assert!(receiver.unprotect_rtcp(&mut foreign).is_err(), "{suite:?}");
        assert_eq!(foreign, bytes, "what is refused stays as it was");

        let mut buffer = [bytes, &[0; GROWTH_MAX]].concat();
        if let Ok(length) = sender.protect_rtp(&mut buffer, bytes.len()) {
            assert!(length > bytes.len() && length <= buffer.len());
            let opened = receiver.unprotect_rtp(&mut buffer[..length]);
            assert_eq!(opened, Ok(bytes.len()), "{suite:?}");
            assert_eq!(&buffer[..bytes.len()], bytes);
        }
        let mut sender = Sender::new(&master);
        let mut buffer = [bytes, &[0; GROWTH_MAX]].concat();
        if let Ok(length) = sender.protect_rtcp(&mut buffer, bytes.len()) {
            let opened = receiver.unprotect_rtcp(&mut buffer[..length]);
            assert_eq!(opened, Ok(bytes.len()), "{suite:?}");
            assert_eq!(&buffer[..bytes.len()], bytes);
        }
    }
}

/// One `a=crypto` attribute.
///
/// # Panics
/// Where a line that is taken is not read again as it was, or a refusal or a debug line shows a key.
pub fn crypto(bytes: &[u8]) {
    match crypto::parse(bytes) {
        Ok(taken) => {
            let line = taken.to_string();
            let value = line.strip_prefix("a=crypto:").expect("the attribute's name");
            assert_eq!(crypto::parse(value.as_bytes()), Ok(taken), "written as it was read");
            assert_eq!(taken.key.reveal().len(), taken.key.suite().key_bytes());
            assert!(format!("{taken:?}").len() < 80, "a key is not printed");
        }
        Err(why) => assert!(why.to_string().len() < 80),
    }
}
