//! Which messages of a request have arrived, and may they be passed on?
//!
//! A message is passed on when it is complete and within the limits on elements. A compressed message is
//! decompressed here piece by piece, so that its decompressed size is bounded as well.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::admission::room::Held;
use crate::error::Error;

use super::super::codec::PREFIX_BYTES;
use super::super::elements::{Contract, ElementLimits, RpcMethod, Walk};
use super::unpacking::{Unpacking, unreadable};

/// Pieces of a message are joined up to this size.
const PIECE_BYTES: usize = 64 * 1024;

/// The limits of messages.
#[derive(Clone)]
pub(in crate::grpc) struct MessageRules {
    /// A longer message is refused as soon as its prefix announces it.
    pub(in crate::grpc) max_message_bytes: usize,
    pub(in crate::grpc) contract: Arc<Contract>,
    pub(in crate::grpc) elements: Arc<ElementLimits>,
}

impl MessageRules {
    /// Checks a whole message to the method with this full name.
    ///
    /// # Errors
    /// It breaks a limit on elements, or it is malformed.
    pub(in crate::grpc) fn check(&self, method: &str, message: &[u8]) -> Result<(), Error> {
        let path = format!("/{method}");
        let Some(method) = self.contract.method(&path) else {
            return Err(Error::Unimplemented(self.contract.absent(&path)));
        };
        let mut walk = Walk::new(method, Some(message.len()));
        walk.read(&self.contract, &self.elements, message)?;
        walk.finish(&self.contract, &self.elements)?;
        Ok(())
    }
}

/// The messages of one request.
pub(super) struct Messages {
    rules: MessageRules,
    method: RpcMethod,
    /// Whether a message may be compressed.
    gzip: bool,
    held: Held,
    /// The number of messages that have begun.
    count: usize,
    /// The next prefix as far as it has arrived, and the number of its bytes that have.
    prefix: ([u8; PREFIX_BYTES], usize),
    open: Option<Open>,
    /// Pieces of complete messages, which may be passed on.
    whole: VecDeque<Bytes>,
}

/// An incomplete message.
struct Open {
    /// Its bytes that have not arrived.
    left: usize,
    walk: Walk,
    /// Copies: a slice of a few bytes would keep a whole read buffer in memory.
    pieces: VecDeque<BytesMut>,
    /// The length of all pieces.
    bytes: usize,
    unpacking: Option<Unpacking>,
}

impl Messages {
    pub(super) fn new(rules: MessageRules, method: RpcMethod, gzip: bool, held: Held) -> Self {
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

    /// The next piece that may be passed on.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.whole.pop_front()
    }

    /// Whether nothing may be passed on at the moment.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Whether a message has begun and is incomplete.
    pub(super) fn is_within(&self) -> bool {
        self.open.is_some() || self.prefix.1 > 0
    }

    /// Whether at least one message is complete.
    pub(super) fn has_come(&self) -> bool {
        self.count > usize::from(self.open.is_some())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The last message is incomplete, or there is none.
    pub(super) fn finish(&self) -> Result<(), Error> {
        if self.is_within() {
            return Err(Error::invalid(
                "message",
                "the stream ended before the message was complete",
            ));
        }
        if self.count == 0 && !self.method.takes_many {
            return Err(not_one("none"));
        }
        Ok(())
    }

    /// Takes some of the bytes, and leaves the rest for another step, so that the cost of a step is bounded.
    ///
    /// # Errors
    /// A message breaks a limit or is malformed, or there is no room for it.
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

    /// Takes a message without a copy if these bytes hold all of it and it is not compressed; returns whether it
    /// did.
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
            let what = format!("it has {length} bytes; at most {limit} are allowed");
            return Err(Error::invalid("message", what));
        }
        let unpacking = match (prefix[0], self.gzip) {
            (0, _) => None,
            (1, true) => Some(Unpacking::new()),
            (1, false) => {
                return Err(unreadable(
                    "its prefix says that it is compressed, but `grpc-encoding` is not `gzip`",
                ));
            }
            _ => return Err(unreadable("the first byte of its prefix must be 0 or 1")),
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

    /// Takes bytes of the incomplete message.
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
                format!("decompressed, it has more than {limit} bytes, the most that is allowed");
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

/// The length that a prefix announces.
fn announced(prefix: [u8; PREFIX_BYTES]) -> usize {
    let [_, a, b, c, d] = prefix;
    u32::from_be_bytes([a, b, c, d]) as usize
}

/// The error for any number of messages but one. Its code follows
/// <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>.
fn not_one(sent: &str) -> Error {
    Error::Unimplemented(format!(
        "the method takes exactly one message, and {sent} came; send one, then end the stream"
    ))
}
