//! One range of bytes (RFC 9110 §14) of what is made while it is sent.

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE},
    },
    response::{IntoResponse, Response},
};
use futures_core::Stream;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// Pieces that may wait for a slow reader.
const AHEAD: usize = 2;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// From the first byte to the last one.
    Part(u64, u64),
    /// No byte of it is there.
    Nothing,
}

/// What is not understood, and more than one range, is as if nothing had been said (§14.2).
pub(super) fn wanted(headers: &HeaderMap, length: u64) -> Wanted {
    let said = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let Some((first, last)) = said
        .and_then(|range| range.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Wanted::All;
    };
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    match (number(first), number(last), last.is_empty()) {
        (Some(first), _, true) if first < length => Wanted::Part(first, length - 1),
        (Some(first), Some(last), _) if first <= last && first < length => {
            Wanted::Part(first, last.min(length - 1))
        }
        (Some(first), Some(last), _) if first > last => Wanted::All,
        (Some(_), Some(_), _) | (Some(_), _, true) => Wanted::Nothing,
        (None, Some(0), _) if first.is_empty() => Wanted::Nothing,
        (None, Some(last), _) if first.is_empty() && length > 0 => {
            Wanted::Part(length.saturating_sub(last), length - 1)
        }
        _ => Wanted::All,
    }
}

/// Something that gives its bytes from any place on, and nothing behind its end.
pub(super) trait Source: Send + 'static {
    fn length(&self) -> u64;
    fn piece(&mut self, at: u64) -> io::Result<Vec<u8>>;
}

/// Reads what was asked for on a thread where that may take its time. The first piece is there before
/// anything is said: what cannot be read is an error, and no answer that breaks off.
pub(super) async fn serve(
    mut source: impl Source,
    headers: &HeaderMap,
    content_type: &'static str,
) -> io::Result<Response> {
    let length = source.length();
    let (status, first, last) = match wanted(headers, length) {
        Wanted::All => (StatusCode::OK, 0, length.saturating_sub(1)),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last),
        Wanted::Nothing => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            response.headers_mut().insert(CONTENT_RANGE, text(format!("bytes */{length}")));
            return Ok(response);
        }
    };
    let behind = if length == 0 { 0 } else { last + 1 };
    let (tell, pieces) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let (told, heard) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let mut read = |at: u64| {
            let mut piece = source.piece(at)?;
            piece.truncate(usize::try_from(behind - at).unwrap_or(usize::MAX));
            match piece.is_empty() && at < behind {
                true => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                false => Ok(piece),
            }
        };
        let mut at = first;
        let mut told = Some(told);
        while at < behind {
            let piece = read(at);
            if let Some(told) = told.take() {
                let begins =
                    piece.as_ref().map(|_| ()).map_err(|error| io::Error::other(error.to_string()));
                let fails = begins.is_err();
                if told.send(begins).is_err() || fails {
                    return;
                }
            }
            let failed = piece.is_err();
            at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            // Nobody listens any more, or there is nothing to listen to.
            if tell.blocking_send(piece.map(Bytes::from)).is_err() || failed {
                return;
            }
        }
        if let Some(told) = told {
            let _nobody_waits = told.send(Ok(()));
        }
    });
    heard.await.map_err(io::Error::other)??;
    let mut response = (status, Body::from_stream(Pieces(pieces))).into_response();
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    head.insert(CONTENT_LENGTH, HeaderValue::from(behind - first));
    if status == StatusCode::PARTIAL_CONTENT {
        head.insert(CONTENT_RANGE, text(format!("bytes {first}-{last}/{length}")));
    }
    Ok(response)
}

fn text(said: String) -> HeaderValue {
    HeaderValue::try_from(said).unwrap_or_else(|_| HeaderValue::from_static(""))
}

struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    /// The bytes 0 to 99, seven at a time; with a place that cannot be read.
    struct Hundred {
        broken_at: u64,
    }

    impl Source for Hundred {
        fn length(&self) -> u64 {
            100
        }

        fn piece(&mut self, at: u64) -> io::Result<Vec<u8>> {
            let end = (at + 7).min(100);
            if (at..end).contains(&self.broken_at) {
                return Err(io::Error::other("damaged"));
            }
            Ok((at..end).map(|byte| u8::try_from(byte).unwrap()).collect())
        }
    }

    async fn ask(range: Option<&'static str>, broken_at: u64) -> io::Result<Response> {
        let mut headers = HeaderMap::new();
        headers.extend(range.map(|range| (RANGE, HeaderValue::from_static(range))));
        serve(Hundred { broken_at }, &headers, "audio/wav").await
    }

    #[tokio::test]
    async fn a_range_is_its_bytes_and_no_others() {
        for (range, status, from, to) in [
            (None, 200, 0, 99),
            (Some("bytes=0-0"), 206, 0, 0),
            (Some("bytes=5-50"), 206, 5, 50),
            (Some("bytes=90-"), 206, 90, 99),
            (Some("bytes=90-500"), 206, 90, 99),
            (Some("bytes=-3"), 206, 97, 99),
            (Some("bytes=-300"), 206, 0, 99),
            (Some("bytes=9-3"), 200, 0, 99),
            (Some("bytes=1-2,5-6"), 200, 0, 99),
            (Some("lines=1-2"), 200, 0, 99),
            (Some("bytes=+1-2"), 200, 0, 99),
        ] {
            let response = ask(range, u64::MAX).await.unwrap();

            let named = response.headers().get(CONTENT_RANGE).cloned();
            let length: usize =
                response.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
            assert_eq!(response.status(), status, "{range:?}");
            let bytes = to_bytes(response.into_body(), 1_000).await.unwrap();
            assert_eq!(bytes, (from..=to).collect::<Vec<u8>>(), "{range:?}");
            assert_eq!(length, bytes.len());
            let expected = (status == 206).then(|| format!("bytes {from}-{to}/100"));
            assert_eq!(named.map(|named| named.to_str().unwrap().to_owned()), expected);
        }
        for range in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            let response = ask(Some(range), u64::MAX).await.unwrap();
            assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
            assert_eq!(response.headers()[CONTENT_RANGE], "bytes */100");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_an_error_at_once_or_breaks_the_answer_off() {
        assert!(ask(None, 3).await.is_err());
        let later = ask(None, 50).await.unwrap();
        assert!(to_bytes(later.into_body(), 1_000).await.is_err());
        let elsewhere = ask(Some("bytes=80-"), 50).await.unwrap();
        assert_eq!(to_bytes(elsewhere.into_body(), 1_000).await.unwrap().len(), 20);
    }
}
