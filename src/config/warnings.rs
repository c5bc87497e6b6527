//! What should an operator know of a configuration that is valid? One line for each warning, shown by `check` and at the
//! start.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::certificate::CertificateUse;
use crate::limits::Enforcement;
use crate::provider::Provider;
use crate::server::{LONGEST_DIRECT_CALL, ListenAddress};

use super::Config;
use super::address::is_loopback;
use super::limits::lacks_prices;
use super::{reservations, unallowed};

/// How often readiness is asked for by the manifests that we ship, and how often a change must be seen at least.
const READINESS_PERIOD: Duration = Duration::from_secs(2);
const LEAST_LOOKS: u32 = 2;

/// How long load balancers take to send new calls elsewhere once a probe has failed.
const SPREADING: Duration = Duration::from_secs(5);

/// Others than owner and group may read the file.
const READABLE_BY_OTHERS: u32 = 0o004;

/// The warnings about a configuration at this time.
pub fn warnings(config: &Config, now: SystemTime) -> Vec<String> {
    let mut warnings = Vec::new();
    of_callers(config, &mut warnings);
    if let Some(address) = beyond_this_machine(config.admin.listen.as_ref())
        && config.admin.tls.is_none()
    {
        warnings.push(format!(
            "plaintext on {address} (`admin.plaintext`): keys of administrators can be read on the way, unless a proxy or a \
             mesh encrypts them"
        ));
    }
    if let Some(address) = beyond_this_machine(config.probes.listen.as_ref()) {
        warnings.push(format!(
            "whoever reaches {address} (`probes.listen`) can read /metrics in plaintext: names of scenarios, providers \
             and models, volumes and money; let the network keep strangers out"
        ));
    }
    for (table, material) in [
        ("server.tls", &config.tls.server),
        ("admin.tls", &config.tls.admin),
    ] {
        let of_material = material.iter().flat_map(|material| material.warnings(now));
        warnings.extend(of_material.map(|warning| format!("{warning} (`{table}`)")));
    }
    let shown = config.certificates.iter();
    for file in shown.filter(|file| file.usage == CertificateUse::Provider) {
        let what = format!("the client certificate `{}`", file.path.escape_debug());
        warnings.extend(file.together.warning(&what, now));
    }
    of_plaintext(config, &mut warnings);
    of_quotes(config, &mut warnings);
    warnings.extend(config.server.cors.exposure().map(str::to_owned));
    of_times(config, &mut warnings);
    of_files(config, &mut warnings);
    unallowed::warn(&config.identity, &mut warnings);
    of_prices(config, &mut warnings);
    reservations::warn(config, now, &mut warnings);
    warnings
}

fn of_callers(config: &Config, warnings: &mut Vec<String>) {
    let server = &config.server;
    let Some(address) = beyond_this_machine(Some(&server.listen)) else {
        return;
    };
    let asks_for_proof = server.tls.as_ref().is_some_and(|tls| tls.asks_for_proof());
    if server.tls.is_none() {
        warnings.push(format!(
            "plaintext on {address} (`server.plaintext`): prompts and answers can be read on the way, unless a proxy \
             or a mesh encrypts them"
        ));
    }
    if let Some(account) = &config.identity.anonymous
        && !asks_for_proof
    {
        warnings.push(format!(
            "anyone who can reach {address} can call as `{account}` without a credential (`auth.anonymous`): give callers \
             keys, ask for client certificates with `server.tls.client_ca`, or let a proxy or the network keep strangers out"
        ));
    }
    if server.reflection {
        warnings.push(format!(
            "server reflection on {address} shows the whole contract (`server.reflection`)"
        ));
    }
}

/// Limits on money whose prices can only be in the control store.
fn of_prices(config: &Config, warnings: &mut Vec<String>) {
    let limits = config.limits.iter();
    for limit in limits.filter(|limit| lacks_prices(limit, &config.catalog)) {
        let id = &limit.id;
        let until_then = match limit.enforcement {
            Enforcement::Hard => "calls that it applies to are refused with PRICE_UNKNOWN",
            Enforcement::Watch => "it counts nothing",
        };
        warnings.push(format!(
            "the configuration has no price of a model to which the limit `{id}` applies: as long as the control store has \
             none either (`modelway prices list`), {until_then}"
        ));
    }
}

