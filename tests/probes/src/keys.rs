//! The body of an INFO: one key, or a refusal that says why.

use sip_stack::keys::read;
use std::time::Duration;

/// # Panics
/// Where a key is none of a telephone's, lasts longer than is believed, or a refusal has no reason.
pub fn keys(bytes: &[u8]) {
    for media_type in ["application/dtmf-relay", "application/dtmf", "text/plain"] {
        match read(media_type, bytes) {
            Ok(Some(press)) => {
                assert!("0123456789*#ABCD".contains(press.key));
                let believed = Duration::from_millis(40)..=Duration::from_secs(8);
                assert!(believed.contains(&press.duration));
                assert_ne!(media_type, "text/plain");
            }
            Ok(None) => assert_ne!(media_type, "text/plain"),
            Err(why) => {
                assert!(matches!(why.status(), 400 | 415) && !why.reason().is_empty());
                assert!(!why.to_string().is_empty());
            }
        }
    }
}
