//! How are the files that the process may open divided? Connections of callers must leave files for connections to providers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Files that the process itself needs, and each runtime for its poller, wakers and signals.
const OWN: usize = 64;
const OWN_BY_RUNTIME: usize = 8;

/// Raises the soft limit on open files to the hard limit.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If that fails the limit stays as it is, and the service warns at its start if it is too low.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// The limit on open files; `None` if there is none.
pub(super) fn limit() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile).current?;
    usize::try_from(limit).ok()
}

/// The files that the configuration asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Connections of callers.
    pub(super) connections: usize,
    /// Calls under way, each of which may need a connection to a provider.
    pub(super) calls: usize,
    pub(super) runtimes: usize,
}

impl Wanted {
    /// How many connections callers may have under this limit. The rest is left for connections to providers: what
    /// `calls` needs, but at most half of what the process does not need itself.
    fn connections_under(&self, limit: usize) -> usize {
        let room = limit.saturating_sub(self.own());
        let reserve = self.calls.min(room - room / 2);
        self.connections.min(room - reserve).max(1)
    }

    /// The lowest limit that is enough for everything.
    fn needed(&self) -> usize {
        self.connections
            .saturating_add(self.calls)
            .saturating_add(self.own())
    }

    fn own(&self) -> usize {
        OWN + self.runtimes.saturating_mul(OWN_BY_RUNTIME)
    }

    /// How many connections callers may have in this process. Warns if that is less than the configuration says.
    pub(super) fn connections(&self) -> usize {
        let Some(limit) = limit() else {
            return self.connections;
        };
        let connections = self.connections_under(limit);
        if connections < self.connections {
            let needed = self.needed();
            warn!(
                limit,
                needed,
                connections,
                "the limit on open files is too low for `server.max_connections` and `admission.max_inflight`: callers \
                 get only `connections`; raise the limit (`ulimit -n`, `LimitNOFILE`) to `needed`"
            );
        }
        connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_leave_providers_what_calls_need_or_half() {
        let wanted = Wanted {
            connections: 4096,
            calls: 1024,
            runtimes: 2,
        };
        let table = [
            (1 << 20, 4096),
            (5200, 4096), // just what is needed
            (5199, 4095),
            (2128, 1024), // both may have half
            (1024, 472),
            (256, 88),
            (82, 1),
            (10, 1),
            (0, 1),
        ];
        for (limit, connections) in table {
            assert_eq!(wanted.connections_under(limit), connections, "{limit}");
        }
        assert_eq!(wanted.needed(), 5200);
    }
}
