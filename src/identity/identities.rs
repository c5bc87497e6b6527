//! Who may call at this moment? The directory in use, exchanged as a whole when the configuration or the store changes.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tracing::debug;

use crate::locked::locked;
use crate::meter::{Axes, Axis, Counter, Grid};

use super::directory::Directory;
use super::directory::complaints::DirectoryMistake;
use super::directory::numbers::AccountNumbers;
use super::issuers::{CheckedToken, Issuers};
use super::record::{AccountRecord, KeyRecord};
use super::resolve::{self, Proof, Shown, Unproved};
use super::settings::{OpenServices, Settings};
use super::subjects::Subjects;
use super::{Identity, LOCAL};
use crate::caller::Peer;

/// Everybody who may call, and who must be notified when that changes.
pub struct Identities {
    in_force: ArcSwap<InForce>,
    numbers: AccountNumbers,
    sources: Mutex<RecordSources>,
    /// Called after each change.
    followers: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
    refused: Grid<Counter>,
    subjects: Subjects,
}

static CAUSES: Axes = LazyLock::new(|| vec![Axis::new("cause", Unproved::ALL.map(Unproved::name))]);

/// What holds at a time.
#[derive(Debug, Default)]
struct InForce {
    directory: Arc<Directory>,
    issuers: Arc<Issuers>,
    open: OpenServices,
}

/// What the directory is built from.
#[derive(Default)]
struct RecordSources {
    settings: Settings,
    accounts_in_store: Vec<AccountRecord>,
    keys_in_store: Vec<KeyRecord>,
}

impl Identities {
    /// The identities of these settings; the store is empty.
    ///
    /// # Errors
    /// Every mistake in the settings.
    pub fn new(settings: Settings) -> Result<Self, Vec<DirectoryMistake>> {
        let identities = Self::empty();
        identities.follow_settings(settings)?;
        Ok(identities)
    }

    /// Identities without any account or credential: every request is refused.
    fn empty() -> Self {
        Self {
            in_force: ArcSwap::default(),
            numbers: AccountNumbers::default(),
            sources: Mutex::default(),
            followers: Mutex::default(),
            refused: Grid::counters(&CAUSES),
            subjects: Subjects::default(),
        }
    }