/// What is sent to other machines without encryption.
fn of_plaintext(config: &Config, warnings: &mut Vec<String>) {
    let targets = config.catalog.targets.values();
    let providers: BTreeMap<&str, &Provider> = targets
        .map(|target| (target.provider.name.as_str(), &*target.provider))
        .collect();
    for (name, provider) in providers {
        if is_readable_on_the_way(&provider.base_url) {
            warnings.push(format!(
                "prompts, answers and keys travel to {} in plaintext (`providers.{name}.allow_insecure`): use https \
                 unless you trust every machine on the way",
                provider.base_url
            ));
        }
    }
    let telemetry = &config.telemetry;
    let collectors = [&telemetry.traces, &telemetry.metrics].into_iter();
    let mut urls = collectors
        .flatten()
        .map(|destination| destination.url.as_str());
    if let Some(url) = urls.find(|url| is_readable_on_the_way(url)) {
        warnings.push(format!(
            "spans and metrics travel to {url} in plaintext (`telemetry.endpoint`): names of callers, scenarios and \
             models, and money, can be read on the way"
        ));
    }
}

fn is_readable_on_the_way(url: &str) -> bool {
    let url = url.parse::<http::Uri>().unwrap_or_default();
    url.scheme_str() == Some("http") && url.host().is_some_and(|host| !is_loopback(host))
}

/// What the log may hold of prompts.
fn of_quotes(config: &Config, warnings: &mut Vec<String>) {
    if config.logging.provider_errors {
        warnings.push(
            "the log quotes why providers refuse requests (`logging.provider_errors`): some hosts quote the prompt \
             there, so whoever reads the log may read prompts"
                .to_owned(),
        );
    }
}

/// The numbers that must fit, so that a stop cuts no call short.
fn of_times(config: &Config, warnings: &mut Vec<String>) {
    let server = &config.server;
    let scenarios = config.catalog.scenarios.values();
    let of_scenarios = scenarios.map(|scenario| scenario.max_timeout);
    let direct = config.catalog.allow_model.then_some(LONGEST_DIRECT_CALL);
    let longest = of_scenarios.chain(direct).max().unwrap_or_default();
    let drain = server.drain_timeout;
    if drain < longest {
        warnings.push(format!(
            "`server.drain_timeout` is {drain:?}, and a call may take {longest:?}: a stop cuts calls short that are \
             older; let the orchestrator wait for `predrain` + `drain_timeout` + 10s before it kills"
        ));
    }
    let least = READINESS_PERIOD * LEAST_LOOKS + SPREADING;
    if !server.listen.is_local() && server.predrain < least {
        let predrain = server.predrain;
        warnings.push(format!(
            "`server.predrain` is {predrain:?}: load balancers that ask every {READINESS_PERIOD:?} need {least:?} to \
             notice, and send calls that are refused until then"
        ));
    }
}

fn of_files(config: &Config, warnings: &mut Vec<String>) {
    let tls = [&config.server.tls, &config.admin.tls]
        .into_iter()
        .flatten();
    let keys = tls.map(|tls| &*tls.key);
    let others = config.references.files.iter().map(PathBuf::as_path);
    let mut files: Vec<&Path> = keys.chain(others).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        let mode = std::fs::metadata(file).map(|file| file.permissions().mode());
        if mode.is_ok_and(|mode| mode & READABLE_BY_OTHERS != 0) {
            warnings.push(format!(
                "the secret in `{}` can be read by every user of this machine: take the right to read from others",
                file.display()
            ));
        }
    }
}

fn beyond_this_machine(address: Option<&ListenAddress>) -> Option<&ListenAddress> {
    address.filter(|address| !address.is_local())
}
