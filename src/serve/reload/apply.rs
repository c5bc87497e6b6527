//! What is put in the place of what, once a new configuration is known to be usable? Nothing here can fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use crate::config::judge::Judged;
use crate::config::{Config, TlsMaterials, warnings};
use crate::dispatch::dispatcher::Directions;
use crate::hash::sha256;
use crate::identity::directory::complaints::list;
use crate::limits::{LimitGround, Now, PriorUse};
use crate::provider::Provider;
use crate::server::{ListenerTls, Live, Prepared};
use crate::telemetry::observe::Observer;

use super::super::key_files::KeyFiles;
use super::super::measured::names_in;
use super::super::prices;
use super::super::restart_only::RestartOnly;
use super::super::sources::NamedFiles;
use super::watched::watch;
use super::{Reloader, RunningConfiguration};

/// The TLS of the listeners that have it. Their certificates are exchanged.
pub(in crate::serve) struct ServedTls {
    pub(in crate::serve) server: Option<Arc<ListenerTls>>,
    pub(in crate::serve) admin: Option<Arc<ListenerTls>>,
}

impl ServedTls {
    fn exchange(&self, new: TlsMaterials) {
        let TlsMaterials { server, admin } = new;
        for (tls, material) in [(&self.server, server), (&self.admin, admin)] {
            if let Some((tls, material)) = tls.as_ref().zip(material) {
                tls.exchange(material);
            }
        }
    }
}

/// Lets calls be observed as a configuration with this text says.
pub(in crate::serve) fn observe_by(observer: &Observer, config: &Config, text: &str) {
    observer.set_min_time_left(config.admission.min_time_left);
    observer.log().apply(&config.logging);
    observer.tracer().set_share(config.telemetry.sample);
    let [first, second, third, fourth, ..] = sha256(text.as_bytes());
    observer.log().runs([first, second, third, fourth]);
}

impl Reloader {
    /// Puts a configuration in the place of the one that runs. Nothing here can fail, as long as changes of the store are
    /// paused.
    pub(super) fn apply(
        &mut self,
        judged: Judged,
        prepared: Prepared,
        (ground, used): (LimitGround, PriorUse),
        text: String,
        named: NamedFiles,
        live: &Live,
    ) {
        let before = judged.before();
        let restart_only = RestartOnly::of(&judged.config, judged.needs_simulator);
        let Judged {
            config,
            links,
            tokens,
            needs_simulator: _,
        } = judged;
        observe_by(&self.observer, &config, &text);
        let warnings = warnings(&config, SystemTime::now());
        for warning in &warnings {
            if !self.running.warnings.contains(warning) {
                warn!("{warning}");
            }
        }
        let check_every = config.reload.check_every;
        self.prices.follow_file(prices::of_file(&config));
        prices::fill(&config.catalog, &self.prices.compiled());
        self.served_tls.exchange(config.tls);
        let mut renewed =
            self.take_over_secrets(config.catalog.targets.values().map(|it| &*it.provider));
        self.metrics.configure(&names_in(&config.catalog));
        let transports = self.dispatcher.transports();
        let transports = transports.iter();
        self.dispatcher.redirect(Directions {
            catalog: config.catalog,
            scopes: config.scopes,
            direct_retry: config.retry,
            transports: transports
                .map(|transport| transport.followed_by(config.transport, &links))
                .collect(),
        });
        live.exchange(prepared);
        self.notices.change(config.notify);
        match self.identities.follow_settings(config.identity) {
            Ok(0) => {}
            Ok(ended) => info!(
                ended,
                "credentials that the configuration no longer has were ended"
            ),
            Err(mistakes) => warn!(
                mistakes = list(&mistakes),
                "accounts and keys were not changed: they do not fit those in the store"
            ),
        }
        let directory = self.identities.directory();
        self.book
            .follow_file(ground, &directory, used, Now::of_clocks());
        self.issuer_keys
            .follow(&self.identities.issuers(), config.issuer_links);
        self.longest_end.set(&config.server);
        // A look at the key files that this change has broken off may have replaced some.
        renewed.extend(self.key_files.take_replaced());
        let routes = self.dispatcher.routes();
        for name in renewed {
            if let Some(provider) = routes.provider(&name) {
                provider.renew_credential();
            }
        }
        self.tokens.keep(&tokens);
        self.key_files = KeyFiles::new(&self.dispatcher, &self.exported);
        self.running = RunningConfiguration {
            text,
            named,
            before,
            restart_only,
            warnings,
        };
        self.watch = watch(
            self.file.as_deref(),
            &self.running,
            &self.key_files,
            check_every,
        );
    }

    /// Lets calls under way use the secrets of these providers. The names of those with another secret than before.
    fn take_over_secrets<'a>(&self, providers: impl Iterator<Item = &'a Provider>) -> Vec<String> {
        let routes = self.dispatcher.routes();
        let targets = routes.catalog().targets.values();
        let before: BTreeMap<_, _> = targets
            .map(|target| (target.provider.name.as_str(), &target.provider))
            .collect();
        let after: BTreeMap<_, _> = providers
            .map(|provider| (provider.name.as_str(), provider))
            .collect();
        let now = SystemTime::now();
        let mut renewed = Vec::new();
        for (name, provider) in after {
            let before = before.get(name);
            if before.is_some_and(|before| provider.take_over(before, now)) {
                renewed.push(name.to_owned());
            }
            begin_use(provider, now);
        }
        renewed
    }
}

/// The secrets of a provider are in use from now on.
pub(super) fn begin_use(provider: &Provider, now: SystemTime) {
    for secret in provider.credentials() {
        secret.begin_use(now);
    }
}
