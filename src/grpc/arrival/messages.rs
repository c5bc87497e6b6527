//! What has come of a request's messages, and what of them may be given on?
//!
//! A message is given on when it is complete, has no more elements than it may, and is in its own bytes: a
//! compressed one is unpacked here, piece by piece, so that what it becomes is bounded as what comes.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::admission::room::Held;
use crate::error::Error;

use super::super::elements::{Contract, ElementLimits, Method, Walk};
use super::unpacking::{Unpacking, unreadable};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Pieces of a message that comes in up to this size are joined.
const PIECE_BYTES: usize = 64 * 1024;

/// What all messages are held to.
#[derive(Clone)]
pub(in crate::grpc) struct MessageRules {
    /// A longer message is refused, by its announcement if that tells.
    pub(in crate::grpc) max_message_bytes: usize,
    pub(in crate::grpc) contract: Arc<Contract>,
    pub(in crate::grpc) elements: Arc<ElementLimits>,
}

/// The messages of one request.
pub(super) struct Messages {
    rules: MessageRules,
    method: Method,
    /// Whether a message may be compressed.
    gzip: bool,
    held: Held,
    /// How many have begun.
    count: usize,
    /// The prefix of the next one, as far as it has come.
    prefix: ([u8; PREFIX_BYTES], usize),
    open: Option<Open>,
    /// What may be given on, in pieces.
    whole: VecDeque<Bytes>,
}

/// A message of which the end has not come.
struct Open {
    /// Bytes of it that have not come.
    left: usize,
    walk: Walk,
    /// Copied: a few bytes would hold on to a whole buffer of the connection.
    pieces: VecDeque<BytesMut>,
    /// Of all pieces.
    bytes: usize,
    unpacking: Option<Unpacking>,
}

impl Messages {
    pub(super) fn new(rules: MessageRules, method: Method, gzip: bool, held: Held) -> Self {
        Self {
            rules,
            method,
            gzip,
            held,
            count: 0,
            prefix: ([0; PREFIX_BYTES], 0),
            open: None,
            whole: VecDeque::new(),
        }
    }

