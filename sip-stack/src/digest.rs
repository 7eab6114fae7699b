//! Digest authentication: the challenge, and whether an answer to it is right (RFC 7616, RFC 8760).
//!
//! Whether a nonce is ours, fresh and not used before is the registrar's question.

use crate::wire::{is_token, split_list, split_once, trim};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use std::{collections::BTreeMap, fmt};

/// The hash; names are RFC 8760's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Md5, Self::Sha256, Self::Sha512_256];
        all.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// `H(...)` in lower-case hexadecimal, over the parts with colons between them.
    fn hash(self, parts: &[&[u8]]) -> String {
        let joined = parts.join(&b":"[..]);
        match self {
            Self::Md5 => hex(&Md5::digest(joined)),
            Self::Sha256 => hex(&Sha256::digest(joined)),
            Self::Sha512_256 => hex(&Sha512_256::digest(joined)),
        }
    }
}

/// What we ask for. `qop` is always `auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    pub algorithm: Algorithm,
    /// The answer was right, but to a nonce that has expired: the phone need not ask its user.
    pub stale: bool,
}

impl fmt::Display for Challenge {
    /// The value of `WWW-Authenticate` or `Proxy-Authenticate`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm={}, nonce={}", Quoted(&self.realm), Quoted(&self.nonce))?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", Quoted(opaque))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        write!(f, ", algorithm={}, qop=\"auth\"", self.algorithm.name())
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Why an `Authorization` value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    #[error("not the Digest scheme")]
    Scheme,
    #[error("not a list of name=value, or one of them twice")]
    Syntax,
    #[error("algorithm or qop unknown")]
    Unsupported,
    #[error("username, realm, nonce, uri, response, cnonce or nc missing or bad")]
    Missing,
}

/// The protection a phone chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Qop {
    /// RFC 2069: no qop at all.
    None,
    Auth {
        cnonce: String,
        nc: NonceCount,
    },
    AuthInt {
        cnonce: String,
        nc: NonceCount,
    },
}

/// How often the nonce was used: its value, and the eight digits that are hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonceCount {
    pub value: u32,
    digits: String,
}

/// A parsed `Authorization` or `Proxy-Authorization`. Texts are as between the quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub realm: String,
    pub nonce: String,
    pub uri: String,
    pub response: String,
    /// MD5 if it names none (RFC 8760 §2.3).
    pub algorithm: Algorithm,
    pub opaque: Option<String>,
    pub qop: Qop,
}

impl Credentials {
    /// The value of the header. Values may stand in quotes or not, whatever the grammar says.
    pub fn parse(value: &str) -> Result<Self, BadCredentials> {
        let mut fields = Fields::read(value)?;
        let algorithm = match fields.take("algorithm") {
            Some(name) => Algorithm::from_name(&name).ok_or(BadCredentials::Unsupported)?,
            None => Algorithm::Md5,
        };
        let qop = fields.take_qop()?;
        let mut needed = |name| fields.take(name).ok_or(BadCredentials::Missing);
        Ok(Self {
            username: needed("username")?,
            realm: needed("realm")?,
            nonce: needed("nonce")?,
            uri: needed("uri")?,
            response: needed("response")?,
            algorithm,
            opaque: fields.take("opaque"),
            qop,
        })
    }

    /// What `response` is if the password is this one (RFC 7616 §3.4.1).
    pub fn expected_response(&self, method: &str, password: &str, body: &[u8]) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let (name, realm) = (self.username.as_bytes(), self.realm.as_bytes());
        let secret = hash(&[name, realm, password.as_bytes()]);
        let (method, uri) = (method.as_bytes(), self.uri.as_bytes());
        let request = match &self.qop {
            Qop::None | Qop::Auth { .. } => hash(&[method, uri]),
            Qop::AuthInt { .. } => hash(&[method, uri, hash(&[body]).as_bytes()]),
        };
        let (secret, nonce, request) =
            (secret.as_bytes(), self.nonce.as_bytes(), request.as_bytes());
        let with_qop = |cnonce: &str, nc: &NonceCount, qop: &str| {
            let (nc, cnonce) = (nc.digits.as_bytes(), cnonce.as_bytes());
            hash(&[secret, nonce, nc, cnonce, qop.as_bytes(), request])
        };
        match &self.qop {
            Qop::None => hash(&[secret, nonce, request]),
            Qop::Auth { cnonce, nc } => with_qop(cnonce, nc, "auth"),
            Qop::AuthInt { cnonce, nc } => with_qop(cnonce, nc, "auth-int"),
        }
    }
}

