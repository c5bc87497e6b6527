//! How is a service set up from its configuration, before its first call?

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::admin::{Administration, PriceBoard, UnusableStore};
use crate::config::judge::judge;
use crate::config::{Config, Overrides, Surroundings, warnings};
use crate::dispatch::dispatcher::{Directions, Dispatcher};
use crate::hash::sha256_in_digits;
use crate::identity::directory::complaints::list;
use crate::identity::identities::Identities;
use crate::ledger::{Ledger, OpenError};
use crate::limits::{Announce, Limits, Now};
use crate::outbound::notify::notices;
use crate::server::{Core, ListenAddress, Listener, ListenerTls, Listeners, TlsMaterial};
use crate::serving::control::configuration::ConfigurationFacts;
use crate::telemetry::logging::call_log::CallLog;
use crate::telemetry::metrics::Metrics;
use crate::transport::Transport;

use super::announcing::Announcing;
use super::exporting::Exporting;
use super::reload::Provenance;
use super::runtimes::Runtimes;
use super::simulated::Plays;
use super::sources::SourceFiles;
use super::start_error::StartError;
use super::watchdog::LongestEnd;
use super::{Service, administered, limits, measured, prices};

impl Service {
    pub(super) async fn with(
        text: String,
        name: &str,
        file: Option<PathBuf>,
        overrides: Overrides,
        plays: Plays<'_>,
    ) -> Result<Self, StartError> {
        let sources = SourceFiles::of(text);
        let simulator = plays.url();
        let judged = {
            let read = |path: &Path| sources.read(path);
            let surroundings = Surroundings {
                read_file: &read,
                ..Surroundings::of_process(simulator.as_deref())
            };
            judge(sources.text(), &surroundings, &overrides, None)
        };
        let judged = judged.map_err(|unusable| StartError::of(name, unusable))?;
        let named = sources.named();
        let origin = Provenance {
            file,
            overrides,
            simulator,
            text: sources.into_text(),
            named,
        };
        let config = &judged.config;
        let identities = Identities::new(config.identity.clone());
        let identities =
            Arc::new(identities.map_err(|mistakes| StartError::Identity(list(&mistakes)))?);
        let warnings = warnings(config, SystemTime::now());
        let mut listeners = listen(config).await?;
        let settings = config.ledger.clone();
        let open = move || Ledger::open(&settings, SystemTime::now());
        let (ledger, recovered) = spawn_blocking(open)
            .await
            .map_err(|error| OpenError::Thread(error.into()))??;
        let (notice_sender, notices) = notices(config.notify.clone())?;
        let limits = {
            let notices = notice_sender.clone();
            let announce: Announce = Arc::new(move |notice| notices.send(notice));
            Limits::new(Vec::new(), Some(announce))
        };
        let book = limits::book(limits.clone(), ledger.clone());
        // After the ledger, which has locked the directory and says what is wrong with it.
        let data = config.ledger.path.as_deref();
        let announcing = data.map(|_| Announcing::of(&limits, &notice_sender));
        let prices = Arc::new(PriceBoard::new(prices::of_file(config)));
        let administration = administered::open(data, &identities, (&prices, &book), name).await?;
        prices::fill(&config.catalog, &prices.compiled());
        let ground = config.limit_ground(name);
        let directory = identities.directory();
        let used = limits::used(&book, &ground, Arc::clone(&directory)).await?;
        book.follow_file(ground, &directory, used, Now::of_clocks());
        let runtimes = Runtimes::start(config.server.runtimes).map_err(StartError::Runtimes)?;
        let transport = |_| Transport::new(config.transport, &judged.links);
        let dispatcher = Dispatcher::directed(Directions {
            catalog: config.catalog.clone(),
            scopes: config.scopes,
            direct_retry: config.retry,
            transports: runtimes.handles().iter().map(transport).collect(),
        });
        let dispatcher = Arc::new(dispatcher.limited(limits.clone()));
        prices::follow(&prices, &dispatcher, &ledger);
        if let Some(administration) = &administration {
            go_on_with_learned(administration, &dispatcher).await?;
            administration.keep_books(ledger.clone());
        }
        let call_log = Arc::new(CallLog::default());
        let providers = Arc::clone(&dispatcher);
        call_log.knows_secrets(Box::new(move || {
            let routes = providers.routes();
            let targets = routes.catalog().targets.values();
            let secrets = targets.flat_map(|target| target.provider.secret_texts());
            secrets.collect()
        }));
        let core = |(core, runtime): (usize, &Handle)| Core {
            runtime: runtime.clone(),
            dispatcher: Arc::new(dispatcher.for_core(core)),
        };
        let cores = runtimes.handles().iter().enumerate().map(core).collect();
        let path = origin
            .file
            .as_deref()
            .map(|path| path.display().to_string());
        let exporting = Exporting::new(config.telemetry.clone());
        let certificates = config.certificates.clone();
        let facts =
            ConfigurationFacts::new(sha256_in_digits(origin.text.as_bytes()), path, certificates);
        let exported = config.telemetry.secrets();
        let facts = Arc::new(facts.exporting(move || measured::secrets(&exported)));
        let metrics = Arc::new(Metrics::new(
            config.telemetry.callers.clone(),
            config.metrics.clone(),
            config.telemetry.genai_names,
        ));
        metrics.configure(&measured::names_in(&config.catalog));
        let connections = judged.links.counts().clone();
        measured::show(&metrics, Arc::clone(&dispatcher), connections);
        measured::show_exports(&metrics, Arc::clone(exporting.counts()));
        measured::show_limits(&metrics, limits.clone(), Arc::clone(notice_sender.counts()));
        if let Some(administration) = &administration {
            measured::show_audit(&metrics, Arc::clone(administration));
            measured::count_late_costs(&metrics, administration);
        }
        measured::show_log(&metrics, Arc::clone(call_log.counters()));
        measured::show_ledger(&metrics, ledger.clone());
        measured::show_configuration(&metrics, Arc::clone(&dispatcher), Arc::clone(&facts));
        let shown = Arc::clone(&metrics);
        listeners.metrics = Arc::new(move || shown.text());
        let longest_end = LongestEnd::default();
        longest_end.set(&config.server);
        Ok(Self {
            exporting,
            ledger,
            recovered,
            facts,
            metrics,
            identities,
            administration,
            prices,
            longest_end,
            reloads: Arc::default(),
            notifier: Arc::default(),
            origin,
            judged,
            call_log,
            dispatcher,
            limits,
            book,
            announcing,
            notices,
            notice_sender,
            cores,
            runtimes,
            listeners,
            warnings,
            simulator: plays.into_own(),
        })
    }
}

