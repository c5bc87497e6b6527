//! How does the body of a gRPC response become that of a gRPC-Web response? Its trailers become the last frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::grpc::door::GrpcBody;

use super::{GrpcAnswer, WebFraming};

/// Marks the frame of the trailers.
const TRAILERS: u8 = 0x80;

/// A message without an event, which clients skip like an event that they do not know.
const HEARTBEAT: [u8; 5] = [0; 5];

/// The headers of a failed call that are part of its status or tell which call it was.
const OF_STATUS: [&str; 6] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-retry-pushback-ms",
    "x-modelway-call-id",
    "x-request-id",
];

/// The body of a response.
pub struct WebBody {
    stage: ResponseStage,
    framing: WebFraming,
    heartbeats: Option<Heartbeats>,
}

enum ResponseStage {
    /// The head was sent; the first content is awaited.
    Opening(GrpcAnswer),
    Open(GrpcBody),
    Ended,
}

/// When the next heartbeat is due.
struct Heartbeats {
    every: Duration,
    /// Runs during a silence.
    timer: Option<Pin<Box<Sleep>>>,
}

impl WebBody {
    /// The body of a response that has only a head.
    pub(super) fn ended(framing: WebFraming) -> Self {
        Self {
            stage: ResponseStage::Ended,
            framing,
            heartbeats: None,
        }
    }

    /// A body whose messages are here; with `keepalive`, heartbeats are sent in each silence.
    pub(super) fn open(body: GrpcBody, framing: WebFraming, keepalive: Option<Duration>) -> Self {
        let heartbeats = keepalive.map(|every| Heartbeats { every, timer: None });
        Self {
            stage: ResponseStage::Open(body),
            framing,
            heartbeats,
        }
    }

    /// A body that begins with a heartbeat, before its first content.
    pub(super) fn opening(answering: GrpcAnswer, framing: WebFraming, keepalive: Duration) -> Self {
        let heartbeats = Heartbeats {
            every: keepalive,
            timer: Some(Box::pin(sleep(Duration::ZERO))),
        };
        Self {
            stage: ResponseStage::Opening(answering),
            framing,
            heartbeats: Some(heartbeats),
        }
    }

    /// The next bytes; `None` after the last frame.
    fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, GrpcBodyError>>> {
        loop {
            match &mut self.stage {
                ResponseStage::Ended => return Poll::Ready(None),
                ResponseStage::Opening(answering) => {
                    let (head, body) = ready!(answering.as_mut().poll(context)).into_parts();
                    if !head.headers.contains_key("grpc-status") {
                        self.stage = ResponseStage::Open(body);
                        continue;
                    }
                    self.stage = ResponseStage::Ended;
                    let mut status = HeaderMap::new();
                    for name in OF_STATUS {
                        if let Some(value) = head.headers.get(name) {
                            status.insert(name, value.clone());
                        }
                    }
                    return Poll::Ready(Some(Ok(trailers_frame(&status))));
                }
                ResponseStage::Open(body) => {
                    let frame = match ready!(Pin::new(body).poll_frame(context)) {
                        Some(Ok(frame)) => frame,
                        Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                        None => {
                            self.stage = ResponseStage::Ended;
                            return Poll::Ready(None);
                        }
                    };
                    return Poll::Ready(Some(Ok(match frame.into_data() {
                        Ok(data) => data,
                        Err(frame) => {
                            self.stage = ResponseStage::Ended;
                            trailers_frame(&frame.into_trailers().unwrap_or_default())
                        }
                    })));
                }
            }
        }
    }
}

type GrpcBodyError = <GrpcBody as Body>::Error;

impl Body for WebBody {
    type Data = Bytes;
    type Error = GrpcBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let polled = match this.poll_bytes(context) {
            Poll::Ready(polled) => {
                if let Some(heartbeats) = &mut this.heartbeats {
                    heartbeats.timer = None;
                }
                polled
            }
            // The gRPC door gives whole messages before it waits, so a heartbeat never stands within one.
            Poll::Pending => {
                let Some(heartbeats) = &mut this.heartbeats else {
                    return Poll::Pending;
                };
                let every = heartbeats.every;
                let timer = heartbeats
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep(every)));
                ready!(timer.as_mut().poll(context));
                heartbeats.timer = None;
                Some(Ok(Bytes::from_static(&HEARTBEAT)))
            }
        };
        Poll::Ready(polled.map(|bytes| {
            bytes.map(|bytes| {
                Frame::data(match this.framing {
                    WebFraming::Binary => bytes,
                    WebFraming::Text => STANDARD.encode(&bytes).into(),
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, ResponseStage::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match self.stage {
            ResponseStage::Ended => SizeHint::with_exact(0),
            ResponseStage::Opening(_) | ResponseStage::Open(_) => SizeHint::default(),
        }
    }
}

fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let mut lines = Vec::with_capacity(256);
    for (name, value) in trailers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.push(b':');
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    let mut frame = Vec::with_capacity(HEARTBEAT.len() + lines.len());
    frame.put_u8(TRAILERS);
    // A status has a few KiB.
    frame.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&lines);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_lines_in_a_frame_of_their_own() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "5".parse().unwrap());
        trailers.insert("grpc-message", "no such%20scenario".parse().unwrap());

        let frame = trailers_frame(&trailers);

        let (prefix, lines) = frame.split_at(5);
        assert_eq!(prefix[0], TRAILERS);
        assert_eq!(
            prefix[1..],
            u32::try_from(lines.len()).unwrap().to_be_bytes()
        );
        assert_eq!(
            lines,
            b"grpc-status:5\r\ngrpc-message:no such%20scenario\r\n"
        );
    }
}
