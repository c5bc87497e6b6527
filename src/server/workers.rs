//! Which worker serves a connection, and how do all of them end?

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use crate::admission::Admission;
use crate::dispatch::dispatcher::Dispatcher;
use crate::serving::Serving;
use crate::telemetry::repeated::RepeatedWarning;

use super::Settings;
use super::WARN_EVERY;
use super::census::Census;
use super::connection::{ConnectionServer, SharedByConnections};
use super::doors::Doors;
use super::listen::Listener;
use super::liveness::Pulse;

/// How long after a connection could not be accepted the next one is tried, if no file could be freed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long connections may take to notice that they are cut off.
const CUT_OFF: Duration = Duration::from_secs(1);

/// A runtime and what its connections need.
pub(super) struct Worker {
    pub(super) runtime: Handle,
    /// Read for each request, and replaced when the configuration changes.
    pub(super) doors: Arc<ArcSwap<Doors>>,
    /// Serves the calls of its connections.
    pub(super) serving: Arc<Serving>,
}

/// All workers with their connections, which end when this is dropped.
pub(super) struct Workers {
    /// Read for each new connection, and replaced when the settings change.
    host: Arc<ArcSwap<ConnectionServer>>,
    shared: Arc<SharedByConnections>,
    workers: Vec<Worker>,
    census: Census,
    connections: JoinSet<()>,
    #[expect(dead_code, reason = "held for its drop")]
    watchers: JoinSet<()>,
}

impl Workers {
    /// Starts the workers, which have no connections yet.
    pub(super) fn start(
        host: ConnectionServer,
        workers: Vec<Worker>,
        admission: &Arc<Admission>,
        pulse: &Arc<Pulse>,
    ) -> Self {
        let mut watchers = JoinSet::new();
        for Worker {
            runtime, serving, ..
        } in &workers
        {
            let (serving, admission) = (Arc::clone(serving), Arc::clone(admission));
            watchers.spawn_on(async move { serving.sweep().await }, runtime);
            // A task on the same runtime as the calls waits for a processor as long as they do.
            watchers.spawn_on(async move { admission.watch().await }, runtime);
            let pulse = Arc::clone(pulse);
            watchers.spawn_on(async move { pulse.beat().await }, runtime);
        }
        let Settings {
            max_connections,
            max_connections_per_ip,
            max_resets,
            ..
        } = host.settings;
        let refused = Arc::clone(&host.shared.refused);
        Self {
            shared: Arc::clone(&host.shared),
            host: Arc::new(ArcSwap::from_pointee(host)),
            census: Census::new(
                max_connections,
                max_connections_per_ip,
                max_resets,
                workers.len(),
            )
            .refusing_into(refused),
            workers,
            connections: JoinSet::new(),
            watchers,
        }
    }

    /// The settings for new connections, and for the shutdown.
    pub(super) fn settings(&self) -> Settings {
        self.host.load().settings.clone()
    }

    /// What serves new connections.
    pub(super) fn host(&self) -> &Arc<ArcSwap<ConnectionServer>> {
        &self.host
    }

    /// The count of open connections, with its limits.
    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.census.count()
    }

    /// Accepts connections as long as it is awaited. Safe to cancel. If the process can open no more files, one idle
    /// connection to a provider is closed.
    pub(super) async fn accept(&mut self, listener: &Listener, dispatcher: &Dispatcher) {
        let turned_away = RepeatedWarning::once_in(WARN_EVERY);
        let not_accepted = RepeatedWarning::once_in(WARN_EVERY);
        loop {
            let (socket, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        let again = Instant::now() + ACCEPT_AGAIN;
                        if dispatcher.free_a_file(&error).await {
                            continue;
                        }
                        // Most likely out of file descriptors: other connections must end first.
                        if let Some(repeated) = not_accepted.due(Instant::now()) {
                            warn!(%error, repeated, "a connection cannot be accepted");
                        }
                        sleep_until(again).await;
                        continue;
                    }
                },
                // Ended connections are removed from the set.
                Some(_) = self.connections.join_next() => continue,
            };
            let Some(counted) = self.census.count_in(peer.caller(), Instant::now()) else {
                if let Some(repeated) = turned_away.due(Instant::now()) {
                    let connections = self.connections();
                    warn!(
                        %peer,
                        connections,
                        repeated,
                        "too many connections: closing this one; others may follow unlogged"
                    );
                }
                continue;
            };
            let worker = &self.workers[counted.worker];
            let (host, doors) = (self.host.load_full(), Arc::clone(&worker.doors));
            let resets = Arc::clone(&counted.resets);
            let served = async move {
                counted.is_served(Instant::now());
                // The socket moves from the runtime that accepts to the one that serves.
                match socket.moved_here() {
                    Ok(socket) => host.serve(socket, peer, &doors, resets).await,
                    Err(error) => warn!(%error, "a connection cannot be served"),
                }
                drop(counted);
            };
            self.connections.spawn_on(served, &worker.runtime);
        }
    }

    /// Takes no more calls: each connection ends after its open calls.
    pub(super) fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::Relaxed);
        self.shared.draining.cancel();
    }

    /// Ends every open call, and each that begins later.
    pub(super) fn close(&self) {
        for worker in &self.workers {
            worker.serving.close();
        }
    }

    /// Waits until no connection is open.
    pub(super) async fn all_ended(&mut self) {
        while self.connections.join_next().await.is_some() {}
    }

    /// Aborts the connections that are still open. A stuck worker cannot abort its connections; they are left
    /// behind.
    pub(super) async fn cut_off(&mut self) {
        self.connections.abort_all();
        if timeout(CUT_OFF, self.all_ended()).await.is_err() {
            warn!(
                connections = self.connections(),
                "a worker is stuck: its connections are left behind"
            );
        }
    }
}
