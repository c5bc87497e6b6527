//! How are lists, choices and seconds spelled in columns? As JSON, by names and by numbers, which no release changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::calendar::unix_us;
use crate::error::LimitUnit;
use crate::identity::key::KeyKind;
use crate::identity::record::{AccountKind, CallsUnderWay, ProofBinding};
use crate::identity::{Action, LabelRule, Labels, Scope};

use super::error::StoreError;

/// A scope as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeText {
    action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scenarios: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    models: Vec<String>,
}

impl From<&Scope> for ScopeText {
    fn from(scope: &Scope) -> Self {
        let Scope {
            action,
            scenarios,
            models,
        } = scope;
        Self {
            action: action.name().to_owned(),
            scenarios: scenarios.as_deref().map(<[String]>::to_vec),
            models: models.to_vec(),
        }
    }
}

/// A rule for labels as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelRuleText {
    key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    from_baggage: bool,
}

impl From<&LabelRule> for LabelRuleText {
    fn from(rule: &LabelRule) -> Self {
        let LabelRule {
            key,
            values,
            required,
            from_baggage,
        } = rule;
        Self {
            key: key.to_string(),
            values: values.clone(),
            required: *required,
            from_baggage: *from_baggage,
        }
    }
}

/// A binding as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BindingText {
    San(String),
    CommonName(String),
    Token { issuer: String, subject: String },
}

impl From<&ProofBinding> for BindingText {
    fn from(binding: &ProofBinding) -> Self {
        match binding.clone() {
            ProofBinding::AlternativeName(name) => Self::San(name),
            ProofBinding::CommonName(name) => Self::CommonName(name),
            ProofBinding::Token { issuer, subject } => Self::Token { issuer, subject },
        }
    }
}

impl From<BindingText> for ProofBinding {
    fn from(text: BindingText) -> Self {
        match text {
            BindingText::San(name) => Self::AlternativeName(name),
            BindingText::CommonName(name) => Self::CommonName(name),
            BindingText::Token { issuer, subject } => Self::Token { issuer, subject },
        }
    }
}

/// The JSON of things.
pub(super) fn list<'t, T: 't, Text: From<&'t T> + Serialize>(things: &'t [T]) -> String {
    let texts: Vec<_> = things.iter().map(Text::from).collect();
    // Plain structs of texts, whose JSON cannot fail.
    serde_json::to_string(&texts).unwrap_or_default()
}

/// The JSON of a list or a map of texts and numbers, which cannot fail.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn scopes(text: Option<&str>) -> Result<Option<Vec<Scope>>, StoreError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let texts: Vec<ScopeText> = read(text)?;
    let scope = |text: ScopeText| {
        let mut known = Action::ALL.into_iter();
        let named = known.find(|action| action.name() == text.action);
        let action = named.ok_or_else(|| unknown("action"))?;
        Ok(Scope {
            action,
            scenarios: text.scenarios.map(Arc::from),
            models: text.models.into(),
        })
    };
    texts
        .into_iter()
        .map(scope)
        .collect::<Result<_, _>>()
        .map(Some)
}

pub(super) fn labels(text: &str) -> Result<Labels, StoreError> {
    let texts: BTreeMap<String, String> = read(text)?;
    let texts = texts.into_iter();
    Ok(texts
        .map(|(key, value)| (key.into(), value.into()))
        .collect())
}

pub(super) fn labels_written(labels: &Labels) -> String {
    let texts: BTreeMap<&str, &str> = labels
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .collect();
    serde_json::to_string(&texts).unwrap_or_default()
}

pub(super) fn label_rules(text: Option<&str>) -> Result<Option<Vec<LabelRule>>, StoreError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let texts: Vec<LabelRuleText> = read(text)?;
    let rule = |text: LabelRuleText| LabelRule {
        key: text.key.into(),
        values: text.values,
        required: text.required,
        from_baggage: text.from_baggage,
    };
    Ok(Some(texts.into_iter().map(rule).collect()))
}

pub(super) fn bindings(text: &str) -> Result<Vec<ProofBinding>, StoreError> {
    let texts: Vec<BindingText> = read(text)?;
    Ok(texts.into_iter().map(ProofBinding::from).collect())
}

pub(super) fn account_kind(text: &str) -> Result<AccountKind, StoreError> {
    let mut kinds = AccountKind::ALL.into_iter();
    let named = kinds.find(|kind| kind.name() == text);
    named.ok_or_else(|| unknown("kind of accounts"))
}

pub(super) fn key_kind(text: &str) -> Result<KeyKind, StoreError> {
    let mut kinds = [KeyKind::Data, KeyKind::Administration].into_iter();
    let named = kinds.find(|kind| kind.name() == text);
    named.ok_or_else(|| unknown("kind of keys"))
}

/// What becomes of open calls, for a column that is empty if nothing has ended.
pub(super) fn limit_unit(name: &str) -> Result<LimitUnit, StoreError> {
    let mut known = LimitUnit::ALL.into_iter();
    let unit = known.find(|unit| unit.name() == name);
    unit.ok_or_else(|| unknown("unit of limits"))
}

/// The second since 1970 in which a time lies.
pub(super) fn second_of(time: SystemTime) -> i64 {
    unix_us(time).div_euclid(1_000_000)
}

pub(super) fn time_of(second: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(second).unwrap_or(0))
}

pub(super) fn calls_written(calls: Option<CallsUnderWay>) -> Option<&'static str> {
    calls.map(|calls| match calls {
        CallsUnderWay::End => "end",
        CallsUnderWay::GoOn => "go_on",
    })
}

pub(super) fn calls(text: Option<&str>) -> Result<Option<CallsUnderWay>, StoreError> {
    text.map(|text| match text {
        "end" => Ok(CallsUnderWay::End),
        "go_on" => Ok(CallsUnderWay::GoOn),
        _ => Err(unknown("fate of calls")),
    })
    .transpose()
}

pub(super) fn digest(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::damaged("a hash has another length than 32 bytes"))
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        StoreError::damaged(format!(
            "a column of JSON is wrong at line {line}, column {column}"
        ))
    })
}

pub(super) fn unknown(what: &str) -> StoreError {
    StoreError::damaged(format!("it names a {what} that this release does not know"))
}
