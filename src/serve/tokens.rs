//! Access tokens of providers: each has one owner, which fetches the next one ahead of the end of the one in use.
//!
//! While no other token can be fetched, the one in use stays until its end. Calls never wait for a token; without a
//! live one, a target is skipped.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::config::judge::WantedToken;
use crate::config::reading;
use crate::dispatch::dispatcher::Dispatcher;
use crate::outbound::{self, Client, Renewed, Skew, renewal};
use crate::provider::credential::{Credential, TokenTrouble};
use crate::provider::token::TokenOrigin;

/// The limit for all exchanges that one token takes.
const FETCH_LIMIT: Duration = Duration::from_secs(20);

/// How long the start of the service waits for the first tokens.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How often an owner looks whether its token was refused.
const TICK: Duration = Duration::from_millis(250);

/// How often the file of a credential is read.
const PERIOD: Duration = Duration::from_secs(2);

/// How soon a changed file is read again. It may not be completely written yet.
const SETTLED: Duration = Duration::from_millis(100);

/// How many times an unsettled file is read again.
const MOST_LOOKS: usize = 20;

/// The owners of all tokens. They end when this is dropped.
pub(super) struct AccessTokens {
    dispatcher: Arc<Dispatcher>,
    owned: Vec<Owned>,
    owners: JoinSet<()>,
    /// Each owner drops its sender after the first try.
    first_tries: mpsc::Receiver<()>,
}

/// A token that has an owner.
struct Owned {
    credential: Arc<Credential>,
    providers: ProviderNames,
    owner: AbortHandle,
}

/// The providers that are asked with a token.
#[derive(Clone)]
struct ProviderNames(Arc<Mutex<Vec<String>>>);

/// The owner of one token.
struct Owner {
    credential: Arc<Credential>,
    origin: TokenOrigin,
    providers: ProviderNames,
    dispatcher: Arc<Dispatcher>,
    client: Client,
    skew: Skew,
    trouble: Option<TokenTrouble>,
    due: Instant,
    last_early: Option<Instant>,
    /// A hash of the content of the credential's file when it was last read.
    content: Option<u64>,
    hasher: RandomState,
}

impl ProviderNames {
    fn set(&self, names: &[String]) {
        *self.lock() = names.to_vec();
    }

    fn get(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for ProviderNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lock().join(", "))
    }
}

impl AccessTokens {
    /// Owns no token yet.
    pub(super) fn new(dispatcher: &Arc<Dispatcher>) -> Self {
        Self {
            dispatcher: Arc::clone(dispatcher),
            owned: Vec::new(),
            owners: JoinSet::new(),
            first_tries: mpsc::channel(1).1,
        }
    }

    /// Starts an owner for each of these tokens that has none.
    pub(super) fn start(&mut self, wanted: &[WantedToken]) {
        let (sender, first_tries) = mpsc::channel(1);
        for WantedToken {
            credential,
            client,
            providers: names,
        } in wanted
        {
            let mut owned = self.owned.iter();
            if let Some(owned) = owned.find(|owned| Arc::ptr_eq(&owned.credential, credential)) {
                owned.providers.set(names);
                continue;
            }
            let Some(origin) = credential.origin() else {
                continue;
            };
            let providers = ProviderNames(Arc::new(Mutex::new(names.clone())));
            let owner = Owner {
                credential: Arc::clone(credential),
                origin: origin.clone(),
                providers: providers.clone(),
                dispatcher: Arc::clone(&self.dispatcher),
                client: client.clone(),
                skew: Skew::default(),
                trouble: None,
                due: Instant::now(),
                last_early: None,
                content: None,
                hasher: RandomState::new(),
            };
            self.owned.push(Owned {
                credential: Arc::clone(credential),
                providers,
                owner: self.owners.spawn(owner.run(sender.clone())),
            });
        }
        self.first_tries = first_tries;
    }

    /// Waits until a first token has been fetched for each provider that was started last, or could not be; but not for
    /// long.
    pub(super) async fn first(&mut self) {
        let _ = timeout(FIRST_WAIT, self.first_tries.recv()).await;
    }

