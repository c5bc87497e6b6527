//! What the loss of a connection means for the request that it carried.

use std::error::Error;

use h2::Reason;

use crate::error::{UpstreamError, UpstreamErrorKind};

use super::cause::{ConnectCause, find, of_tls};

/// The failure of a request that got no answer on its connection.
pub(super) fn classify(error: &(dyn Error + 'static)) -> UpstreamError {
    if let Some(error) = error.downcast_ref::<hyper::Error>()
        && error.is_parse()
    {
        return UpstreamError::malformed(match error.is_parse_too_large() {
            true => "its head is too large",
            false => "its head is not HTTP",
        });
    }
    let Some(error) = find::<h2::Error>(error) else {
        return UpstreamError::new(UpstreamErrorKind::Disconnected);
    };
    let kind = match was_not_taken(error) {
        true => UpstreamErrorKind::NotTaken,
        false => UpstreamErrorKind::Disconnected,
    };
    match words(error) {
        Some(words) => UpstreamError::new(kind).because(words),
        None => UpstreamError::new(kind),
    }
}

/// The cause if a connection was lost because the host refused our certificate. With TLS 1.3 a client sends requests
/// before the host has checked its certificate.
pub(super) fn refused_by_tls(error: &(dyn Error + 'static)) -> Option<ConnectCause> {
    of_tls(error).filter(|cause| {
        matches!(
            cause,
            ConnectCause::ClientCertificateWanted | ConnectCause::ClientCertificateRefused
        )
    })
}

/// Whether HTTP/2 says that nothing was done with a request (RFC 9113, section 8.7): its stream was
/// refused, or began after the last one of a connection that ends in good order.
fn was_not_taken(error: &h2::Error) -> bool {
    let ends_well =
        error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
    ends_well || error.reason() == Some(Reason::REFUSED_STREAM)
}

/// What was seen of a failure of HTTP/2, with its code by the name in RFC 9113, section 7.
fn words(error: &h2::Error) -> Option<String> {
    let code = error.reason()?;
    let what = match (error.is_remote(), error.is_go_away()) {
        (true, true) => "the host ended the HTTP/2 connection",
        (true, false) => "the host reset the HTTP/2 stream",
        (false, _) => "what the host sent breaks the rules of HTTP/2",
    };
    Some(format!("{what} ({code:?})"))
}

pub(super) fn unreachable(why: &'static str) -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Unreachable).because(why)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;

    /// A frame without flags.
    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![a, b, c, kind, 0];
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// What a client of HTTP/2 makes of these frames in place of an answer to its first request.
    async fn answered_by(frames: Vec<u8>) -> hyper::Error {
        let (near, mut far) = duplex(1 << 16);
        let executor = TokioExecutor::new();
        let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(near));
        let (mut client, connection) = handshake.await.unwrap();
        let request = Request::post("http://localhost/").body(Full::<Bytes>::default());
        let answer = client.send_request(request.unwrap());
        let provider = async {
            far.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
            far.read_exact(&mut [0; 24]).await.unwrap(); // the preface
            let mut header = [0; 9];
            while header[3] != HEADERS {
                far.read_exact(&mut header).await.unwrap();
                let mut payload = vec![0; usize::from(header[2])];
                far.read_exact(&mut payload).await.unwrap();
            }
            far.write_all(&frames).await.unwrap();
        };
        let connection = async {
            connection.await.ok();
            pending::<()>().await // what it ended with is told by the answer
        };
        tokio::select! {
            (error, ()) = async { tokio::join!(answer, provider) } => error.unwrap_err(),
            () = connection => unreachable!(),
        }
    }

    #[tokio::test]
    async fn a_head_that_cannot_be_read_is_told_from_a_lost_connection() {
        let ok = "HTTP/1.1 200 OK\r\n";
        let lines = "x: y\r\n".repeat(200);
        let table = [
            (
                "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
                "its head is not HTTP",
            ),
            (
                format!("{ok}content-length: 5\r\ncontent-length: 7\r\n\r\n"),
                "its head is not HTTP",
            ),
            (format!("{ok}{lines}\r\n"), "its head is too large"),
            (String::new(), ""),
        ];
        for (head, expected) in table {
            let (near, mut far) = duplex(1 << 16);
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(near));
            let (mut client, connection) = handshake.await.unwrap();
            let request = Request::post("/").header("host", "localhost");
            let answer = client.send_request(request.body(Full::<Bytes>::default()).unwrap());
            let provider = async {
                far.read_exact(&mut [0; 16]).await.unwrap();
                far.write_all(head.as_bytes()).await.unwrap();
                drop(far);
            };

            let (answer, _, ()) = tokio::join!(answer, connection, provider);

            let error = classify(&answer.unwrap_err());
            let kind = match expected {
                "" => UpstreamErrorKind::Disconnected,
                _ => UpstreamErrorKind::Malformed,
            };
            assert_eq!((error.kind, &*error.message), (kind, expected), "{head}");
        }
    }

    #[tokio::test]
    async fn what_a_provider_did_not_take_up_is_told_from_what_it_lost() {
        let reset = |reason: u8| frame(RST_STREAM, 1, &[0, 0, 0, reason]);
        let goaway = |last: u8, reason| frame(GOAWAY, 0, &[0, 0, 0, last, 0, 0, 0, reason]);
        let reset_by_host = "the host reset the HTTP/2 stream";
        let ended_by_host = "the host ended the HTTP/2 connection";
        for (frames, was_taken, what, code) in [
            (reset(7), false, reset_by_host, "REFUSED_STREAM"),
            (reset(2), true, reset_by_host, "INTERNAL_ERROR"),
            (reset(8), true, reset_by_host, "CANCEL"),
            // The request came after the last one that was taken.
            (goaway(0, 0), false, ended_by_host, "NO_ERROR"),
            (goaway(0, 2), true, ended_by_host, "INTERNAL_ERROR"),
            (
                frame(SETTINGS, 0, &[0]),
                true,
                "what the host sent breaks the rules of HTTP/2",
                "PROTOCOL_ERROR",
            ),
        ] {
            let error = classify(&answered_by(frames.clone()).await);

            let kind = match was_taken {
                true => UpstreamErrorKind::Disconnected,
                false => UpstreamErrorKind::NotTaken,
            };
            assert_eq!(error.kind, kind, "{frames:?}: {error:?}");
            assert_eq!(error.message, format!("{what} ({code})"), "{frames:?}");
        }
    }
}
