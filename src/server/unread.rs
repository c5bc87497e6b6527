//! What becomes of the body of a request that is answered before it is read?
//!
//! In HTTP/1.1, many clients send all of it before they look at the answer. A connection that is closed meanwhile is an
//! error to them, and the answer is lost. So the rest is read first, and thrown away.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// How long the rest of a request may take. A caller that is slower may lose the answer.
const REST_WITHIN: Duration = Duration::from_secs(5);

/// How long the next piece of it may take. A caller that pauses longer is waiting for the answer.
const PIECE_WITHIN: Duration = Duration::from_secs(1);

/// Gets back the body of a request from whoever drops it unread.
pub(super) struct RestOfRequest<B>(Arc<Mutex<Option<B>>>);

impl<B: Body + Unpin> RestOfRequest<B> {
    /// Lends the body of a request.
    pub(super) fn lend(request: http::Request<B>) -> (Self, http::Request<Lent<B>>) {
        let returned = Arc::<Mutex<Option<B>>>::default();
        // A caller that asks before it sends its body sends none after a refusal.
        let is_awaited = !asks_first(request.headers());
        let lent = request.map(|body| Lent {
            body: Some(body),
            returned: is_awaited.then(|| Arc::clone(&returned)),
        });
        (Self(returned), lent)
    }

    /// Reads the rest of the body, of which at most so many bytes. Returns at once if it was read, or is still in use.
    pub(super) async fn read_on(self, most: usize) {
        let Some(body) = slot(&self.0).take() else {
            return;
        };
        let mut left = most;
        let mut body = pin!(body);
        let rest = async {
            while let Ok(Some(Ok(frame))) = timeout(PIECE_WITHIN, body.frame()).await {
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                let Some(less) = left.checked_sub(bytes) else {
                    return;
                };
                left = less;
            }
        };
        let _ = timeout(REST_WITHIN, rest).await;
    }
}

fn asks_first(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

fn slot<B>(returned: &Mutex<Option<B>>) -> MutexGuard<'_, Option<B>> {
    returned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a request, which goes back when it is dropped before its end.
pub(super) struct Lent<B: Body> {
    body: Option<B>,
    returned: Option<Arc<Mutex<Option<B>>>>,
}

impl<B: Body> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(returned)) = (self.body.take(), &self.returned)
            && !body.is_end_stream()
        {
            *slot(returned) = Some(body);
        }
    }
}

impl<B: Body + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}
