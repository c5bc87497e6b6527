//! How connections are made: authorities, client certificates and proxies, for all providers and for each.

use std::path::Path;
use std::sync::Arc;

use crate::certificate::{Certificate, CertificateFile, CertificateUse};
use crate::provider::credential::Credential;
use crate::provider::link::{ClientKeyPair, Http, Link, ProxyUrl};
use crate::provider::token::{TokenOrigin, TokenSource};
use crate::transport::tls::{self, Unusable};

use super::proxy::{self, Environment};
use super::reading;
use super::secret::{Surroundings, is_unchecked};
use super::table::{Table, Value};

/// Versions of HTTP, as the configuration names them.
const VERSIONS: [(&str, Http); 3] = [
    ("auto", Http::Auto),
    ("1.1", Http::Http1),
    ("2", Http::Http2),
];

/// Reads how connections to providers are made, and keeps what holds for all of them.
pub(super) struct LinkReader<'a> {
    common: Link,
    /// The links so far, and those in use. Providers with equal settings share one.
    known: Vec<Arc<Link>>,
    /// The access tokens so far, and those in use.
    tokens: Vec<Arc<Credential>>,
    /// The client certificates so far.
    certificates: Vec<CertificateFile>,
    environment: Environment,
    surroundings: &'a Surroundings<'a>,
}

impl<'a> LinkReader<'a> {
    /// A reader that has read nothing.
    pub(super) fn new(surroundings: &'a Surroundings<'a>) -> Self {
        Self {
            common: Link::default(),
            known: surroundings.in_use.links.to_vec(),
            tokens: surroundings.in_use.tokens.to_vec(),
            certificates: Vec::new(),
            environment: Environment::read(surroundings),
            surroundings,
        }
    }

    /// Reads the settings for all providers.
    pub(super) fn for_all(&mut self, transport: &mut Table<'_>) {
        self.common = self.link(transport);
    }

    /// Reads the settings of one provider. Its authorities are trusted besides those for all providers; its client
    /// certificate replaces theirs. `base_url` is `None` if it is wrong, and for simulated providers.
    pub(super) fn of(&mut self, provider: &mut Table<'_>, base_url: Option<&str>) -> Arc<Link> {
        let mut own = self.link(provider);
        let mut authorities = self.common.authorities.clone();
        authorities.append(&mut own.authorities);
        authorities.dedup();
        let link = Link {
            http: provider.or("http", Http::default(), |value| value.choice(&VERSIONS)),
            authorities,
            identity: own.identity.or_else(|| self.common.identity.clone()),
            proxy: proxy::read(provider, base_url, &self.environment, self.surroundings),
        };
        if let Some(known) = self.known.iter().find(|known| ***known == link) {
            return Arc::clone(known);
        }
        let link = Arc::new(link);
        self.known.push(Arc::clone(&link));
        link
    }
}

impl LinkReader<'_> {
    fn link(&mut self, table: &mut Table<'_>) -> Link {
        let authorities = authorities_of(table, self.surroundings);
        let file = table.get("client_certificate_file");
        let identity = identity(table, self.surroundings);
        let path = file.as_ref().and_then(Value::text);
        if let Some((identity, path)) = identity.as_ref().zip(path) {
            let chain = identity.chain.iter();
            let chain: Vec<_> = chain.filter_map(|der| Certificate::read(der)).collect();
            let file = CertificateFile::of(CertificateUse::Provider, path, &chain);
            self.certificates.extend(file);
        }
        Link {
            authorities,
            identity,
            ..Link::default()
        }
    }

    /// The client certificates that were read so far.
    pub(super) fn certificates(self) -> Vec<CertificateFile> {
        self.certificates
    }

    /// The proxy on the way to the issuer of a provider's tokens. `url` is `None` if the environment's do not apply.
    pub(super) fn proxy_of(&self, table: &mut Table<'_>, url: Option<&str>) -> Option<ProxyUrl> {
        proxy::read(table, url, &self.environment, self.surroundings)
    }

    /// How the keys of an issuer of callers' tokens are fetched: with its own authorities besides those for all providers, and
    /// through its own proxy or that of the environment. `url` is `None` if it is wrong.
    pub(super) fn of_issuer(&self, table: &mut Table<'_>, url: Option<&str>) -> Link {
        let mut authorities = self.common.authorities.clone();
        authorities.append(&mut authorities_of(table, self.surroundings));
        authorities.dedup();
        Link {
            authorities,
            proxy: self.proxy_of(table, url),
            ..Link::default()
        }
    }

    /// The token of this source for a provider that is reached by this link. Equal ones are one object.
    pub(super) fn token(
        &mut self,
        source: TokenSource,
        proxy: Option<ProxyUrl>,
        of_provider: &Link,
    ) -> Arc<Credential> {
        let link = Link {
            authorities: of_provider.authorities.clone(),
            proxy,
            ..Link::default()
        };
        let origin = TokenOrigin {
            source,
            link: Arc::new(link),
        };
        let mut known = self.tokens.iter();
        if let Some(known) = known.find(|known| known.origin() == Some(&origin)) {
            return Arc::clone(known);
        }
        let token = Arc::new(Credential::token(origin));
        self.tokens.push(Arc::clone(&token));
        token
    }
}

fn authorities_of(table: &mut Table<'_>, surroundings: &Surroundings<'_>) -> Vec<Vec<u8>> {
    table.or("ca_file", Vec::new(), |value| {
        certificates(value, surroundings, tls::authorities)
    })
}

fn identity(table: &mut Table<'_>, surroundings: &Surroundings<'_>) -> Option<ClientKeyPair> {
    let certificate = table.get("client_certificate_file");
    let key = table.get("client_key");
    let (certificate, written) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(certificate), None) => {
            certificate.place.wrong(
                "a client certificate without its key",
                "add `client_key = \"file:PATH\"`",
            );
            return None;
        }
        (None, Some(key)) => {
            key.place.wrong(
                "the key of a client certificate that is not there",
                "add `client_certificate_file`",
            );
            return None;
        }
        (None, None) => return None,
    };
    let chain = certificates(&certificate, surroundings, tls::certificates);
    let key = surroundings.secret_text(&written);
    let (chain, key) = chain.zip(key)?;
    let identity = ClientKeyPair { chain, key };
    if !identity.chain.is_empty()
        && let Err(unusable) = tls::check_identity(&identity)
    {
        written.place.wrong(
            unusable.to_string(),
            "store the private key of `client_certificate_file` there in PEM, without a passphrase",
        );
        return None;
    }
    Some(identity)
}

/// The content of the file that is named here, as `parse` returns it; empty if files are not read.
pub(super) fn certificates(
    path: &Value<'_>,
    surroundings: &Surroundings<'_>,
    parse: impl FnOnce(&str) -> Result<Vec<Vec<u8>>, Unusable>,
) -> Option<Vec<Vec<u8>>> {
    let written = path.string()?;
    let shown = written.escape_debug();
    let text = match (surroundings.read_file)(Path::new(written)) {
        Ok(text) => text,
        Err(error) => {
            path.place.wrong(
                format!(
                    "the file `{shown}` cannot be read: {}",
                    reading::why(&error)
                ),
                "store certificates there in PEM, readable for this process",
            );
            return None;
        }
    };
    if is_unchecked(&text) {
        return Some(Vec::new());
    }
    match parse(&text) {
        Ok(certificates) => Some(certificates),
        Err(unusable) => {
            path.place.wrong(
                format!("the file `{shown}` cannot be used: {unusable}"),
                "store certificates there in PEM",
            );
            None
        }
    }
}
