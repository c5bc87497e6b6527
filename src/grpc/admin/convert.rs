//! How does the contract spell accounts, keys and events?

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::admin::{AdminError, ListedAccount, ListedKey};
use crate::audit::AuditEvent;
use crate::check::Faults;
use crate::error::Error;
use crate::grpc::caller::{label_rule, scope};
use crate::grpc::length_of_time::duration_of;
use crate::grpc::{answer, v1};
use crate::identity::directory::KeyState;
use crate::identity::record::{AccountKind, AccountRecord, ProofBinding};
use crate::identity::{Action, LabelRule, Scope};
use crate::store::KEPT_IN;

/// Where the contract says that an object is kept.
pub(super) const STORE: &str = "store";
pub(super) const FILE: &str = "file";

/// The faults of a request, if there are any.
pub(super) fn checked(faults: Faults) -> Result<(), AdminError> {
    faults.or(()).map_err(|error| match error {
        Error::InvalidRequest(violations) => AdminError::Invalid(violations),
        other => AdminError::Impossible(other.to_string()),
    })
}

/// The account that a request describes, and the version that it was read with.
pub(super) fn account_record(
    account: v1::Account,
) -> Result<(AccountRecord, Option<u64>), AdminError> {
    let kind = account.kind();
    let v1::Account {
        id,
        kind: _,
        parent,
        display_name,
        scopes: wanted,
        labels,
        label_rules,
        time_zone,
        bindings,
        closed: _,
        source: _,
        etag,
    } = account;
    let mut faults = Faults::default();
    let kind = match kind {
        v1::AccountKind::Organisation => AccountKind::Organisation,
        v1::AccountKind::Team => AccountKind::Team,
        v1::AccountKind::Caller => AccountKind::Caller,
        v1::AccountKind::Unspecified => {
            faults.add(
                "account.kind",
                "it is required; use ACCOUNT_KIND_ORGANISATION, _TEAM or _CALLER",
            );
            AccountKind::Caller
        }
    };
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let labels = labels.into_iter();
    let labels = labels.map(|(key, value)| (key.into(), value.into()));
    let rules = label_rules.into_iter().map(|rule| LabelRule {
        key: rule.key.into(),
        values: rule.values,
        required: rule.required,
        from_baggage: rule.from_baggage,
    });
    let rules: Vec<_> = rules.collect();
    let mut seen = HashSet::new();
    let bindings: Vec<_> = bindings
        .into_iter()
        .enumerate()
        .filter_map(|(at, read)| binding(&format!("account.bindings[{at}]"), read, &mut faults))
        .filter(|binding| seen.insert(binding.clone()))
        .collect();
    let record = AccountRecord {
        id,
        kind,
        parent: given(parent),
        display_name,
        scopes: scopes("account.scopes", wanted, &mut faults),
        labels: labels.collect(),
        label_rules: Some(rules).filter(|rules| !rules.is_empty()),
        time_zone: given(time_zone),
        bindings,
        closed: None,
        kept_in: KEPT_IN.to_owned(),
    };
    checked(faults)?;
    let version = match &*etag {
        "" => None,
        etag => Some(etag.parse().map_err(|_| {
            AdminError::Changed(
                "`account.etag` is not that of the account; read the account again".to_owned(),
            )
        })?),
    };
    Ok((record, version))
}

/// How the contract spells an account.
pub(super) fn account(listed: ListedAccount) -> v1::Account {
    let ListedAccount {
        account,
        version,
        is_closed,
    } = listed;
    let AccountRecord {
        id,
        kind,
        parent,
        display_name,
        scopes,
        labels,
        label_rules,
        time_zone,
        bindings,
        closed: _,
        kept_in: _,
    } = account;
    let kind = match kind {
        AccountKind::Organisation => v1::AccountKind::Organisation,
        AccountKind::Team => v1::AccountKind::Team,
        AccountKind::Caller => v1::AccountKind::Caller,
    };
    v1::Account {
        id,
        kind: kind.into(),
        parent: parent.unwrap_or_default(),
        display_name,
        scopes: scopes.iter().flatten().map(scope).collect(),
        labels: labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        label_rules: label_rules.iter().flatten().map(label_rule).collect(),
        time_zone: time_zone.unwrap_or_default(),
        bindings: bindings.into_iter().map(binding_spelled).collect(),
        closed: is_closed,
        source: if version.is_some() { STORE } else { FILE }.to_owned(),
        etag: version
            .map(|version| version.to_string())
            .unwrap_or_default(),
    }
}

/// How the contract spells a key.
pub(crate) fn key(listed: ListedKey) -> v1::Key {
    let ListedKey {
        stored,
        state,
        is_of_file,
    } = listed;
    let key = stored.key;
    v1::Key {
        id: key.id,
        account: key.account,
        display_name: stored.display_name,
        prefix: stored.shown,
        scopes: key.scopes.iter().flatten().map(scope).collect(),
        expire_time: key.expires.map(answer::timestamp),
        state: key_state(state).into(),
        create_time: Some(stored.created)
            .filter(|_| !is_of_file)
            .map(answer::timestamp),
        last_used_time: stored.used.map(answer::timestamp),
        revoke_time: stored.revoked_at.map(answer::timestamp),
        replaces_key_id: stored.replaces.unwrap_or_default(),
        source: if is_of_file { FILE } else { STORE }.to_owned(),
    }
}

fn key_state(state: KeyState) -> v1::KeyState {
    match state {
        KeyState::Active => v1::KeyState::Active,
        KeyState::Rotated => v1::KeyState::Rotated,
        KeyState::Expired => v1::KeyState::Expired,
        KeyState::Revoked => v1::KeyState::Revoked,
    }
}

