//! What is left of a request's body when its answer is ready. A server that answers and closes while
//! its peer still sends resets the connection, and a peer that has not read the answer yet may never
//! see it (RFC 9112 §9.6): so the rest is taken and thrown away, in bounds.

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use futures_core::Stream;
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Handle, time::timeout};

/// As much as the longest body that is ever taken.
const REST_BYTES_MAX: usize = crate::music::UPLOAD_BYTES_MAX;
/// From the answer on: whoever reads has it by then and says no more.
const REST_WITHIN: Duration = Duration::from_secs(10);

/// The outermost layer: no answer goes out before it knows of the body.
pub(super) async fn taken(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = if body.is_end_stream() { body } else { Body::from_stream(Watched::new(body)) };
    next.run(Request::from_parts(head, body)).await
}

/// A body that whoever drops it leaves to somebody who reads on.
struct Watched(Option<BodyDataStream>);

impl Watched {
    fn new(body: Body) -> Self {
        Self(Some(body.into_data_stream()))
    }
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let next = Pin::new(body).poll_next(context);
        if let Poll::Ready(None | Some(Err(_))) = next {
            self.0 = None;
        }
        next
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Where everything ends nobody waits for an answer.
        if let (Some(body), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(timeout(REST_WITHIN, throw_away(body, REST_BYTES_MAX)));
        }
    }
}

/// Gives how much it was; ends when there is no more, or it is more than that.
async fn throw_away(mut body: BodyDataStream, bytes_max: usize) -> usize {
    let mut bytes = 0;
    while bytes <= bytes_max {
        let next = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await;
        let Some(Ok(piece)) = next else { break };
        bytes += piece.len();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that never ends, in pieces of so many bytes.
    struct Endless(usize);

    impl Stream for Endless {
        type Item = Result<Bytes, axum::Error>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(Some(Ok(Bytes::from(vec![0; self.0]))))
        }
    }

    #[tokio::test]
    async fn who_never_ends_is_heard_no_longer_than_to_the_bound() {
        let endless = Body::from_stream(Endless(1_000)).into_data_stream();
        assert_eq!(throw_away(endless, 10_500).await, 11_000);

        let short = Body::from(vec![0; 700]).into_data_stream();
        assert_eq!(throw_away(short, 10_500).await, 700);
    }
}
