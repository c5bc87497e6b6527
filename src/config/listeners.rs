//! Reads how the listeners listen: the tables `server`, `requests`, `admin` and `probes`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::grpc::access::TrustedConnections;
use crate::grpc::elements::ElementLimits;
use crate::identity;
use crate::server::{
    self, AdminSettings, BadTls, ClientAuth, ListenAddress, ProbesSettings, PublicAdmin, TlsFile,
    TlsMaterial, TlsSettings, TlsTexts,
};

use super::mistake::Location;
use super::overrides::{BEHIND_PROXY, NONE, Overrides};
use super::reading;
use super::secret::{Surroundings, is_unchecked};
use super::table::{Table, Value};

/// The listener for callers.
pub(super) fn server(
    mut table: Table<'_>,
    elements: Table<'_>,
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
    material: &mut Option<Arc<TlsMaterial>>,
) -> server::Settings {
    let default = server::Settings::default();
    let place = place_of_listen(&table);
    let configured = table.or("listen", default.listen, listen);
    let plaintext = table.optional("plaintext", |value| value.choice(&[(BEHIND_PROXY, true)]));
    let settings = server::Settings {
        cors: default.cors,
        json: default.json,
        listen: overrides.listen.clone().unwrap_or(configured),
        behind_proxy: plaintext.unwrap_or_default() || overrides.behind_proxy,
        admin: table.or("admin", default.admin, public_admin),
        tls: tls(&mut table, surroundings, material),
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
    let is_exposed = !settings.listen.is_local() && settings.tls.is_none();
    if is_exposed && !settings.behind_proxy {
        let address = &settings.listen;
        place.wrong(
            format!("callers on other machines would send prompts in plaintext to {address}"),
            "give `[server.tls]` a `cert` and a `key`, listen on a loopback address, or, if a proxy or a mesh encrypts \
             what is sent, say `plaintext = \"behind-proxy\"` in `[server]` (or `--plaintext behind-proxy`, or \
             `MODELWAY_PLAINTEXT=behind-proxy`)",
        );
    }
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

/// The listener for operators. Where callers get any free port and nothing says where operators connect, they get any
/// free port as well, so that many instances fit on one machine.
pub(super) fn admin(
    mut table: Table<'_>,
    any_port: bool,
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
    material: &mut Option<Arc<TlsMaterial>>,
) -> AdminSettings {
    let default = AdminSettings::default();
    let place = place_of_listen(&table);
    let written = table.optional("listen", listen_or_none);
    let plaintext = table.optional("plaintext", |value| value.choice(&[(BEHIND_PROXY, true)]));
    let mut usual = default.listen;
    if let Some(ListenAddress::Tcp(address)) = &mut usual
        && any_port
    {
        address.set_port(0);
    }
    let settings = AdminSettings {
        listen: overrides.admin_listen.clone().or(written).unwrap_or(usual),
        reflection: table.or("reflection", default.reflection, Value::boolean),
        tls: tls(&mut table, surroundings, material),
        behind_proxy: plaintext.unwrap_or_default(),
    };
    table.finish();
    let exposed = settings.listen.as_ref();
    let exposed = exposed.filter(|address| !address.is_local());
    if let Some(address) = exposed
        && settings.tls.is_none()
        && !settings.behind_proxy
    {
        place.wrong(
            format!("keys of administrators would travel in plaintext to {address}"),
            "give `[admin.tls]` a `cert` and a `key`, and a `client_ca` if certificates are to prove who operates; listen on a \
             loopback address or a Unix socket; or, if a proxy or a mesh encrypts what is sent, say \
             `plaintext = \"behind-proxy\"` in `[admin]`",
        );
    }
    settings
}

/// Notes it if no credential could open the listener for operators, which wants one. `has_store` says whether keys can be
/// made while the service runs.
pub(super) fn judge_admin(
    root: &Location<'_>,
    settings: &AdminSettings,
    identity: &identity::settings::Settings,
    has_store: bool,
) {
    let Some(address) = &settings.listen else {
        return;
    };
    let is_here = settings.trusted() == TrustedConnections::All;
    if !is_here && !settings.asks_for_proof() && !has_store && !identity.may_administer() {
        root.field("admin").field("listen").wrong(
            format!("nobody could operate the service at {address}, since no credential allows it"),
            "set `ledger.path`, beside which `modelway keys create --admin` keeps keys; add a caller with scopes such as \
             [\"OPERATE\"] to `[[accounts]]`; or ask for certificates with `client_ca` in `[admin.tls]`",
        );
    }
}

/// The listener for probes and scrapes.
pub(super) fn probes(mut table: Table<'_>, overrides: &Overrides) -> ProbesSettings {
    let default = ProbesSettings::default();
    let configured = table.or("listen", default.listen, listen_or_none);
    let settings = ProbesSettings {
        listen: overrides.probes_listen.clone().unwrap_or(configured),
    };
    table.finish();
    settings
}

/// Where a mistake about the address of a listener is noted.
fn place_of_listen<'a>(table: &Table<'a>) -> Location<'a> {
    let named = table
        .named()
        .into_iter()
        .find(|(name, _)| *name == "listen");
    match named {
        Some((_, value)) => value.place,
        None => table.place.key("listen", 0),
    }
}

