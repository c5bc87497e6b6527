//! The ways to providers that are set up: one for each link, shared by all cores.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::provider::Provider;
use crate::provider::link::Link;

use super::connector::Connector;
use super::tls;

/// What connections of every link need. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links(Arc<[(Arc<Link>, ClientConfig)]>);

/// A provider cannot be reached by TLS.
#[derive(Debug, thiserror::Error)]
#[error(
    "nobody vouches for the host of provider `{provider}`: {error}; install the system's CA certificates, \
     let SSL_CERT_FILE name a file of them, or set `transport.ca_file`"
)]
pub struct SetupError {
    provider: String,
    error: rustls::Error,
}

impl Links {
    /// Sets up the links of these providers; connects to nobody. The system's certificates are read
    /// only for providers that are reached by TLS.
    ///
    /// # Errors
    /// [`SetupError`] if there is no authority to trust.
    pub fn set_up<'a>(
        providers: impl IntoIterator<Item = &'a Provider>,
    ) -> Result<Self, SetupError> {
        let mut links: Vec<(&Arc<Link>, Option<&str>)> = Vec::new();
        for provider in providers {
            let needs_tls = provider.base_url.starts_with("https:");
            let name = needs_tls.then_some(provider.name.as_str());
            match links
                .iter_mut()
                .find(|(link, _)| key(link) == key(&provider.link))
            {
                Some((_, needed_by)) => *needed_by = needed_by.or(name),
                None => links.push((&provider.link, name)),
            }
        }
        let mut set_up = Vec::new();
        for (link, needed_by) in links {
            let tls = match needed_by {
                Some(_) => tls::client(link),
                None => tls::none(),
            };
            let tls = tls.map_err(|error| SetupError {
                provider: needed_by.unwrap_or_default().to_owned(),
                error,
            })?;
            set_up.push((Arc::clone(link), tls));
        }
        Ok(Self(set_up.into()))
    }

    /// A connector for each link, by the link's key.
    pub(super) fn connectors(&self, limit: Duration) -> impl Iterator<Item = (usize, Connector)> {
        let connector =
            move |(link, tls): &(_, ClientConfig)| (key(link), Connector::new(tls.clone(), limit));
        self.0.iter().map(connector)
    }
}

/// What tells a link from others for as long as it is set up.
pub(super) fn key(link: &Arc<Link>) -> usize {
    Arc::as_ptr(link).addr()
}
