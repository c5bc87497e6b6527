//! What does each account have, and what does it inherit from the accounts above it? Scopes narrow, labels add up, rules and
//! the time zone are inherited.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::error::advise;
use crate::identity::certificate::is_uri;
use crate::identity::key::KeyKind;
use crate::identity::record::{AccountKind, AccountRecord, DirectoryRecords, ProofBinding};
use crate::identity::{
    AccountPath, Action, CredentialKind, Identity, LabelRule, Labels, MAX_LABELS, Scope, is_label,
    scopes,
};
use crate::name::is_legal_name;

use super::complaints::{Complaints, MistakenRecord};
use super::numbers::{AccountNumbers, identity_of, standing_of};
use super::{AccountEntry, Directory};

/// The zone of an account that has none.
const UTC: &str = "UTC";

/// The accounts of the records.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) entries: BTreeMap<Arc<str>, AccountEntry>,
}

impl Accounts {
    /// The ids of all accounts of a kind.
    pub(super) fn of_kind(&self, kind: AccountKind) -> impl Iterator<Item = &str> + Clone {
        let of_kind = move |(_, entry): &(&Arc<str>, &AccountEntry)| entry.kind == kind;
        self.entries.iter().filter(of_kind).map(|(id, _)| &**id)
    }
}

/// What an account is read beside.
#[derive(Clone, Copy)]
struct Others<'a> {
    records: &'a DirectoryRecords<'a>,
    places: &'a HashMap<&'a str, &'a AccountRecord>,
    /// Those that may be above it.
    accounts: &'a Accounts,
}

/// Reads all accounts, those at the top first.
pub(super) fn read(records: &DirectoryRecords<'_>, complaints: &mut Complaints) -> Accounts {
    let mut places: HashMap<&str, &AccountRecord> = HashMap::new();
    for (position, record) in records.accounts.iter().enumerate() {
        let mut wrong = |what: String, remedy: &str| {
            complaints.add(MistakenRecord::Account(position), "id", what, remedy);
        };
        if !is_legal_name(&record.id) {
            let remedy = "write 1 to 64 small letters, digits, `.`, `_` or `-`";
            wrong(
                format!(
                    "`{}` cannot be the id of an account",
                    crate::error::excerpt(&record.id)
                ),
                remedy,
            );
        }
        match places.get(&*record.id) {
            Some(other) => wrong(
                format!(
                    "`{}` is also the id of the account in {}",
                    record.id, other.kept_in
                ),
                "ids are unique among organisations, teams and callers; rename one of them",
            ),
            None => {
                places.insert(&record.id, record);
            }
        }
    }
    let mut accounts = Accounts::default();
    for kind in AccountKind::ALL {
        for (position, record) in records.accounts.iter().enumerate() {
            if record.kind == kind {
                let others = Others {
                    records,
                    places: &places,
                    accounts: &accounts,
                };
                let entry = entry(position, record, others, complaints);
                let id = Arc::clone(&entry.path.caller);
                accounts.entries.entry(id).or_insert(entry);
            }
        }
    }
    accounts
}

fn entry(
    position: usize,
    record: &AccountRecord,
    others: Others<'_>,
    complaints: &mut Complaints,
) -> AccountEntry {
    let here = MistakenRecord::Account(position);
    let parent = parent(here, record, others, complaints);
    let own: Arc<[Scope]> = match (&record.scopes, parent) {
        (Some(own), _) => own.as_slice().into(),
        (None, Some(parent)) => scopes::of_kind(&parent.scopes, KeyKind::Data),
        (None, None) => Scope::by_default(),
    };
    check_scopes(here, &own, complaints);
    let is_of = |kind: KeyKind| own.iter().any(|scope| scope.action.kind() == kind);
    if record.kind == AccountKind::Caller && is_of(KeyKind::Data) && is_of(KeyKind::Administration)
    {
        complaints.add(
            here,
            "scopes",
            "a caller has scopes for data or for administration, never for both",
            "make a caller of its own for administration",
        );
    }
    let above = parent.map_or(&[][..], |parent| &parent.scopes);
    let effective = match parent {
        Some(_) => scopes::common(&own, above),
        None => scopes::common(&own, &own),
    };
    let rules: Arc<[LabelRule]> = match (&record.label_rules, parent) {
        (Some(rules), _) => rules.as_slice().into(),
        (None, Some(parent)) => Arc::clone(&parent.label_rules),
        (None, None) => Arc::new([]),
    };
    if record.label_rules.is_some() {
        check_rules(here, &rules, complaints);
    }
    let mut labels = parent.map_or_else(Labels::default, |parent| Labels::clone(&parent.labels));
    labels.extend(
        record
            .labels
            .iter()
            .map(|(key, value)| (Arc::clone(key), Arc::clone(value))),
    );
    check_labels(here, &record.labels, labels.len(), complaints);
    let above = parent.and_then(|parent| parent.closed);
    AccountEntry {
        kind: record.kind,
        path: path(record, parent),
        closed: above.into_iter().chain(record.closed).min(),
        scopes: effective,
        labels: Arc::new(labels),
        label_rules: rules,
        time_zone: time_zone(here, record, parent, complaints),
        by_certificate: None,
    }
}

