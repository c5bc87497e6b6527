//! Which settings can a running service not change? What its sockets, threads and exporters were made with.

use std::path::Path;

use crate::config::Config;
use crate::ledger;
use crate::provider::link::Link;
use crate::server;
use crate::telemetry::export::{self, Destination};
use crate::telemetry::metrics;

/// The settings that only a restart changes.
#[derive(Clone)]
pub(super) struct RestartOnly {
    server: server::Settings,
    admin: server::AdminSettings,
    probes: server::ProbesSettings,
    telemetry: export::Settings,
    metrics: metrics::Settings,
    ledger: ledger::Settings,
    has_simulator: bool,
    has_server_tls: bool,
    has_admin_tls: bool,
}

impl RestartOnly {
    /// What a configuration says about them. `has_simulator` is whether the built-in simulator plays a provider of it.
    pub(super) fn of(config: &Config, has_simulator: bool) -> Self {
        Self {
            server: config.server.clone(),
            admin: config.admin.clone(),
            probes: config.probes.clone(),
            telemetry: config.telemetry.clone(),
            metrics: config.metrics.clone(),
            ledger: config.ledger.clone(),
            has_simulator,
            has_server_tls: config.tls.server.is_some(),
            has_admin_tls: config.tls.admin.is_some(),
        }
    }

    /// The keys of the settings that are others in `after`.
    pub(super) fn changed(&self, after: &Self) -> Vec<&'static str> {
        let Self {
            server,
            admin,
            probes,
            telemetry,
            metrics,
            ledger,
            has_simulator,
            has_server_tls,
            has_admin_tls,
        } = self;
        let server::AdminSettings {
            listen: admin_listen,
            reflection: admin_reflection,
            // Whether there are files is below; what they say is exchanged.
            tls: _,
            behind_proxy,
        } = admin;
        let server::ProbesSettings {
            listen: probes_listen,
        } = probes;
        let all = [
            ("server.listen", server.listen != after.server.listen),
            ("server.runtimes", server.runtimes != after.server.runtimes),
            (
                "server.reflection",
                server.reflection != after.server.reflection,
            ),
            ("server.tls", *has_server_tls != after.has_server_tls),
            ("admin.tls", *has_admin_tls != after.has_admin_tls),
            ("admin.listen", *admin_listen != after.admin.listen),
            (
                "admin.reflection",
                *admin_reflection != after.admin.reflection,
            ),
            ("admin.plaintext", *behind_proxy != after.admin.behind_proxy),
            ("probes.listen", *probes_listen != after.probes.listen),
            ("ledger", *ledger != after.ledger),
            ("metrics.labels", *metrics != after.metrics),
            (
                "providers.*.simulated",
                *has_simulator != after.has_simulator,
            ),
        ];
        let changed = all.into_iter().filter(|(_, is_other)| *is_other);
        let mut changed: Vec<_> = changed.map(|(key, _)| key).collect();
        changed.extend(of_telemetry(telemetry, &after.telemetry));
        changed
    }
}

/// The keys of `[telemetry]` that differ.
fn of_telemetry(before: &export::Settings, after: &export::Settings) -> Vec<&'static str> {
    let export::Settings {
        traces,
        metrics,
        // Exchanged.
        sample: _,
        interval,
        genai_names,
        callers,
        // From the environment, which is read once.
        resource: _,
    } = before;
    let all = [
        (
            "telemetry.traces",
            !is_same(traces.as_ref(), after.traces.as_ref()),
        ),
        (
            "telemetry.metrics",
            !is_same(metrics.as_ref(), after.metrics.as_ref()),
        ),
        ("telemetry.interval", *interval != after.interval),
        ("telemetry.genai_names", *genai_names != after.genai_names),
        ("telemetry.callers", *callers != after.callers),
    ];
    let changed = all.into_iter().filter(|(_, is_other)| *is_other);
    changed.map(|(key, _)| key).collect()
}

/// Whether two destinations are the same: the address, and how it is spoken to.
fn is_same(one: Option<&Destination>, other: Option<&Destination>) -> bool {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (None, None) => return true,
        (Some(_), None) | (None, Some(_)) => return false,
    };
    let Destination {
        url,
        protocol,
        compression,
        headers,
        secret_headers,
        link,
    } = one;
    // The content of a file is exchanged without a restart.
    let secrets = |of: &Destination| {
        let secrets = of.secret_headers.iter().map(|(name, secret)| {
            let file = secret.file().map(Path::to_owned);
            let fixed = file.is_none().then(|| secret.header()).flatten();
            (name.clone(), file, fixed)
        });
        secrets.collect::<Vec<_>>()
    };
    let links: [&Link; 2] = [link, &other.link];
    *url == other.url
        && *protocol == other.protocol
        && *compression == other.compression
        && *headers == other.headers
        && secret_headers.len() == other.secret_headers.len()
        && secrets(one) == secrets(other)
        && links[0] == links[1]
}

#[cfg(test)]
mod tests;
