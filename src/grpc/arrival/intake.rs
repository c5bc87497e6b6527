//! How does a request come in: when does its call begin, how long may it take, and how much memory?
//!
//! A call begins when the head of its request arrives, so its deadline also bounds the time that its message takes.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::room::{Held, Room, Share};
use crate::caller::Caller;
use crate::error::{Error, excerpt};

use super::super::conversation::MAX_QUESTION_BYTES;
use super::super::metadata;
use super::body::{Incoming, Times};
use super::messages::{MessageRules, Messages};

/// The header that tells how messages are compressed.
const COMPRESSION: &str = "grpc-encoding";

/// The header that lists the supported compressions; below, its value.
const COMPRESSIONS_READ: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const READ: HeaderValue = HeaderValue::from_static("identity,gzip");

/// The path prefix of services whose callers may send messages for any length of time.
const CONVERSATIONS: &str = "/grpc.reflection.";

/// How a request arrived. It travels with the request.
#[derive(Clone, Debug)]
pub(in crate::grpc) struct Arrival {
    /// When its head arrived.
    pub(in crate::grpc) at: Instant,
    /// The memory that it has reserved.
    pub(in crate::grpc) held: Held,
}

/// The same response with a header that says how the next request may be compressed.
pub(in crate::grpc) fn with_compressions<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(COMPRESSIONS_READ, READ);
    response
}

/// Lets requests in, by the same rules for all of them.
#[derive(Clone)]
pub(in crate::grpc) struct Intake {
    /// The longest time from the head of a request to its end.
    pub(in crate::grpc) timeout: Duration,
    pub(in crate::grpc) rules: MessageRules,
    room: Arc<Room>,
    draining: CancellationToken,
}

impl Intake {
    /// Lets requests in that arrive within `timeout`, keep `rules` and find memory in `room`. Conversations end when
    /// the service drains.
    pub(in crate::grpc) fn new(
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

    /// Whether there is a method at this path.
    pub(in crate::grpc) fn serves(&self, path: &str) -> bool {
        self.rules.contract.method(path).is_some()
    }

    /// The room that the requests of a caller share.
    pub(in crate::grpc) fn share(&self, caller: Caller) -> Arc<Share> {
        self.room.share(caller)
    }

    /// A request of the caller that owns `share`. It takes up nothing yet.
    pub(in crate::grpc) fn held(&self, share: &Arc<Share>) -> Held {
        Held::new(&self.room, share)
    }

    /// Lets in a request of the caller that owns `share`, whose head arrives `now`: notes its arrival, and limits the size of its message and the
    /// time for it.
    ///
    /// # Errors
    /// [`Error::Unimplemented`] if there is no such method, or if its messages are compressed with anything but gzip.
    pub(in crate::grpc) fn admit<B>(
        &self,
        mut request: Request<B>,
        share: &Arc<Share>,
        now: Instant,
    ) -> Result<Request<Incoming<B>>, Error> {
        let path = request.uri().path();
        let contract = &self.rules.contract;
        let Some(method) = contract.method(path) else {
            return Err(Error::Unimplemented(contract.absent(path)));
        };
        // Removed, since tonic gets the messages decompressed.
        let gzip = match request.headers_mut().remove(COMPRESSION) {
            None => false,
            Some(value) if value == "identity" => false,
            Some(value) if value == "gzip" => true,
            Some(value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                return Err(Error::Unimplemented(format!(
                    "messages compressed by `{}` are not supported; use `gzip` or `identity`",
                    excerpt(&value)
                )));
            }
        };
        let deadline = metadata::given_timeout(request.headers())
            .and_then(|timeout| now.checked_add(metadata::time_within(timeout)));
        let is_conversation = request.uri().path().starts_with(CONVERSATIONS);
        let held = Held::new(&self.room, share);
        let mut rules = self.rules.clone();
        if is_conversation {
            rules.max_message_bytes = rules.max_message_bytes.min(MAX_QUESTION_BYTES);
        }
        let messages = Messages::new(rules, method, gzip, held.clone());
        let draining = is_conversation.then(|| self.draining.clone());
        let times = Times {
            began: now,
            timeout: self.timeout,
            deadline,
        };
        let mut request = request.map(|body| Incoming::new(body, messages, times, draining));
        request.extensions_mut().insert(Arrival { at: now, held });
        Ok(request)
    }
}

#[cfg(test)]
mod tests;