/// Whether the response fits the password. Realm, nonce, uri and count are for the caller to
/// check; the time taken does not depend on how much of the response is right.
pub fn verify(credentials: &Credentials, method: &str, password: &str, body: &[u8]) -> bool {
    let expected = credentials.expected_response(method, password, body);
    let given = credentials.response.to_ascii_lowercase();
    let differing = expected.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    expected.len() == given.len() && differing == 0
}

/// `name=value` pairs, names in lower case.
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn read(value: &str) -> Result<Self, BadCredentials> {
        let value = value.trim_start();
        let (scheme, list) = value.split_once([' ', '\t']).ok_or(BadCredentials::Scheme)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(BadCredentials::Scheme);
        }
        let mut fields = BTreeMap::new();
        for pair in split_list(list.as_bytes(), b',') {
            let (name, value) = field(pair).ok_or(BadCredentials::Syntax)?;
            if fields.insert(name, value).is_some() {
                return Err(BadCredentials::Syntax);
            }
        }
        Ok(Self(fields))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn take_qop(&mut self) -> Result<Qop, BadCredentials> {
        let Some(qop) = self.take("qop") else { return Ok(Qop::None) };
        let cnonce = self.take("cnonce").ok_or(BadCredentials::Missing)?;
        let nc = self.take("nc").and_then(nonce_count).ok_or(BadCredentials::Missing)?;
        match qop.to_ascii_lowercase().as_str() {
            "auth" => Ok(Qop::Auth { cnonce, nc }),
            "auth-int" => Ok(Qop::AuthInt { cnonce, nc }),
            _ => Err(BadCredentials::Unsupported),
        }
    }
}

/// The hashes are over what stands between the quotes, so escapes stay (RFC 7616 §3.4.2 `unq`).
fn field(pair: &[u8]) -> Option<(String, String)> {
    let (name, value) = split_once(pair, b'=')?;
    let (name, value) = (trim(name), trim(value));
    let text = match value {
        [b'"', inside @ .., b'"'] => inside,
        [b'"', ..] => return None,
        plain => plain,
    };
    let name = is_token(name).then(|| String::from_utf8_lossy(name).to_ascii_lowercase())?;
    Some((name, String::from_utf8_lossy(text).into_owned()))
}

