//! Which signed tokens are believed? Those of the configured issuers, by the keys that were learned last. Pure but for
//! its locks: keys are fetched elsewhere, and time is passed in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::hash::sha256;

use super::token::{IssuerRules, KeySet, TokenClaims, TokenFault, Unverified};

/// How long the last keys of an issuer that cannot be reached are used.
pub const KEYS_LAST: Duration = Duration::from_secs(24 * 60 * 60);

/// How often keys are fetched.
pub const REFRESH_EVERY: Duration = Duration::from_secs(5 * 60);

/// How often keys are fetched at most because a token names one that is not known.
pub const REFRESH_AT_MOST: Duration = Duration::from_secs(30);

/// How long the outcome of a verification is kept.
const VERIFIED_LASTS: Duration = Duration::from_secs(60);

/// How many verified tokens are kept.
const MAX_VERIFIED: usize = 10_000;

/// Where the keys of an issuer are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(String),
}

/// Which subjects of an issuer are callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectAccounts {
    /// Those that an account's bindings name.
    #[default]
    Bound,
    /// All: one that no binding names becomes a caller of its own.
    Create,
}

/// What the configuration says about an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What is accepted of it.
    pub rules: IssuerRules,
    /// Where its keys are.
    pub keys: KeySource,
    /// Which of its subjects are callers.
    pub accounts: SubjectAccounts,
}

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It is not acceptable.
    Fault(TokenFault),
    /// It names a key that its issuer may have published since its keys were learned.
    KeyNotLearned(Arc<Issuer>),
    /// No keys of its issuer are known, the last ones are too old, or it names another one while its issuer cannot be reached.
    NoKeys(Arc<Issuer>),
}

/// An issuer whose tokens are believed.
#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    keys: ArcSwapOption<LearnedKeys>,
    /// When its keys were last looked for.
    looked: watch::Sender<Option<SystemTime>>,
    /// How many times somebody wanted them to be looked for.
    wishes: watch::Sender<u64>,
    /// Whether the last try failed: it is not known which keys it has by now.
    is_failing: AtomicBool,
}

impl PartialEq for Issuer {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Issuer {}

#[derive(Debug)]
struct LearnedKeys {
    set: KeySet,
    at: SystemTime,
}

/// A token that its issuer has signed and that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenuineToken {
    /// What it says.
    pub claims: TokenClaims,
    /// Which subjects of its issuer are callers.
    pub accounts: SubjectAccounts,
}

/// What became of the token of a request that was looked at before its door: so it is verified once.
#[derive(Clone, Debug)]
pub struct CheckedToken {
    /// By whose keys.
    issuers: Arc<Issuers>,
    outcome: Result<Arc<GenuineToken>, TokenRefusal>,
}

impl CheckedToken {
    /// Checks a token.
    pub(super) fn of(issuers: &Arc<Issuers>, token: &str, now: SystemTime) -> Self {
        Self {
            issuers: Arc::clone(issuers),
            outcome: issuers.verify(token, now),
        }
    }

    /// Asks for the keys that the token needs, if they are not known and it makes sense to look for them. What is
    /// returned changes when that has been tried.
    pub fn keys_wanted(&self, now: SystemTime) -> Option<watch::Receiver<Option<SystemTime>>> {
        match &self.outcome {
            Ok(_) | Err(TokenRefusal::Fault(_)) => None,
            Err(TokenRefusal::KeyNotLearned(issuer) | TokenRefusal::NoKeys(issuer)) => {
                issuer.look_again(now)
            }
        }
    }

    /// The result, unless the issuers have been exchanged since then.
    pub(super) fn outcome(
        &self,
        issuers: &Arc<Issuers>,
    ) -> Option<Result<Arc<GenuineToken>, TokenRefusal>> {
        Arc::ptr_eq(&self.issuers, issuers).then(|| self.outcome.clone())
    }
}

/// A token that was verified a short time ago.
struct KnownToken {
    token: Arc<GenuineToken>,
    until: SystemTime,
    issuer: Arc<Issuer>,
    /// The keys that it was verified with. Once its issuer has learned others, it is verified anew.
    keys: Arc<LearnedKeys>,
}

impl KnownToken {
    fn holds(&self, now: SystemTime) -> bool {
        let is_still = |keys: &Arc<LearnedKeys>| Arc::ptr_eq(keys, &self.keys);
        now < self.until && self.issuer.keys.load().as_ref().is_some_and(is_still)
    }
}

/// The issuers whose tokens are believed.
#[derive(Default)]
pub struct Issuers {
    issuers: Vec<Arc<Issuer>>,
    known: Mutex<HashMap<[u8; 32], KnownToken>>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.issuers).finish()
    }
}

impl Issuer {
    fn new(settings: IssuerSettings) -> Self {
        Self {
            settings,
            keys: ArcSwapOption::empty(),
            looked: watch::Sender::new(None),
            wishes: watch::Sender::new(0),
            is_failing: AtomicBool::new(false),
        }
    }

