//! What went wrong with a request, as `application/problem+json` (RFC 9457).

use crate::pump::RequestError;
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use control_plane::exchange;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// A problem before it is written. `code` never changes its meaning; programs compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    faults: Vec<FaultBody>,
}

/// One thing that makes a configuration unusable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaultBody {
    pub file: String,
    /// Counted from 1.
    pub line: Option<usize>,
    /// The value, and what would be accepted.
    pub message: String,
}

/// The body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:clavija:problem:` and the code.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    /// What was wrong with this request.
    pub detail: String,
    /// One word for programs to compare.
    pub code: String,
    /// Of a configuration: everything that is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultBody>,
}

impl Problem {
    pub(super) const METHOD: Self = Self::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Method not allowed",
        "this path has other methods; see /api/v1/openapi.json",
    );
    pub(super) const NO_SUCH_PATH: Self = Self::new(
        StatusCode::NOT_FOUND,
        "no-such-path",
        "No such path",
        "nothing is served here; see /api/v1/openapi.json",
    );
    pub(super) const NOT_SERVED: Self = Self::new(
        StatusCode::NOT_IMPLEMENTED,
        "not-served",
        "Not served by this version",
        "the contract has this and this version does not",
    );
    pub(super) const TIMEOUT: Self = Self::new(
        StatusCode::GATEWAY_TIMEOUT,
        "timeout",
        "Not answered in time",
        "the box is too busy to answer; try again",
    );
    /// The same where what was asked for is done all the same.
    pub(super) const GOES_ON: Self = Self::new(
        StatusCode::GATEWAY_TIMEOUT,
        "timeout",
        "Not answered in time",
        "the change goes on; `clavija config history` says whether it holds",
    );
    /// A file that takes too long on its way, or to be decoded: the one is nothing, the other goes on.
    pub(super) const UPLOAD_LATE: Self = Self::new(
        StatusCode::GATEWAY_TIMEOUT,
        "timeout",
        "Not answered in time",
        "the file did not come, or was not decoded, within 5 min; `clavija music list` says what is \
         heard",
    );
    pub(super) const UNAUTHORIZED: Self = Self::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Not allowed",
        "send the administrator's token as `Authorization: Bearer …`; it is in the file that \
         http.admin_token_file names",
    );

    const fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: &'static str,
    ) -> Self {
        Self { status, code, title, detail: Cow::Borrowed(detail), faults: Vec::new() }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::told(StatusCode::BAD_REQUEST, "bad-request", "Not understood", detail)
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::told(StatusCode::CONFLICT, code, "Not possible as things are", detail)
    }

    /// A configuration with these faults.
    pub(super) fn invalid(detail: impl Into<String>, faults: Vec<FaultBody>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let told = Self::told(status, "invalid-configuration", "Not a configuration", detail);
        Self { faults, ..told }
    }

    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self::told(StatusCode::INTERNAL_SERVER_ERROR, "failed", "Failed", detail)
    }

    /// Nothing was changed: what was sent has no room.
    pub(super) fn disk_full(detail: impl Into<String>) -> Self {
        Self::told(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "No room on the disk", detail)
    }

    /// A file that cannot be played; `detail` names the check, the figure, and what would be accepted.
    pub(super) fn music(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::told(status, "music-refused", "Not music", detail)
    }

    pub(super) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::told(StatusCode::NOT_FOUND, code, "Not found", detail)
    }

    /// What was sent cannot be taken; `status` is the extractor's.
    pub(super) fn refused_body(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::told(status, "bad-request", "Not understood", detail)
    }

    fn told(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: Cow::Owned(detail.into()), faults: Vec::new() }
    }

    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::told(StatusCode::SERVICE_UNAVAILABLE, code, "Not available", detail)
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let detail = error.to_string();
        match error {
            RequestError::Busy => Self::unavailable("busy", detail),
            RequestError::NoIdLeft(_) => Self::conflict("restart-needed", detail),
            RequestError::Gone => Self::unavailable("stopped", detail),
            RequestError::NoAddress => Self::conflict("no-address", detail),
            RequestError::Problem(exchange::Problem::NoSuchAgent) => {
                Self::not_found("no-such-agent", detail)
            }
            RequestError::Problem(exchange::Problem::NoSuchCall) => {
                Self::not_found("no-such-call", detail)
            }
            RequestError::Problem(exchange::Problem::PassesThrough) => {
                Self::conflict("passes-through", detail)
            }
            RequestError::Problem(exchange::Problem::NotRecorded) => {
                Self::conflict("not-recorded", detail)
            }
            RequestError::Problem(exchange::Problem::WordTooLong) => Self::bad_request(detail),
            RequestError::Problem(exchange::Problem::WrongState { .. }) => {
                Self::conflict("wrong-state", detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: format!("urn:clavija:problem:{}", self.code),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.into_owned(),
            code: self.code.to_owned(),
            faults: self.faults,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    fn sent(problem: Problem) -> (Response, ProblemBody) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (parts, body) = problem.into_response().into_parts();
        let bytes = runtime.block_on(to_bytes(body, 10_000)).unwrap();
        (
            Response::from_parts(parts, axum::body::Body::empty()),
            serde_json::from_slice(&bytes).unwrap(),
        )
    }

    #[test]
    fn a_problem_says_its_status_twice_and_its_code_in_its_type() {
        let (response, body) = sent(Problem::NO_SUCH_PATH);

        assert_eq!(response.status().as_u16(), body.status);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(body.r#type, format!("urn:clavija:problem:{}", body.code));
    }

    #[test]
    fn who_is_not_known_is_told_how_to_become_known() {
        let (response, _) = sent(Problem::UNAUTHORIZED);

        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn what_the_switchboard_refuses_has_a_status_of_its_own() {
        let wrong = exchange::Problem::WrongState { is: "held", can: "held", only: "talking" };
        for (error, status) in [
            (RequestError::Busy, 503),
            (RequestError::Gone, 503),
            (RequestError::Problem(exchange::Problem::NoSuchAgent), 404),
            (RequestError::Problem(exchange::Problem::NoSuchCall), 404),
            (RequestError::Problem(wrong), 409),
        ] {
            assert_eq!(Problem::from(error).status.as_u16(), status);
        }
    }
}
