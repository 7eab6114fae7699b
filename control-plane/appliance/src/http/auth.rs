//! Who may ask: the administrator's token, made at the first start, compared in constant time.

use super::{State, problem::Problem};
use crate::start::make_folder;
use axum::{
    extract::{self, Request},
    http::header::AUTHORIZATION,
    middleware::Next,
    response::{IntoResponse, Response},
};
use rand::{TryRng, rngs::SysRng};
use std::{
    fs::{self, OpenOptions},
    hint,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

/// Shorter ones could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// The token the file holds. If there is no file it is made, mode 0600, with a random one.
pub fn token(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => check(text.trim()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(file),
        Err(error) => Err(error),
    }
}

fn check(token: &str) -> io::Result<String> {
    if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::other(format!(
            "it holds no token of {TOKEN_BYTES_MIN} visible characters or more; write one, or \
             remove the file and it is made anew"
        )));
    }
    Ok(token.to_owned())
}

fn make(file: &Path) -> io::Result<String> {
    let mut random = [0; 32];
    SysRng.try_fill_bytes(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let token = format!("clv_{hex}");
    if let Some(folder) = file.parent() {
        make_folder(folder)?;
    }
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(made, "{token}")?;
    made.sync_all()?;
    Ok(token)
}

/// Lets pass who has the token, and what needs none (contract §4).
pub(super) async fn guard(
    extract::State(state): extract::State<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let open = match request.uri().path() {
        "/livez" | "/readyz" => true,
        "/metrics" => state.loopback,
        _ => false,
    };
    if open || bearer(&request).is_some_and(|given| same(given, &state.token)) {
        return next.run(request).await;
    }
    Problem::UNAUTHORIZED.into_response()
}

/// RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(request: &Request) -> Option<&str> {
    let given = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Takes as long for a wrong token as for the right one, whatever its first bytes are.
fn same(given: &str, token: &str) -> bool {
    let (given, token) = (given.as_bytes(), token.as_bytes());
    let pairs = given.iter().zip(token);
    let differ = pairs.fold(0, |differ, (a, b)| hint::black_box(differ | (a ^ b)));
    given.len() == token.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_the_same_only_as_a_whole() {
        assert!(same("clv_0123456789abcdef", "clv_0123456789abcdef"));
        for wrong in ["", "clv_", "clv_0123456789abcdee", "clv_0123456789abcdef0"] {
            assert!(!same(wrong, "clv_0123456789abcdef"), "{wrong}");
        }
    }

    #[test]
    fn the_first_start_makes_a_token_that_only_its_owner_can_read_and_the_next_one_finds_it() {
        let folder = std::env::temp_dir().join(format!("clavija-token-{}", std::process::id()));
        let file = folder.join("made/admin.token");

        let made = token(&file).unwrap();

        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(token(&file).unwrap(), made);
        assert!(made.len() > 60 && made.starts_with("clv_"), "{made}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_empty_or_short_token_is_refused() {
        for text in ["", "short", "with a space in the middle"] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
