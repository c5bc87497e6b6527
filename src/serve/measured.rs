//! What do the metrics show of providers, models and scenarios? The metrics are given their names, and read their states and
//! levels at each scrape.

mod limits;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use http::HeaderName;

use crate::admin::Administration;
use crate::audit::AuditFailures;
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::routes::{GuardedTarget, Routes};
use crate::dispatch::target::Catalog;
use crate::health::lock::LockCause;
use crate::health::provider::ProviderGuard;
use crate::ledger::{Ledger, LedgerCounts};
use crate::provider::credential::Credential;
use crate::serving::control::configuration::{ConfigurationFacts, ReloadCounts, SecretFact};
use crate::telemetry::export::{ExportCounts, OtlpSignal, SpanFate};
use crate::telemetry::logging::call_log::LogCounters;
use crate::telemetry::metrics::readings::Readings;
use crate::telemetry::metrics::{
    Configured, ConfiguredModel, DIRECT, Metrics, ShownModel, ShownNames, model_label, names,
};
use crate::trail::BreakerState;
use crate::transport::{ConnectionCounts, PROTOCOLS};

pub(super) use self::limits::show_limits;

/// The digits of a configuration's hash that are shown.
const HASH_DIGITS: usize = 16;

/// The names in a catalogue.
pub(super) fn names_in(catalog: &Catalog) -> Configured {
    let models = catalog.targets.values().map(|target| ConfiguredModel {
        id: target.id.clone(),
        provider: target.provider.name.clone(),
        model: target.model.clone(),
    });
    let models: Vec<_> = models.collect();
    let providers: BTreeSet<_> = models.iter().map(|names| names.provider.clone()).collect();
    Configured {
        scenarios: catalog.scenarios.keys().cloned().collect(),
        models,
        providers: providers.into_iter().collect(),
    }
}

/// What operators see of the secrets that exports carry.
pub(super) fn secrets(exported: &[(HeaderName, Arc<Credential>)]) -> Vec<SecretFact> {
    let facts = exported.iter().filter_map(|(header, secret)| {
        Some(SecretFact {
            name: format!("telemetry.headers {header}"),
            changed: secret.changed()?,
        })
    });
    facts.collect()
}

/// Shows what the dispatcher knows, and the counts of connections to providers. States and levels are those of what the
/// configuration has; what is counted of something goes on to be shown for a while after it has left the configuration.
pub(super) fn show(metrics: &Metrics, dispatcher: Arc<Dispatcher>, connections: ConnectionCounts) {
    metrics.ask(move |readings| {
        let routes = dispatcher.routes();
        for guard in routes.providers() {
            of_provider(readings, guard);
            let counts = connections.of(guard.name());
            let label = || guard.name().to_owned().into();
            for (protocol, open) in PROTOCOLS.into_iter().zip(counts.open()) {
                let labels = [label(), protocol.into()];
                readings.gauge(&names::UPSTREAM_CONNECTIONS, labels, open as f64);
            }
        }
        for guarded in routes.targets() {
            of_model(readings, guarded);
        }
        of_scenarios(readings, &dispatcher, &routes);
        counted(readings, &dispatcher, &connections);
    });
}

/// Adds what is counted of every name that is shown.
fn counted(readings: &mut Readings, dispatcher: &Dispatcher, connections: &ConnectionCounts) {
    let shown = readings.shown();
    let ShownNames {
        scenarios,
        models,
        providers,
    } = &*shown;
    for provider in providers {
        let label = || provider.clone().into();
        let tries = &connections.of(provider).tries;
        readings.counts(&names::CONNECTS, [label()], tries);
        let transitions = dispatcher.transitions().of(provider, "");
        readings.counts(&names::TRANSITIONS, [label(), "".into()], &transitions);
    }
    for ShownModel {
        id,
        provider,
        label,
    } in models
    {
        let labels = [provider.clone().into(), label.clone().into()];
        let transitions = dispatcher.transitions().of(provider, id);
        readings.counts(&names::TRANSITIONS, labels, &transitions);
    }
    for scenario in scenarios {
        let labels = [scenario.clone().into(), "hedge".into()];
        let refused = dispatcher.rivals_refused(scenario);
        readings.count(&names::BUDGET_REFUSED, labels, refused);
    }
}

