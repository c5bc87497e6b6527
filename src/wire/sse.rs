//! Cuts a byte stream into server-sent events, whatever the cuts of the network.

use crate::error::UpstreamError;

use super::Frame;

/// Largest event that is read; a larger one is `Malformed`.
pub const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

/// An incremental parser of `text/event-stream` (WHATWG HTML, section 9.2).
#[derive(Default)]
pub struct Parser {}

impl Parser {
    /// Reads the next bytes and passes every event they complete to `on_frame`.
    ///
    /// # Errors
    /// What `on_frame` returns, or `Malformed` for an event that is too large.
    pub fn push(
        &mut self,
        _bytes: &[u8],
        mut _on_frame: impl FnMut(Frame<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        Ok(())
    }

    /// The stream has ended: an event that no blank line has closed still counts.
    ///
    /// # Errors
    /// As [`Parser::push`].
    pub fn end(
        &mut self,
        mut _on_frame: impl FnMut(Frame<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        Ok(())
    }
}