/// Eight hexadecimal digits (RFC 7616 §3.4).
fn nonce_count(digits: String) -> Option<NonceCount> {
    let right = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u32::from_str_radix(&digits, 16).ok().filter(|_| right)?;
    Some(NonceCount { value, digits })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUFASA: &str = concat!(
        r#"username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", "#,
        r#"nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, "#,
        r#"cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, "#,
        r#"opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
    );
    const PHONE: &str = r#"Digest username="1001", realm="clavija.example", nonce="abc", uri="sip:clavija.example""#;

    fn credentials(text: &str) -> Credentials {
        Credentials::parse(text).unwrap()
    }

    #[test]
    fn the_examples_of_the_rfcs_verify() {
        // RFC 7616 §3.9.1, and RFC 2617 §3.5 with and without qop.
        let old = r#"Digest username="Mufasa", realm="testrealm@host.com", uri="/dir/index.html", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#;
        for (text, password) in [
            (
                format!(
                    "Digest {MUFASA}, algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbec\""
                ),
                "Circle of Life",
            ),
            (
                format!(
                    "Digest {MUFASA}, algorithm=SHA-256, response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""
                ),
                "Circle of Life",
            ),
            (
                format!(
                    "{old}, qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\""
                ),
                "Circle Of Life",
            ),
            (format!("{old}, response=\"670fd8c2df070c60b045671b8b24ff02\""), "Circle Of Life"),
        ] {
            assert!(verify(&credentials(&text), "GET", password, b""), "{text}");
            assert!(!verify(&credentials(&text), "GET", "circle of life", b""), "{text}");
            assert!(!verify(&credentials(&text), "PUT", password, b""), "{text}");
        }
    }

    #[test]
    fn every_algorithm_works_with_auth_auth_int_and_neither() {
        // Reference values from another implementation of the hashes (Python hashlib).
        for (algorithm, auth, none, auth_int) in [
            (
                "md5",
                "b0a50325c922e89d660a0dae873b2c0e",
                "27ad06c4f984dc1de865b7767fd18a9a",
                "0953a04906ccb2e37dbcc1584bcb78f2",
            ),
            (
                "sha-256",
                "d8e68542d8480239d50e301d641e06a109edb4ace71573185e5f53139f39c5fd",
                "6126595063759f7e978c8b2b4a80caf7a2f15b87075370d020c12aec59d27ee7",
                "a0b23bad15ac9af6068d13c9a690ca09debd78e12589f2361e4a3003997d1a5b",
            ),
            (
                "SHA-512-256",
                "25f82a320228dad85a420f6c8c721c0a320b13d6862b71078250499c79d7a75b",
                "8684834fa0eff92f4fbe357c0f789cfeeb29cd747821da2e89a7f257e5bf1fb5",
                "43cbcf552e5221bccc2762f40719e74611b1866d944223e555455d5aa4d1b3e1",
            ),
        ] {
            let plain = format!("{PHONE}, algorithm={algorithm}, response={none}");
            let with = format!(
                "{PHONE}, algorithm=\"{algorithm}\", qop=\"auth\", nc=\"00000001\", cnonce=xyz, response={auth}"
            );
            let whole = format!(
                "{PHONE}, algorithm={algorithm}, qop=auth-int, nc=00000002, cnonce=xyz, response={auth_int}"
            );

            assert!(verify(&credentials(&plain), "REGISTER", "s3cret", b""), "{algorithm}");
            assert!(verify(&credentials(&with), "REGISTER", "s3cret", b""), "{algorithm}");
            assert!(verify(&credentials(&whole), "INVITE", "s3cret", b"v=0\r\n"), "{algorithm}");
            assert!(!verify(&credentials(&whole), "INVITE", "s3cret", b"v=1\r\n"), "{algorithm}");
        }
    }

    #[test]
    fn a_response_that_differs_anywhere_or_in_length_is_wrong() {
        let right = "27ad06c4f984dc1de865b7767fd18a9a";
        let wrong = [
            "27ad06c4f984dc1de865b7767fd18a9b",
            "17ad06c4f984dc1de865b7767fd18a9a",
            "27ad06c4f984dc1de865b7767fd18a9",
            "27ad06c4f984dc1de865b7767fd18a9a0",
            "",
        ];
        let check = |response: &str| {
            let text = format!("{PHONE}, response=\"{response}\"");
            verify(&credentials(&text), "REGISTER", "s3cret", b"")
        };

        assert!(check(right) && check(&right.to_uppercase()));
        assert_eq!(wrong.map(check), [false; 5]);
    }

    #[test]
    fn credentials_that_cannot_be_used_are_refused_by_name() {
        for (text, why) in [
            ("Basic QWxhZGRpbg==".to_owned(), BadCredentials::Scheme),
            ("Digest".to_owned(), BadCredentials::Scheme),
            (format!("{PHONE}, response=x, response=y"), BadCredentials::Syntax),
            (format!("{PHONE}, response=\"x"), BadCredentials::Syntax),
            (format!("{PHONE}, response"), BadCredentials::Syntax),
            (format!("{PHONE},, response=x"), BadCredentials::Syntax),
            (format!("{PHONE}, response=x, algorithm=MD4"), BadCredentials::Unsupported),
            (
                format!("{PHONE}, response=x, qop=token, cnonce=a, nc=00000001"),
                BadCredentials::Unsupported,
            ),
            (PHONE.to_owned(), BadCredentials::Missing),
            (format!("{PHONE}, response=x, qop=auth, nc=00000001"), BadCredentials::Missing),
            (format!("{PHONE}, response=x, qop=auth, cnonce=a"), BadCredentials::Missing),
            (format!("{PHONE}, response=x, qop=auth, cnonce=a, nc=1"), BadCredentials::Missing),
            (
                format!("{PHONE}, response=x, qop=auth, cnonce=a, nc=+0000001"),
                BadCredentials::Missing,
            ),
        ] {
            assert_eq!(Credentials::parse(&text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_comma_between_quotes_separates_nothing() {
        let text = r#"Digest username="a,b", realm="r", nonce="n", uri="sip:x,y@z", response="f""#;

        let read = credentials(text);

        assert_eq!((read.username.as_str(), read.uri.as_str()), ("a,b", "sip:x,y@z"));
        assert_eq!((read.algorithm, read.qop), (Algorithm::Md5, Qop::None));
    }

    #[test]
    fn the_count_is_read_as_hexadecimal() {
        let text = format!("{PHONE}, response=x, qop=auth, cnonce=a, nc=0000001F");

        let Qop::Auth { nc, .. } = credentials(&text).qop else { panic!("no qop") };

        assert_eq!(nc.value, 31);
    }

    #[test]
    fn a_challenge_is_written_with_quotes_where_the_grammar_has_them() {
        let mut challenge = Challenge {
            realm: r#"a "b" \"#.to_owned(),
            nonce: "n1".to_owned(),
            opaque: None,
            algorithm: Algorithm::Sha256,
            stale: false,
        };
        assert_eq!(
            challenge.to_string(),
            r#"Digest realm="a \"b\" \\", nonce="n1", algorithm=SHA-256, qop="auth""#
        );

        (challenge.opaque, challenge.stale) = (Some("o".to_owned()), true);
        assert!(challenge.to_string().contains(r#"opaque="o", stale=true, algorithm"#));
    }
}
