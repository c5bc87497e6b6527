//! Which caller is the subject of a genuine token? One that an account's bindings name, or one that the token makes.
//!
//! Callers that tokens make are kept in memory and appear in the ledger. They are written into no other file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::directory::Directory;
use super::directory::numbers::AccountNumbers;
use super::issuers::{GenuineToken, SubjectAccounts};
use super::record::{AccountKind, CallsUnderWay};
use super::resolve::Unproved;
use super::scopes::common;
use super::standing::Standing;
use super::token::TokenClaims;
use super::{AccountPath, Action, CredentialKind, Identity, Labels, Scope};

/// The most callers that tokens have made and that are remembered.
const MAX_CREATED: usize = 100_000;

/// A caller that a token made.
struct CreatedCaller {
    /// Id of its team.
    team: Arc<str>,
    standing: Arc<Standing>,
    last_used: SystemTime,
}

/// The callers that tokens have made, by the names of their issuers and subjects.
#[derive(Default)]
pub(super) struct Subjects(Mutex<HashMap<Arc<str>, CreatedCaller>>);

impl Subjects {
    /// Who calls with this token.
    ///
    /// # Errors
    /// Its subject is no caller, or the account is closed.
    pub(super) fn identity(
        &self,
        directory: &Directory,
        numbers: &AccountNumbers,
        token: &GenuineToken,
        now: SystemTime,
    ) -> Result<Arc<Identity>, Unproved> {
        let claims = &token.claims;
        if let Some(bound) = directory.of_subject(&claims.issuer, &claims.subject) {
            if directory.is_closed(bound) {
                return Err(Unproved::ClosedAccount);
            }
            return Ok(Arc::new(narrowed(Identity::clone(bound), claims)));
        }
        match token.accounts {
            SubjectAccounts::Bound => Err(Unproved::UnknownSubject),
            SubjectAccounts::Create => {
                let created = self.created(directory, numbers, claims, now)?;
                Ok(Arc::new(narrowed(created, claims)))
            }
        }
    }

    /// A caller under the team that the token names.
    fn created(
        &self,
        directory: &Directory,
        numbers: &AccountNumbers,
        claims: &TokenClaims,
        now: SystemTime,
    ) -> Result<Identity, Unproved> {
        let team = claims.team.as_deref().ok_or(Unproved::UnknownSubject)?;
        let account = directory.account(team);
        let account = account
            .filter(|account| account.kind == AccountKind::Team)
            .ok_or(Unproved::UnknownSubject)?;
        if account.closed.is_some() {
            return Err(Unproved::ClosedAccount);
        }
        let id: Arc<str> = format!("{}:{}", claims.issuer, claims.subject).into();
        let team = Arc::clone(&account.path.caller);
        Ok(Identity {
            number: numbers.of(&id),
            standing: self.standing(&id, &team, now),
            account: AccountPath {
                caller: id,
                team: Some(team),
                organisation: account.path.organisation.clone(),
            },
            kind: CredentialKind::Token,
            key_id: None,
            expires: None,
            scopes: Arc::clone(&account.scopes),
            labels: Arc::clone(&account.labels),
            label_rules: Arc::clone(&account.label_rules),
            time_zone: Arc::clone(&account.time_zone),
        })
    }

    /// The standing of a caller of this id, which it keeps as long as it stays in its team.
    fn standing(&self, id: &Arc<str>, team: &Arc<str>, now: SystemTime) -> Arc<Standing> {
        let mut all = self.lock();
        if let Some(known) = all.get_mut(id)
            && known.team == *team
        {
            known.last_used = known.last_used.max(now);
            return Arc::clone(&known.standing);
        }
        if all.len() >= MAX_CREATED {
            // Half of them, so that this is rare.
            let mut uses: Vec<_> = all.values().map(|caller| caller.last_used).collect();
            let (_, middle, _) = uses.select_nth_unstable(MAX_CREATED / 2);
            let middle = *middle;
            all.retain(|_, caller| caller.last_used > middle);
        }
        let standing = Arc::<Standing>::default();
        let created = CreatedCaller {
            team: Arc::clone(team),
            standing: Arc::clone(&standing),
            last_used: now,
        };
        all.insert(Arc::clone(id), created);
        standing
    }

    /// Ends the open calls of callers whose team is closed or gone. Returns of how many callers.
    pub(super) fn follow(&self, directory: &Directory) -> usize {
        let mut ended = 0;
        self.lock().retain(|_, caller| {
            let team = directory.account(&caller.team);
            let stays = team.is_some_and(|team| team.closed.is_none());
            let go_on = team.is_some_and(|team| team.closed == Some(CallsUnderWay::GoOn));
            if !stays && !go_on {
                caller.standing.end();
                ended += 1;
            }
            stays
        });
        ended
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, CreatedCaller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The identity with no more than its token allows, until the token's end.
fn narrowed(identity: Identity, claims: &TokenClaims) -> Identity {
    let scopes = match &claims.scopes {
        None => Arc::clone(&identity.scopes),
        Some(words) => {
            let allowed: Vec<Scope> = words.iter().filter_map(|word| scope_of(word)).collect();
            common(&identity.scopes, &allowed)
        }
    };
    let labels = match claims.labels.is_empty() {
        true => Arc::clone(&identity.labels),
        false => {
            // The account's own labels win.
            let mut labels: Labels = claims.labels.clone();
            let own = identity.labels.iter();
            labels.extend(own.map(|(key, value)| (Arc::clone(key), Arc::clone(value))));
            Arc::new(labels)
        }
    };
    Identity {
        kind: CredentialKind::Token,
        expires: Some(claims.expires),
        scopes,
        labels,
        ..identity
    }
}

/// What a word of a token's scopes allows: the name of an action, in any case and with `.` for `_`; for calls perhaps
/// with `:` and the id of a scenario, or its beginning and `*`. Words of others, such as `openid`, allow nothing.
fn scope_of(word: &str) -> Option<Scope> {
    let (name, scenario) = match word.split_once(':') {
        Some((name, scenario)) => (name, Some(scenario)),
        None => (word, None),
    };
    let name = name.replace('.', "_");
    let mut actions = Action::ALL.into_iter();
    let action = actions.find(|action| action.name().eq_ignore_ascii_case(&name))?;
    match (action, scenario) {
        (Action::Generate, None) => Some(Scope {
            action,
            scenarios: None,
            models: Arc::new(["*".to_owned()]),
        }),
        (Action::Generate, Some(scenario)) => Some(Scope {
            action,
            scenarios: Some(Arc::new([scenario.to_owned()])),
            models: Arc::new([]),
        }),
        (_, None) => Some(Scope::of(action)),
        (_, Some(_)) => None,
    }
}
