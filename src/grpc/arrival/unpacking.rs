//! How is a gzip message decompressed, piece by piece?

use std::io::Write as _;

use flate2::write::GzDecoder;

use crate::error::Error;

/// A step ends after this many decompressed bytes, or a little more: what one call of the decoder yields.
const STEP_BYTES: usize = 64 * 1024;

/// A message must decompress to something within its first bytes: gzip's header can have any length, and the decoder
/// keeps all of it.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A message that is being decompressed.
pub(super) struct Unpacking {
    decoder: GzDecoder<Vec<u8>>,
    /// Whether anything has been decompressed; below, the number of bytes taken until then.
    has_begun: bool,
    head: usize,
}

impl Unpacking {
    pub(super) fn new() -> Self {
        Self {
            decoder: GzDecoder::new(Vec::new()),
            has_begun: false,
            head: 0,
        }
    }

    /// Takes bytes until a step's worth is decompressed, or all; returns how many it took.
    ///
    /// # Errors
    /// The bytes are not gzip.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut taken = 0;
        while taken < bytes.len() && self.decoder.get_ref().len() < STEP_BYTES {
            let step = self.decoder.write(&bytes[taken..]);
            let step = step.map_err(|_| damaged())?;
            if step == 0 {
                return Err(unreadable("there are bytes after the end of the gzip data"));
            }
            taken += step;
            if !self.has_begun {
                self.head += step;
                self.has_begun = !self.decoder.get_ref().is_empty();
            }
            if !self.has_begun && self.head > MAX_HEAD_BYTES {
                return Err(unreadable("its first 64 KiB decompress to nothing"));
            }
        }
        Ok(taken)
    }

    /// The bytes that were decompressed since the last call.
    pub(super) fn unpacked(&mut self) -> Vec<u8> {
        std::mem::take(self.decoder.get_mut())
    }

    /// Ends the message; returns the remaining decompressed bytes.
    ///
    /// # Errors
    /// It is incomplete, or its checksum does not match.
    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        self.decoder.finish().map_err(|_| damaged())
    }
}

fn damaged() -> Error {
    unreadable("it is not valid gzip")
}

/// The error of a message that cannot be read.
pub(super) fn unreadable(why: &str) -> Error {
    Error::invalid("message", format!("it cannot be read: {why}"))
}
