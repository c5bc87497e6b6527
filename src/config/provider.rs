//! Reads `[providers.NAME]`: a provider's address, credential and wire format.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::dispatch::target::Charging;
use crate::features::{Feature, Features};
use crate::money::{CostFrom, OnDisconnect};
use crate::name::is_legal_name;
use crate::provider::{Auth, Provider};
use crate::wire::options::AllowedOptions;

use super::address;
use super::body;
use super::credential;
use super::dialect::WireFormats;
use super::family::{FAMILIES, Family};
use super::headers::{self, Headers};
use super::link::LinkReader;
use super::path;
use super::secret::Surroundings;
use super::table::{Table, Value};

/// What the file says of a provider, for the models that name it.
pub(super) struct Written<'a> {
    /// Ready for use; `None` where something about it is wrong.
    pub(super) provider: Option<Arc<Provider>>,
    /// Whether the built-in simulator plays it.
    pub(super) is_simulated: bool,
    /// How it spells chat.
    pub(super) family: Option<Family>,
    /// Its dialect, if that is right.
    pub(super) dialect: Option<Value<'a>>,
    /// Features that none of its models has.
    pub(super) unsupported: Features,
    /// Where requests go, if not where the wire format says.
    pub(super) paths: path::WrittenPaths,
    /// How attempts are charged for, besides the prices.
    pub(super) charging: Charging,
    /// What the body of every request says besides.
    pub(super) body: Map<String, Json>,
}

/// Reads one provider.
pub(super) fn read<'a>(
    name: &str,
    mut table: Table<'a>,
    links: &mut LinkReader<'_>,
    wire_formats: &mut WireFormats,
    surroundings: &Surroundings<'_>,
) -> Written<'a> {
    if !is_legal_name(name) {
        table.place.wrong(
            "not a name for a provider",
            "use small letters, digits, `.`, `_` and `-`",
        );
    }
    let family = table.required(
        "wire_format",
        "name the API that the provider speaks: openai_responses, openai_chat, anthropic or gemini",
        |value| value.choice(&FAMILIES),
    );
    let unsupported = table.or("unsupported", Features::NONE, features);
    let dialect = table.get("dialect");
    let wire_format = family.and_then(|family| wire_formats.get(family, dialect.as_ref(), None));
    let is_simulated = table.or("simulated", false, Value::boolean);
    let credential = table.get("credential").filter(|_| !is_simulated);
    let address = match &credential {
        _ if is_simulated => simulated(&mut table, family, surroundings),
        Some(_) => address::with_token(&mut table),
        None => address::read(&mut table, family.map(Family::usual_manner), surroundings),
    };
    let query = query(&table.section("query"));
    let paths = path::WrittenPaths::read(&mut table);
    if let Some(format) = &wire_format {
        path::noted(paths.clone().resolve(&**format), &table.place);
    }
    let body = body::read(&mut table, family);
    let propagate_trace = table.or("propagate_trace", false, Value::boolean);
    let elsewhere = address.as_ref().filter(|_| !is_simulated);
    let link = links.of(&mut table, elsewhere.map(|(base_url, _)| base_url.as_str()));
    let token = credential
        .as_ref()
        .map(|value| credential::read(value, links, surroundings));
    let address = address.and_then(|(base_url, auth)| match token {
        None => Some((base_url, auth)),
        Some(written) => {
            let (source, proxy) = written?;
            let token = links.token(source, proxy, &link);
            Some((base_url, Auth::Bearer(token)))
        }
    });
    let Headers {
        plain: headers,
        secret: secret_headers,
    } = headers::read(
        &table.section("headers"),
        &OURS,
        key_goes_in(address.as_ref()),
        surroundings,
    );
    let options = table.or("provider_options", AllowedOptions::default(), options);
    let cost_from = table.or("cost_from", CostFrom::default(), |value| {
        value.choice(&[
            ("catalogue", CostFrom::Catalogue),
            ("provider", CostFrom::Provider),
        ])
    });
    let on_disconnect = table.or("on_disconnect", OnDisconnect::default(), |value| {
        value.choice(&[
            ("cancel", OnDisconnect::Cancel),
            ("drain", OnDisconnect::Drain),
            ("cancel_free", OnDisconnect::CancelFree),
        ])
    });
    table.finish();

    let is_spelled = wire_format.is_some();
    let provider = wire_format.zip(address).map(|(_, (base_url, auth))| {
        Arc::new(Provider {
            name: name.to_owned(),
            base_url,
            auth,
            headers,
            secret_headers,
            query,
            propagate_trace,
            link,
            options,
        })
    });
    Written {
        charging: Charging {
            cost_from,
            on_disconnect,
            ..Charging::default()
        },
        provider,
        is_simulated,
        family,
        dialect: dialect.filter(|_| is_spelled),
        unsupported,
        paths,
        body,
    }
}

/// Paths of fields in the provider's own words that callers may set.
fn options(value: &Value<'_>) -> Option<AllowedOptions> {
    let mut paths = Vec::new();
    for item in value.list()? {
        let path = item.string()?;
        let is_path = |path: &str| path.split('.').all(|name| !name.is_empty());
        if !is_path(path) {
            item.place.wrong(
                "not a path of a field",
                "write names joined by dots, such as `generationConfig.responseModalities`, or `*` for all",
            );
        }
        paths.push(path.to_owned());
    }
    Some(paths.into_iter().collect())
}

/// Names and values, percent-encoded.
fn query(table: &Table<'_>) -> Vec<(String, String)> {
    let mut query = Vec::new();
    for (name, value) in table.named() {
        let Some(text) = value.string() else {
            continue;
        };
        if text.starts_with("env:") || text.starts_with("file:") {
            value.place.wrong(
                "a query must not hold a secret: URLs are often logged on the way",
                "send it in a header: `api_key` with `auth`, or `headers`",
            );
        }
        query.push((percent_encoded(name), percent_encoded(text)));
    }
    query
}

/// Spells every byte as `%XX` that is not unreserved, RFC 3986 section 2.3.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A list of feature names.
pub(super) fn features(value: &Value<'_>) -> Option<Features> {
    let choices = Feature::ALL.map(|feature| (feature.name(), feature));
    let items = value.list()?;
    Some(
        items
            .iter()
            .filter_map(|item| item.choice(&choices))
            .collect(),
    )
}

/// Where a provider is that the built-in simulator plays, and its credential: none.
fn simulated(
    table: &mut Table<'_>,
    family: Option<Family>,
    surroundings: &Surroundings<'_>,
) -> Option<(String, Auth)> {
    for key in [
        "base_url",
        "api_key",
        "auth",
        "credential",
        "allow_insecure",
    ] {
        if let Some(value) = table.get(key) {
            value.place.wrong(
                "a simulated provider has no such key",
                format!("remove `{key}` or `simulated`"),
            );
        }
    }
    let Some(simulator) = surroundings.simulator else {
        table.place.wrong(
            "the simulator does not run",
            "start the service with it, or remove `simulated`",
        );
        return None;
    };
    Some((format!("{simulator}{}", family?.usual_prefix()), Auth::None))
}

/// Headers that say how a request is sent, which is not for the configuration to say.
const OURS: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
    "accept-encoding",
    "traceparent",
    "tracestate",
];

/// The header that carries the key of a provider; empty if there is none.
fn key_goes_in(address: Option<&(String, Auth)>) -> &str {
    match address {
        Some((_, Auth::Bearer(_))) => "authorization",
        Some((_, Auth::Header(name, _))) => name.as_str(),
        Some((_, Auth::None)) | None => "",
    }
}
