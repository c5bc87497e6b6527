//! A configuration file as written, and what it resolves to.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use crate::dispatch::retry_budget;
use crate::dispatch::target::Catalog;
use crate::grpc::elements::ElementLimits;
use crate::health::scopes;
use crate::server;
use crate::telemetry::{self, LogFormat};
use crate::transport;

use super::dialect::WireFormats;
use super::health;
use super::link::LinkReader;
use super::mistake::{Mistakes, Notes, Place};
use super::scenario::Models;
use super::secret::Surroundings;
use super::table::{Table, Value};
use super::{Config, admission, doors, listeners, model, provider, reload, scenario};

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
        let notes = Notes::new(self.text, &self.syntax_errors);
        let mut root = Table::new(Place::root(&notes), Some(self.root.get_ref()));
        let mut links = LinkReader::new(surroundings);
        let mut retry = retry_budget::Settings::default();
        let config = Config {
            server: server::Settings {
                cors: doors::cors(root.section("cors")),
                json: doors::json(root.section("json")),
                ..server(root.section("server"), root.section("requests"))
            },
            admin: listeners::admin(root.section("admin")),
            probes: listeners::probes(root.section("probes")),
            admission: admission::admission(root.section("admission")),
            idempotency: admission::idempotency(root.section("idempotency")),
            logging: logging(root.section("logging")),
            telemetry: super::telemetry::read(root.section("telemetry"), surroundings),
            reload: reload::read(root.section("reload")),
            scopes: scopes::Settings {
                breaker: health::breaker(root.section("breaker")),
                lock: health::lock(root.section("credential_lock")),
                throttle: health::throttle(root.section("throttle")),
            },
            transport: transport(root.section("transport"), &mut links),
            catalog: catalog(&mut root, &mut links, &mut retry, surroundings),
            retry,
        };
        root.finish();
        match notes.into_mistakes() {
            None => Ok(config),
            Some(mistakes) => Err(mistakes),
        }
    }
}

fn server(mut table: Table<'_>, elements: Table<'_>) -> server::Settings {
    let default = server::Settings::default();
    let settings = server::Settings {
        cors: default.cors,
        json: default.json,
        listen: table.or("listen", default.listen, listeners::listen),
        runtimes: table.or("runtimes", default.runtimes, |value| {
            value.whole(0..=server::MAX_RUNTIMES)
        }),
        max_message_bytes: table.or("max_message_bytes", default.max_message_bytes, |value| {
            value.bytes(64 << 10..=1 << 30)
        }),
        requests: requests(elements),
        max_unfinished_bytes: table.or(
            "max_unfinished_bytes",
            default.max_unfinished_bytes,
            |value| value.bytes(1 << 20..=1 << 40),
        ),
        max_connections: table.or("max_connections", default.max_connections, |value| {
            value.whole(1..=1_000_000)
        }),
        max_connections_per_ip: table.or(
            "max_connections_per_ip",
            default.max_connections_per_ip,
            |value| value.whole(1..=1_000_000),
        ),
        max_concurrent_streams: table.or(
            "max_concurrent_streams",
            default.max_concurrent_streams,
            |value| value.whole(1..=1_000_000),
        ),
        max_resets: table.or("max_resets", default.max_resets, |value| {
            value.whole(16..=1_000_000)
        }),
        handshake_timeout: table.or(
            "handshake_timeout",
            default.handshake_timeout,
            Value::duration,
        ),
        first_request_timeout: table.or(
            "first_request_timeout",
            default.first_request_timeout,
            Value::duration,
        ),
        receive_timeout: table.or("receive_timeout", default.receive_timeout, Value::duration),
        keepalive_interval: table.or(
            "keepalive_interval",
            default.keepalive_interval,
            Value::duration,
        ),
        keepalive_timeout: table.or(
            "keepalive_timeout",
            default.keepalive_timeout,
            Value::duration,
        ),
        connection_age: table.or("connection_age", default.connection_age, Value::duration),
        client_stall: table.or("client_stall", default.client_stall, Value::duration),
        reflection: table.or("reflection", default.reflection, Value::boolean),
        predrain: table.or("predrain", default.predrain, Value::duration_or_none),
        drain_timeout: table.or("drain_timeout", default.drain_timeout, Value::duration),
    };
    table.finish();
    settings
}

fn requests(mut table: Table<'_>) -> ElementLimits {
    let default = ElementLimits::default();
    let mut number = |key, default| table.or(key, default, |value| value.whole(1..=100_000_000));
    let limits = ElementLimits {
        max_messages: number("max_messages", default.max_messages),
        max_parts: number("max_parts", default.max_parts),
        max_tool_calls: number("max_tool_calls", default.max_tool_calls),
        max_tools: number("max_tools", default.max_tools),
        max_schema_values: number("max_schema_values", default.max_schema_values),
        max_provider_options: number("max_provider_options", default.max_provider_options),
        max_fields: number("max_fields", default.max_fields),
    };
    table.finish();
    limits
}

fn logging(mut table: Table<'_>) -> telemetry::Settings {
    let default = telemetry::Settings::default();
    let settings = telemetry::Settings {
        format: table.or("format", default.format, |value| {
            value.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
        }),
        filter: table.or("filter", default.filter, |value| {
            let filter = value.string()?;
            if telemetry::parse_filter(filter).is_err() {
                value.place.wrong(
                    "not a filter for logs",
                    "write a level such as \"info\", or \"info,modelway=debug\"",
                );
            }
            Some(filter.to_owned())
        }),
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
    let mut models = Models::new();
    for (id, value) in root.section("models").named() {
        let model = value
            .table()
            .and_then(|table| model::read(id, table, &providers, &mut wire_formats));
        models.insert(id, model);
    }
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
