//! How a request comes in: when its call begins, within what time and into how much room.
//!
//! A call begins at the arrival of its head, so that its deadline also bounds the way of its message.
//! tonic makes room for a message as soon as its length is announced; it is shown a message here only
//! once that is complete, so that an announcement alone costs nothing.

mod messages;
mod unpacking;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::codegen::StdError;

use crate::admission::room::{Held, Room, Share};
use crate::caller::Caller;
use crate::error::{Error, excerpt};

pub(super) use self::messages::MessageRules;

use self::messages::Messages;
use super::conversation::{MAX_QUESTION_BYTES, Refused};
use super::{metadata, status};

/// The header that tells how messages are compressed.
const COMPRESSION: &str = "grpc-encoding";

/// The header that tells which compressions are read, and those that are.
const COMPRESSIONS_READ: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const READ: HeaderValue = HeaderValue::from_static("identity,gzip");

/// Services whose callers may keep the way of their messages open.
const CONVERSATIONS: &str = "/grpc.reflection.";

/// How a request arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// When its head did.
    pub(super) at: Instant,
    /// What it takes up.
    pub(super) held: Held,
}

/// The same answer, which tells how the next request may be compressed.
pub(super) fn told<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(COMPRESSIONS_READ, READ);
    response
}

/// What all requests that come in share.
#[derive(Clone)]
pub(super) struct Intake {
    /// How long a request may take from its head to its end.
    timeout: Duration,
    rules: MessageRules,
    room: Arc<Room>,
    draining: CancellationToken,
}

impl Intake {
    /// An intake of requests that take no longer than this, by these rules, into this room, until the service drains.
    pub(super) fn new(
        timeout: Duration,
        rules: MessageRules,
        room: Arc<Room>,
        draining: CancellationToken,
    ) -> Self {
        Self {
            timeout,
            rules,
            room,
            draining,
        }
    }

    /// What the requests of a caller take up.
    pub(super) fn share(&self, caller: Caller) -> Arc<Share> {
        self.room.share(caller)
    }

    /// Notes the arrival of a request of the caller with this share, and bounds the way of its message.
    ///
    /// # Errors
    /// [`Error::Unimplemented`] if there is no such method, or its messages are compressed in a way that
    /// is not read.
    pub(super) fn admit<B>(
        &self,
        mut request: Request<B>,
        share: &Arc<Share>,
    ) -> Result<Request<Incoming<B>>, Error> {
        let path = request.uri().path();
        let contract = &self.rules.contract;
        let Some(method) = contract.method(path) else {
            return Err(Error::Unimplemented(contract.absent(path)));
        };
        // Whoever reads the messages gets them unpacked.
        let gzip = match request.headers_mut().remove(COMPRESSION) {
            None => false,
            Some(value) if value == "identity" => false,
            Some(value) if value == "gzip" => true,
            Some(value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                return Err(Error::Unimplemented(format!(
                    "messages compressed by `{}` are not read; use `gzip` or `identity`",
                    excerpt(&value)
                )));
            }
        };
        let now = Instant::now();
        let deadline = request
            .headers()
            .get("grpc-timeout")
            .and_then(|value| metadata::parse_timeout(value.to_str().ok()?))
            .and_then(|timeout| now.checked_add(metadata::time_within(timeout)));
        let conversation = request.uri().path().starts_with(CONVERSATIONS);
        let draining = || Box::pin(self.draining.clone().cancelled_owned());
        let held = Held::new(&self.room, share);
        let mut rules = self.rules.clone();
        if conversation {
            rules.max_message_bytes = rules.max_message_bytes.min(MAX_QUESTION_BYTES);
        }
        let mut request = request.map(|body| Incoming {
            body,
            timeout: self.timeout,
            deadline,
            slow_at: Some(now + self.timeout),
            conversation: conversation.then(|| Conversation {
                over: draining(),
                refused: Refused::default(),
            }),
            timer: None,
            come: Bytes::new(),
            messages: Messages::new(rules, method, gzip, held.clone()),
        });
        request.extensions_mut().insert(Arrival { at: now, held });
        Ok(request)
    }
}