    /// A piece of a message that is complete.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.whole.pop_front()
    }

    /// Whether there is nothing to give on.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        self.open.is_some() || self.prefix.1 > 0
    }

    /// Whether one has come to its end.
    pub(super) fn has_come(&self) -> bool {
        self.count > usize::from(self.open.is_some())
    }

    /// There are no more bytes.
    ///
    /// # Errors
    /// There must be.
    pub(super) fn finish(&self) -> Result<(), Error> {
        if self.is_within() {
            return Err(Error::invalid("message", "it ended before it was complete"));
        }
        if self.count == 0 && !self.method.takes_many {
            return Err(not_one("none"));
        }
        Ok(())
    }

    /// Takes some of the bytes that have come, and leaves the rest for another time: what one step
    /// costs is bounded.
    ///
    /// # Errors
    /// A message is not what it may be, or there is no room for it.
    pub(super) fn take(&mut self, bytes: &mut Bytes) -> Result<(), Error> {
        if self.open.is_none() {
            if self.prefix.1 == 0 && self.take_whole(bytes)? {
                return Ok(());
            }
            let (prefix, read) = &mut self.prefix;
            let more = bytes.split_to((PREFIX_BYTES - *read).min(bytes.len()));
            prefix[*read..*read + more.len()].copy_from_slice(&more);
            *read += more.len();
            if *read < PREFIX_BYTES {
                return Ok(());
            }
            let prefix = std::mem::take(prefix);
            *read = 0;
            self.open = Some(self.begin(prefix)?);
        }
        self.go_on(bytes)
    }

    /// Takes the message that begins with these bytes, if all of it is there and nothing has to be done
    /// with it: it is not copied then.
    fn take_whole(&mut self, bytes: &mut Bytes) -> Result<bool, Error> {
        let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else {
            return Ok(false);
        };
        let whole = PREFIX_BYTES + announced(*prefix);
        if bytes.len() < whole || prefix[0] != 0 {
            return Ok(false);
        }
        let Open { mut walk, .. } = self.begin(*prefix)?;
        self.held.grow(whole)?;
        let message = bytes.split_to(whole);
        let MessageRules {
            contract, elements, ..
        } = &self.rules;
        walk.read(contract, elements, &message[PREFIX_BYTES..])?;
        walk.finish(contract, elements)?;
        self.whole.push_back(message);
        Ok(true)
    }

    fn begin(&mut self, prefix: [u8; PREFIX_BYTES]) -> Result<Open, Error> {
        self.count += 1;
        if self.count > 1 && !self.method.takes_many {
            return Err(not_one("more"));
        }
        let length = announced(prefix);
        let limit = self.rules.max_message_bytes;
        if length > limit {
            let what = format!("it has {length} bytes and may have {limit} at most");
            return Err(Error::invalid("message", what));
        }
        let unpacking = match (prefix[0], self.gzip) {
            (0, _) => None,
            (1, true) => Some(Unpacking::new()),
            (1, false) => {
                return Err(unreadable(
                    "it is said to be compressed, and `grpc-encoding` does not say how",
                ));
            }
            _ => return Err(unreadable("its first byte means nothing")),
        };
        let known = unpacking.is_none().then_some(length);
        Ok(Open {
            left: length,
            walk: Walk::new(self.method, known),
            pieces: VecDeque::new(),
            bytes: 0,
            unpacking,
        })
    }

    /// Takes bytes of the open message.
    fn go_on(&mut self, bytes: &mut Bytes) -> Result<(), Error> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let available = open.left.min(bytes.len());
        let taken = match &mut open.unpacking {
            None => {
                let more = bytes.split_to(available);
                open.append(&self.rules, &self.held, &more)?;
                more.len()
            }
            Some(unpacking) => {
                let taken = unpacking.take(&bytes[..available])?;
                let _ = bytes.split_to(taken);
                let more = unpacking.unpacked();
                open.append(&self.rules, &self.held, &more)?;
                taken
            }
        };
        open.left -= taken;
        if open.left == 0
            && let Some(open) = self.open.take()
        {
            self.end(open)?;
        }
        Ok(())
    }

    fn end(&mut self, mut open: Open) -> Result<(), Error> {
        if let Some(unpacking) = open.unpacking.take() {
            let rest = unpacking.finish()?;
            open.append(&self.rules, &self.held, &rest)?;
        }
        let MessageRules {
            contract, elements, ..
        } = &self.rules;
        open.walk.finish(contract, elements)?;
        self.held.finish();
        let length = u32::try_from(open.bytes).unwrap_or(u32::MAX).to_be_bytes();
        let prefix = [&[0], &length[..]].concat();
        self.whole.push_back(prefix.into());
        self.whole
            .extend(open.pieces.into_iter().map(BytesMut::freeze));
        Ok(())
    }
}

impl Open {
    fn append(&mut self, rules: &MessageRules, held: &Held, bytes: &[u8]) -> Result<(), Error> {
        let limit = rules.max_message_bytes;
        self.bytes += bytes.len();
        if self.bytes > limit {
            let what =
                format!("unpacked it has more than {limit} bytes, which is the most it may have");
            return Err(Error::invalid("message", what));
        }
        held.grow_unfinished(bytes.len())?;
        self.walk.read(&rules.contract, &rules.elements, bytes)?;
        match self.pieces.back_mut() {
            Some(last) if last.len() + bytes.len() <= PIECE_BYTES => last.extend_from_slice(bytes),
            _ => self.pieces.push_back(BytesMut::from(bytes)),
        }
        Ok(())
    }
}

/// The length of the message behind this prefix.
fn announced(prefix: [u8; PREFIX_BYTES]) -> usize {
    let [_, a, b, c, d] = prefix;
    u32::from_be_bytes([a, b, c, d]) as usize
}

/// The refusal of another number of messages than the method takes. The code is that of
/// <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>.
fn not_one(sent: &str) -> Error {
    Error::Unimplemented(format!(
        "the method takes one message, and {sent} came; send one and end the stream behind it"
    ))
}
