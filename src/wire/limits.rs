//! How much of an answer is read at most?

/// Largest JSON body that is read; a larger one is `Malformed`.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Largest event that is read, in bytes of its lines, comments included; a larger one is `Malformed`.
pub const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

/// The most parts that an answer has, such as tool calls; one with more is `Malformed`. Models write a few
/// hundred at most: reasoning and text by turns.
pub const MAX_PARTS: usize = 16 * 1024;

/// The longest name that is kept: of an answer, a model, a tool, an event, a finish reason, a provider's
/// id of a request. Real ones are much shorter.
pub const MAX_NAME_BYTES: usize = 256;
