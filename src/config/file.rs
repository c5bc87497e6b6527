//! A configuration file as written, and what it resolves to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use crate::certificate::{CertificateFile, CertificateUse};
use crate::dispatch::retry_budget;
use crate::dispatch::target::Catalog;
use crate::health::scopes;
use crate::money::PlacedPrice;
use crate::server;
use crate::telemetry::{self, LogFormat, LoggedCalls};
use crate::transport;

use super::dialect::WireFormats;
use super::health;
use super::limits::{Beneath, KnownAccounts};
use super::link::LinkReader;
use super::mistake::{Location, Mistakes, Notes};
use super::prices::WrittenModels;
use super::scenario::Models;
use super::secret::Surroundings;
use super::table::{Table, Value};
use super::{
    Config, Overrides, TlsMaterials, admission, auth, doors, ledger, limits, listeners, model,
    prices, provider, references, reload, scenario,
};

/// A configuration file that was parsed as TOML and not yet checked.
///
/// Broken syntax is kept for [`File::resolve`], so that it reports all mistakes together.
pub struct File<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
    syntax_errors: Vec<toml::de::Error>,
}

impl<'a> File<'a> {
    /// Reads the text as TOML, as far as that is possible.
    pub fn parse(text: &'a str) -> Self {
        let (root, syntax_errors) = DeTable::parse_recoverable(text);
        Self {
            text,
            root,
            syntax_errors,
        }
    }

    /// Whether a provider is to be played by the built-in simulator.
    pub fn needs_simulator(&self) -> bool {
        let providers = self.root.get_ref().get("providers");
        let Some(providers) = providers.and_then(|providers| providers.get_ref().as_table()) else {
            return false;
        };
        providers.values().any(|provider| {
            let simulated = provider.get_ref().get("simulated");
            simulated.and_then(|simulated| simulated.get_ref().as_bool()) == Some(true)
        })
    }

    /// Checks everything, fetches the secrets and links scenarios to models to providers.
    ///
    /// # Errors
    /// All mistakes in the file, not only the first.
    pub fn resolve(&self, surroundings: &Surroundings<'_>) -> Result<Config, Mistakes> {
        self.resolve_with(surroundings, &Overrides::default())
    }

    /// The same, where the command line and the environment have the last word.
    ///
    /// # Errors
    /// All mistakes in the file and in the environment, not only the first.
    pub fn resolve_with(
        &self,
        surroundings: &Surroundings<'_>,
        overrides: &Overrides,
    ) -> Result<Config, Mistakes> {
        let notes = Notes::new(self.text, &self.syntax_errors);
        let mut root = Table::new(Location::root(&notes), Some(self.root.get_ref()));
        let mut links = LinkReader::new(surroundings);
        let mut retry = retry_budget::Settings::default();
        let mut prices = Vec::new();
        overrides.judge(self.text, &root.place);
        let mut tls = TlsMaterials::default();
        let server = server::Settings {
            cors: doors::cors(root.section("cors")),
            json: doors::json(root.section("json")),
            ..listeners::server(
                root.section("server"),
                root.section("requests"),
                overrides,
                surroundings,
                &mut tls.server,
            )
        };
        let any_port = server.listen.is_any_port();
        let admin = listeners::admin(
            root.section("admin"),
            any_port,
            overrides,
            surroundings,
            &mut tls.admin,
        );
        // What holds for all connections comes first.
        let transport = transport(root.section("transport"), &mut links);
        let (identity, issuer_links) = auth::read(&mut root, &server.listen, &links);
        let telemetry = super::telemetry::read(root.section("telemetry"), surroundings);
        let callers = telemetry.callers.len();
        let metrics = super::metrics::read(root.section("metrics"), &identity, callers);
        let mut config = Config {
            server,
            admin,
            probes: listeners::probes(root.section("probes"), overrides),
            tls,
            identity,
            issuer_links,
            admission: admission::admission(root.section("admission")),
            idempotency: admission::idempotency(root.section("idempotency")),
            ledger: ledger::ledger(root.section("ledger")),
            logging: logging(root.section("logging")),
            telemetry,
            metrics,
            reload: reload::read(root.section("reload")),
            scopes: scopes::Settings {
                breaker: health::breaker(root.section("breaker")),
                lock: health::lock(root.section("credential_lock")),
                throttle: health::throttle(root.section("throttle")),
            },
            transport,
            catalog: catalog(&mut root, &mut links, &mut retry, &mut prices, surroundings),
            prices,
            retry,
            limits: Vec::new(),
            notify: limits::notify(root.section("notify"), surroundings),
            certificates: Vec::new(),
            references: references::read(&root),
        };
        let has_store = config.ledger.path.is_some();
        listeners::judge_admin(&root.place, &config.admin, &config.identity, has_store);
        let beneath = Beneath {
            catalog: &config.catalog,
            accounts: KnownAccounts::of(&config.identity),
            ledger: &config.ledger,
        };
        config.limits = limits::limits(&mut root, &beneath);
        config.certificates = certificates(&config, links);
        if let Some(filter) = &overrides.log {
            config.logging.filter.clone_from(filter);
        }
        root.finish();
        match notes.into_mistakes() {
            None => Ok(config),
            Some(mistakes) => Err(mistakes),
        }
    }
}

