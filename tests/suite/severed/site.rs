//! A service between two hundred callers and two providers, of which one is behind a proxy.

use std::time::Duration;

use modelway::grpc::v1::{AttemptKind, AttemptOutcome, BreakerState, ErrorReason};
use modelway::simulator::{Behaviour, Settings, Simulator};
use tokio::time::timeout;

use crate::support::aftermath::{
    breaker, every_place_is_free, nothing_is_under_way, tasks, tasks_fall_to, tokens,
};
use crate::support::crowd::{CallResult, Crowd, added, attempts, span_of};
use crate::support::proxy::{Faults, Proxy, Towards};
use crate::support::{Gateway, ask};

/// Calls under way at once at most.
pub(super) const CALLS: usize = 200;

/// Time-outs that no busy machine reaches.
pub(super) const PATIENT: &str = r#"{ stall_after = "1m", first_event = "1m", first_content = "1m", slow_first_content = "1m", byte_idle = "1m" }"#;

/// Tokens in the retry budget, which no success fills: one is missing for each added attempt.
const BURST: usize = 400;

/// Much longer than any recovery takes.
pub(super) const PROMPTLY: Duration = Duration::from_secs(20);

/// A service whose primary is behind a proxy and whose backup is well.
pub(super) struct Site {
    /// Its simulator is the backup.
    pub(super) gateway: Gateway,
    pub(super) primary: Simulator,
    pub(super) proxy: Proxy,
    /// Tasks before any of the calls.
    tasks: usize,
}

impl Site {
    /// The primary has these time-outs and behaves like this.
    pub(super) async fn start(timeouts: &str, behaviour: Behaviour) -> Self {
        Self::with_budget(
            timeouts,
            behaviour,
            &format!("{{ ratio = 0.0, burst = {BURST} }}"),
        )
        .await
    }

    /// The same, with another retry budget.
    pub(super) async fn with_budget(timeouts: &str, behaviour: Behaviour, retry: &str) -> Self {
        let primary = Simulator::start(Settings::default()).await.unwrap();
        let proxy = Proxy::start(primary.address()).unwrap();
        let address = proxy.address();
        let gateway = Gateway::start(&format!(
            r#"
            [admission]
            max_inflight = {CALLS}
            queue = 0
            [transport]
            idle_timeout = "50ms"
            [breaker]
            open_base = "100ms"
            open_max = "200ms"

            [providers.severed]
            wire_format = "anthropic"
            base_url = "http://{address}/anthropic/v1"
            auth = "none"
            propagate_trace = true

            [models."severed/primary"]
            max_output_tokens = 1000
            timeouts = {timeouts}
            [models."openai/backup"]
            timeouts = {PATIENT}
            [models."openai/spare"]
            timeouts = {PATIENT}

            [scenarios.s]
            targets = ["severed/primary", "openai/backup"]
            retry = {retry}
            # Its streams are under way when the network falls silent.
            [models."severed/flowing"]
            max_output_tokens = 1000
            timeouts = {{ stall_after = "1m", first_event = "1m", byte_idle = "4s" }}
            [scenarios.flow]
            targets = ["severed/flowing", "openai/backup"]
            retry = {retry}
            [scenarios.spare]
            targets = ["openai/spare"]
            "#
        ))
        .await;
        primary.set("primary", behaviour);
        gateway.generate(ask("spare", "Hello")).await.unwrap();
        Self {
            gateway,
            primary,
            proxy,
            tasks: tasks(),
        }
    }

    /// Lets nothing pass in either direction, or everything.
    pub(super) fn silence(&self, silent: bool) {
        let faults = Faults {
            silent,
            ..Faults::default()
        };
        self.proxy.set(Towards::Server, faults);
        self.proxy.set(Towards::Client, faults);
    }

    /// So many calls at once.
    pub(super) fn crowd(&self, count: usize) -> Crowd {
        Crowd::of(&self.gateway, "s", count)
    }

    /// Makes one call after the other, each of which must be answered, until the primary is the
    /// ordinary first target again.
    pub(super) async fn recovers(&self, results: &mut Vec<CallResult>) {
        let recovered = async {
            loop {
                results.extend(self.crowd(1).results().await);
                let response = results.last().unwrap().outcome.as_ref().unwrap();
                let last = response.attempts.last().unwrap();
                if last.kind() == AttemptKind::Primary {
                    return;
                }
            }
        };
        timeout(PROMPTLY, recovered)
            .await
            .expect("the primary is used again");
        let breaker = breaker(&self.gateway, "severed/primary").await;
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    /// Every attempt in the logs was reported to a caller, and nothing is held any more.
    pub(super) async fn is_as_before(&self, results: &[CallResult]) {
        self.every_attempt_is_reported(results);
        nothing_is_under_way(&self.gateway).await;
        for scenario in ["s", "flow"] {
            let left = BURST - added(results, scenario);
            assert_eq!(tokens(&self.gateway, scenario).await, left);
        }
        every_place_is_free(&self.gateway, "spare", CALLS).await;
        tasks_fall_to(self.tasks).await;
    }

    /// Each request in the logs belongs to one attempt that was reported to one caller. Those that never
    /// arrived could not: the network was cut or silent. Gives how many arrived.
    pub(super) fn every_attempt_is_reported(&self, results: &[CallResult]) -> usize {
        let mut reported = attempts(results);
        let mut requests = self.primary.requests();
        requests.extend(self.gateway.simulator.requests_for("backup"));
        for request in &requests {
            let attempt = reported.remove(&span_of(request));
            let attempt =
                attempt.expect("an attempt that was reported to no caller, or a second request");
            assert_eq!(attempt.model, request.model);
        }
        for (_, attempt) in reported {
            assert_eq!(attempt.provider, "severed", "{attempt:?}");
            assert_eq!(attempt.outcome(), AttemptOutcome::Failed, "{attempt:?}");
            let reasons = [
                ErrorReason::ProviderUnreachable,
                ErrorReason::ProviderTimeout,
            ];
            assert!(reasons.contains(&attempt.error_reason()), "{attempt:?}");
        }
        requests.len()
    }
}
