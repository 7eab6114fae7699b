//! The command line's side of the API: asks a running appliance, says what it answered.

use crate::http::ProblemBody;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use std::{
    io::{self, Write},
    time::Duration,
};

/// A running appliance, seen from outside.
#[derive(Debug)]
pub struct Client {
    base: String,
    token: String,
    http: reqwest::Client,
}

/// Why there is no answer to work with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no appliance answers at {url}: {why}")]
    NotReached { url: String, why: String },
    #[error("{detail}")]
    Refused { status: u16, detail: String },
    #[error("the answer of {url} cannot be used: {why}")]
    NotUnderstood { url: String, why: String },
}

/// Longer than the appliance gives itself.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same for changes of the configuration.
const CHANGES_PATIENCE: Duration = Duration::from_secs(130);
/// And for files of music.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(310);

/// To the appliance and nobody else: the token is for no proxy of the environment and for no place
/// an answer points to.
fn straight() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.build().expect("it is made of nothing that can be missing: no TLS, no files")
}

impl Client {
    /// `base` is like `http://127.0.0.1:8080`.
    pub fn new(base: &str, token: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            http: straight(),
        }
    }

    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let url = self.url(path);
        let answer = self.ask(Method::GET, &url, None, Some(PATIENCE)).await?;
        answer.json().await.map_err(|error| ClientError::NotUnderstood { url, why: words(&error) })
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<(), ClientError> {
        let url = self.url(path);
        self.ask(Method::POST, &url, Some(body), Some(PATIENCE)).await.map(|_| ())
    }

    /// The same for what is answered with a body.
    pub async fn post_for(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let url = self.url(path);
        let patience = match path.starts_with("/api/v1/config/") {
            true => CHANGES_PATIENCE,
            false => PATIENCE,
        };
        let answer = self.ask(Method::POST, &url, Some(body), Some(patience)).await?;
        answer.json().await.map_err(|error| ClientError::NotUnderstood { url, why: words(&error) })
    }

    /// Sends a file of music.
    pub async fn put(&self, path: &str, file: Vec<u8>) -> Result<Value, ClientError> {
        let url = self.url(path);
        let request = self.http.request(Method::PUT, &url).body(file).timeout(UPLOAD_PATIENCE);
        let answer = self.answer_of(request, &url).await?;
        answer.json().await.map_err(|error| ClientError::NotUnderstood { url, why: words(&error) })
    }

    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        let url = self.url(path);
        let answer = self.ask(Method::DELETE, &url, None, Some(PATIENCE)).await?;
        answer.json().await.map_err(|error| ClientError::NotUnderstood { url, why: words(&error) })
    }

    /// Writes a body as it comes; gives its length.
    pub async fn download(&self, path: &str, into: &mut dyn Write) -> Result<u64, ClientError> {
        let url = self.url(path);
        let mut answer = self.ask(Method::GET, &url, None, None).await?;
        let mut bytes = 0;
        loop {
            let broken = |why: String| ClientError::NotUnderstood { url: url.clone(), why };
            let chunk = answer.chunk().await.map_err(|error| broken(words(&error)))?;
            let Some(chunk) = chunk else { return Ok(bytes) };
            into.write_all(&chunk).map_err(|error: io::Error| broken(error.to_string()))?;
            bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        patience: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(patience) = patience {
            request = request.timeout(patience);
        }
        self.answer_of(request, url).await
    }

    async fn answer_of(&self, request: RequestBuilder, url: &str) -> Result<Response, ClientError> {
        let answer =
            request.bearer_auth(&self.token).send().await.map_err(|error| {
                ClientError::NotReached { url: url.to_owned(), why: words(&error) }
            })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let problem = answer.json::<ProblemBody>().await;
        let detail = problem.map_or_else(|_| status.to_string(), |problem| problem.detail);
        Err(ClientError::Refused { status: status.as_u16(), detail })
    }
}

/// One part of a path, whatever somebody typed (RFC 3986 §2.3).
pub fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// The innermost cause is the one an operator can mend.
fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stays_one_part_of_the_path() {
        assert_eq!(segment("call-0000001d"), "call-0000001d");
        assert_eq!(segment("../a b?c#d"), "%2E%2E%2Fa%20b%3Fc%23d");
        assert_eq!(segment("ñ"), "%C3%B1");
    }
}