/// A request's body that comes in whole messages, and fails when it takes too long.
pub(super) struct Incoming<B> {
    body: B,
    timeout: Duration,
    deadline: Option<Instant>,
    /// When it has taken too long; `None` once the first message of a conversation is there.
    slow_at: Option<Instant>,
    /// Set if the caller may keep the way of its messages open.
    conversation: Option<Conversation>,
    /// Set by the first wait: most bodies are there at once.
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that have come and have not been looked at.
    come: Bytes,
    messages: Messages,
}

/// What a request whose messages may come for long has besides them.
struct Conversation {
    /// When the service drains.
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    refused: Refused,
}

impl<B> Incoming<B> {
    /// Where it is told why a message of a conversation was refused.
    pub(super) fn refused(&self) -> Option<Refused> {
        let conversation = self.conversation.as_ref()?;
        Some(Arc::clone(&conversation.refused))
    }

    /// Fails, and notes why where nobody else tells it.
    fn fail(&self, status: Status) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Some(conversation) = &self.conversation {
            // The first one counts.
            let _ = conversation.refused.set(status.clone());
        }
        Poll::Ready(Some(Err(status.into())))
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
            let limit = self.timeout;
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
        if let Some(Conversation { over, .. }) = &mut self.conversation
            && over.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        loop {
            if let Some(piece) = self.messages.next() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if !self.come.is_empty() {
                let Self { messages, come, .. } = &mut *self;
                if let Err(refusal) = messages.take(come) {
                    return self.fail(status::of_error(&refusal));
                }
                if self.conversation.is_some() && self.messages.has_come() {
                    self.slow_at = None;
                    self.timer = None;
                }
                if self.messages.is_empty() && !self.come.is_empty() {
                    // Others have their turn before the next step.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                let late = std::task::ready!(self.poll_late(context));
                return self.fail(late);
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    return match self.messages.finish() {
                        Ok(()) => Poll::Ready(None),
                        Err(error) => self.fail(status::of_error(&error)),
                    };
                }
            };
            match frame.into_data() {
                Ok(bytes) => self.come = bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.come.is_empty()
            && self.messages.is_empty()
            && self.messages.finish().is_ok()
            && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::iter;
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;
    use tonic::Code;

    use super::super::elements::Contract;
    use super::*;
    use crate::admission::room::RoomLimits;

    const LIMIT: usize = 100;
    const ROOM: usize = 300;
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn intake() -> Intake {
        let room = Room::new(RoomLimits {
            requests: 100_000,
            requests_per_caller: 100_000,
            unfinished: ROOM,
        });
        let rules = MessageRules {
            max_message_bytes: LIMIT,
            contract: Arc::new(Contract::of_anything_at("/")),
            elements: Arc::default(),
        };
        let draining = CancellationToken::new();
        Intake::new(TIMEOUT, rules, Arc::new(room), draining)
    }

    fn share(intake: &Intake) -> Arc<Share> {
        intake.share(Caller::Unknown)
    }

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        // A field that nobody knows takes two bytes, or three.
        if length % 2 == 1 {
            bytes.extend([0x78, 0x81, 1]);
        }
        bytes.extend([0x78, 1].repeat((length - length % 2 * 3) / 2));
        bytes
    }

    /// What is seen of a body that comes in these pieces, up to its end or a failure.
    async fn seen(intake: &Intake, pieces: Vec<Bytes>) -> (Vec<Bytes>, Option<Code>) {
        let frames = pieces
            .into_iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let mut body = intake
            .admit(Request::new(StreamBody::new(iter(frames))), &share(intake))
            .unwrap()
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
            lengths in prop::collection::vec(prop_oneof![Just(0), 2..=LIMIT], 1..3),
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
        let announcement = Bytes::from(message(LIMIT + 1)).slice(..5);

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
