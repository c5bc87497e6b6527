//! The keys of the issuers of tokens: who fetches them, and when?
//!
//! Each issuer has one owner, which fetches its keys at the start, every five minutes, and when a token names a key that
//! is not known, but then not more often than every 30 seconds. All tokens that wait share one fetch.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::identity::issuers::{Issuer, Issuers, REFRESH_AT_MOST, REFRESH_EVERY};
use crate::outbound::{self, Client};
use crate::provider::link::Link;

/// The owners of all keys. They end when this is dropped.
#[derive(Default)]
pub(super) struct IssuerKeys {
    /// Whose keys are fetched.
    issuers: Arc<Issuers>,
    owners: JoinSet<()>,
}

impl IssuerKeys {
    /// Fetches the keys of these issuers from now on, and of no others.
    pub(super) fn follow(&mut self, issuers: &Arc<Issuers>) {
        if Arc::ptr_eq(&self.issuers, issuers) {
            return;
        }
        self.owners.abort_all();
        self.issuers = Arc::clone(issuers);
        if issuers.all().is_empty() {
            return;
        }
        let client = match Client::new(&Link::default()) {
            Ok(client) => client,
            Err(error) => {
                return warn!(%error, "the keys of the issuers of tokens cannot be fetched");
            }
        };
        for issuer in issuers.all() {
            let owner = own(Arc::clone(issuers), Arc::clone(issuer), client.clone());
            self.owners.spawn(owner);
        }
    }
}

/// Fetches the keys of an issuer again and again.
async fn own(issuers: Arc<Issuers>, issuer: Arc<Issuer>, client: Client) {
    let name = &issuer.settings().rules.name;
    let mut wishes = issuer.wishes();
    let mut is_failing = false;
    loop {
        wishes.mark_unchanged();
        let began = Instant::now();
        let fetched = outbound::fetch_key_set(&client, &issuer.settings().keys).await;
        let now = SystemTime::now();
        let next = match fetched {
            Ok(set) => {
                issuers.learn(&issuer, set, now);
                if std::mem::take(&mut is_failing) {
                    info!(
                        issuer = &**name,
                        "the keys of an issuer of tokens are there again"
                    );
                }
                began + REFRESH_EVERY
            }
            Err(error) => {
                issuer.has_failed(now);
                if !std::mem::replace(&mut is_failing, true) {
                    warn!(
                        issuer = &**name,
                        %error,
                        "the keys of an issuer of tokens cannot be fetched; those that are known are used for a day"
                    );
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
