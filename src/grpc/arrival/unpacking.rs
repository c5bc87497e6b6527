//! What a message compressed by gzip becomes, piece by piece.

use std::io::Write as _;

use flate2::write::GzDecoder;

use crate::error::Error;

/// After this many unpacked bytes a step is over. A step may end with some more: what one call of the
/// decoder gives.
const STEP_BYTES: usize = 64 * 1024;

/// So many bytes must become something: gzip's head can be of any length, and the decoder keeps it.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A message that is being unpacked.
pub(super) struct Unpacking {
    decoder: GzDecoder<Vec<u8>>,
    /// Whether anything has been unpacked, and the bytes taken before.
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

    /// Takes bytes until there are enough unpacked ones, or all; gives their number.
    ///
    /// # Errors
    /// They are not what gzip makes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut taken = 0;
        while taken < bytes.len() && self.decoder.get_ref().len() < STEP_BYTES {
            let step = self.decoder.write(&bytes[taken..]);
            let step = step.map_err(|_| damaged())?;
            if step == 0 {
                return Err(unreadable("there are bytes behind what gzip has made"));
            }
            taken += step;
            if !self.has_begun {
                self.head += step;
                self.has_begun = !self.decoder.get_ref().is_empty();
            }
            if !self.has_begun && self.head > MAX_HEAD_BYTES {
                return Err(unreadable("nothing comes of its first 64 KiB"));
            }
        }
        Ok(taken)
    }

    /// What has been unpacked since the last time.
    pub(super) fn unpacked(&mut self) -> Vec<u8> {
        std::mem::take(self.decoder.get_mut())
    }

    /// What is left when everything has been taken.
    ///
    /// # Errors
    /// It is not complete, or its checksum is another.
    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        self.decoder.finish().map_err(|_| damaged())
    }
}

fn damaged() -> Error {
    unreadable("it is not what gzip makes")
}

/// A message that is not what its prefix says.
pub(super) fn unreadable(why: &str) -> Error {
    Error::invalid("message", format!("it cannot be read: {why}"))
}
