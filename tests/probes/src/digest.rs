//! The value of an Authorization header: read or refused, and never right by accident.

use sip_stack::digest::{Credentials, Qop, verify};

/// # Panics
/// Where credentials are right for two passwords, or read otherwise than they were written.
pub fn digest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(credentials) = Credentials::parse(text) else { return };
    let right = [("REGISTER", "secret"), ("REGISTER", "other"), ("INVITE", "secret")];
    let right = right.map(|(method, password)| verify(&credentials, method, password, b"body"));
    assert!(right.into_iter().filter(|right| *right).count() <= 1, "{credentials:?}");
    let answered = Credentials {
        response: credentials.expected_response("REGISTER", "secret", b"body"),
        ..credentials.clone()
    };
    assert!(verify(&answered, "REGISTER", "secret", b"body"));
    assert!(!verify(&answered, "REGISTER", "secret ", b"body"));
    let whole = matches!(credentials.qop, Qop::AuthInt { .. });
    assert_eq!(verify(&answered, "REGISTER", "secret", b"another"), !whole);
}
