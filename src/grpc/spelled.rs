//! How is a whole answer kept for repeats? As its bytes on the wire, which all its callers share.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use crate::chat::Answer;
use crate::serving::{Spelled, Summary};

use super::answer;
use super::codec::PREFIX_BYTES;
use super::v1::GenerateResponse;

/// A smaller answer is copied for each caller: that is faster than sending three pieces.
const COPIED_BYTES: usize = 4 * 1024;

/// The answer of a call with an idempotency key.
#[derive(Clone, Debug)]
pub struct SpelledResponse {
    call_id: String,
    response: Bytes,
}

impl Spelled for SpelledResponse {
    fn of(summary: &Summary<'_>, answer: Answer) -> Self {
        Self::of_message(&answer::response(summary, answer))
    }

    fn bytes(&self) -> usize {
        self.response.len()
    }
}

impl SpelledResponse {
    fn of_message(response: &GenerateResponse) -> Self {
        Self {
            call_id: response.call_id.clone(),
            response: response.encode_to_vec().into(),
        }
    }

    /// The id of the call.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The encoding of the message for a caller; `replayed` if another caller made the call.
    pub fn encoded(&self, replayed: bool) -> Vec<u8> {
        [&self.response[..], &replayed_mark(replayed)].concat()
    }

    /// The message for a caller; `replayed` if another caller made the call.
    pub(super) fn message(&self, replayed: bool) -> SharedMessage {
        let mark = replayed_mark(replayed);
        let length = self.response.len() + mark.len();
        let mut head = BytesMut::with_capacity(PREFIX_BYTES);
        head.put_u8(0);
        // No answer reaches 4 GiB: the limit on what is read from a provider is far below.
        head.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        if length <= COPIED_BYTES {
            head.extend_from_slice(&self.response);
            head.extend_from_slice(&mark);
            return SharedMessage([head.freeze(), Bytes::new(), Bytes::new()]);
        }
        SharedMessage([head.freeze(), self.response.clone(), mark.into()])
    }
}

/// Marks an answer as given to another caller before. In protobuf, bytes appended to a message are read as more fields
/// of it.
fn replayed_mark(replayed: bool) -> Vec<u8> {
    let mark = GenerateResponse {
        replayed,
        ..GenerateResponse::default()
    };
    mark.encode_to_vec()
}

/// A message with its prefix, in pieces. It travels in a response's extensions. When the response is written, these
/// bytes replace its own message.
#[derive(Clone, Debug)]
pub(super) struct SharedMessage(pub(super) [Bytes; 3]);

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::grpc::v1;

    fn response(text: &str) -> GenerateResponse {
        GenerateResponse {
            call_id: "id".to_owned(),
            output: Some(v1::Message {
                text: text.to_owned(),
                ..v1::Message::default()
            }),
            ..GenerateResponse::default()
        }
    }

    #[test]
    fn a_repeat_is_given_the_same_answer_and_that_it_is_one() {
        for length in [0, 10, COPIED_BYTES, 1 << 20] {
            let response = response(&"x".repeat(length));
            let spelled = SpelledResponse::of_message(&response);
            for replayed in [false, true] {
                let bytes = spelled.message(replayed).0.concat();

                let (prefix, message) = bytes.split_at(PREFIX_BYTES);
                let length = u32::try_from(message.len()).unwrap();
                assert_eq!(prefix, [&[0], &length.to_be_bytes()[..]].concat());
                let expected = GenerateResponse {
                    replayed,
                    ..response.clone()
                };
                assert_eq!(GenerateResponse::decode(message).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_large_answer_is_not_copied() {
        let spelled = SpelledResponse::of_message(&response(&"x".repeat(1 << 20)));

        let SharedMessage([_, shared, _]) = spelled.message(true);

        assert_eq!(shared.as_ptr(), spelled.response.as_ptr());
    }
}
