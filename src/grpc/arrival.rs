//! How a request comes in: when its call begins, within what time and into how much room.
//!
//! A call begins at the arrival of its head, so that its deadline also bounds the way of its message.
//! tonic makes room for a message as soon as its length is announced; it is shown a message here only
//! once that is complete, so that an announcement alone costs nothing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::codegen::StdError;

use crate::admission::Caller;
use crate::admission::room::{Held, Room, Share};
use crate::error::Error;

use super::{metadata, status};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Services whose callers may keep the way of their messages open.
const CONVERSATIONS: &str = "/grpc.reflection.";

/// Pieces of a message that comes in up to this size are joined.
const PIECE_BYTES: usize = 64 * 1024;

/// How a request arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// When its head did.
    pub(super) at: Instant,
    /// What it takes up.
    pub(super) held: Held,
}

/// What all requests that come in share.
#[derive(Clone)]
pub(super) struct Intake {
    /// How long a request may take from its head to its end.
    timeout: Duration,
    /// A longer message is refused by its announcement.
    max_message_bytes: usize,
    room: Arc<Room>,
    draining: CancellationToken,
}

impl Intake {
    /// An intake into this room, until the service drains.
    pub(super) fn new(
        timeout: Duration,
        max_message_bytes: usize,
        room: Arc<Room>,
        draining: CancellationToken,
    ) -> Self {
        Self {
            timeout,
            max_message_bytes,
            room,
            draining,
        }
    }

    /// What the requests of a caller take up.
    pub(super) fn share(&self, caller: Caller) -> Arc<Share> {
        self.room.share(caller)
    }

    /// Notes the arrival of a request of the caller with this share, and bounds the way of its message.
    pub(super) fn admit<B>(&self, request: Request<B>, share: &Arc<Share>) -> Request<Incoming<B>> {
        let now = Instant::now();
        let deadline = request
            .headers()
            .get("grpc-timeout")
            .and_then(|value| metadata::parse_timeout(value.to_str().ok()?))
            .and_then(|timeout| now.checked_add(timeout));
        let conversation = request.uri().path().starts_with(CONVERSATIONS);
        let draining = || Box::pin(self.draining.clone().cancelled_owned());
        let held = Held::new(&self.room, share);
        let mut request = request.map(|body| Incoming {
            body,
            held: held.clone(),
            intake: self.clone(),
            deadline,
            slow_at: Some(now + self.timeout),
            conversation: conversation.then(draining),
            timer: None,
            unfinished: Unfinished::default(),
            whole: VecDeque::new(),
        });
        request.extensions_mut().insert(Arrival { at: now, held });
        request
    }
}

/// A request's body that comes in whole messages, and fails when it takes too long.
pub(super) struct Incoming<B> {
    body: B,
    intake: Intake,
    deadline: Option<Instant>,
    /// When it has taken too long; `None` once the first message of a conversation is there.
    slow_at: Option<Instant>,
    /// Set if the caller may keep the way of its messages open: it is over when the service drains.
    conversation: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Set by the first wait: most bodies are there at once.
    timer: Option<Pin<Box<Sleep>>>,
    held: Held,
    unfinished: Unfinished,
    /// Messages that are complete, in pieces that have not been given yet.
    whole: VecDeque<Bytes>,
}

/// The beginning of a message, copied in pieces: a few bytes would hold on to a whole buffer of the
/// connection. The first piece has the message's prefix.
#[derive(Default)]
struct Unfinished {
    pieces: VecDeque<BytesMut>,
    bytes: usize,
}

impl Unfinished {
    /// Bytes up to the end of the prefix, or behind that to the end of the message.
    ///
    /// # Errors
    /// The message is announced as longer than the limit.
    fn missing(&self, limit: usize) -> Result<usize, Error> {
        let prefix = self.pieces.front().map_or(&[][..], |piece| piece);
        let end = match announced(prefix, limit)? {
            Some(length) => PREFIX_BYTES + length,
            None => PREFIX_BYTES,
        };
        Ok(end - self.bytes)
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(last) if last.len() + bytes.len() <= PIECE_BYTES => last.extend_from_slice(bytes),
            _ => self.pieces.push_back(BytesMut::from(bytes)),
        }
    }

    fn clear(&mut self) -> impl Iterator<Item = Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.pieces)
            .into_iter()
            .map(BytesMut::freeze)
    }
}

impl<B> Incoming<B> {
    /// Takes bytes that have come.
    fn take(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let limit = self.intake.max_message_bytes;
        if self.unfinished.bytes == 0 {
            let whole = whole_messages(&bytes, limit)?;
            if whole > 0 {
                self.held.grow(whole)?;
                self.whole.push_back(bytes.split_to(whole));
                self.message_has_come();
            }
        }
        while !bytes.is_empty() {
            let missing = self.unfinished.missing(limit)?;
            let more = bytes.split_to(missing.min(bytes.len()));
            self.held.grow_unfinished(more.len())?;
            self.unfinished.append(&more);
            if self.unfinished.missing(limit)? == 0 {
                self.held.finish();
                self.whole.extend(self.unfinished.clear());
                self.message_has_come();
            }
        }
        Ok(())
    }

    fn message_has_come(&mut self) {
        if self.conversation.is_some() {
            self.slow_at = None;
            self.timer = None;
        }
    }