    /// What the configuration says about it.
    pub fn settings(&self) -> &IssuerSettings {
        &self.settings
    }

    /// Asks whoever fetches its keys to do so soon. What is returned changes when that has been tried. `None` if the
    /// keys were looked for so recently that it makes no sense.
    pub fn look_again(&self, now: SystemTime) -> Option<watch::Receiver<Option<SystemTime>>> {
        let looked = self.looked.subscribe();
        let last = *looked.borrow();
        let is_recent = last.is_some_and(|last| {
            let since = now.duration_since(last);
            since.is_ok_and(|since| since < REFRESH_AT_MOST)
        });
        if is_recent {
            return None;
        }
        self.wishes.send_modify(|wishes| *wishes += 1);
        Some(looked)
    }

    /// Tells when somebody wants its keys to be fetched.
    pub fn wishes(&self) -> watch::Receiver<u64> {
        self.wishes.subscribe()
    }

    /// Notes that its keys could not be fetched at this time.
    pub fn has_failed(&self, at: SystemTime) {
        self.is_failing.store(true, Ordering::Relaxed);
        self.looked.send_replace(Some(at));
    }
}

impl Issuers {
    /// The issuers of a configuration. Keys that `previous` knows of the same issuers are kept.
    pub fn new(settings: Vec<IssuerSettings>, previous: &Self) -> Self {
        let issuers = settings.into_iter().map(|settings| {
            let mut known = previous.issuers.iter();
            match known.find(|issuer| issuer.settings == settings) {
                Some(same) => Arc::clone(same),
                None => Arc::new(Issuer::new(settings)),
            }
        });
        Self {
            issuers: issuers.collect(),
            known: Mutex::default(),
        }
    }

    /// All issuers.
    pub fn all(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Takes over the keys of an issuer, which were fetched at this time. Tokens are verified anew.
    pub fn learn(&self, issuer: &Issuer, set: KeySet, at: SystemTime) {
        issuer.keys.store(Some(Arc::new(LearnedKeys { set, at })));
        issuer.is_failing.store(false, Ordering::Relaxed);
        issuer.looked.send_replace(Some(at));
    }

    /// What a token says, if it is genuine and holds `now`.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<GenuineToken>, TokenRefusal> {
        let name = sha256(token.as_bytes());
        if let Some(known) = self.known().get(&name)
            && known.holds(now)
        {
            return Ok(Arc::clone(&known.token));
        }
        let known = self.verified(token, now)?;
        let token = Arc::clone(&known.token);
        self.keep(name, known, now);
        Ok(token)
    }

    fn verified(&self, token: &str, now: SystemTime) -> Result<KnownToken, TokenRefusal> {
        let token = Unverified::read(token).map_err(TokenRefusal::Fault)?;
        let named = token.issuer();
        let mut issuers = self.issuers.iter();
        let issuer = issuers
            .find(|issuer| Some(issuer.settings.rules.issuer.as_str()) == named)
            .ok_or(TokenRefusal::Fault(TokenFault::Issuer))?;
        let rules = &issuer.settings.rules;
        let keys = issuer.keys.load();
        let is_recent = |keys: &&Arc<LearnedKeys>| {
            let age = now.duration_since(keys.at);
            age.unwrap_or_default() < KEYS_LAST
        };
        let Some(keys) = keys.as_ref().filter(is_recent) else {
            return Err(TokenRefusal::NoKeys(Arc::clone(issuer)));
        };
        match token.verify(rules, &keys.set, now) {
            Ok(claims) => {
                let kept = now.checked_add(VERIFIED_LASTS).unwrap_or(now);
                let until = claims.expires.min(kept);
                let token = GenuineToken {
                    claims,
                    accounts: issuer.settings.accounts,
                };
                Ok(KnownToken {
                    token: Arc::new(token),
                    until,
                    issuer: Arc::clone(issuer),
                    keys: Arc::clone(keys),
                })
            }
            Err(TokenFault::UnknownKey) => {
                let issuer = Arc::clone(issuer);
                // Its keys may have changed since: nothing is known about the token, which may be tried again.
                Err(match issuer.is_failing.load(Ordering::Relaxed) {
                    true => TokenRefusal::NoKeys(issuer),
                    false => TokenRefusal::KeyNotLearned(issuer),
                })
            }
            Err(fault) => Err(TokenRefusal::Fault(fault)),
        }
    }

    /// Keeps a verified token. When there are too many, those that are over make room, or else all do.
    fn keep(&self, name: [u8; 32], token: KnownToken, now: SystemTime) {
        let mut known = self.known();
        if known.len() >= MAX_VERIFIED {
            known.retain(|_, token| token.holds(now));
        }
        if known.len() >= MAX_VERIFIED {
            known.clear();
        }
        known.insert(name, token);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], KnownToken>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
