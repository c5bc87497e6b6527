//! Which files have got a new content? Looks at them every few seconds.
//!
//! There are no file-system events here. They differ for each way of replacing a file, and some ways cause none: a watch
//! on a file sees the first exchange of a Kubernetes ConfigMap as a deletion and nothing after it, and network mounts
//! report nothing at all. A look is a `stat`, which follows links; the content is compared if that differs, and once a
//! minute.

mod settling;

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use crate::config::reading;

use self::settling::{Finding, Settling};

/// How often the content is compared although nothing else differs. A write within the resolution of a file's times
/// would be missed otherwise.
const COMPARED: Duration = Duration::from_secs(60);

/// How often files are looked at while one of them may still change.
const UNSETTLED_PERIOD: Duration = Duration::from_millis(500);

/// Files and what is known about each.
#[derive(Debug)]
pub(super) struct Watch {
    /// How often the files are looked at; zero: never.
    check_every: Duration,
    files: BTreeMap<PathBuf, WatchedFile>,
    /// The look that is under way. It is kept when [`Watch::next_look`] is dropped: if a file lies on a mount that does not
    /// answer, there must not be one more thread for each try.
    looking: Option<JoinHandle<Vec<FileLook>>>,
}

#[derive(Debug)]
struct WatchedFile {
    stamp: Option<Stamp>,
    /// When the content was last compared.
    compared: Instant,
    settling: Settling,
}

/// What a `stat` shows of a file. If it differs, the content may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What was seen of one file.
#[derive(Debug)]
struct FileLook {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// The content, if it was compared; within that `None` if it cannot be read.
    content: Option<Option<Vec<u8>>>,
}

impl WatchedFile {
    fn new(content: Option<&[u8]>, now: Instant) -> Self {
        Self {
            // The first look compares the content: the file may have changed since it was read.
            stamp: None,
            compared: now,
            settling: Settling::new(content),
        }
    }
}

impl Watch {
    /// Watches these files, each with the content that is in use, or `None` if it could not be read.
    pub(super) fn new(
        check_every: Duration,
        files: impl IntoIterator<Item = (PathBuf, Option<Vec<u8>>)>,
    ) -> Self {
        let now = Instant::now();
        let watched = |(path, content): (PathBuf, Option<Vec<u8>>)| {
            (path, WatchedFile::new(content.as_deref(), now))
        };
        Self {
            check_every,
            files: files.into_iter().map(watched).collect(),
            looking: None,
        }
    }

    /// Waits for the next look at the files, and names those that have got a new content that has settled; mostly none.
    /// Each content is reported once. Safe to cancel.
    pub(super) async fn next_look(&mut self) -> Vec<PathBuf> {
        if self.check_every.is_zero() || self.files.is_empty() {
            return pending().await;
        }
        let is_unsettled = |watched: &WatchedFile| watched.settling.is_unsettled();
        let period = match self.files.values().any(is_unsettled) {
            true => UNSETTLED_PERIOD.min(self.check_every),
            false => self.check_every,
        };
        if self.looking.is_none() {
            sleep(period).await;
        }
        self.look().await
    }

    /// Watches these files, too, with the contents that were of no use.
    pub(super) fn add_useless(
        &mut self,
        files: impl IntoIterator<Item = (PathBuf, Option<Vec<u8>>)>,
    ) {
        let now = Instant::now();
        for (path, content) in files {
            match self.files.get_mut(&path) {
                Some(watched) => watched.settling.was_useless(content.as_deref()),
                None => {
                    self.files
                        .insert(path, WatchedFile::new(content.as_deref(), now));
                }
            }
        }
    }

    /// Looks at each file once, and names those whose new content has settled.
    async fn look(&mut self) -> Vec<PathBuf> {
        let now = Instant::now();
        let looking = self.looking.get_or_insert_with(|| {
            let due = self.files.iter().map(|(path, watched)| {
                let is_due = watched.settling.is_unsettled() || now >= watched.compared + COMPARED;
                (path.clone(), watched.stamp.filter(|_| !is_due))
            });
            let due: Vec<_> = due.collect();
            spawn_blocking(move || {
                let looks = due.into_iter();
                looks.map(|(path, known)| look_at(path, known)).collect()
            })
        });
        let looked = looking.await;
        self.looking = None;
        let now = Instant::now();
        let mut changed = Vec::new();
        for FileLook {
            path,
            stamp,
            content,
        } in looked.unwrap_or_default()
        {
            let Some(watched) = self.files.get_mut(&path) else {
                continue;
            };
            watched.stamp = stamp;
            let Some(content) = content else { continue };
            watched.compared = now;
            if watched.settling.look(content.as_deref(), now) == Finding::Settled {
                changed.push(path);
            }
        }
        changed
    }
}

/// Looks at a file, and reads it if it does not have this stamp.
fn look_at(path: PathBuf, known: Option<Stamp>) -> FileLook {
    let stamp = stamp(&path);
    let content = match stamp.is_some() && stamp == known {
        true => None,
        false => Some(reading::bytes_again(&path).ok()),
    };
    FileLook {
        path,
        stamp,
        content,
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests;
