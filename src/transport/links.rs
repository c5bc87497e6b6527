//! The links to providers, set up once and shared by all cores.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::provider::Provider;
use crate::provider::link::Link;

use super::connector::Connector;
use super::names::Names;
use super::outages::Outages;
use super::pool::{Pool, Unused};
use super::proxy::{NoProxy, Proxy};
use super::settings::Settings;
use super::tls;

/// What is needed to connect over each link. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProviderLinks {
    set_up: Arc<[SetUp]>,
    names: Names,
    /// The unused connections of all cores, because the limit on open files holds for all of them together.
    pub(super) unused: Unused,
}

#[derive(Debug)]
struct SetUp {
    link: Arc<Link>,
    tls: ClientConfig,
    proxy: Option<Proxy>,
    outages: Arc<Outages>,
}

/// A link cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no certificate authority to check its host.
    #[error(
        "nobody vouches for the host of provider `{provider}`: {error}; install the system's CA \
         certificates, let SSL_CERT_FILE name a file of them, or set `transport.ca_file`"
    )]
    Tls {
        /// One of the providers.
        provider: String,
        /// Why.
        error: rustls::Error,
    },
    /// The URL of its proxy is not valid. The configuration has checked it before.
    #[error(transparent)]
    Proxy(#[from] NoProxy),
}

impl ProviderLinks {
    /// Sets up the links of these providers without connecting. The system's certificates are read only if a provider
    /// is reached by TLS.
    ///
    /// # Errors
    /// [`SetupError`] if there is no authority to trust.
    pub fn set_up<'a>(
        providers: impl IntoIterator<Item = &'a Provider>,
    ) -> Result<Self, SetupError> {
        // For other users of TLS in this process. It fails if there is a default already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut links: Vec<(&Arc<Link>, Option<&str>, Outages)> = Vec::new();
        let mut seen = HashSet::new();
        for provider in providers {
            if !seen.insert(provider.name.as_str()) {
                continue;
            }
            let known = links
                .iter()
                .position(|(link, ..)| key(link) == key(&provider.link));
            let at = known.unwrap_or(links.len());
            if known.is_none() {
                links.push((&provider.link, None, Outages::default()));
            }
            let (_, needed_by, outages) = &mut links[at];
            if provider.base_url.starts_with("https:") || has_tls_to_proxy(&provider.link) {
                needed_by.get_or_insert(&provider.name);
            }
            outages.watch(&provider.name, &provider.base_url);
        }
        let mut set_up = Vec::new();
        for (link, needed_by, outages) in links {
            let proxy = link.proxy.as_ref().map(Proxy::of).transpose()?;
            let tls = match needed_by {
                Some(_) => tls::client(link),
                None => tls::none(),
            };
            let tls = tls.map_err(|error| SetupError::Tls {
                provider: needed_by.unwrap_or_default().to_owned(),
                error,
            })?;
            set_up.push(SetUp {
                link: Arc::clone(link),
                tls,
                proxy,
                outages: Arc::new(outages),
            });
        }
        Ok(Self {
            set_up: set_up.into(),
            names: Names::of_system(),
            unused: Unused::default(),
        })
    }

    /// A pool of connections for each link, by the link's key.
    pub(super) fn pools(&self, settings: Settings) -> impl Iterator<Item = (usize, Pool)> {
        self.set_up.iter().map(move |set_up| {
            let SetUp {
                link,
                tls,
                proxy,
                outages,
            } = set_up;
            let (http, limit) = (link.http, settings.connect_timeout);
            let (proxy, names, outages) = (proxy.clone(), self.names.clone(), Arc::clone(outages));
            let connector = Connector::new(tls.clone(), proxy, names, outages, http, limit);
            let unused = self.unused.clone();
            (key(link), Pool::new(settings, connector, http, unused))
        })
    }
}

fn has_tls_to_proxy(link: &Link) -> bool {
    let proxy = link.proxy.as_ref().and_then(|proxy| Proxy::of(proxy).ok());
    proxy.is_some_and(|proxy| proxy.has_tls())
}

/// Identifies a link for as long as it is set up.
pub(super) fn key(link: &Arc<Link>) -> usize {
    Arc::as_ptr(link).addr()
}
