//! Which proxy does the environment name for a URL?

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The environment variables that name proxies, such as `HTTPS_PROXY`; empty if unset.
#[derive(Default)]
pub struct Surrounding<'a> {
    /// For URLs with `https`.
    pub https: &'a str,
    /// For URLs with `http`.
    pub http: &'a str,
    /// For URLs that have no proxy by the other two.
    pub all: &'a str,
    /// Hosts that are reached without a proxy.
    pub no: &'a str,
}

impl<'a> Surrounding<'a> {
    /// The URL of the proxy for this URL; `None` if it is reached without one.
    pub fn proxy_for(&self, url: &str) -> Option<&'a str> {
        let url: Uri = url.parse().ok()?;
        let named = match url.scheme_str() {
            Some("https") => self.https,
            _ => self.http,
        };
        let named = Some(named).filter(|named| !named.is_empty());
        let proxy = named.unwrap_or(self.all);
        if self.leaves_out(&url) {
            return None;
        }
        let matcher = Matcher::builder().all(proxy).no(self.no).build();
        // The matcher applies the other rules of `NO_PROXY`.
        matcher.intercept(&url).map(|_| proxy)
    }

    /// Whether `NO_PROXY` lists this URL in a form that other clients know and the matcher does not: `*` for
    /// addresses, `*.domain`, or a host with its port.
    fn leaves_out(&self, url: &Uri) -> bool {
        let Some(host) = url.host() else {
            return false;
        };
        let usual_port = match url.scheme_str() {
            Some("http") => 80,
            _ => 443,
        };
        let port = url.port_u16().unwrap_or(usual_port);
        let mut items = self.no.split(',').map(str::trim);
        items.any(|item| {
            let (name, of_port) = with_port(item);
            if of_port.is_some_and(|of_port| of_port != port) {
                return false;
            }
            match name.strip_prefix('*') {
                Some("") => true,
                Some(domain) => domain.starts_with('.') && ends_with(host, domain),
                None if of_port.is_some() => {
                    let below = format!(".{}", name.trim_start_matches('.'));
                    host.eq_ignore_ascii_case(&below[1..]) || ends_with(host, &below)
                }
                None => false,
            }
        })
    }
}

/// An item's host and its port, if it has one. The colons of a bare IPv6 address begin none.
fn with_port(item: &str) -> (&str, Option<u16>) {
    if let Some((host, port)) = item.rsplit_once(':')
        && (!host.contains(':') || host.ends_with(']'))
        && let Ok(port) = port.parse()
    {
        return (host, Some(port));
    }
    (item, None)
}

fn ends_with(host: &str, end: &str) -> bool {
    let start = host.len().checked_sub(end.len());
    let found = start.and_then(|start| host.get(start..));
    found.is_some_and(|found| found.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_hosts_without_a_proxy_is_read_as_other_clients_read_it() {
        let table = [
            ("*", "https://10.1.2.3/v1", true),
            ("*", "https://[fd00::1]/v1", true),
            ("*", "https://api.example", true),
            ("*.corp.example", "https://api.corp.example", true),
            ("*.corp.example", "https://corp.example", false),
            ("*.corp.example", "https://apicorp.example", false),
            ("a.example, api.example:443", "https://api.example/v1", true),
            ("API.example:443", "https://eu.api.example/v1", true),
            (".api.example:443", "https://api.example/v1", true),
            ("api.example:8443", "https://api.example/v1", false),
            ("10.1.2.3:8443", "https://10.1.2.3:8443", true),
            ("10.1.2.3:8443", "https://10.1.2.3", false),
            ("[fd00::1]:8443", "https://[fd00::1]:8443", true),
            ("fd00::1", "https://[fd00::1]:8443", true),
            ("fd00::1:443", "https://[fd00::1]", false),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("", "https://api.example", false),
            (",:,:443,.", "https://api.example", false),
        ];
        for (no, url, is_left_out) in table {
            let surrounding = Surrounding {
                all: "http://proxy.example:3128",
                no,
                ..Surrounding::default()
            };
            assert_eq!(
                surrounding.proxy_for(url).is_none(),
                is_left_out,
                "{no:?} {url}"
            );
        }
    }
}
