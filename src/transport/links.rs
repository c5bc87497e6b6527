//! The links to providers, set up once and shared by all cores.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::Uri;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::provider::Provider;
use crate::provider::link::Link;

use super::connector::Connector;
use super::connector::examine::Examination;
use super::connects::ConnectionCounts;
use super::names::Names;
use super::outages::{Outages, WatchedHosts};
use super::pool::{Pool, Unused};
use super::proxy::{NoProxy, Proxy};
use super::settings::Settings;
use super::tls;

/// What is needed to connect over each link. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProviderLinks {
    /// Each link, with the hosts that are reached over it.
    set_up: Arc<[(Arc<SetUp>, WatchedHosts)]>,
    names: Names,
    /// The unused connections of all cores, because the limit on open files holds for all of them together.
    pub(super) unused: Unused,
    counts: ConnectionCounts,
}

#[derive(Debug)]
struct SetUp {
    link: Arc<Link>,
    /// Whether a provider is reached by TLS over it; otherwise `tls` trusts no authority.
    has_tls: bool,
    tls: ClientConfig,
    proxy: Option<Proxy>,
    outages: Arc<Outages>,
}

/// A link and what the providers that use it need.
struct Needed<'a> {
    link: &'a Arc<Link>,
    /// One of the providers that are reached by TLS.
    by: Option<&'a str>,
    watched: WatchedHosts,
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
        let nothing = Self {
            set_up: Arc::default(),
            names: Names::of_system(),
            unused: Unused::default(),
            counts: ConnectionCounts::default(),
        };
        nothing.followed_by(providers)
    }

    /// The links of the providers of another configuration. Those that stay remain set up as they are.
    ///
    /// # Errors
    /// [`SetupError`] if there is no authority to trust.
    pub fn followed_by<'a>(
        &self,
        providers: impl IntoIterator<Item = &'a Provider>,
    ) -> Result<Self, SetupError> {
        let mut set_up = Vec::new();
        for needed in needed(providers) {
            let known = self.set_up.iter().map(|(set_up, _)| set_up);
            let known = known.filter(|known| Arc::ptr_eq(&known.link, needed.link));
            let same = match known
                .into_iter()
                .find(|known| known.has_tls >= needed.by.is_some())
            {
                Some(known) => Arc::clone(known),
                None => Arc::new(SetUp::new(&needed)?),
            };
            set_up.push((same, needed.watched));
        }
        Ok(Self {
            set_up: set_up.into(),
            names: self.names.clone(),
            unused: self.unused.clone(),
            counts: self.counts.clone(),
        })
    }

    /// The connections to every provider, counted since the start of the service.
    pub fn counts(&self) -> &ConnectionCounts {
        &self.counts
    }

    /// A pool of connections for each link, by the link's key. A link that has a pool keeps it, with its connections.
    pub(super) fn pools(
        &self,
        settings: Settings,
        before: &HashMap<usize, Arc<Pool>>,
    ) -> HashMap<usize, Arc<Pool>> {
        let pool = |(set_up, watched): &(Arc<SetUp>, WatchedHosts)| {
            set_up.outages.watch(watched.clone(), &self.counts);
            let key = key(&set_up.link);
            let known = before.get(&key);
            let pool = match known.filter(|pool| pool.is_for(settings, &set_up.outages)) {
                Some(pool) => Arc::clone(pool),
                None => Arc::new(self.pool(set_up, settings)),
            };
            (key, pool)
        };
        self.set_up.iter().map(pool).collect()
    }

    fn pool(&self, set_up: &SetUp, settings: Settings) -> Pool {
        let connector = self.connector(set_up, settings);
        Pool::new(settings, connector, set_up.link.http, self.unused.clone())
    }

    fn connector(&self, set_up: &SetUp, settings: Settings) -> Connector {
        Connector::new(
            set_up.tls.clone(),
            set_up.proxy.clone(),
            self.names.clone(),
            Arc::clone(&set_up.outages),
            set_up.link.http,
            settings.connect_timeout,
        )
    }

    /// Connects to the host of a URL over a link, step by step, and closes the connection. Nothing is sent.
    pub async fn examine(
        &self,
        settings: Settings,
        link: &Arc<Link>,
        url: &str,
        deadline: Instant,
    ) -> Examination {
        let mut set_up = self.set_up.iter().map(|(set_up, _)| set_up);
        let set_up = set_up.find(|set_up| Arc::ptr_eq(&set_up.link, link));
        match (set_up, url.parse::<Uri>()) {
            (Some(set_up), Ok(url)) => {
                let connector = self.connector(set_up, settings);
                let deadline = deadline.min(connector.deadline());
                connector.examine(&url, deadline).await
            }
            // The request says why it cannot be sent.
            _ => Examination::default(),
        }
    }
}

impl SetUp {
    fn new(needed: &Needed<'_>) -> Result<Self, SetupError> {
        let Needed { link, by, .. } = needed;
        let proxy = link.proxy.as_ref().map(Proxy::of).transpose()?;
        let tls = match by {
            Some(_) => tls::client(link),
            None => tls::none(),
        };
        let tls = tls.map_err(|error| SetupError::Tls {
            provider: by.unwrap_or_default().to_owned(),
            error,
        })?;
        Ok(Self {
            link: Arc::clone(link),
            has_tls: by.is_some(),
            tls,
            proxy,
            outages: Arc::default(),
        })
    }
}

/// Each link of these providers once.
fn needed<'a>(providers: impl IntoIterator<Item = &'a Provider>) -> Vec<Needed<'a>> {
    let mut links: Vec<Needed<'_>> = Vec::new();
    let mut seen = HashSet::new();
    for provider in providers {
        if !seen.insert(provider.name.as_str()) {
            continue;
        }
        let link = &provider.link;
        let known = links.iter().position(|known| Arc::ptr_eq(known.link, link));
        let at = known.unwrap_or(links.len());
        if known.is_none() {
            links.push(Needed {
                link,
                by: None,
                watched: WatchedHosts::default(),
            });
        }
        let needed = &mut links[at];
        if provider.base_url.starts_with("https:") || has_tls_to_proxy(link) {
            needed.by.get_or_insert(&provider.name);
        }
        needed.watched.add(&provider.name, &provider.base_url);
    }
    links
}

fn has_tls_to_proxy(link: &Link) -> bool {
    let proxy = link.proxy.as_ref().and_then(|proxy| Proxy::of(proxy).ok());
    proxy.is_some_and(|proxy| proxy.has_tls())
}

/// Identifies a link for as long as it is set up.
pub(super) fn key(link: &Arc<Link>) -> usize {
    Arc::as_ptr(link).addr()
}
