//! How does a failed reflection stream end? With our refusal of a question, or with reflection's failure, shortened.
//!
//! tonic-reflection ends without a status when it cannot read a question, and its failure quotes in full a name that it
//! does not find.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;

/// The largest question, in bytes: names are short.
pub(super) const MAX_QUESTION_BYTES: usize = 4 * 1024;

/// The longest message of a failure, in bytes of its percent-encoding.
const MAX_MESSAGE_BYTES: usize = 160;

const MESSAGE: &str = "grpc-message";

/// Why a question was refused; set by the first refusal.
pub(super) type Refused = Arc<OnceLock<Status>>;

/// The same response, with the reason for a refused question in its trailers.
pub(super) fn ending(response: Response<Body>, refused: Refused) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    shorten(&mut head.headers);
    let body = body.map_frame(move |mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            if let Some(status) = refused.get() {
                trailers.clear();
                // Our own status always fits into headers.
                let _ = status.add_header(trailers);
            }
            shorten(trailers);
        }
        frame
    });
    Response::from_parts(head, Body::new(body))
}

fn shorten(headers: &mut HeaderMap) {
    let Some(message) = headers.get(MESSAGE) else {
        return;
    };
    let message = message.as_bytes();
    if message.len() <= MAX_MESSAGE_BYTES {
        return;
    }
    let mut beginning = &message[..MAX_MESSAGE_BYTES];
    // Do not cut within an escape, or within a character of several escapes.
    while let [rest @ .., b'%', _, _] | [rest @ .., b'%', _] | [rest @ .., b'%'] = beginning {
        beginning = rest;
    }
    if let Ok(message) = HeaderValue::from_bytes(&[beginning, b"..."].concat()) {
        headers.insert(MESSAGE, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_its_characters() {
        for (message, expected) in [
            ("a".repeat(160), "a".repeat(160)),
            ("a".repeat(161), "a".repeat(160) + "..."),
            ("a".repeat(158) + "%C3%A9", "a".repeat(158) + "..."),
            ("a".repeat(155) + "%C3%A9bc", "a".repeat(155) + "..."),
            ("%C3%A9".repeat(40), "...".to_owned()),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(MESSAGE, message.parse().unwrap());

            shorten(&mut headers);

            assert_eq!(headers[MESSAGE], expected, "{message}");
        }
    }
}