    /// Ends the owners of all tokens but these.
    pub(super) fn keep(&mut self, wanted: &[WantedToken]) {
        self.owned.retain(|owned| {
            let mut wanted = wanted.iter();
            let stays = wanted.any(|wanted| Arc::ptr_eq(&wanted.credential, &owned.credential));
            if !stays {
                owned.owner.abort();
            }
            stays
        });
        // Takes what has ended out of the set.
        while self.owners.try_join_next().is_some() {}
    }
}

impl Owner {
    async fn run(mut self, first_try: mpsc::Sender<()>) {
        let mut first_try = Some(first_try);
        loop {
            self.content = self.look().await;
            self.fetch().await;
            first_try.take();
            self.wait().await;
        }
    }

    /// Fetches a token and uses it. If that fails, the one in use stays.
    async fn fetch(&mut self) {
        let (credential, source) = (&self.credential, &self.origin.source);
        let renewed = outbound::renew(
            credential,
            &self.client,
            source,
            &mut self.skew,
            FETCH_LIMIT,
        );
        match renewed.await {
            Ok(Renewed {
                asked,
                lifetime,
                is_other,
            }) => {
                let due = renewal::due(asked.into_std(), lifetime, fastrand::f64());
                self.due = Instant::from_std(due);
                self.succeeded(lifetime);
                if is_other {
                    self.forget_old_token();
                }
            }
            Err(cause) => self.failed(cause),
        }
        self.credential
            .note(self.due.into_std(), self.trouble.clone());
    }

    fn succeeded(&mut self, lifetime: Duration) {
        if self.trouble.take().is_some() {
            info!(
                providers = %self.providers,
                seconds = lifetime.as_secs(),
                "an access token could be fetched again"
            );
        }
    }

    /// Logs a cause once.
    fn failed(&mut self, cause: String) {
        let now = Instant::now();
        let before = self.trouble.take();
        if before.as_ref().is_none_or(|before| before.cause != cause) {
            let ends = self.credential.state().ends;
            let left = ends.map(|ends| ends.saturating_duration_since(now.into_std()));
            warn!(
                providers = %self.providers,
                cause,
                seconds_left = left.unwrap_or_default().as_secs(),
                "no access token can be fetched: the one in use stays until its end"
            );
        }
        let (since, times) = match &before {
            Some(before) => (before.since, before.times.saturating_add(1)),
            None => (now.into_std(), 1),
        };
        self.due = now + renewal::backoff(times, fastrand::f64());
        self.trouble = Some(TokenTrouble {
            since,
            times,
            cause,
        });
    }

    /// Makes the health of the providers forget what it has learnt about the old token.
    fn forget_old_token(&self) {
        let routes = self.dispatcher.routes();
        for name in self.providers.get() {
            if let Some(provider) = routes.provider(&name) {
                provider.renew_credential();
            }
        }
    }

    /// Waits until the next token is due, the one in use was refused, or the file of the credential has changed.
    async fn wait(&mut self) {
        let mut next_look = Instant::now() + PERIOD;
        loop {
            let now = Instant::now();
            if now >= self.due {
                return;
            }
            if self.credential.take_refusal()
                && renewal::may_be_early(self.last_early.map(Instant::into_std), now.into_std())
            {
                self.last_early = Some(now);
                info!(
                    providers = %self.providers,
                    "a provider has refused the access token: another one is fetched"
                );
                return;
            }
            if now >= next_look {
                if self.has_other_file().await {
                    info!(
                        providers = %self.providers,
                        "the file of the credential has changed: another access token is fetched"
                    );
                    return;
                }
                next_look = Instant::now() + PERIOD;
            }
            sleep(TICK.min(self.due.saturating_duration_since(now))).await;
        }
    }

    /// Whether the credential's file has another content than before, which two looks have found.
    async fn has_other_file(&mut self) -> bool {
        let mut found = self.look().await;
        if found.is_none() || found == self.content {
            return false;
        }
        for _ in 0..MOST_LOOKS {
            sleep(SETTLED).await;
            let again = self.look().await;
            if again == found {
                break;
            }
            found = again;
        }
        found.is_some() && found != self.content
    }

    /// A hash of the content of the credential's file; `None` if there is no file or it cannot be read.
    async fn look(&self) -> Option<u64> {
        let path = self.origin.source.file()?.clone();
        let reading = spawn_blocking(move || reading::again(Path::new(&path)));
        let text = reading.await.ok()?.ok()?;
        Some(self.hasher.hash_one(text))
    }
}
