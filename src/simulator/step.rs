//! Which steps can the playing of a body consist of?

use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// One step of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(Bytes),
    Wait(Duration),
    /// Lets the connection write out what has been written so far.
    Flush,
    /// Writes and waits without end.
    Repeat(Bytes, Duration),
    Hang,
    /// Closes the connection; a reset instead of an orderly end if true.
    Close {
        reset: bool,
    },
}

impl Step {
    /// Writes these bytes.
    pub(super) fn write(bytes: impl Into<Bytes>) -> Self {
        Self::Write(bytes.into())
    }
}

/// The sum of what is written, if nothing else is done.
pub(super) fn length(steps: &[Step]) -> Option<u64> {
    let mut length = 0;
    for step in steps {
        let Step::Write(bytes) = step else {
            return None;
        };
        length += u64::try_from(bytes.len()).ok()?;
    }
    Some(length)
}

/// Joins what is written without a wait between.
pub(super) fn merge(steps: Vec<Step>) -> Vec<Step> {
    // Large pieces are cheaper to leave where they are than to copy.
    const LIMIT: usize = 16 * 1024;
    let mut merged = Vec::new();
    let mut open = BytesMut::new();
    for step in steps {
        match step {
            Step::Write(bytes) if open.len() + bytes.len() <= LIMIT => {
                open.extend_from_slice(&bytes);
            }
            other => {
                if !open.is_empty() {
                    merged.push(Step::Write(open.split().freeze()));
                }
                merged.push(other);
            }
        }
    }
    if !open.is_empty() {
        merged.push(Step::Write(open.freeze()));
    }
    merged
}
