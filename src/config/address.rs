//! Where a provider is, and how requests to it show who we are.

use std::net::IpAddr;

use http::{HeaderName, Uri};

use crate::provider::Auth;

use super::secret::Surroundings;
use super::table::{Table, Value};

/// How a key is sent.
pub(super) enum Manner {
    None,
    Bearer,
    Header(HeaderName),
}

/// Reads the base URL of a provider that is asked with access tokens. Who issues them is read elsewhere.
pub(super) fn with_token(table: &mut Table<'_>) -> Option<(String, Auth)> {
    for key in ["api_key", "auth"] {
        if let Some(value) = table.get(key) {
            value.place.wrong(
                "`credential` says how requests are authenticated",
                format!("remove `{key}` or `credential`"),
            );
        }
    }
    base(table).map(|base_url| (base_url, Auth::None))
}

/// Reads base URL and credential. `usual` is how keys are sent if the file does not say.
pub(super) fn read(
    table: &mut Table<'_>,
    usual: Option<Manner>,
    surroundings: &Surroundings<'_>,
) -> Option<(String, Auth)> {
    let base_url = base(table);
    let auth = auth(table, usual, surroundings);
    base_url.zip(auth)
}

fn base(table: &mut Table<'_>) -> Option<String> {
    let allow_insecure = table.or("allow_insecure", false, Value::boolean);
    table.required(
        "base_url",
        "give the URL that comes before the paths of the API, such as \"https://api.openai.com/v1\"",
        |value| base_url(value, allow_insecure),
    )
}

fn base_url(value: &Value<'_>, allow_insecure: bool) -> Option<String> {
    let written = value.string()?;
    // None of these messages shows the URL: it may hold a credential.
    let wrong = |what: &str, remedy: &str| {
        value.place.wrong(what, remedy);
        None
    };
    let url = written.parse::<Uri>().unwrap_or_default();
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return wrong("not a URL", "write it like \"https://api.openai.com/v1\"");
    };
    if authority.as_str().contains('@') {
        return wrong("the URL holds a credential", "move it to `api_key`");
    }
    let host = authority.host();
    let has_port = authority.port().is_some();
    if host.is_empty() || authority.as_str() != host && !has_port {
        return wrong(
            "the URL has no usable host and port",
            "write it like \"https://host:8443/v1\"",
        );
    }
    if url.query().is_some() || written.contains('#') {
        return wrong(
            "the URL has more than a path",
            "move the part after `?` to the table `query`",
        );
    }
    match scheme {
        "https" => {}
        "http" if allow_insecure || is_loopback(host) => {}
        "http" => {
            return wrong(
                "prompts and the key would travel unencrypted",
                "use https, or set `allow_insecure = true` for a network that you trust",
            );
        }
        _ => return wrong("neither https nor http", "use https"),
    }
    let path = url.path().trim_end_matches('/');
    Some(format!("{scheme}://{authority}{path}"))
}

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn auth(
    table: &mut Table<'_>,
    usual: Option<Manner>,
    surroundings: &Surroundings<'_>,
) -> Option<Auth> {
    let written = table.get("auth");
    let manner = match &written {
        Some(value) => manner(value),
        None => usual,
    };
    if let Some(Manner::None) = manner {
        if let Some(value) = table.get("api_key") {
            value.place.wrong(
                "`auth = \"none\"` sends no key",
                "remove `api_key` or change `auth`",
            );
        }
        return Some(Auth::None);
    }
    let prefix = match &manner {
        Some(Manner::Bearer) => "Bearer ",
        Some(Manner::Header(_) | Manner::None) | None => "",
    };
    let key = table.required(
        "api_key",
        "refer to the key by \"env:NAME\" or \"file:PATH\", or set `auth = \"none\"`",
        |value| surroundings.credential(prefix, value),
    );
    Some(match manner? {
        Manner::None => Auth::None,
        Manner::Bearer => Auth::Bearer(key?),
        Manner::Header(name) => Auth::Header(name, key?),
    })
}

fn manner(value: &Value<'_>) -> Option<Manner> {
    if value.is_table() {
        let mut table = value.table()?;
        let name = table.required("header", "name the header that carries the key", |value| {
            let name = HeaderName::from_bytes(value.string()?.as_bytes()).ok();
            if name.is_none() {
                value
                    .place
                    .wrong("not a name for a header", "use letters, digits and `-`");
            }
            name
        });
        table.finish();
        return name.map(Manner::Header);
    }
    let sends_key = value.choice(&[("bearer", true), ("none", false)])?;
    Some(if sends_key {
        Manner::Bearer
    } else {
        Manner::None
    })
}