/// Shows which configuration runs, when its certificates end, and how its reloads ended.
pub(super) fn show_configuration(
    metrics: &Metrics,
    dispatcher: Arc<Dispatcher>,
    facts: Arc<ConfigurationFacts>,
) {
    metrics.ask(move |readings| {
        let state = facts.state();
        let hash: String = state.running_hash.chars().take(HASH_DIGITS).collect();
        readings.flag(&names::CONFIG_INFO, [hash.into()], true);
        let since = state.running_since.duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default().as_secs_f64();
        readings.gauge(&names::CONFIG_APPLIED, [], since);
        for file in state.certificates {
            let labels = [file.usage.name().into(), file.path.into()];
            let end = file.together.not_after.duration_since(UNIX_EPOCH);
            let end = end.unwrap_or_default().as_secs_f64();
            readings.gauge(&names::CERTIFICATE_NOT_AFTER, labels, end);
        }
        readings.flag(&names::CONFIG_REJECTED, [], facts.is_rejected());
        let generations = dispatcher.generations() as f64;
        readings.gauge(&names::CONFIG_GENERATIONS, [], generations);
        let ReloadCounts {
            applied,
            unchanged,
            rejected,
        } = facts.counts();
        let results = [
            ("applied", applied),
            ("unchanged", unchanged),
            ("rejected", rejected),
        ];
        for (result, count) in results {
            readings.count(&names::CONFIG_RELOADS, [result.into()], count);
        }
    });
}

/// Shows what became of spans and exports.
pub(super) fn show_exports(metrics: &Metrics, counts: Arc<ExportCounts>) {
    metrics.ask(move |readings| {
        for fate in SpanFate::ALL {
            readings.count(&names::SPANS, [fate.name().into()], counts.spans(fate));
        }
        for signal in OtlpSignal::ALL {
            let shown = match signal {
                OtlpSignal::Traces => "traces",
                OtlpSignal::Metrics => "metrics",
            };
            let failures = counts.failures(signal);
            readings.count(&names::EXPORT_FAILURES, [shown.into()], failures);
        }
    });
}

/// Shows the counts of the ledger and whether it takes rows, if there is a ledger.
pub(super) fn show_ledger(metrics: &Metrics, ledger: Ledger) {
    metrics.ask(move |readings| {
        let Some(counts) = ledger.counts() else {
            return;
        };
        let LedgerCounts {
            intents,
            attempts,
            calls,
            commits,
            failures,
            refused,
            unrecorded,
            lost,
            recovered,
            dropped_days,
            days,
            windows,
        } = counts;
        for (row, rows) in [("intent", intents), ("attempt", attempts), ("call", calls)] {
            readings.count(&names::LEDGER_ROWS, [row.into()], rows.count());
        }
        for (fate, rows) in [
            ("refused", refused),
            ("unrecorded", unrecorded),
            ("lost", lost),
        ] {
            readings.count(&names::LEDGER_UNWRITTEN, [fate.into()], rows.count());
        }
        for (ok, commits) in [("true", commits), ("false", failures)] {
            readings.count(&names::LEDGER_COMMITS, [ok.into()], commits.count());
        }
        let (rows, lag) = ledger.backlog();
        readings.gauge(&names::LEDGER_QUEUE, [], rows as f64);
        readings.gauge(&names::LEDGER_LAG, [], lag.as_secs_f64());
        readings.flag(&names::LEDGER_AVAILABLE, [], ledger.is_available());
        readings.count(&names::LEDGER_RECOVERED, [], recovered.count());
        readings.count(&names::LEDGER_DROPPED_DAYS, [], dropped_days.count());
        for (what, compared) in [("day", days), ("window", windows)] {
            for (equal, count) in [("true", &compared.equal), ("false", &compared.different)] {
                let labels = [what.into(), equal.into()];
                readings.count(&names::LEDGER_COMPARED, labels, count.count());
            }
        }
    });
}

