//! An HTTP client that sends data to one host again and again, and reads its short answers. It follows no redirects:
//! the headers may hold a secret for that host alone.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use reqwest::redirect::Policy;

use crate::provider::link::Link;
use crate::transport::USER_AGENT_VALUE;

use super::client::{self, SetupError};

/// The limit for one exchange, from connecting to the end of the answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const MAX_BYTES: usize = 64 * 1024;

/// A host that answers nothing at all for this long is asked whether it is still there, and gets as long to answer.
/// Without this a connection that has died would be used for ever.
const SILENCE: Duration = Duration::from_secs(10);

/// How many versions of HTTP a [`Poster`] speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS too.
    Http2,
}

/// Sends data to one host. Keeps a connection to it.
#[derive(Clone, Debug)]
pub struct Poster(reqwest::Client);

/// What a host answers.
#[derive(Debug)]
pub struct Posted {
    /// The status.
    pub status: StatusCode,
    /// The headers, and the trailers after them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. No message holds text of the other host, or the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The host cannot be reached, or ends the connection.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The host takes too long.
    #[error("it does not answer within {} s", LIMIT.as_secs())]
    Slow,
}

impl Poster {
    /// A client that reaches its host by this link.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(link: &Link, version: PostVersion) -> Result<Self, SetupError> {
        let protocol: &[u8] = match version {
            PostVersion::Http1 => b"http/1.1",
            PostVersion::Http2 => b"h2",
        };
        let builder = client::builder(link, protocol)?
            .redirect(Policy::none())
            .user_agent(USER_AGENT_VALUE)
            .timeout(LIMIT)
            .pool_max_idle_per_host(1);
        let builder = match version {
            PostVersion::Http1 => builder.http1_only(),
            PostVersion::Http2 => builder
                .http2_prior_knowledge()
                .http2_keep_alive_interval(SILENCE)
                .http2_keep_alive_timeout(SILENCE),
        };
        let client = builder.build();
        client.map(Self).map_err(|error| client::failed(&error))
    }

    /// Sends a body and reads the answer.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Posted, PostError> {
        let request = self.0.post(url).headers(headers).body(body);
        let answer = request.send().await.map_err(cause)?;
        let (head, body) = http::Response::from(answer).into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await;
        let body = body.map_err(|error| match error.downcast::<reqwest::Error>() {
            Ok(error) => cause(*error),
            Err(_) => PostError::Unreachable("its answer is too large".to_owned()),
        })?;
        let mut headers = head.headers;
        headers.extend(body.trailers().cloned().unwrap_or_default());
        Ok(Posted {
            status: head.status,
            headers,
            body: body.to_bytes(),
        })
    }
}

fn cause(error: reqwest::Error) -> PostError {
    if error.is_timeout() {
        return PostError::Slow;
    }
    let error = error.without_url();
    // A request that could not be built has no inner cause.
    match error.source() {
        Some(_) => PostError::Unreachable(client::last_cause(&error)),
        None => PostError::Unreachable("the request cannot be sent".to_owned()),
    }
}
