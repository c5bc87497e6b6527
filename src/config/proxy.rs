//! The proxy of a provider: from its table, or else from the environment.

use secrecy::{ExposeSecret as _, SecretString};

use crate::provider::link::ProxyUrl;
use crate::transport::proxy::check;
use crate::transport::surrounding::Surrounding;

use super::address::is_loopback;
use super::secret::{Surroundings, is_reference, is_unchecked};
use super::table::{Table, Value};

const REMEDY: &str = "write \"none\", or a URL such as \"http://proxy.example:3128\" with http, https, \
                      socks5 or socks5h, by reference if it holds a credential";

/// The proxies that the environment names.
pub(super) struct Environment {
    https: Named,
    http: Named,
    all: Named,
    no: Named,
}

/// A variable and its value, which is a secret: it may hold a credential.
struct Named {
    name: &'static str,
    value: SecretString,
}

impl Environment {
    /// Reads the variables that other clients read, those in capitals first. An empty variable counts as unset.
    pub(super) fn read(surroundings: &Surroundings<'_>) -> Self {
        let first = |names: [&'static str; 2]| {
            let set = names.into_iter().find_map(|name| {
                let value = (surroundings.variable)(name)?;
                let value = value.trim();
                let is_set = !value.is_empty() && !is_unchecked(value);
                is_set.then(|| (name, value.to_owned()))
            });
            let (name, value) = set.unwrap_or((names[0], String::new()));
            Named {
                name,
                value: value.into(),
            }
        };
        Self {
            https: first(["HTTPS_PROXY", "https_proxy"]),
            http: first(["HTTP_PROXY", "http_proxy"]),
            all: first(["ALL_PROXY", "all_proxy"]),
            no: first(["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy for this URL; none for the local machine.
    fn proxy_for(&self, table: &Table<'_>, base_url: &str) -> Option<ProxyUrl> {
        let (scheme, _) = base_url.split_once("://")?;
        let host = base_url.parse::<http::Uri>().ok()?;
        if is_loopback(host.host()?) {
            return None;
        }
        let own = if scheme == "https" {
            &self.https
        } else {
            &self.http
        };
        let used = match own.value.expose_secret() {
            "" => &self.all,
            _ => own,
        };
        let url = used.value.expose_secret();
        if !url.is_empty() && check(url).is_err() {
            table.place.wrong(
                format!(
                    "the environment variable `{}` is not the URL of a proxy",
                    used.name
                ),
                format!("correct `{}`, or set `proxy` here; {REMEDY}", used.name),
            );
            return None;
        }
        let surrounding = Surrounding {
            https: self.https.value.expose_secret(),
            http: self.http.value.expose_secret(),
            all: self.all.value.expose_secret(),
            no: self.no.value.expose_secret(),
        };
        let url = surrounding.proxy_for(base_url)?;
        Some(ProxyUrl(url.to_owned().into()))
    }
}

/// Reads `proxy`. `base_url` is `None` if it is wrong, and for simulated providers.
pub(super) fn read(
    table: &mut Table<'_>,
    base_url: Option<&str>,
    environment: &Environment,
    surroundings: &Surroundings<'_>,
) -> Option<ProxyUrl> {
    match table.get("proxy") {
        Some(value) => written(&value, surroundings),
        None => environment.proxy_for(table, base_url?),
    }
}

fn written(value: &Value<'_>, surroundings: &Surroundings<'_>) -> Option<ProxyUrl> {
    let text = value.string()?;
    if text == "none" {
        return None;
    }
    let url = match is_reference(text) {
        true => surroundings.secret_text(value)?,
        false if text.contains('@') => {
            value.place.wrong(
                "the URL holds a credential",
                "store the URL in a variable or a file, and write \"env:NAME\" or \"file:PATH\" here",
            );
            return None;
        }
        false => text.to_owned().into(),
    };
    if is_unchecked(url.expose_secret()) {
        return None;
    }
    // The text is not shown, because it may hold a credential.
    if check(url.expose_secret()).is_err() {
        value.place.wrong("not the URL of a proxy", REMEDY);
        return None;
    }
    Some(ProxyUrl(url))
}