/// The certificates in the files that a configuration names, each file once for each of its uses.
fn certificates(config: &Config, links: LinkReader<'_>) -> Vec<CertificateFile> {
    let mut files = links.certificates();
    let listeners = [
        (
            CertificateUse::Server,
            &config.server.tls,
            &config.tls.server,
        ),
        (CertificateUse::Admin, &config.admin.tls, &config.tls.admin),
    ];
    for (usage, settings, material) in listeners {
        let Some((settings, material)) = settings.as_ref().zip(material.as_ref()) else {
            continue;
        };
        let path = |path: &Path| path.display().to_string();
        files.extend(CertificateFile::of(
            usage,
            path(&settings.cert),
            material.chain(),
        ));
        if let Some(file) = &settings.client_ca {
            let authorities = material.authorities();
            files.extend(CertificateFile::of(
                CertificateUse::ClientCa,
                path(file),
                authorities,
            ));
        }
    }
    files.sort_by(|one, other| (one.usage, &one.path).cmp(&(other.usage, &other.path)));
    files.dedup_by(|one, other| (one.usage, &one.path) == (other.usage, &other.path));
    files
}

fn logging(mut table: Table<'_>) -> telemetry::Settings {
    let default = telemetry::Settings::default();
    let settings = telemetry::Settings {
        format: table.or("format", default.format, |value| {
            value.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
        }),
        filter: table.or("filter", default.filter, |value| {
            let filter = value.string()?;
            if telemetry::logging::filter::parse(filter).is_err() {
                value.place.wrong(
                    "not a filter for logs",
                    "write a level such as \"info\", or \"info,modelway=debug\"",
                );
            }
            Some(filter.to_owned())
        }),
        calls: table.or("calls", default.calls, |value| {
            value.choice(&[
                ("all", LoggedCalls::All),
                ("failed", LoggedCalls::Failed),
                ("none", LoggedCalls::None),
            ])
        }),
        sample_ok: table.or("sample_ok", default.sample_ok, |value| {
            value.number(0.0..=1.0)
        }),
        provider_errors: table.or("provider_errors", default.provider_errors, Value::boolean),
    };
    table.finish();
    settings
}

fn transport(mut table: Table<'_>, links: &mut LinkReader<'_>) -> transport::Settings {
    let default = transport::Settings::default();
    let settings = transport::Settings {
        connect_timeout: table.or("connect_timeout", default.connect_timeout, Value::duration),
        idle_timeout: table.or("idle_timeout", default.idle_timeout, Value::duration),
        connection_age: table.or("connection_age", default.connection_age, Value::duration),
        max_streams: table.or("max_streams", default.max_streams, |value| {
            value.whole(1..=1_000_000)
        }),
    };
    links.for_all(&mut table);
    table.finish();
    settings
}

fn catalog(
    root: &mut Table<'_>,
    links: &mut LinkReader<'_>,
    retry: &mut retry_budget::Settings,
    placed: &mut Vec<PlacedPrice>,
    surroundings: &Surroundings<'_>,
) -> Catalog {
    let mut catalog = root.section("catalog");
    let allow_model = catalog.or(
        "allow_model",
        Catalog::default().allow_model,
        Value::boolean,
    );
    catalog.finish();
    *retry = scenario::retry(root.section("retry"), *retry);
    let mut wire_formats = WireFormats::default();
    let mut providers = BTreeMap::new();
    for (name, value) in root.section("providers").named() {
        if let Some(table) = value.table() {
            providers.insert(
                name,
                provider::read(name, table, links, &mut wire_formats, surroundings),
            );
        }
    }
    let mut models = WrittenModels::new();
    for (id, value) in root.section("models").named() {
        let model = value
            .table()
            .and_then(|table| model::read(id, table, &providers, &mut wire_formats));
        models.insert(id, model);
    }
    *placed = prices::assign(root.section("prices"), &mut models, surroundings);
    let models: Models<'_> = models
        .into_iter()
        .map(|(id, model)| (id, model.map(|model| Arc::new(model.target))))
        .collect();
    let mut scenarios = BTreeMap::new();
    for (name, value) in root.section("scenarios").named() {
        let scenario = value
            .table()
            .and_then(|table| scenario::read(name, table, &models, *retry));
        scenarios.insert(name, scenario);
    }
    if scenarios.is_empty() {
        root.place.absent(
            "there is no scenario",
            "add a table `[scenarios.NAME]` that lists its targets",
        );
    }

    // A `None` has been noted as a mistake.
    Catalog {
        targets: present(models),
        scenarios: present(scenarios),
        wire_formats: providers
            .iter()
            .filter_map(|(name, written)| Some(((*name).to_owned(), written.family?.name())))
            .collect(),
        allow_model,
    }
}

fn present<T>(things: BTreeMap<&str, Option<Arc<T>>>) -> BTreeMap<String, Arc<T>> {
    let mut present = BTreeMap::new();
    for (name, thing) in things {
        if let Some(thing) = thing {
            present.insert(name.to_owned(), thing);
        }
    }
    present
}
