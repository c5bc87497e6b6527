//! Has a file got another content, and has that stayed the same for long enough to be used? Pure: time is passed in.
//!
//! A program that writes a file in place leaves every length of it on the disk for a moment, and a half-written
//! configuration may well be valid. So a new content must stay unchanged for a while before it is used. What looks like
//! the beginning of a longer text must stay for much longer.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::time::Instant;

use crate::hash::sha256;

/// How long a new content must stay unchanged.
const SETTLED: Duration = Duration::from_secs(2);

/// How long a file must stay away, empty, or a mere beginning of the content in use.
const SETTLED_DOUBTFUL: Duration = Duration::from_secs(30);

/// The SHA-256 of a content; `None` for a file that cannot be read.
pub(in crate::serve) type ContentHash = Option<[u8; 32]>;

/// What is known about the content of a file.
#[derive(Debug)]
pub(super) struct Settling {
    /// The content in use; it may be a key. `None` if the file could not be read.
    in_use: Option<SecretSlice<u8>>,
    /// The content that was reported last. It is not reported again, even if it was of no use.
    reported: ContentHash,
    /// Another content, and since when it has been there.
    found: Option<(ContentHash, Instant)>,
}

/// What a look at a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The content that was reported last.
    Same,
    /// Another content, which may still change.
    Unsettled,
    /// Another content, which has not changed for a while. It counts as reported from now on.
    Settled,
}

impl Settling {
    /// A file with this content in use; `None` if it could not be read.
    pub(super) fn new(content: Option<&[u8]>) -> Self {
        Self {
            in_use: content.map(|content| content.to_vec().into()),
            reported: content.map(sha256),
            found: None,
        }
    }

    /// Takes in what a look found: the content of the file, or `None` if it cannot be read.
    pub(super) fn look(&mut self, content: Option<&[u8]>, now: Instant) -> Finding {
        let fingerprint = content.map(sha256);
        if fingerprint == self.reported {
            self.found = None;
            return Finding::Same;
        }
        let since = match self.found {
            Some((found, since)) if found == fingerprint => since,
            Some(_) | None => now,
        };
        if now.saturating_duration_since(since) < self.patience(content) {
            self.found = Some((fingerprint, since));
            return Finding::Unsettled;
        }
        self.reported = fingerprint;
        self.found = None;
        Finding::Settled
    }

    /// This content was read and cannot be used. It is not reported again.
    pub(super) fn was_useless(&mut self, content: Option<&[u8]>) {
        self.reported = content.map(sha256);
        self.found = None;
    }

    /// Whether the last look found a content that may still change.
    pub(super) fn is_unsettled(&self) -> bool {
        self.found.is_some()
    }

    fn patience(&self, content: Option<&[u8]>) -> Duration {
        let Some(content) = content else {
            return SETTLED_DOUBTFUL;
        };
        let is_beginning = self.in_use.as_ref().is_some_and(|in_use| {
            let in_use = in_use.expose_secret();
            content.len() < in_use.len() && in_use.starts_with(content)
        });
        match is_beginning || content.is_empty() {
            true => SETTLED_DOUBTFUL,
            false => SETTLED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a file every half second, from 0 on; each content stays for so many looks. The times at which a new
    /// content was reported, in half seconds.
    fn reported(in_use: &str, contents: &[(Option<&str>, usize)]) -> Vec<usize> {
        let start = Instant::now();
        let mut settling = Settling::new(Some(in_use.as_bytes()));
        let mut reported = Vec::new();
        let mut at = 0;
        for (content, looks) in contents {
            for _ in 0..*looks {
                let now = start + Duration::from_millis(500) * u32::try_from(at).unwrap();
                let content = content.map(str::as_bytes);
                if settling.look(content, now) == Finding::Settled {
                    reported.push(at);
                }
                at += 1;
            }
        }
        reported
    }

    #[test]
    fn a_new_content_is_used_once_it_has_not_changed_for_two_seconds() {
        assert_eq!(reported("old", &[(Some("new"), 100)]), [4]);
        assert_eq!(
            reported("old", &[(Some("new"), 3), (Some("newer"), 100)]),
            [7]
        );
    }

    #[test]
    fn the_content_in_use_is_no_news_and_ends_a_change() {
        assert!(reported("old", &[(Some("old"), 100)]).is_empty());
        assert!(reported("old", &[(Some("new"), 3), (Some("old"), 100)]).is_empty());
    }

    #[test]
    fn what_may_be_half_written_is_used_only_after_thirty_seconds() {
        for content in [None, Some(""), Some("ol")] {
            assert!(reported("old", &[(content, 60)]).is_empty(), "{content:?}");
            assert_eq!(reported("old", &[(content, 61)]), [60], "{content:?}");
        }
        // The second half arrives 1.5 s after the first.
        assert_eq!(reported("ab", &[(Some("a"), 3), (Some("abc"), 100)]), [7]);
    }

    #[test]
    fn a_content_is_reported_once_and_the_way_back_to_the_one_in_use_is_reported_too() {
        let contents = [(Some("bad"), 50), (Some("old"), 50), (Some("bad"), 50)];

        assert_eq!(reported("old", &contents), [4, 54, 104]);
    }
}
