//! `[[accounts]]` and `[[keys]]`: who may call, and with which keys.

use std::sync::Arc;

use crate::identity::key::KeyHash;
use crate::identity::record::{AccountKind, AccountRecord, CallsUnderWay, KeyRecord, ProofBinding};
use crate::identity::{Action, LabelRule, Labels, Scope};

use super::mistake::Location;
use super::prices::moment;
use super::table::{Table, Value};

/// A record and where it stands in the file.
pub(super) type Placed<'a, T> = (Location<'a>, T);

/// The longest text for people, in characters.
const MOST_CHARACTERS: usize = 128;

/// Reads `[[accounts]]`.
pub(super) fn accounts<'a>(root: &mut Table<'a>) -> Vec<Placed<'a, AccountRecord>> {
    tables(root, "accounts")
        .into_iter()
        .filter_map(account)
        .collect()
}

/// Reads `[[keys]]`.
pub(super) fn keys<'a>(root: &mut Table<'a>) -> Vec<Placed<'a, KeyRecord>> {
    tables(root, "keys").into_iter().filter_map(key).collect()
}

fn tables<'a>(root: &mut Table<'a>, key: &'static str) -> Vec<Table<'a>> {
    let items = root.optional(key, Value::list).unwrap_or_default();
    items.iter().filter_map(Value::table).collect()
}

