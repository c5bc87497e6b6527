//! The keys of the issuers of tokens: who fetches them, and when?
//!
//! Each issuer has one owner, which fetches its keys at the start, every five minutes, and when a token names a key that
//! is not known, but then not more often than every 30 seconds. All tokens that wait share one fetch.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::config::IssuerLinks;
use crate::identity::issuers::{Issuer, Issuers, REFRESH_AT_MOST, REFRESH_EVERY};
use crate::outbound::{self, Client};

/// The owners of all keys. They end when this is dropped.
#[derive(Default)]
pub(super) struct IssuerKeys {
    /// Whose keys are fetched.
    issuers: Arc<Issuers>,
    /// How each is reached.
    links: IssuerLinks,
    owners: JoinSet<()>,
}

impl IssuerKeys {
    /// Fetches the keys of these issuers from now on, each by its link, and of no others.
    pub(super) fn follow(&mut self, issuers: &Arc<Issuers>, links: IssuerLinks) {
        if Arc::ptr_eq(&self.issuers, issuers) && self.links == links {
            return;
        }
        self.owners.abort_all();
        self.issuers = Arc::clone(issuers);
        for issuer in issuers.all() {
            let name = &issuer.settings().rules.name;
            let link = links.get(name).cloned().unwrap_or_default();
            match Client::new(&link) {
                Ok(client) => {
                    let owner = own(Arc::clone(issuers), Arc::clone(issuer), client);
                    self.owners.spawn(owner);
                }
                Err(error) => {
                    warn!(issuer = &**name, %error, "the keys of an issuer of tokens cannot be fetched");
                }
            }
        }
        self.links = links;
    }
}

/// Fetches the keys of an issuer again and again.
async fn own(issuers: Arc<Issuers>, issuer: Arc<Issuer>, client: Client) {
    let name = &issuer.settings().rules.name;
    let mut wishes = issuer.wishes();
    // Why the last try failed, so that a cause is logged once.
    let mut failure: Option<String> = None;
    loop {
        wishes.mark_unchanged();
        let began = Instant::now();
        let fetched = outbound::fetch_key_set(&client, &issuer.settings().keys).await;
        let now = SystemTime::now();
        let next = match fetched {
            Ok(set) => {
                issuers.learn(&issuer, set, now);
                if failure.take().is_some() {
                    info!(
                        issuer = &**name,
                        "the keys of an issuer of tokens can be fetched again"
                    );
                }
                began + REFRESH_EVERY
            }
            Err(error) => {
                issuer.has_failed(now);
                let error = error.to_string();
                if failure.as_ref() != Some(&error) {
                    warn!(
                        issuer = &**name,
                        error,
                        "the keys of an issuer of tokens cannot be fetched; those that are known are used for a day"
                    );
                    failure = Some(error);
                }
                began + REFRESH_AT_MOST
            }
        };
        sleep_until(began + REFRESH_AT_MOST).await;
        tokio::select! {
            () = sleep_until(next) => {}
            _ = wishes.changed() => {}
        }
    }
}
