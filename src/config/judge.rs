//! Can a configuration be used? The one judgement for `check`, for the start of the service and for every reload.

use std::sync::Arc;

use crate::outbound;
use crate::provider::Provider;
use crate::provider::credential::Credential;
use crate::provider::link::Link;
use crate::transport::{self, ProviderLinks};

use super::file::File;
use super::{Config, InUse, Mistakes, Overrides, Surroundings};

/// A configuration that can be used, and what had to be set up to know that.
pub struct Judged {
    /// What the file says.
    pub config: Config,
    /// Whether the built-in simulator plays one of its providers.
    pub needs_simulator: bool,
    /// How its providers are reached.
    pub links: ProviderLinks,
    /// Its access tokens.
    pub tokens: Vec<WantedToken>,
}

/// An access token that a configuration wants.
#[derive(Clone)]
pub struct WantedToken {
    /// The token.
    pub credential: Arc<Credential>,
    /// What fetches it.
    pub client: outbound::Client,
    /// The providers that are asked with it.
    pub providers: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableConfiguration {
    /// It has mistakes.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// The connections to providers cannot be set up.
    #[error(transparent)]
    Transport(#[from] transport::SetupError),
    /// The client that fetches access tokens cannot be set up.
    #[error(transparent)]
    Outbound(#[from] outbound::SetupError),
}

/// What a configuration has set up, for the one that follows it.
#[derive(Clone, Debug)]
pub struct Before {
    links: ProviderLinks,
    in_use: Vec<Arc<Link>>,
    tokens: Vec<Arc<Credential>>,
}

impl Judged {
    /// What it has set up.
    pub fn before(&self) -> Before {
        let mut in_use: Vec<Arc<Link>> = Vec::new();
        for provider in providers(&self.config) {
            if !in_use.iter().any(|link| Arc::ptr_eq(link, &provider.link)) {
                in_use.push(Arc::clone(&provider.link));
            }
        }
        let tokens = self.tokens.iter();
        let tokens = tokens.map(|wanted| Arc::clone(&wanted.credential));
        Before {
            links: self.links.clone(),
            in_use,
            tokens: tokens.collect(),
        }
    }
}

/// Judges the text of a configuration, in which `overrides` have the last word. Nothing is connected, and nothing in use changes. What `before` has set up is used
/// again where the text says the same of it.
///
/// # Errors
/// [`UnusableConfiguration`]: all mistakes of the text, or what could not be set up.
pub fn judge(
    text: &str,
    surroundings: &Surroundings<'_>,
    overrides: &Overrides,
    before: Option<&Before>,
) -> Result<Judged, UnusableConfiguration> {
    let file = File::parse(text);
    let in_use = before.map_or_else(InUse::default, |before| InUse {
        links: &before.in_use,
        tokens: &before.tokens,
    });
    let surroundings = Surroundings {
        in_use,
        ..*surroundings
    };
    let config = file.resolve_with(&surroundings, overrides)?;
    let links = match before {
        Some(before) => before.links.followed_by(providers(&config))?,
        None => ProviderLinks::set_up(providers(&config))?,
    };
    Ok(Judged {
        needs_simulator: file.needs_simulator(),
        tokens: tokens(&config)?,
        config,
        links,
    })
}

fn tokens(config: &Config) -> Result<Vec<WantedToken>, outbound::SetupError> {
    let mut tokens: Vec<WantedToken> = Vec::new();
    for provider in providers(config) {
        let Some(token) = provider.token() else {
            continue;
        };
        let Some(origin) = token.origin() else {
            continue;
        };
        let mut known = tokens.iter_mut();
        let known = known.find(|known| Arc::ptr_eq(&known.credential, token));
        match known {
            Some(known) if known.providers.contains(&provider.name) => {}
            Some(known) => known.providers.push(provider.name.clone()),
            None => tokens.push(WantedToken {
                credential: Arc::clone(token),
                client: outbound::Client::new(&origin.link)?,
                providers: vec![provider.name.clone()],
            }),
        }
    }
    for token in &mut tokens {
        token.providers.sort_unstable();
    }
    Ok(tokens)
}

fn providers(config: &Config) -> impl Iterator<Item = &Provider> {
    let targets = config.catalog.targets.values();
    targets.map(|target| &*target.provider)
}
