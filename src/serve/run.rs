//! How does a service run, from its first call to its end?

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use crate::hash::sha256_in_digits;
use crate::ledger::{Ledger, Recovered};
use crate::server::{self, Server, SideListeners};
use crate::telemetry::observe::Observer;

use super::Service;
use super::administered::FollowedStore;
use super::compared::compare_windows;
use super::files::Wanted;
use super::reload::{self, Parts, Reloader, ServedTls};
use super::spare_memory;
use super::start_error::StartError;

/// The listeners for operators and probes, which answer until this is dropped. What they refuse until then is written
/// down.
pub struct StillAnswering {
    // Dropped in this order.
    #[expect(dead_code, reason = "held for its drop")]
    sides: SideListeners,
    #[expect(dead_code, reason = "held for its drop")]
    following: Option<FollowedStore>,
}

impl Service {
    /// Serves until `shutdown` completes and open calls have ended. The listeners for operators and probes answer
    /// until what this returns is dropped.
    ///
    /// # Errors
    /// [`StartError::Server`], at once.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<StillAnswering, StartError> {
        self.run_until(shutdown, pending()).await
    }

    /// Like [`Service::run`], but no longer waits for open calls once `end_now` has completed as well.
    ///
    /// # Errors
    /// [`StartError::Server`], at once.
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()>,
        end_now: impl Future<Output = ()>,
    ) -> Result<StillAnswering, StartError> {
        let Self {
            origin,
            judged,
            facts,
            reloads,
            notifier,
            metrics,
            identities,
            administration,
            prices,
            call_log,
            dispatcher,
            limits,
            book,
            mut announcing,
            mut notices,
            notice_sender,
            cores,
            exporting,
            ledger,
            recovered,
            runtimes,
            listeners,
            warnings: _,
            simulator,
            longest_end,
        } = self;
        let served_tls = ServedTls {
            server: listeners.server_tls.clone(),
            admin: listeners.admin_tls.clone(),
        };
        log_ledger(&ledger, recovered);
        let observer = Observer::new(
            exporting.tracer().clone(),
            Arc::clone(&metrics),
            Arc::clone(&call_log),
        );
        let observer = Arc::new(observer.writing_to(ledger.clone()));
        reload::observe_by(&observer, &judged.config, &origin.text);
        let config = &judged.config;
        let wanted = Wanted {
            connections: config.server.max_connections,
            calls: config.admission.max_inflight,
            runtimes: cores.len(),
        };
        let mut settings = config.server.clone();
        settings.max_connections = wanted.connections();
        let counted = Arc::clone(&book);
        let policies = server::Policies {
            admission: config.admission,
            idempotency: config.idempotency,
            observer: Arc::clone(&observer),
            identities: Arc::clone(&identities),
            administration: administration.clone(),
            configuration: Arc::clone(&facts),
            limits,
        };
        if let Some(administration) = &administration {
            administration
                .note_configuration(SystemTime::now(), &sha256_in_digits(origin.text.as_bytes()));
        }
        // Not before the log is set up: what the last process left open may have reached thresholds.
        if let Some((announcing, administration)) = announcing.as_mut().zip(administration.clone())
        {
            let started = announcing.start(administration, counted.limits(), &notice_sender);
            started.map_err(StartError::Thread)?;
        }
        let following = administration
            .clone()
            .map(FollowedStore::follow)
            .transpose();
        let following = following.map_err(StartError::Thread)?;
        let parts = Parts {
            dispatcher: Arc::clone(&dispatcher),
            book,
            notices: notice_sender,
            runtimes: cores.len(),
            longest_end,
            served_tls,
            facts,
            metrics: Arc::clone(&metrics),
            identities,
            administration: administration.clone(),
            prices,
            observer,
            asked: reloads,
            notifier,
        };
        let mut reloader = Reloader::new(origin, &judged, parts);
        reloader.first_tokens(&judged).await;
        // The table of routes must be the only one that keeps a catalogue.
        drop(judged);
        let exports = exporting.start(&metrics)?;
        let drains = dispatcher.drains().clone();
        let server = Server::set_up(listeners, &settings, policies, dispatcher, cores).await?;
        let live = server.live();
        let sides = tokio::select! {
            sides = server.run(shutdown, end_now) => sides,
            () = reloader.follow(&live) => SideListeners::default(),
            () = call_log.watch() => SideListeners::default(),
            () = notices.run() => SideListeners::default(),
            never = compare_windows(&counted, &ledger) => match never {},
            never = spare_memory::give_back() => match never {},
        };
        // Answers of calls that have ended are still read on: what was read until now counts.
        drains.finish().await;
        call_log.sum_up();
        drop(reloader);
        drop(runtimes);
        // Every call has ended: all thresholds that were reached are written down, then sent.
        drop(announcing);
        // No call is left: the last rows wait to be written, and spans to be exported.
        ledger.close().await;
        if let Some(exports) = exports {
            exports.finish().await;
        }
        notices.finish().await;
        drop(simulator);
        Ok(StillAnswering { sides, following })
    }
}

/// Logs whether calls are written down, and what the process before this one left open.
fn log_ledger(ledger: &Ledger, recovered: Recovered) {
    if !ledger.records() {
        info!("calls are not written down: `ledger.path` is not set");
    }
    if recovered != Recovered::default() {
        let Recovered {
            attempts,
            calls,
            nanos,
        } = recovered;
        warn!(
            attempts,
            calls,
            nanos,
            "attempts were under way when the last process died: they are charged with what was reserved for them"
        );
    }
}