/// Shows how often the audit record could not be written.
pub(super) fn show_audit(metrics: &Metrics, administration: Arc<Administration>) {
    metrics.ask(move |readings| {
        let AuditFailures {
            refused,
            retried,
            lost,
        } = administration.audit_failures();
        for (fate, events) in [("refused", refused), ("retried", retried), ("lost", lost)] {
            readings.count(&names::AUDIT_FAILURES, [fate.into()], events.count());
        }
    });
}

/// Counts costs that become known late.
pub(super) fn count_late_costs(metrics: &Arc<Metrics>, administration: &Administration) {
    // The metrics ask the administration at each scrape, and so keep it.
    let metrics = Arc::downgrade(metrics);
    administration.tell_late_costs(Box::new(move |used, added_nanos| {
        if let Some(metrics) = metrics.upgrade() {
            metrics.record_late_cost(used, added_nanos);
        }
    }));
}

/// Shows what became of lines of the log.
pub(super) fn show_log(metrics: &Metrics, counters: Arc<LogCounters>) {
    metrics.ask(move |readings| {
        let LogCounters {
            written,
            lost,
            sampled_out,
            summed_up,
        } = &*counters;
        for (fate, lines) in [
            ("written", written),
            ("lost", lost),
            ("sampled_out", sampled_out),
            ("summed_up", summed_up),
        ] {
            let lines = lines.load(Ordering::Relaxed);
            readings.count(&names::LOG_LINES, [fate.into()], lines);
        }
    });
}

fn of_provider(readings: &mut Readings, guard: &ProviderGuard) {
    let name = guard.name();
    breaker(readings, name, "", guard.snapshot().state);
    let locked = guard.lock().map(|lock| lock.cause);
    for (cause, shown) in [
        (LockCause::Refused, "refused"),
        (LockCause::QuotaExhausted, "quota"),
    ] {
        let labels = [name.to_owned().into(), shown.into()];
        readings.flag(&names::LOCKED, labels, locked == Some(cause));
    }
}

fn of_model(readings: &mut Readings, guarded: &GuardedTarget) {
    let GuardedTarget { target, health, .. } = guarded;
    let provider = &target.provider.name;
    let state = health.snapshot().state;
    breaker(readings, provider, &target.id, state);
    let model = model_label(&target.id, provider);
    let labels = || [provider.clone().into(), model.to_owned().into()];
    let (under_way, limit) = health.concurrency();
    readings.gauge(&names::THROTTLE_LIMIT, labels(), f64::from(limit));
    readings.gauge(&names::THROTTLE_INFLIGHT, labels(), f64::from(under_way));
}

/// The breaker of a model, or of the provider's endpoint for an empty id.
fn breaker(readings: &mut Readings, provider: &str, id: &str, state: BreakerState) {
    let model = model_label(id, provider);
    for other in BreakerState::ALL {
        let labels = [
            provider.to_owned().into(),
            model.to_owned().into(),
            other.name().into(),
        ];
        readings.flag(&names::BREAKER_STATE, labels, other == state);
    }
}

fn of_scenarios(readings: &mut Readings, dispatcher: &Dispatcher, routes: &Routes) {
    for name in routes.catalog().scenarios.keys() {
        let serving = dispatcher.is_serving(name);
        readings.flag(&names::SERVING, [name.clone().into()], serving);
    }
    for level in routes.budgets() {
        let scenario = match level.scenario {
            "" => DIRECT,
            name => name,
        };
        let labels = || [scenario.to_owned().into(), level.kind.into()];
        let (tokens, burst) = (f64::from(level.tokens), f64::from(level.burst));
        readings.gauge(&names::BUDGET_TOKENS, labels(), tokens);
        readings.gauge(&names::BUDGET_BURST, labels(), burst);
    }
}
