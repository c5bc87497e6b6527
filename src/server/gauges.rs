//! What do the metrics show of callers' connections, of RPCs that are no calls, of admission and of kept answers? Read at
//! each scrape.

use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::caller::Priority;
use crate::grpc::rpcs::RpcCounts;
use crate::identity::directory::census::CountedState;
use crate::identity::identities::Identities;
use crate::telemetry::metrics::{Metrics, names};

use super::census::Census;
use super::refused::RefusedConnections;

/// What the server knows.
pub(super) struct Gauges {
    pub(super) admission: Arc<Admission>,
    /// By listener.
    pub(super) censuses: Vec<(&'static str, Census)>,
    pub(super) refused: Arc<RefusedConnections>,
    pub(super) rpcs: Arc<RpcCounts>,
    pub(super) identities: Arc<Identities>,
    /// Cancelled when the service goes down.
    pub(super) going_down: CancellationToken,
}

impl Gauges {
    /// Shows all of it in these metrics, and of kept answers what `kept` tells: their number, and their bytes.
    pub(super) fn show_in(
        self,
        metrics: &Metrics,
        kept: impl Fn() -> (usize, usize) + Send + Sync + 'static,
    ) {
        let Self {
            admission,
            censuses,
            refused,
            rpcs,
            identities,
            going_down,
        } = self;
        metrics.ask(move |readings| {
            readings.gauge(&names::INFLIGHT, [], admission.inflight() as f64);
            readings.gauge(&names::LIMIT, [], admission.limit() as f64);
            for priority in Priority::ALL {
                let waiting = admission.waiting_of(priority);
                readings.gauge(&names::WAITING, [priority.name().into()], waiting as f64);
            }
            let counts = admission.counts();
            readings.histograms(&names::ADMISSION_WAIT, [], &counts.waits, |_, _| true);
            readings.counts(&names::ADMISSION_REFUSED, [], &counts.refused);
            readings.gauge(&names::CPU_WAIT, [], admission.cpu_wait().as_secs_f64());
            for (listener, census) in &censuses {
                let connections = census.count() as f64;
                readings.gauge(&names::CONNECTIONS, [(*listener).into()], connections);
            }
            readings.counts(&names::CONNECTIONS_REFUSED, [], &refused.0);
            readings.counts(&names::CREDENTIALS_REFUSED, [], identities.refused());
            let keys = identities.directory().keys_by_state(SystemTime::now());
            for (state, keys) in CountedState::ALL.into_iter().zip(keys) {
                readings.gauge(&names::KEYS, [state.name().into()], keys as f64);
            }
            readings.counts(&names::RPCS, [], &rpcs.0);
            readings.flag(&names::DRAINING, [], going_down.is_cancelled());
            let (entries, bytes) = kept();
            readings.gauge(&names::IDEMPOTENCY_ENTRIES, [], entries as f64);
            readings.gauge(&names::IDEMPOTENCY_BYTES, [], bytes as f64);
        });
    }
}
