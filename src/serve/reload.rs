//! How does a running service follow its configuration file? As a whole or not at all.
//!
//! The file and all that it names are read into memory, judged as at the start, and compared with what only a restart can
//! change. Until then nothing in use has changed, and any failure leaves everything as it is. From there on nothing can
//! fail: [`Reloader::apply`] has no error to return. Calls under way end under the configuration that they began with.
//! The only way back is to restore the old text of the file, so what runs is always what one file said.

mod apply;
mod decide;
mod judged_file;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderName;
use tokio::sync::Notify;

use crate::admin::{Administration, PriceBoard};
use crate::config::judge::{Before, Judged};
use crate::config::{Overrides, warnings};
use crate::dispatch::dispatcher::Dispatcher;
use crate::identity::identities::Identities;
use crate::limits::book::LimitBook;
use crate::outbound::notify::NoticeSender;
use crate::provider::credential::Credential;
use crate::server::Live;
use crate::serving::control::configuration::ConfigurationFacts;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::observe::Observer;

use super::issuers::IssuerKeys;
use super::key_files::KeyFiles;
use super::notify::Notifier;
use super::restart_only::RestartOnly;
use super::sources::NamedFiles;
use super::tokens::AccessTokens;
use super::watch::Watch;
use super::watchdog::LongestEnd;

use self::apply::begin_use;
pub(super) use self::apply::{ServedTls, observe_by};
use self::watched::{noticed, watch};

/// Where the configuration of a service comes from, and what it was when the service started.
pub(super) struct Provenance {
    /// The file; `None` if the configuration is built in or came as a text.
    pub(super) file: Option<PathBuf>,
    /// What the command line and the environment say in place of the file.
    pub(super) overrides: Overrides,
    /// The URL of the simulator that plays the simulated providers, if one runs.
    pub(super) simulator: Option<String>,
    /// The text.
    pub(super) text: String,
    /// The files that it names.
    pub(super) named: NamedFiles,
}

/// What makes a running service follow its configuration.
pub(super) struct Reloader {
    file: Option<PathBuf>,
    overrides: Overrides,
    simulator: Option<String>,
    running: RunningConfiguration,
    dispatcher: Arc<Dispatcher>,
    book: Arc<LimitBook>,
    notices: NoticeSender,
    served_tls: ServedTls,
    watch: Watch,
    key_files: KeyFiles,
    /// The secrets that exports carry. Collectors and their headers stay until a restart; a secret in a file does not.
    exported: Vec<(HeaderName, Arc<Credential>)>,
    tokens: AccessTokens,
    issuer_keys: IssuerKeys,
    runtimes: usize,
    longest_end: LongestEnd,
    facts: Arc<ConfigurationFacts>,
    metrics: Arc<Metrics>,
    identities: Arc<Identities>,
    administration: Option<Arc<Administration>>,
    prices: Arc<PriceBoard>,
    observer: Arc<Observer>,
    /// Notified when an operator asks for a reload. Requests that come while one is under way become one.
    asked: Arc<Notify>,
    notifier: Arc<Notifier>,
}

/// The parts of the service that follow its configuration, or are notified of changes.
pub(super) struct Parts {
    pub(super) dispatcher: Arc<Dispatcher>,
    /// Counts what calls use.
    pub(super) book: Arc<LimitBook>,
    /// Sends notices of limits.
    pub(super) notices: NoticeSender,
    /// How many runtimes serve calls.
    pub(super) runtimes: usize,
    pub(super) longest_end: LongestEnd,
    pub(super) served_tls: ServedTls,
    pub(super) facts: Arc<ConfigurationFacts>,
    /// Are given the names in the configuration.
    pub(super) metrics: Arc<Metrics>,
    /// Says who calls, as the configuration does.
    pub(super) identities: Arc<Identities>,
    /// Writes down which configurations were loaded.
    pub(super) administration: Option<Arc<Administration>>,
    /// What models cost: by the configuration and by the store.
    pub(super) prices: Arc<PriceBoard>,
    /// Observes the calls, as the configuration says.
    pub(super) observer: Arc<Observer>,
    /// Notified when an operator asks for a reload. Requests that come while one is under way become one.
    pub(super) asked: Arc<Notify>,
    /// Is notified when a reload begins and ends.
    pub(super) notifier: Arc<Notifier>,
}

/// The configuration that runs.
struct RunningConfiguration {
    text: String,
    named: NamedFiles,
    before: Before,
    restart_only: RestartOnly,
    /// The warnings about it that were logged.
    warnings: Vec<String>,
}

/// Why a reload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// An operator asks for it, or the configuration file has changed.
    File,
    /// Only files that the configuration names have changed. The text that runs is judged again, whatever the
    /// configuration file says by now.
    Named,
}

impl Reloader {
    /// Follows the file of a service that has started with a configuration that was judged so.
    pub(super) fn new(origin: Provenance, judged: &Judged, parts: Parts) -> Self {
        let Parts {
            dispatcher,
            book,
            notices,
            runtimes,
            longest_end,
            served_tls,
            facts,
            metrics,
            identities,
            administration,
            prices,
            observer,
            asked,
            notifier,
        } = parts;
        let Provenance {
            file,
            overrides,
            simulator,
            text,
            named,
        } = origin;
        let now = SystemTime::now();
        for target in judged.config.catalog.targets.values() {
            begin_use(&target.provider, now);
        }
        let exported = judged.config.telemetry.secrets();
        for (_, secret) in &exported {
            secret.begin_use(now);
        }
        let key_files = KeyFiles::new(&dispatcher, &exported);
        let running = RunningConfiguration {
            text,
            named,
            before: judged.before(),
            restart_only: RestartOnly::of(&judged.config, judged.needs_simulator),
            warnings: warnings(&judged.config, now),
        };
        let check_every = judged.config.reload.check_every;
        let mut issuer_keys = IssuerKeys::default();
        issuer_keys.follow(&identities.issuers(), judged.config.issuer_links.clone());
        Self {
            watch: watch(file.as_deref(), &running, &key_files, check_every),
            file,
            overrides,
            simulator,
            running,
            tokens: AccessTokens::new(&dispatcher),
            issuer_keys,
            key_files,
            exported,
            dispatcher,
            book,
            notices,
            served_tls,
            runtimes,
            longest_end,
            facts,
            metrics,
            identities,
            administration,
            prices,
            observer,
            asked,
            notifier,
        }
    }

    /// Fetches the first access tokens, or gives up waiting for them.
    pub(super) async fn first_tokens(&mut self, judged: &Judged) {
        self.tokens.start(&judged.tokens);
        self.tokens.first().await;
    }

    /// Follows the file until this is dropped.
    pub(super) async fn follow(&mut self, live: &Live) {
        loop {
            let Self {
                watch,
                key_files,
                facts,
                asked,
                file,
                ..
            } = self;
            let cause = tokio::select! {
                () = key_files.follow() => continue,
                () = asked.notified() => Occasion::File,
                cause = noticed(watch, file.as_deref(), facts) => cause,
            };
            self.notifier.reloading();
            self.reload(cause, live).await;
            self.notifier.reloaded();
        }
    }
}