/// Listens on every address of the configuration.
async fn listen(config: &Config) -> Result<Listeners, StartError> {
    let server = bind(&config.server.listen, "server.listen", "--listen").await?;
    let mut listeners = Listeners::only(server);
    let tls = |name, material: &Option<Arc<TlsMaterial>>| {
        let material = material.clone()?;
        Some(Arc::new(ListenerTls::new(name, material)))
    };
    listeners.server_tls = tls("server", &config.tls.server);
    listeners.admin_tls = tls("admin", &config.tls.admin);
    if let Some(address) = &config.admin.listen {
        let listener = bind(address, "admin.listen", "--admin-listen").await?;
        listeners.admin = Some((listener, config.admin.clone()));
    }
    if let Some(address) = &config.probes.listen {
        let listener = bind(address, "probes.listen", "--probes-listen").await?;
        listeners.probes = Some(listener);
    }
    Ok(listeners)
}

async fn bind(
    address: &ListenAddress,
    setting: &'static str,
    flag: &'static str,
) -> Result<Listener, StartError> {
    let bound = Listener::bind(address).await;
    bound.map_err(|error| StartError::Listen {
        setting,
        flag,
        address: address.clone(),
        error,
    })
}

/// Gives the dispatcher what the process before this one has learned of tokens, and keeps what the dispatcher learns.
async fn go_on_with_learned(
    administration: &Arc<Administration>,
    dispatcher: &Arc<Dispatcher>,
) -> Result<(), StartError> {
    let store = Arc::clone(administration);
    let reading = spawn_blocking(move || store.store().learned());
    let read = reading
        .await
        .map_err(|error| StartError::Thread(error.into()))?;
    let (learned, damaged) = read.map_err(UnusableStore::from)?;
    if damaged > 0 {
        warn!(
            rows = damaged,
            "what was learned of the tokens of some targets cannot be read from the control store: it is learned anew"
        );
    }
    dispatcher.go_on_with(learned);
    let learning = Arc::clone(dispatcher);
    administration.keep_learned(Box::new(move || learning.learned_tokens()));
    Ok(())
}