fn account(mut table: Table<'_>) -> Option<Placed<'_, AccountRecord>> {
    let place = table.place.clone();
    let id = table.required("id", "give it an id, such as \"search\"", Value::string);
    let kinds = AccountKind::ALL.map(|kind| (kind.name(), kind));
    let kind = table.required(
        "kind",
        "write \"organisation\", \"team\" or \"caller\"",
        |value| value.choice(&kinds),
    );
    let record = AccountRecord {
        id: id.unwrap_or_default().to_owned(),
        kind: kind.unwrap_or(AccountKind::Caller),
        parent: table.optional("parent", owned),
        display_name: table.or("display_name", String::new(), display_name),
        scopes: table.optional("scopes", scopes),
        labels: table.or("labels", Labels::new(), labels),
        label_rules: table.optional("label_rules", label_rules),
        time_zone: table.optional("time_zone", owned),
        bindings: table.or("bindings", Vec::new(), bindings),
        closed: ended(&mut table, "closed"),
        kept_in: place.shown(),
    };
    table.finish();
    // Without these, what follows from them would be told as more mistakes.
    (id.is_some() && kind.is_some()).then_some((place, record))
}

fn key(mut table: Table<'_>) -> Option<Placed<'_, KeyRecord>> {
    let place = table.place.clone();
    let id = table.required("id", "give it an id, such as \"batch-1\"", Value::string);
    let account = table.required("account", "name the caller that it is for", Value::string);
    let hash = table.required(
        "sha256",
        "write the SHA-256 of the secret, never the secret itself",
        hash,
    );
    let record = KeyRecord {
        id: id.unwrap_or_default().to_owned(),
        account: account.unwrap_or_default().to_owned(),
        kind: None,
        hash: hash.unwrap_or(KeyHash::from_bytes([0; 32])),
        scopes: table.optional("scopes", scopes),
        expires: table.optional("expire_time", moment),
        rotated_until: table.optional("rotated_until", moment),
        revoked: ended(&mut table, "revoked"),
        kept_in: place.shown(),
    };
    table.finish();
    (id.is_some() && account.is_some() && hash.is_some()).then_some((place, record))
}

fn hash(value: &Value<'_>) -> Option<KeyHash> {
    let hash = KeyHash::from_digits(value.string()?);
    if hash.is_none() {
        // The text is not shown, because it may be the secret.
        value.place.wrong(
            "not a SHA-256",
            "write 64 hexadecimal digits, the hash of the secret and never the secret itself: \
             `printf %s \"$KEY\" | sha256sum`",
        );
    }
    hash
}

/// Whether an account or a key has ended, and what becomes of its open calls.
fn ended(table: &mut Table<'_>, key: &'static str) -> Option<CallsUnderWay> {
    let has_ended = table.or(key, false, Value::boolean);
    let go_on = table.or("let_calls_end", false, Value::boolean);
    has_ended.then_some(match go_on {
        true => CallsUnderWay::GoOn,
        false => CallsUnderWay::End,
    })
}

fn owned(value: &Value<'_>) -> Option<String> {
    value.string().map(str::to_owned)
}

fn display_name(value: &Value<'_>) -> Option<String> {
    let name = value.string()?;
    if name.chars().count() > MOST_CHARACTERS {
        value.place.wrong(
            format!("longer than {MOST_CHARACTERS} characters"),
            "shorten it",
        );
        return None;
    }
    Some(name.to_owned())
}

fn names(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.list()?;
    Some(items.iter().filter_map(owned).collect())
}

/// Scopes: the name of an action, or a table with an action and what it is limited to.
fn scopes(value: &Value<'_>) -> Option<Vec<Scope>> {
    Some(value.list()?.iter().filter_map(scope).collect())
}

fn scope(value: &Value<'_>) -> Option<Scope> {
    if value.text().is_some() {
        return Some(Scope::of(action(value)?));
    }
    let mut table = value.table()?;
    let action = table.required("action", "name an action, such as \"GENERATE\"", action);
    let scenarios = table.optional("scenarios", names);
    let models = table.or("models", Vec::new(), names);
    table.finish();
    Some(Scope {
        action: action?,
        scenarios: scenarios.map(Arc::from),
        models: models.into(),
    })
}

fn action(value: &Value<'_>) -> Option<Action> {
    value.choice(&Action::ALL.map(|action| (action.name(), action)))
}

fn labels(value: &Value<'_>) -> Option<Labels> {
    let table = value.table()?;
    let mut labels = Labels::new();
    for (key, value) in table.named() {
        if let Some(value) = value.string() {
            labels.insert(key.into(), value.into());
        }
    }
    Some(labels)
}

fn label_rules(value: &Value<'_>) -> Option<Vec<LabelRule>> {
    let rule = |value: &Value<'_>| {
        let mut table = value.table()?;
        let key = table.required("key", "name the label", Value::string);
        let values = table.or("values", Vec::new(), names);
        let required = table.or("required", false, Value::boolean);
        let from_baggage = table.or("from_baggage", false, Value::boolean);
        table.finish();
        Some(LabelRule {
            key: key?.into(),
            values,
            required,
            from_baggage,
        })
    };
    Some(value.list()?.iter().filter_map(rule).collect())
}

/// Bindings: each a table with the one proof that it is about.
fn bindings(value: &Value<'_>) -> Option<Vec<ProofBinding>> {
    Some(value.list()?.iter().filter_map(binding).collect())
}

fn binding(value: &Value<'_>) -> Option<ProofBinding> {
    const REMEDY: &str = "write `{ certificate = { san = \"spiffe://prod/billing\" } }`, \
                          `{ certificate = { common_name = \"billing\" } }`, \
                          or `{ token = { issuer = \"sso\", subject = \"billing\" } }`";
    let mut table = value.table()?;
    let (certificate, token) = (table.get("certificate"), table.get("token"));
    let place = table.place.clone();
    table.finish();
    let certificate = match (certificate, token) {
        (Some(certificate), None) => certificate,
        (None, Some(token)) => {
            let mut token = token.table()?;
            let issuer = token.required("issuer", REMEDY, filled);
            let subject = token.required("subject", REMEDY, filled);
            token.finish();
            return Some(ProofBinding::Token {
                issuer: issuer?,
                subject: subject?,
            });
        }
        (Some(_), Some(_)) | (None, None) => {
            place.wrong("a binding is about one proof", REMEDY);
            return None;
        }
    };
    let mut certificate = certificate.table()?;
    let place = certificate.place.clone();
    let name = certificate.optional("san", filled);
    let common_name = certificate.optional("common_name", filled);
    certificate.finish();
    match (name, common_name) {
        (Some(name), None) => Some(ProofBinding::AlternativeName(name)),
        (None, Some(name)) => Some(ProofBinding::CommonName(name)),
        (Some(_), Some(_)) | (None, None) => {
            place.wrong("a certificate is bound by one name", REMEDY);
            None
        }
    }
}

fn filled(value: &Value<'_>) -> Option<String> {
    let filled = value.filled("write the name, or leave it out");
    filled.map(str::to_owned)
}