    /// The directory in use.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.in_force.load().directory)
    }

    /// What needs no credential.
    pub fn open_services(&self) -> OpenServices {
        self.in_force.load().open
    }

    /// Who calls.
    ///
    /// # Errors
    /// The request does not prove who calls.
    pub fn resolve(&self, shown: Shown<'_>, now: SystemTime) -> Result<Arc<Identity>, Unproved> {
        loop {
            let in_force = self.in_force.load();
            let identity = self.resolve_by(&in_force, shown, now)?;
            // A change ends the calls of those that it knows. A caller that came up meanwhile was not among them.
            if Arc::ptr_eq(&in_force, &self.in_force.load()) {
                return Ok(identity);
            }
        }
    }

    fn resolve_by(
        &self,
        in_force: &InForce,
        shown: Shown<'_>,
        now: SystemTime,
    ) -> Result<Arc<Identity>, Unproved> {
        let by_token = |token: &str| {
            let checked = shown
                .token
                .and_then(|token| token.outcome(&in_force.issuers));
            let token = match checked {
                Some(outcome) => outcome?,
                None => in_force.issuers.verify(token, now)?,
            };
            let Self {
                subjects, numbers, ..
            } = self;
            subjects.identity(&in_force.directory, numbers, &token, now)
        };
        resolve::resolve(&in_force.directory, by_token, shown, now)
    }

    /// The issuers whose tokens are believed.
    pub fn issuers(&self) -> Arc<Issuers> {
        Arc::clone(&self.in_force.load().issuers)
    }

    /// Checks the token of a request; `None` if it shows none, or no issuer is believed. The clock is asked only for a token.
    pub fn check_token(
        &self,
        headers: &HeaderMap,
        now: impl FnOnce() -> SystemTime,
    ) -> Option<CheckedToken> {
        let in_force = self.in_force.load();
        if in_force.issuers.all().is_empty() {
            return None;
        }
        match resolve::proof_in(headers) {
            Ok(Some(Proof::Token(token))) => {
                let token = std::str::from_utf8(token).ok()?;
                Some(CheckedToken::of(&in_force.issuers, token, now()))
            }
            Ok(Some(Proof::Key(_)) | None) | Err(_) => None,
        }
    }

    /// Counts a request that does not prove who calls.
    pub fn note(&self, unproved: Unproved, peer: &Peer) {
        self.refused.increment([unproved as usize]);
        debug!(cause = unproved.name(), %peer, "credential refused");
    }

    /// How many requests were refused, by cause.
    pub fn refused(&self) -> &Grid<Counter> {
        &self.refused
    }

    /// From now on these settings hold. Returns how many credentials lost their open calls by that.
    ///
    /// # Errors
    /// Every mistake in the settings beside the store. Nothing has changed then.
    pub fn follow_settings(&self, settings: Settings) -> Result<usize, Vec<DirectoryMistake>> {
        self.change(|sources| RecordSources {
            settings,
            accounts_in_store: sources.accounts_in_store.clone(),
            keys_in_store: sources.keys_in_store.clone(),
        })
    }

    /// From now on the store holds these. Returns how many credentials lost their open calls by that.
    ///
    /// # Errors
    /// Every mistake in the records beside the settings. Nothing has changed then.
    pub fn follow_store(
        &self,
        accounts: Vec<AccountRecord>,
        keys: Vec<KeyRecord>,
    ) -> Result<usize, Vec<DirectoryMistake>> {
        self.change(|sources| RecordSources {
            settings: sources.settings.clone(),
            accounts_in_store: accounts,
            keys_in_store: keys,
        })
    }

    /// The directory that these settings lead to beside what is in the store. It is not used.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check_settings(&self, settings: &Settings) -> Result<Directory, Vec<DirectoryMistake>> {
        let sources = locked(&self.sources);
        let before = self.directory();
        settings.directory(
            &sources.accounts_in_store,
            &sources.keys_in_store,
            &before,
            &self.numbers,
            None,
        )
    }

    /// The settings that hold.
    pub fn settings(&self) -> Settings {
        locked(&self.sources).settings.clone()
    }

    /// Calls this after each change, when the standing of every credential is known.
    pub fn call_after_changes(&self, follower: impl Fn() + Send + Sync + 'static) {
        locked(&self.followers).push(Box::new(follower));
    }

    fn change(
        &self,
        change: impl FnOnce(&RecordSources) -> RecordSources,
    ) -> Result<usize, Vec<DirectoryMistake>> {
        // One change at a time: each is built on what the one before left.
        let mut sources = locked(&self.sources);
        let next = change(&sources);
        let before = self.directory();
        let directory = next.settings.directory(
            &next.accounts_in_store,
            &next.keys_in_store,
            &before,
            &self.numbers,
            None,
        )?;
        let directory = Arc::new(directory);
        let mut issuers = self.issuers();
        if next.settings.issuers != sources.settings.issuers {
            issuers = Arc::new(Issuers::new(next.settings.issuers.clone(), &issuers));
        }
        self.in_force.store(Arc::new(InForce {
            directory: Arc::clone(&directory),
            issuers,
            open: next.settings.open,
        }));
        *sources = next;
        // New calls are refused from here on; only then are the open ones ended, so that none slips in between.
        let ended = directory.end_what_is_gone(&before) + self.subjects.follow(&directory);
        for follower in locked(&self.followers).iter() {
            follower();
        }
        Ok(ended)
    }
}