/// The state that a list is narrowed to.
pub(super) fn key_state_asked(state: i32) -> Result<Option<KeyState>, AdminError> {
    match v1::KeyState::try_from(state) {
        Ok(v1::KeyState::Unspecified) => Ok(None),
        Ok(v1::KeyState::Active) => Ok(Some(KeyState::Active)),
        Ok(v1::KeyState::Rotated) => Ok(Some(KeyState::Rotated)),
        Ok(v1::KeyState::Expired) => Ok(Some(KeyState::Expired)),
        Ok(v1::KeyState::Revoked) => Ok(Some(KeyState::Revoked)),
        Err(_) => Err(AdminError::invalid(
            "state",
            "there is no such state; use one of KeyState, or leave it out",
        )),
    }
}

/// How the contract spells an event.
pub(super) fn event(event: AuditEvent) -> v1::AuditEvent {
    let AuditEvent {
        sequence,
        at_us,
        actor,
        action,
        subject,
        code,
        before,
        after,
        comment,
        link,
    } = event;
    let at = UNIX_EPOCH + Duration::from_micros(u64::try_from(at_us).unwrap_or(0));
    v1::AuditEvent {
        sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
        time: Some(answer::timestamp(at)),
        actor: actor.name,
        origin: actor.origin,
        action,
        subject: subject.to_string(),
        code,
        before_json: before,
        after_json: after,
        comment,
        chain: link.0.to_vec(),
    }
}

/// Scopes; `None` if there are none.
pub(super) fn scopes(
    path: &str,
    scopes: Vec<v1::Scope>,
    faults: &mut Faults,
) -> Option<Vec<Scope>> {
    if scopes.is_empty() {
        return None;
    }
    let read = scopes.into_iter().enumerate().filter_map(|(at, scope)| {
        let action = scope.action();
        let v1::Scope {
            action: _,
            scenarios,
            models,
        } = scope;
        let Some(action) = action_of(action) else {
            let what = "it is required; use one of Action, such as ACTION_GENERATE";
            faults.add(format_args!("{path}[{at}].action"), what);
            return None;
        };
        Some(Scope {
            action,
            scenarios: Some(scenarios)
                .filter(|names| !names.is_empty())
                .map(Arc::from),
            models: models.into(),
        })
    });
    Some(read.collect())
}

fn action_of(action: v1::Action) -> Option<Action> {
    match action {
        v1::Action::Unspecified => None,
        v1::Action::Generate => Some(Action::Generate),
        v1::Action::UsageRead => Some(Action::UsageRead),
        v1::Action::LedgerRead => Some(Action::LedgerRead),
        v1::Action::Operate => Some(Action::Operate),
        v1::Action::AdminAccounts => Some(Action::AdminAccounts),
        v1::Action::AdminLimits => Some(Action::AdminLimits),
        v1::Action::AdminPrices => Some(Action::AdminPrices),
        v1::Action::AdminRead => Some(Action::AdminRead),
    }
}

fn binding(path: &str, binding: v1::Binding, faults: &mut Faults) -> Option<ProofBinding> {
    use v1::binding::Proof;

    let mut wrong = |field: &str, what: &str| {
        faults.add(format_args!("{path}{field}"), what);
        None
    };
    match binding.proof {
        None => wrong("", "it names no proof; set `certificate` or `token`"),
        Some(Proof::Certificate(v1::CertificateBinding { san, common_name })) => {
            match (&*san, &*common_name) {
                ("", "") => wrong(".certificate", "set `san` or `common_name`"),
                (_, "") => Some(ProofBinding::AlternativeName(san)),
                ("", _) => Some(ProofBinding::CommonName(common_name)),
                (_, _) => wrong(
                    ".certificate",
                    "set `san` or `common_name`, not both; a second binding can hold the other",
                ),
            }
        }
        Some(Proof::Token(v1::TokenBinding { issuer, subject })) => match (&*issuer, &*subject) {
            ("", _) => wrong(".token.issuer", "it is required"),
            (_, "") => wrong(".token.subject", "it is required"),
            (_, _) => Some(ProofBinding::Token { issuer, subject }),
        },
    }
}

fn binding_spelled(binding: ProofBinding) -> v1::Binding {
    use v1::binding::Proof;

    let certificate =
        |san, common_name| Proof::Certificate(v1::CertificateBinding { san, common_name });
    let proof = match binding {
        ProofBinding::AlternativeName(name) => certificate(name, String::new()),
        ProofBinding::CommonName(name) => certificate(String::new(), name),
        ProofBinding::Token { issuer, subject } => {
            Proof::Token(v1::TokenBinding { issuer, subject })
        }
    };
    v1::Binding { proof: Some(proof) }
}

/// A time, in whole microseconds, which is what the store keeps.
pub(super) fn time(
    path: &str,
    time: Option<prost_types::Timestamp>,
    faults: &mut Faults,
) -> Option<SystemTime> {
    let read = SystemTime::try_from(time?);
    let since = read.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let micros = since.and_then(|since| u64::try_from(since.as_micros()).ok());
    if micros.is_none() {
        faults.add(path, "it is no time after 1970; correct it");
    }
    Some(UNIX_EPOCH + Duration::from_micros(micros?))
}

/// A length of time.
pub(super) fn duration(
    path: &str,
    duration: Option<prost_types::Duration>,
    faults: &mut Faults,
) -> Option<Duration> {
    let read = duration_of(duration?);
    if read.is_none() {
        faults.add(path, "it is negative or too long; correct it");
    }
    read
}
