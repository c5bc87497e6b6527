//! What does the audit record say of an object? Typed views, which have no field for a secret or its hash.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::identity::record::{AccountRecord, CallsUnderWay, KeyRecord};
use crate::store::{BindingText, LabelRuleText, ScopeText, StoredKey};

/// An account.
#[derive(Debug, Serialize)]
pub(super) struct AccountView {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<ScopeText>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_rules: Option<Vec<LabelRuleText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bindings: Vec<BindingText>,
    closed: bool,
}

impl From<&AccountRecord> for AccountView {
    fn from(account: &AccountRecord) -> Self {
        let AccountRecord {
            id: _,
            kind,
            parent,
            display_name,
            scopes,
            labels,
            label_rules,
            time_zone,
            bindings,
            closed,
            kept_in: _,
        } = account;
        let rules = label_rules.as_ref();
        Self {
            kind: kind.name(),
            parent: parent.clone(),
            display_name: display_name.clone(),
            scopes: (scopes.as_ref()).map(|scopes| scopes.iter().map(Into::into).collect()),
            labels: labels
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            label_rules: rules.map(|rules| rules.iter().map(Into::into).collect()),
            time_zone: time_zone.clone(),
            bindings: bindings.iter().map(Into::into).collect(),
            closed: closed.is_some(),
        }
    }
}

/// A key. Times are in seconds since 1970.
#[derive(Debug, Serialize)]
pub(super) struct KeyView {
    account: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<ScopeText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<String>,
    revoked: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lets_calls_end: bool,
}

impl From<&StoredKey> for KeyView {
    fn from(stored: &StoredKey) -> Self {
        let StoredKey {
            key,
            display_name,
            shown: _,
            created: _,
            revoked_at: _,
            replaces,
            replaced_by,
            used: _,
        } = stored;
        let KeyRecord {
            id: _,
            account,
            kind,
            hash: _,
            scopes,
            expires,
            rotated_until,
            revoked,
            kept_in: _,
        } = key;
        Self {
            account: account.clone(),
            kind: kind.map_or("", |kind| kind.name()),
            display_name: display_name.clone(),
            scopes: (scopes.as_ref()).map(|scopes| scopes.iter().map(Into::into).collect()),
            expires: expires.map(seconds),
            rotated_until: rotated_until.map(seconds),
            replaces: replaces.clone(),
            replaced_by: replaced_by.clone(),
            revoked: revoked.is_some(),
            lets_calls_end: *revoked == Some(CallsUnderWay::GoOn),
        }
    }
}

/// Failed logins.
#[derive(Debug, Serialize)]
pub(super) struct LoginsView {
    pub(super) count: u64,
}

/// What an operator decided about a breaker.
#[derive(Debug, Serialize)]
pub(super) struct OverrideView<'a> {
    pub(super) state: &'a str,
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