/// The account above, if it is there and of a kind that can be above this one.
fn parent<'a>(
    here: MistakenRecord,
    record: &AccountRecord,
    others: Others<'a>,
    complaints: &mut Complaints,
) -> Option<&'a AccountEntry> {
    let id = record.parent.as_deref()?;
    let may_be: &[AccountKind] = match record.kind {
        AccountKind::Organisation => &[],
        AccountKind::Team => &[AccountKind::Organisation],
        AccountKind::Caller => &[AccountKind::Organisation, AccountKind::Team],
    };
    let mut wrong = |what: String, remedy: String| complaints.add(here, "parent", what, remedy);
    if may_be.is_empty() {
        let what = "an organisation has no account above it".to_owned();
        wrong(what, "leave `parent` out".to_owned());
        return None;
    }
    if id == record.id {
        let what = "no account stands above itself".to_owned();
        wrong(what, "name another one, or leave `parent` out".to_owned());
        return None;
    }
    let Others {
        records,
        places,
        accounts,
    } = others;
    let Some(above) = places.get(id) else {
        let known = may_be.iter().flat_map(|kind| accounts.of_kind(*kind));
        let known: Vec<_> = known.filter(|id| records.may_name(id)).collect();
        wrong(
            format!("there is no account `{}`", crate::error::excerpt(id)),
            advise(id, known.iter().copied()),
        );
        return None;
    };
    if !may_be.contains(&above.kind) {
        wrong(
            format!(
                "`{id}` in {} is {}, which cannot be above {}",
                above.kept_in,
                above.kind.with_article(),
                record.kind.with_article()
            ),
            match record.kind {
                AccountKind::Team => "name an organisation".to_owned(),
                AccountKind::Organisation | AccountKind::Caller => {
                    "name a team or an organisation".to_owned()
                }
            },
        );
        return None;
    }
    accounts.entries.get(id)
}

fn path(record: &AccountRecord, parent: Option<&AccountEntry>) -> AccountPath {
    let of_kind = |kind| {
        let parent = parent.filter(|parent| parent.kind == kind)?;
        Some(Arc::clone(&parent.path.caller))
    };
    let above_team = parent.and_then(|parent| parent.path.organisation.clone());
    AccountPath {
        caller: record.id.as_str().into(),
        team: of_kind(AccountKind::Team),
        organisation: of_kind(AccountKind::Organisation).or(above_team),
    }
}

fn time_zone(
    here: MistakenRecord,
    record: &AccountRecord,
    parent: Option<&AccountEntry>,
    complaints: &mut Complaints,
) -> Arc<str> {
    let Some(name) = &record.time_zone else {
        return parent.map_or_else(|| UTC.into(), |parent| Arc::clone(&parent.time_zone));
    };
    if TimeZone::get(name).is_err() {
        complaints.add(
            here,
            "time_zone",
            format!("there is no time zone `{}`", crate::error::excerpt(name)),
            "write an IANA name such as \"Europe/Berlin\"",
        );
    }
    name.as_str().into()
}

/// Checks the scopes of an account or a key.
pub(super) fn check_scopes(here: MistakenRecord, scopes: &[Scope], complaints: &mut Complaints) {
    for scope in scopes {
        let names = scope.scenarios.iter().flat_map(|names| names.iter());
        for name in names.chain(scope.models.iter()) {
            let is_pattern = name.trim_end_matches('*').contains('*') || name.ends_with("**");
            if name.is_empty() || is_pattern {
                complaints.add(
                    here,
                    "scopes",
                    format!(
                        "`{}` names no scenario or model",
                        crate::error::excerpt(name)
                    ),
                    "write an id, or its beginning and one `*` at the end",
                );
            }
        }
        let has_names = scope.scenarios.is_some() || !scope.models.is_empty();
        if scope.action != Action::Generate && has_names {
            complaints.add(
                here,
                "scopes",
                format!(
                    "{} is not limited to scenarios or models",
                    scope.action.name()
                ),
                "leave `scenarios` and `models` out, or write them with GENERATE",
            );
        }
    }
}

