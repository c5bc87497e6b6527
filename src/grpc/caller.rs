//! `CallerService`: who is the caller, and what may it do?

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::identity::{Action, CredentialKind, Identity, LabelRule, Scope};
use crate::limits::LimitState;
use crate::serving::control::Control;

use super::v1::caller_service_server::CallerService;
use super::{answer, status, v1};

/// The service.
pub(super) struct CallerQueries {
    control: Arc<Control>,
}

impl CallerQueries {
    /// Tells what this knows of callers.
    pub(super) fn new(control: Arc<Control>) -> Self {
        Self { control }
    }
}

/// The identity that the door has resolved for a request.
///
/// # Errors
/// CREDENTIALS_MISSING if it has resolved none.
pub(super) fn identity_of<T>(request: &Request<T>) -> Result<&Arc<Identity>, Status> {
    let identity = request.extensions().get::<Arc<Identity>>();
    identity.ok_or_else(|| status::of_error(&Error::CredentialsMissing))
}

#[tonic::async_trait]
impl CallerService for CallerQueries {
    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let identity = identity_of(&request)?;
        let limits = self.control.limits_of(identity);
        Ok(Response::new(v1::WhoAmIResponse {
            limits: limits.iter().map(limit_state).collect(),
            ..described(identity)
        }))
    }
}

fn described(identity: &Identity) -> v1::WhoAmIResponse {
    let Identity {
        number: _,
        account,
        kind,
        key_id,
        expires,
        scopes,
        labels,
        label_rules,
        time_zone: _,
        standing: _,
    } = identity;
    let text = |text: Option<&Arc<str>>| text.map_or_else(String::new, |text| text.to_string());
    v1::WhoAmIResponse {
        caller: account.caller.to_string(),
        team: text(account.team.as_ref()),
        organisation: text(account.organisation.as_ref()),
        credential_kind: credential_kind(*kind).into(),
        key_id: text(key_id.as_ref()),
        expire_time: expires.map(answer::timestamp),
        scopes: scopes.iter().map(scope).collect(),
        labels: labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        label_rules: label_rules.iter().map(label_rule).collect(),
        limits: Vec::new(),
    }
}

fn credential_kind(kind: CredentialKind) -> v1::CredentialKind {
    match kind {
        CredentialKind::Anonymous => v1::CredentialKind::Anonymous,
        CredentialKind::Key => v1::CredentialKind::Key,
        CredentialKind::Token => v1::CredentialKind::Token,
        CredentialKind::Certificate => v1::CredentialKind::Certificate,
    }
}

/// How the contract spells where a counter stands.
pub(crate) fn limit_state(state: &LimitState) -> v1::LimitState {
    let LimitState {
        limit,
        key,
        amount,
        used,
        reserved,
        estimated,
        window,
        announced_threshold,
        is_own: _,
    } = state;
    v1::LimitState {
        limit_id: limit.id.to_string(),
        key: key
            .iter()
            .map(|(dimension, value)| (dimension.name(), value.to_string()))
            .collect(),
        unit: status::limit_unit(limit.unit).into(),
        amount: *amount,
        used: *used,
        reserved: *reserved,
        estimated: *estimated,
        window_start_time: window.map(|(start, _)| answer::timestamp(start)),
        window_end_time: window.map(|(_, end)| answer::timestamp(end)),
        announced_threshold: i32::from(*announced_threshold),
        remaining: state.remaining(),
    }
}

/// The contract's word for an action.
pub(super) fn action(action: Action) -> v1::Action {
    match action {
        Action::Generate => v1::Action::Generate,
        Action::UsageRead => v1::Action::UsageRead,
        Action::LedgerRead => v1::Action::LedgerRead,
        Action::Operate => v1::Action::Operate,
        Action::AdminAccounts => v1::Action::AdminAccounts,
        Action::AdminLimits => v1::Action::AdminLimits,
        Action::AdminPrices => v1::Action::AdminPrices,
        Action::AdminRead => v1::Action::AdminRead,
    }
}

/// How the contract spells a scope. All scenarios are spelled as `*`: an empty list would mean the same, but to
/// readers it looks like none.
pub(crate) fn scope(scope: &Scope) -> v1::Scope {
    let scenarios = match (&scope.scenarios, scope.action) {
        (Some(names), _) => names.to_vec(),
        (None, Action::Generate) => vec!["*".to_owned()],
        (None, _) => Vec::new(),
    };
    v1::Scope {
        action: action(scope.action).into(),
        scenarios,
        models: scope.models.to_vec(),
    }
}

/// How the contract spells a rule for a label.
pub(super) fn label_rule(rule: &LabelRule) -> v1::LabelRule {
    v1::LabelRule {
        key: rule.key.to_string(),
        values: rule.values.clone(),
        required: rule.required,
        from_baggage: rule.from_baggage,
    }
}
