//! The server: accepts connections, hands their requests to a door, and shuts down without losing calls.
//!
//! The accept loop is our own and not tonic's, since it must be able to end open connections.

mod census;
mod connection;
mod resets;
mod settings;
mod turns;
mod warnings;
mod workers;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admission::room::{Room, RoomLimits};
use crate::admission::{self, Admission};
use crate::dispatch::dispatcher::Dispatcher;
use crate::grpc::health::ReportedHealth;
use crate::grpc::services::{RequestRules, Services};
use crate::idempotency;
use crate::serving::Serving;
use crate::serving::control::Control;
use crate::telemetry::observe::Observer;

pub use crate::grpc::services::SetupError;

pub use self::settings::{MAX_RUNTIMES, Settings, exposure};

use self::connection::ConnectionServer;
use self::warnings::Warnings;
use self::workers::{Worker, Workers};

/// Calls that are still open this long before the end of the drain time are ended with a status.
const STATUS_TIME: Duration = Duration::from_secs(5);

/// [`STATUS_TIME`] is at most this share of the drain time.
const STATUS_TIME_SHARE: f64 = 0.25;

/// The least time for statuses to be sent, however short the drain time is.
const LEAST_STATUS_TIME: Duration = Duration::from_secs(1);

/// The longest time that a call without a scenario can take.
const LONGEST_DIRECT_CALL: Duration = Duration::from_secs(600);

/// The limits on open calls, and on answers kept for repeats.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// How many calls are let in, and how long others wait.
    pub admission: admission::Settings,
    /// What is remembered of calls with an idempotency key.
    pub idempotency: idempotency::Settings,
    /// Observes all calls.
    pub observer: Arc<Observer>,
}

/// A core, which serves connections.
pub struct Core {
    /// Runs everything that its connections ask for.
    pub runtime: Handle,
    /// Its connections to providers belong to that runtime; all cores share the rest of the dispatcher.
    pub dispatcher: Arc<Dispatcher>,
}

/// Serves until `shutdown` completes, then shuts down: it reports itself unhealthy for `predrain`, then refuses new
/// calls and waits for open calls for `drain_timeout` at most. It ends the calls that are left with a status shortly
/// before that time is over. When `end_now` completes, it waits no longer.
///
/// # Errors
/// [`SetupError`], at once.
pub async fn serve(
    listener: TcpListener,
    settings: &Settings,
    policies: Policies,
    dispatcher: Arc<Dispatcher>,
    cores: Vec<Core>,
    shutdown: impl Future<Output = ()>,
    end_now: impl Future<Output = ()>,
) -> Result<(), SetupError> {
    let draining = CancellationToken::new();
    let admission = Arc::new(Admission::new(policies.admission));
    let rules = RequestRules {
        receive_timeout: settings.receive_timeout,
        max_message_bytes: settings.max_message_bytes,
        elements: settings.requests.clone(),
        room: Room::new(RoomLimits {
            requests: policies.admission.max_request_bytes,
            requests_per_caller: policies.admission.max_request_bytes_per_caller,
            unfinished: settings.max_unfinished_bytes,
        }),
        reflection: settings.reflection,
    };
    let control = Arc::new(Control::new(
        Arc::clone(&dispatcher),
        Arc::clone(&admission),
        draining.clone(),
    ));
    let services = Services::new(
        rules,
        policies.idempotency,
        control,
        draining.clone(),
        policies.observer,
    )?;
    let mut workers = Vec::new();
    for core in cores {
        let serving = Arc::new(Serving::new(
            core.dispatcher,
            Arc::clone(&admission),
            settings.client_stall,
        ));
        workers.push(Worker {
            runtime: core.runtime,
            door: services.door(Arc::clone(&serving)),
            serving,
        });
    }
    let mut settings = settings.clone();
    // A caller may cancel as many calls as it may have open.
    let max_open = u32::try_from(policies.admission.max_inflight_per_caller);
    settings.max_resets = settings.max_resets.max(max_open.unwrap_or(u32::MAX));
    let host = ConnectionServer {
        longest_call: longest_call(&dispatcher),
        refusing: AtomicBool::new(false),
        cut_off: Warnings::default(),
        draining,
        settings,
    };
    let server = Server {
        listener,
        workers: Workers::start(host, workers, &admission),
        health: services.health().await,
        dispatcher,
    };
    server.run(shutdown, end_now).await;
    Ok(())
}

struct Server {
    listener: TcpListener,
    workers: Workers,
    health: ReportedHealth,
    dispatcher: Arc<Dispatcher>,
}

impl Server {
    async fn run(mut self, shutdown: impl Future<Output = ()>, end_now: impl Future<Output = ()>) {
        let Settings {
            predrain,
            drain_timeout,
            ..
        } = *self.workers.settings();
        let mut end_now = pin!(end_now);
        tokio::select! {
            () = shutdown => {}
            () = self.workers.accept(&self.listener, &self.dispatcher) => {}
            () = self.health.follow() => {}
        }

        self.health.withdraw().await;
        info!(?predrain, "going down");
        let ends_now = tokio::select! {
            biased;
            () = end_now.as_mut() => true,
            () = sleep(predrain) => false,
            () = self.workers.accept(&self.listener, &self.dispatcher) => false,
        };

        drop(self.listener);
        self.workers.refuse();
        self.health.dismiss().await;
        let connections = self.workers.connections();
        info!(connections, limit = ?drain_timeout, "draining");
        let status_time = drain_timeout.mul_f64(STATUS_TIME_SHARE).min(STATUS_TIME);
        if !ends_now {
            tokio::select! {
                () = self.workers.all_ended() => {}
                () = sleep(drain_timeout - status_time) => {}
                () = end_now => {}
            }
        }

        self.workers.close();
        if timeout(status_time.max(LEAST_STATUS_TIME), self.workers.all_ended())
            .await
            .is_err()
        {
            let connections = self.workers.connections();
            warn!(
                connections,
                "closing connections that are still open after the drain time"
            );
        }
        self.workers.cut_off().await;
    }
}

/// The longest that a call can take.
fn longest_call(dispatcher: &Dispatcher) -> Duration {
    let routes = dispatcher.routes();
    let scenarios = routes.catalog().scenarios.values();
    let longest = scenarios.map(|scenario| scenario.max_timeout).max();
    longest.unwrap_or_default().max(LONGEST_DIRECT_CALL)
}
