//! How many files may be open, and who gets them: connections of callers must leave some for providers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Files of the process itself, and of each runtime: its poller, its wakers and signals.
const OWN: usize = 64;
const OWN_BY_RUNTIME: usize = 8;

/// Allows this process as many open files as its system lets it have by itself.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where that is not allowed, the limit stays as it is; it is told when the service starts.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// How many files may be open; `None` for any number.
pub(super) fn limit() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile).current?;
    usize::try_from(limit).ok()
}

/// What is to be open at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Connections of callers.
    pub(super) connections: usize,
    /// Calls under way, each of which may need a connection to a provider.
    pub(super) calls: usize,
    pub(super) runtimes: usize,
}

impl Wanted {
    /// How many connections callers may have under this limit. The other files are left to calls under
    /// way, at least half of what is not the process's own.
    fn connections_under(&self, limit: usize) -> usize {
        let room = limit.saturating_sub(self.own());
        let reserve = self.calls.min(room - room / 2);
        self.connections.min(room - reserve).max(1)
    }

    /// The least limit that fits everything.
    fn needed(&self) -> usize {
        self.connections
            .saturating_add(self.calls)
            .saturating_add(self.own())
    }

    fn own(&self) -> usize {
        OWN + self.runtimes.saturating_mul(OWN_BY_RUNTIME)
    }

    /// How many connections callers may have here. Warns if that is less than they should.
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
                "too few files may be open for `server.max_connections` and `admission.max_inflight`: callers \
                 get no more than so many connections; raise the limit (`ulimit -n`, `LimitNOFILE`)"
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