/// Where a listener listens.
fn listen(value: &Value<'_>) -> Option<ListenAddress> {
    let address = value.string()?.parse().ok();
    if address.is_none() {
        value.place.wrong(
            "not an IP address and a port",
            "write it like \"127.0.0.1:50051\" or \"[::1]:50051\", or like \"unix:/run/modelway.sock\"",
        );
    }
    address
}

/// The same, or that it does not listen.
fn listen_or_none(value: &Value<'_>) -> Option<Option<ListenAddress>> {
    match value.text() {
        Some(NONE) => Some(None),
        _ => listen(value).map(Some),
    }
}

fn public_admin(value: &Value<'_>) -> Option<PublicAdmin> {
    match value.text() {
        Some("loopback") => Some(PublicAdmin::Loopback),
        Some(_) => {
            value.place.wrong(
                "not one of the known words",
                "write \"loopback\", true or false",
            );
            None
        }
        None => value.boolean().map(|always| match always {
            true => PublicAdmin::Always,
            false => PublicAdmin::Never,
        }),
    }
}

/// The TLS of a listener, and what its files hold unless files are not read.
fn tls(
    parent: &mut Table<'_>,
    surroundings: &Surroundings<'_>,
    material: &mut Option<Arc<TlsMaterial>>,
) -> Option<TlsSettings> {
    let mut table = parent.optional("tls", Value::table)?;
    let (cert_place, key_place, ca_place) = (
        table.get("cert").map(|value| value.place),
        table.get("key").map(|value| value.place),
        table.get("client_ca").map(|value| value.place),
    );
    let cert = table.required(
        "cert",
        "name the file that holds the certificate in PEM",
        path,
    );
    let key = table.required(
        "key",
        "name the file that holds the private key in PEM",
        path,
    );
    let client_ca = table.optional("client_ca", path);
    let written = table.optional("client_auth", |value| {
        let read = value.choice(&[
            ("required", ClientAuth::Required),
            ("optional", ClientAuth::Optional),
        ]);
        if ca_place.is_none() {
            value.place.wrong(
                "no authority says which clients are believed",
                "name the file with its certificates in `client_ca`",
            );
        }
        read
    });
    table.finish();
    let settings = TlsSettings {
        cert: cert?,
        key: key?,
        client_ca,
        client_auth: written.unwrap_or_default(),
    };
    let read = |path: &Path, place: &Option<Location<'_>>| -> Option<String> {
        match (surroundings.read_file)(path) {
            Ok(text) => Some(text),
            Err(error) => {
                let shown = path.display().to_string();
                let shown = shown.escape_debug();
                let why = reading::why(&error);
                if let Some(place) = place {
                    place.wrong(
                        format!("the file `{shown}` cannot be read: {why}"),
                        "store PEM there, readable for this process",
                    );
                }
                None
            }
        }
    };
    let cert = read(&settings.cert, &cert_place);
    let key = read(&settings.key, &key_place);
    let authorities = settings.client_ca.as_deref();
    let authorities = authorities.map(|path| read(path, &ca_place));
    // A file that cannot be read has been noted.
    let (cert, key) = cert.zip(key)?;
    let authorities = match authorities {
        Some(read) => Some(read?),
        None => None,
    };
    if is_unchecked(&cert) {
        return Some(settings);
    }
    let texts = TlsTexts {
        cert: &cert,
        key: &key,
        client_ca: authorities.as_deref(),
    };
    match TlsMaterial::check(texts, settings.client_auth) {
        Ok(checked) => *material = Some(Arc::new(checked)),
        Err(BadTls { file, why }) => {
            let (place, remedy) = match file {
                TlsFile::Cert => (
                    &cert_place,
                    "store the certificate there in PEM, then those that lead to its authority",
                ),
                TlsFile::Key => (
                    &key_place,
                    "store the private key of `cert` there in PEM, without a passphrase",
                ),
                TlsFile::ClientCa => (
                    &ca_place,
                    "store the certificates of the authorities of clients there in PEM",
                ),
            };
            if let Some(place) = place {
                place.wrong(why, remedy);
            }
        }
    }
    Some(settings)
}

/// The path of a file, with or without `file:` before it.
fn path(value: &Value<'_>) -> Option<PathBuf> {
    let written = value.string()?;
    let path = written.strip_prefix("file:").unwrap_or(written);
    if written.starts_with("env:") || !path.contains('/') {
        value.place.wrong(
            "not the path of a file",
            "write a path with a slash, such as \"/etc/modelway/tls.pem\": a file can be exchanged while the service runs",
        );
        return None;
    }
    Some(PathBuf::from(path))
}