impl Default for Identities {
    /// Everybody is the account `local`.
    fn default() -> Self {
        let settings = Settings {
            anonymous: Some(LOCAL.to_owned()),
            ..Settings::default()
        };
        // These settings have no mistake, as a test shows; an empty directory would refuse everybody.
        let empty = Self::empty();
        let _ = empty.follow_settings(settings);
        empty
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities")
            .field("directory", &self.directory())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use std::time::Duration;

    use serde_json::json;

    use crate::identity::Labels;
    use crate::identity::issuers::{IssuerSettings, KeySource, SubjectAccounts};
    use crate::identity::record::{AccountKind, CallsUnderWay, ProofBinding};
    use crate::identity::specimens;
    use crate::identity::token::specimens::Signer;
    use crate::identity::token::{Algorithm, IssuerRules, KeySet};

    use super::*;

    fn account(id: &str) -> AccountRecord {
        AccountRecord {
            id: id.to_owned(),
            kind: AccountKind::Caller,
            parent: None,
            display_name: String::new(),
            scopes: None,
            labels: Labels::new(),
            label_rules: None,
            time_zone: None,
            bindings: Vec::new(),
            closed: None,
            kept_in: format!("the place of {id}"),
        }
    }

    fn key(account: &str) -> KeyRecord {
        specimens::key(&format!("key-of-{account}"), account)
    }

    #[test]
    fn everybody_is_the_local_account_unless_something_else_is_said() {
        let identities = Identities::default();

        let headers = http::HeaderMap::new();
        let shown = Shown {
            headers: &headers,
            certificate: None,
            token: None,
        };
        let identity = identities.resolve(shown, SystemTime::UNIX_EPOCH).unwrap();

        assert_eq!(&*identity.account.caller, LOCAL);
    }

    #[test]
    fn file_and_store_are_one_directory_and_a_change_that_does_not_fit_changes_nothing() {
        let settings = Settings {
            accounts: vec![account("a")],
            ..Settings::default()
        };
        let identities = Identities::new(settings.clone()).unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        identities.call_after_changes(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });

        identities.follow_store(Vec::new(), vec![key("a")]).unwrap();
        assert_eq!(identities.directory().keys().count(), 1);
        let standing = {
            let directory = identities.directory();
            let identity = &directory.keys().next().unwrap().identity;
            Arc::clone(&identity.standing)
        };

        let twice = identities.follow_store(vec![account("a")], vec![key("a")]);
        let mistakes = twice.unwrap_err();
        assert!(mistakes[0].what.contains("the place of a"), "{mistakes:?}");
        assert!(identities.check_settings(&Settings::default()).is_err());
        assert!(identities.follow_settings(Settings::default()).is_err());
        assert_eq!(identities.directory().keys().count(), 1);
        assert_eq!(told.load(Ordering::Relaxed), 1);

        let mut revoked = key("a");
        revoked.revoked = Some(CallsUnderWay::End);
        assert_eq!(identities.follow_store(Vec::new(), vec![revoked]), Ok(1));
        assert!(standing.has_ended());
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    /// Identities that believe an issuer whose keys are known, its token, and a caller that the token's subject is.
    fn believing(signer: &Signer) -> (Identities, String) {
        let bound = AccountRecord {
            bindings: vec![ProofBinding::Token {
                issuer: "sso".to_owned(),
                subject: "indexer".to_owned(),
            }],
            ..account("a")
        };
        with_issuer(signer, bound, SubjectAccounts::Bound)
    }

    /// The same, but the token's subject becomes a caller of this team.
    fn creating(signer: &Signer, team: AccountRecord) -> (Identities, String) {
        with_issuer(signer, team, SubjectAccounts::Create)
    }

    fn with_issuer(
        signer: &Signer,
        account: AccountRecord,
        accounts: SubjectAccounts,
    ) -> (Identities, String) {
        let settings = Settings {
            accounts: vec![account],
            issuers: vec![IssuerSettings {
                rules: IssuerRules {
                    name: "sso".into(),
                    issuer: "https://sso.example".to_owned(),
                    audience: vec!["modelway".to_owned()],
                    algorithms: Algorithm::USUAL.to_vec(),
                    leeway: Duration::ZERO,
                    caller_claim: "sub".to_owned(),
                    team_claim: Some("team".to_owned()),
                    scopes_claim: None,
                    labels: Vec::new(),
                },
                keys: KeySource::Url("https://sso.example/keys".to_owned()),
                accounts,
            }],
            ..Settings::default()
        };
        let identities = Identities::new(settings).unwrap();
        let issuers = identities.issuers();
        let document = json!({"keys": [signer.published()]}).to_string();
        let set = KeySet::read(document.as_bytes()).unwrap();
        issuers.learn(&issuers.all()[0], set, SystemTime::UNIX_EPOCH);
        let claims = json!({
            "iss": "https://sso.example",
            "aud": "modelway",
            "sub": "indexer",
            "team": "team",
            "exp": 1_000,
        });
        (identities, signer.sign(&signer.header(), &claims))
    }

    fn head(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let entry = format!("Bearer {token}").parse().unwrap();
        headers.insert(http::header::AUTHORIZATION, entry);
        headers
    }

    #[test]
    fn a_token_that_was_checked_before_its_door_is_not_verified_again() {
        let now = SystemTime::UNIX_EPOCH;
        let (identities, token) = believing(&Signer::ed25519("one"));
        let headers = head(&token);
        let checked = identities.check_token(&headers, || now).unwrap();
        let shown = |token| Shown {
            headers: &headers,
            certificate: None,
            token,
        };
        let caller = |shown| {
            let identity = identities.resolve(shown, now);
            identity.map(|identity| identity.account.caller.to_string())
        };
        // Another verification would not find the key.
        let issuers = identities.issuers();
        let other = json!({"keys": [Signer::ed25519("two").published()]}).to_string();
        let other = KeySet::read(other.as_bytes()).unwrap();
        issuers.learn(&issuers.all()[0], other, now);
        assert_eq!(caller(shown(None)), Err(Unproved::UnknownTokenKey));
        assert_eq!(caller(shown(Some(&checked))), Ok("a".to_owned()));

        // What other issuers were believed about holds no longer.
        let mut settings = identities.settings();
        settings.issuers[0].rules.audience = vec!["elsewhere".to_owned()];
        identities.follow_settings(settings).unwrap();
        assert_eq!(caller(shown(Some(&checked))), Err(Unproved::NoTokenKeys));
    }

    #[test]
    fn a_caller_that_comes_up_while_its_team_is_closed_is_refused_or_ended() {
        const ROUNDS: usize = 300;
        let team = |closed| AccountRecord {
            kind: AccountKind::Team,
            closed,
            ..account("team")
        };
        let (mut let_in, mut ended) = (0, 0);
        for _ in 0..ROUNDS {
            let (identities, token) = creating(&Signer::ed25519("one"), team(None));
            let headers = head(&token);
            let shown = Shown {
                headers: &headers,
                certificate: None,
                token: None,
            };
            let both = Barrier::new(2);

            let resolved = thread::scope(|scope| {
                let resolving = scope.spawn(|| {
                    both.wait();
                    identities.resolve(shown, SystemTime::UNIX_EPOCH)
                });
                both.wait();
                let mut settings = identities.settings();
                settings.accounts = vec![team(Some(CallsUnderWay::End))];
                identities.follow_settings(settings).unwrap();
                resolving.join().unwrap()
            });

            if let Ok(identity) = resolved {
                let_in += 1;
                ended += usize::from(identity.standing.has_ended());
            }
        }
        assert_eq!(let_in, ended, "{let_in} of {ROUNDS} were let in");
    }

    #[test]
    #[ignore = "measures times; run it alone"]
    #[expect(
        clippy::disallowed_methods,
        reason = "times are measured here, not passed in"
    )]
    fn a_token_that_is_verified_once_takes_less_than_one_that_is_verified_twice() {
        const ROUNDS: u32 = 20_000;
        let now = SystemTime::UNIX_EPOCH;
        let (identities, known) = believing(&Signer::ed25519("one"));
        let (_, forged) = believing(&Signer::ed25519("one"));
        for (name, token) in [("known", known), ("forged", forged)] {
            let headers = head(&token);
            let mut times = [Duration::ZERO; 2];
            for round in 0..2 * ROUNDS {
                let is_once = round % 2 == 0;
                let began = std::time::Instant::now();
                let checked = identities.check_token(&headers, || now).unwrap();
                let shown = Shown {
                    headers: &headers,
                    certificate: None,
                    token: is_once.then_some(&checked),
                };
                let _ = std::hint::black_box(identities.resolve(shown, now));
                times[usize::from(is_once)] += began.elapsed();
            }
            let [twice, once] = times.map(|time| (time / ROUNDS).as_nanos());
            println!("a request with a {name} token: verified twice {twice} ns, once {once} ns");
            assert!(once < twice);
        }
    }
}