    /// Waits for the first of the two ends that there are.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let Some(at) = self.deadline.into_iter().chain(self.slow_at).min() else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        std::task::ready!(timer.as_mut().poll(context));
        let error = if self.deadline == Some(at) {
            Error::DeadlineExceeded
        } else {
            let limit = self.intake.timeout;
            Error::invalid("message", format!("it took longer than {limit:?} to come"))
        };
        Poll::Ready(status::of_error(&error))
    }
}

impl<B> Body for Incoming<B>
where
    B: Body<Data = Bytes, Error: Into<StdError>> + Unpin,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Some(over) = &mut self.conversation
            && over.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        loop {
            if let Some(piece) = self.whole.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                let late = std::task::ready!(self.poll_late(context));
                return Poll::Ready(Some(Err(late.into())));
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None if self.unfinished.bytes == 0 => return Poll::Ready(None),
                None => {
                    let error = Error::invalid("message", "it ended before it was complete");
                    return Poll::Ready(Some(Err(status::of_error(&error).into())));
                }
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            if let Err(refusal) = self.take(bytes) {
                return Poll::Ready(Some(Err(status::of_error(&refusal).into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_empty() && self.unfinished.bytes == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many of these bytes, from the first, are whole messages.
///
/// # Errors
/// A message is announced as longer than the limit: nothing of it needs to be read.
fn whole_messages(bytes: &[u8], limit: usize) -> Result<usize, Error> {
    let mut whole = 0;
    while let Some(length) = announced(&bytes[whole..], limit)? {
        if bytes.len() - whole < PREFIX_BYTES + length {
            break;
        }
        whole += PREFIX_BYTES + length;
    }
    Ok(whole)
}

/// The length of the message that begins with these bytes, if they are enough to tell.
fn announced(bytes: &[u8], limit: usize) -> Result<Option<usize>, Error> {
    let [_, a, b, c, d, ..] = *bytes else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > limit {
        let what = format!("it has {length} bytes and may have {limit} at most");
        return Err(Error::invalid("message", what));
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::iter;
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;
    use crate::admission::room::Limits;

    const LIMIT: usize = 100;
    const ROOM: usize = 300;

    fn intake() -> Intake {
        let room = Room::new(Limits {
            requests: 100_000,
            requests_per_caller: 100_000,
            unfinished: ROOM,
        });
        let draining = CancellationToken::new();
        Intake::new(Duration::from_secs(15), LIMIT, Arc::new(room), draining)
    }

    fn share(intake: &Intake) -> Arc<Share> {
        intake.share(Caller::Unknown)
    }

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.extend(std::iter::repeat_n(7, length));
        bytes
    }

    /// What is seen of a body that comes in these pieces, up to its end or a failure.
    async fn seen(intake: &Intake, pieces: Vec<Bytes>) -> (Vec<Bytes>, Option<Code>) {
        let frames = pieces
            .into_iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let mut body = intake
            .admit(Request::new(StreamBody::new(iter(frames))), &share(intake))
            .into_body();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => seen.push(frame.into_data().unwrap()),
                Err(error) => return (seen, Some(error.downcast::<Status>().unwrap().code())),
            }
        }
        (seen, None)
    }

    fn taken(intake: &Intake) -> usize {
        intake.room.taken()
    }

    proptest! {
        #[test]
        fn messages_are_seen_whole_however_they_come(
            lengths in prop::collection::vec(0..=LIMIT, 1..3),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole: Vec<u8> = lengths.iter().flat_map(|&length| message(length)).collect();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| Bytes::copy_from_slice(&whole[cut[0]..cut[1]]));
            let intake = intake();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();

            let (seen, failure) = runtime.block_on(seen(&intake, pieces.collect()));

            prop_assert_eq!(failure, None);
            prop_assert_eq!(seen.concat(), whole);
            prop_assert_eq!(taken(&intake), 0);
        }
    }

    #[tokio::test]
    async fn what_does_not_come_to_an_end_is_not_seen() {
        let intake = intake();
        let mut bytes = message(LIMIT);
        bytes.pop();

        let (seen, failure) = seen(&intake, vec![bytes.into()]).await;

        assert_eq!((seen.len(), failure), (0, Some(Code::InvalidArgument)));
        assert_eq!(taken(&intake), 0);
    }

    #[tokio::test]
    async fn an_announcement_beyond_the_limit_is_refused_at_once() {
        let announcement = Bytes::from(message(LIMIT + 1)).slice(..PREFIX_BYTES);

        let (seen, failure) = seen(&intake(), vec![announcement]).await;

        assert_eq!((seen.len(), failure), (0, Some(Code::InvalidArgument)));
    }

    #[tokio::test]
    async fn there_is_no_more_room_than_that() {
        let intake = intake();
        let others: Vec<_> = (0..2)
            .map(|number| {
                let address = std::net::IpAddr::from([10, 0, 0, number]);
                let held = Held::new(&intake.room, &intake.share(Caller::Peer(address)));
                held.grow_unfinished((ROOM - 10) / 2).unwrap();
                held
            })
            .collect();
        let bytes = Bytes::from(message(LIMIT));

        let (_, whole) = seen(&intake, vec![bytes.clone()]).await;
        let (_, halves) = seen(&intake, vec![bytes.slice(..50), bytes.slice(50..)]).await;

        assert_eq!((whole, halves), (None, Some(Code::Unavailable)));
        assert_eq!(taken(&intake), ROOM - 10);
        drop(others);
        assert_eq!(taken(&intake), 0);
    }
}
