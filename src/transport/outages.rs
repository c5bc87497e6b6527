//! Logs that a host cannot be reached: when that begins, changes its cause or ends, not for each request. Each try is
//! counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::Uri;
use tokio::time::Instant;
use tracing::{info, warn};

use super::cause::{ConnectError, ConnectFailure};
use super::connects::{ConnectionCounts, OpenConnection, ProviderConnections};

/// Between the names of the providers at a host.
const SEPARATOR: &str = ", ";

/// The least time between two log lines about a host.
const PAUSE: Duration = Duration::from_secs(5);

/// After this time an outage that has not changed is logged again.
const REMINDER: Duration = Duration::from_secs(60);

/// The hosts of a link, by scheme, name and port.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Read when a connection is made, and replaced when the configuration changes.
    hosts: RwLock<HashMap<String, Arc<WatchedHost>>>,
}

/// The providers of a link and the hosts of their URLs.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedHosts(HashMap<String, String>);

#[derive(Debug)]
struct WatchedHost {
    /// The names of the providers at this host.
    providers: String,
    logged: Mutex<Logged>,
    /// Counts the connections of the first of them.
    counts: Arc<ProviderConnections>,
}

impl WatchedHosts {
    /// Adds a provider and the host of its URL.
    pub(super) fn add(&mut self, provider: &str, base_url: &str) {
        let Ok(url) = base_url.parse() else { return };
        let providers = self.0.entry(origin(&url)).or_default();
        if !providers.is_empty() {
            providers.push_str(SEPARATOR);
        }
        providers.push_str(provider);
    }
}

/// What was logged of a host.
#[derive(Debug, Default)]
struct Logged {
    /// Why it cannot be reached.
    failure: Option<ConnectFailure>,
    /// When the last line was written.
    at: Option<Instant>,
}

impl Outages {
    /// Watches these hosts and no others. What was logged of a host stays known while its providers stay the same.
    /// Connections are counted in `counts`.
    pub(super) fn watch(&self, watched: WatchedHosts, counts: &ConnectionCounts) {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *hosts);
        for (origin, providers) in watched.0 {
            let known = before.get(&origin);
            let host = match known.filter(|host| host.providers == providers) {
                Some(known) => Arc::clone(known),
                None => Arc::new(WatchedHost {
                    counts: counts.of(first_of(&providers)),
                    providers,
                    logged: Mutex::default(),
                }),
            };
            hosts.insert(origin, host);
        }
    }

    fn host(&self, origin: &str) -> Option<Arc<WatchedHost>> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(origin).cloned()
    }

    /// Counts a try to connect to the host of this URL that succeeded, or failed like this.
    pub(super) fn count(&self, url: &Uri, failure: Option<ConnectFailure>) {
        if let Some(host) = self.host(&origin(url)) {
            host.counts.tried(failure);
        }
    }

    /// Counts an open connection to the host of this URL, until what is returned is dropped.
    pub(super) fn opened(&self, url: &Uri, is_http2: bool) -> Option<OpenConnection> {
        let host = self.host(&origin(url))?;
        Some(host.counts.opened(is_http2))
    }

    /// A connection to the host of this URL has failed.
    pub(super) fn failed(&self, url: &Uri, error: &ConnectError) {
        let origin = origin(url);
        let Some(host) = self.host(&origin) else {
            return;
        };
        if host
            .logged()
            .is_worth_a_line(error.failure(), Instant::now())
        {
            warn!(
                provider = host.providers,
                host = origin,
                reason = %error,
                cause = error.chain(),
                "no connection to a provider"
            );
        }
    }

    /// A connection to the host of this URL was made.
    pub(super) fn connected(&self, url: &Uri) {
        let origin = origin(url);
        let Some(host) = self.host(&origin) else {
            return;
        };
        if host.logged().is_over(Instant::now()) {
            info!(
                provider = host.providers,
                host = origin,
                "connections to a provider again"
            );
        }
    }
}

impl WatchedHost {
    fn logged(&self) -> std::sync::MutexGuard<'_, Logged> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logged {
    fn is_worth_a_line(&mut self, failure: ConnectFailure, now: Instant) -> bool {
        let changed = self.failure != Some(failure);
        let pause = if changed { PAUSE } else { REMINDER };
        let due = self.at.is_none_or(|last| now >= last + pause);
        if due {
            *self = Self {
                failure: Some(failure),
                at: Some(now),
            };
        }
        due
    }

    fn is_over(&mut self, now: Instant) -> bool {
        let due = self.failure.is_some() && self.at.is_none_or(|last| now >= last + PAUSE);
        if due {
            *self = Self {
                failure: None,
                at: Some(now),
            };
        }
        due
    }
}

/// The first of the names of some providers.
fn first_of(providers: &str) -> &str {
    providers.split(SEPARATOR).next().unwrap_or_default()
}

fn origin(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}")
}

#[cfg(test)]
mod tests {
    use super::super::cause::ConnectCause;
    use super::*;

    const REFUSED: ConnectFailure = ConnectFailure::Host(ConnectCause::Refused);
    const NO_NAME: ConnectFailure = ConnectFailure::Host(ConnectCause::Name);

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_logged_when_it_begins_when_it_changes_and_once_a_minute() {
        let begin = Instant::now();
        let mut logged = Logged::default();
        let table = [
            (0, REFUSED, true),
            (1, REFUSED, false),
            (2, NO_NAME, false), // too soon
            (6, NO_NAME, true),
            (12, REFUSED, true),
            (71, REFUSED, false),
            (72, REFUSED, true),
        ];
        for (second, failure, expected) in table {
            let now = begin + Duration::from_secs(second);

            assert_eq!(logged.is_worth_a_line(failure, now), expected, "{second}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn its_end_is_logged_once_and_a_host_that_comes_and_goes_fills_no_log() {
        let begin = Instant::now();
        let mut logged = Logged::default();
        assert!(!logged.is_over(begin), "it was never away");

        assert!(logged.is_worth_a_line(REFUSED, begin));
        assert!(!logged.is_over(begin + Duration::from_secs(4)));
        assert!(logged.is_over(begin + PAUSE));
        assert!(!logged.is_over(begin + PAUSE * 3));
        assert!(logged.is_worth_a_line(REFUSED, begin + PAUSE * 2));

        let lines = (1000..5000).filter(|millis| {
            let now = begin + PAUSE * 2 + Duration::from_millis(*millis);
            logged.is_over(now) || logged.is_worth_a_line(REFUSED, now)
        });
        assert_eq!(lines.count(), 0);
    }
}