fn check_rules(here: MistakenRecord, rules: &[LabelRule], complaints: &mut Complaints) {
    let mut wrong = |what: String, remedy: &str| {
        complaints.add(here, "label_rules", what, remedy);
    };
    for (position, rule) in rules.iter().enumerate() {
        for text in rule.values.iter().map(|value| &**value).chain([&*rule.key]) {
            if !is_label(text) {
                wrong(
                    format!("`{}` cannot be in a label", crate::error::excerpt(text)),
                    "write 1 to 63 letters, digits, `.`, `_` or `-`",
                );
            }
        }
        if rules[..position].iter().any(|other| other.key == rule.key) {
            wrong(
                format!("there are two rules for the label `{}`", rule.key),
                "keep one of them",
            );
        }
    }
}

fn check_labels(here: MistakenRecord, own: &Labels, all: usize, complaints: &mut Complaints) {
    for text in own.iter().flat_map(|(key, value)| [key, value]) {
        if !is_label(text) {
            complaints.add(
                here,
                "labels",
                format!("`{}` cannot be in a label", crate::error::excerpt(text)),
                "write 1 to 63 letters, digits, `.`, `_` or `-`",
            );
        }
    }
    if all > MAX_LABELS {
        complaints.add(
            here,
            "labels",
            format!("with those of the accounts above there are {all}"),
            format!("at most {MAX_LABELS} are allowed; leave some out"),
        );
    }
}

/// Notes which proofs besides keys are which callers.
pub(super) fn bind(
    directory: &mut Directory,
    records: &DirectoryRecords<'_>,
    previous: &Directory,
    numbers: &AccountNumbers,
    complaints: &mut Complaints,
) {
    let mut bound: HashMap<ProofBinding, &AccountRecord> = HashMap::new();
    for (position, record) in records.accounts.iter().enumerate() {
        let mut wrong = |what: String, remedy: &str| {
            complaints.add(MistakenRecord::Account(position), "bindings", what, remedy);
        };
        if record.kind != AccountKind::Caller && !record.bindings.is_empty() {
            wrong(
                format!("{} holds no credentials", record.kind.with_article()),
                "bind a caller below it",
            );
            continue;
        }
        let Some((id, account)) = directory.accounts.get_key_value(&*record.id) else {
            continue;
        };
        let (id, account) = (Arc::clone(id), account.clone());
        for binding in &record.bindings {
            let binding = normal(binding);
            if let Some(other) = bound.insert(binding.clone(), record) {
                let whose = match records.may_name(&other.id) {
                    true => format!("`{}` in {}", other.id, other.kept_in),
                    false => "another account".to_owned(),
                };
                wrong(
                    format!("the same proof is bound to {whose}"),
                    "a proof names one caller; bind it once",
                );
            }
            let by_certificate = account.by_certificate.as_ref().map(Arc::clone);
            match (binding, by_certificate) {
                (ProofBinding::AlternativeName(name), Some(identity)) => {
                    directory.alternative_names.insert(name, identity);
                }
                (ProofBinding::CommonName(name), Some(identity)) => {
                    directory.common_names.insert(name, identity);
                }
                // Certificates do not name callers in this service.
                (ProofBinding::AlternativeName(_) | ProofBinding::CommonName(_), None) => {}
                (ProofBinding::Token { issuer, subject }, _) => {
                    let subject = (issuer, subject);
                    let standing = standing_of(previous.subjects.get(&subject));
                    let identity = Identity {
                        kind: CredentialKind::Token,
                        ..identity_of(&id, &account, numbers, standing)
                    };
                    directory.subjects.insert(subject, Arc::new(identity));
                }
            }
        }
    }
}

/// The same proof as names are compared: DNS names without regard to case.
fn normal(binding: &ProofBinding) -> ProofBinding {
    match binding {
        ProofBinding::AlternativeName(name) if !is_uri(name) => {
            ProofBinding::AlternativeName(name.to_ascii_lowercase())
        }
        other => other.clone(),
    }
}

/// The account that exists although no record describes it.
pub(super) fn local(identity: &Identity) -> AccountEntry {
    AccountEntry {
        kind: AccountKind::Caller,
        path: identity.account.clone(),
        closed: None,
        scopes: Arc::clone(&identity.scopes),
        labels: Arc::clone(&identity.labels),
        label_rules: Arc::clone(&identity.label_rules),
        time_zone: Arc::clone(&identity.time_zone),
        by_certificate: None,
    }
}
