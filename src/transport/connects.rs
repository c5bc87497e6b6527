//! How many connections to each provider are open, and how did the tries to make one end?

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::meter::{Axes, Axis, Counter, Grid};

use super::cause::{ConnectCause, ConnectFailure};

/// The ends of a try to connect, as metrics name them.
static RESULTS: Axes =
    LazyLock::new(|| vec![Axis::new("result", ["ok", "dns", "tcp", "tls", "timeout"])]);

/// The protocols of open connections, as metrics name them.
pub const PROTOCOLS: [&str; 2] = ["http/1.1", "h2"];

/// Counts connections by the name of their provider. Clones share the counts, which outlive a configuration.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCounts(Arc<Mutex<BTreeMap<String, Arc<ProviderConnections>>>>);

/// The connections of one provider.
#[derive(Debug)]
pub struct ProviderConnections {
    /// Tries to connect, by their end.
    pub tries: Grid<Counter>,
    /// In the order of [`PROTOCOLS`].
    open: [AtomicUsize; 2],
}

/// An open connection. Dropping it counts it out.
#[derive(Debug)]
pub(super) struct OpenConnection {
    of: Arc<ProviderConnections>,
    protocol: usize,
}

impl ConnectionCounts {
    /// The counts of a provider, all 0 if it has none yet.
    pub fn of(&self, provider: &str) -> Arc<ProviderConnections> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = counts.get(provider) {
            return Arc::clone(of);
        }
        let of = Arc::new(ProviderConnections::new());
        counts.insert(provider.to_owned(), Arc::clone(&of));
        of
    }
}

impl ProviderConnections {
    fn new() -> Self {
        Self {
            tries: Grid::counters(&RESULTS),
            open: Default::default(),
        }
    }

    /// The number of open connections, in the order of [`PROTOCOLS`].
    pub fn open(&self) -> [usize; 2] {
        [0, 1].map(|protocol| self.open[protocol].load(Ordering::Relaxed))
    }

    /// Counts a try that succeeded, or failed like this.
    pub(super) fn tried(&self, failure: Option<ConnectFailure>) {
        self.tries.increment([failure.map_or(0, position)]);
    }

    /// Counts an open connection in.
    pub(super) fn opened(self: &Arc<Self>, is_http2: bool) -> OpenConnection {
        let protocol = usize::from(is_http2);
        self.open[protocol].fetch_add(1, Ordering::Relaxed);
        OpenConnection {
            of: Arc::clone(self),
            protocol,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.of.open[self.protocol].fetch_sub(1, Ordering::Relaxed);
    }
}

/// The position of a failure among [`RESULTS`]. A proxy that refuses or fails counts as TCP: there was no way to the host.
fn position(failure: ConnectFailure) -> usize {
    const DNS: usize = 1;
    const TCP: usize = 2;
    const TLS: usize = 3;
    const TIMEOUT: usize = 4;
    match failure {
        ConnectFailure::Host(cause) | ConnectFailure::Proxy(cause) => match cause {
            ConnectCause::Name => DNS,
            ConnectCause::Refused
            | ConnectCause::NoWay
            | ConnectCause::Tcp
            | ConnectCause::Files
            | ConnectCause::Shortage => TCP,
            ConnectCause::TcpTimeout | ConnectCause::TlsTimeout => TIMEOUT,
            ConnectCause::UnknownIssuer
            | ConnectCause::Expired
            | ConnectCause::NotYetValid
            | ConnectCause::OtherName
            | ConnectCause::Certificate
            | ConnectCause::ClientCertificateWanted
            | ConnectCause::ClientCertificateRefused
            | ConnectCause::Tls => TLS,
        },
        ConnectFailure::ProxyTimeout => TIMEOUT,
        ConnectFailure::ProxyCredentials
        | ConnectFailure::ProxyRefused(_)
        | ConnectFailure::ProxyLost => TCP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_as_open_until_it_is_dropped() {
        let counts = ConnectionCounts::default();
        let (first, second) = (counts.of("p").opened(false), counts.of("p").opened(true));
        let third = counts.of("p").opened(true);

        assert_eq!(counts.of("p").open(), [1, 2]);

        drop((first, second, third));
        assert_eq!(counts.of("p").open(), [0, 0]);
    }

    #[test]
    fn each_try_counts_once_by_its_end() {
        let counts = ConnectionCounts::default();
        let host = |cause| Some(ConnectFailure::Host(cause));
        let ends = [
            None,
            host(ConnectCause::Name),
            host(ConnectCause::Refused),
            host(ConnectCause::Expired),
            host(ConnectCause::TlsTimeout),
            Some(ConnectFailure::ProxyTimeout),
        ];
        for failure in ends {
            counts.of("p").tried(failure);
        }

        let of = counts.of("p");
        let shown: Vec<_> = of
            .tries
            .cells()
            .map(|(result, count)| (result[0], count.count()))
            .collect();
        let expected = [
            ("ok", 1),
            ("dns", 1),
            ("tcp", 1),
            ("tls", 1),
            ("timeout", 2),
        ];
        assert_eq!(shown, expected);
    }
}
