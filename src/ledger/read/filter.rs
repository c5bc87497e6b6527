//! Which calls are asked for, and which of them may be seen?

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Code;
use crate::hash::sha256;

/// Which calls are asked for. What is set must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// From this moment on, in microseconds since 1970.
    pub from: Option<i64>,
    /// Before this moment, in microseconds since 1970.
    pub until: Option<i64>,
    /// The id of an account: its calls and those of accounts below it.
    pub account: Option<String>,
    /// A scenario.
    pub scenario: Option<String>,
    /// The provider that answered.
    pub provider: Option<String>,
    /// Id of the model that answered.
    pub model: Option<String>,
    /// Labels that the call has.
    pub labels: BTreeMap<String, String>,
    /// Only calls that failed or were rescued.
    pub troubled: bool,
    /// How it ended.
    pub code: Option<Code>,
    /// Its trace, in hexadecimal digits.
    pub trace_id: Option<String>,
    /// Its API key.
    pub key_id: Option<String>,
    /// Only calls part of whose cost is not known.
    pub cost_unknown: bool,
}

impl CallFilter {
    /// Tells two filters apart.
    pub(super) fn hash(&self) -> [u8; 32] {
        let Self {
            from,
            until,
            account,
            scenario,
            provider,
            model,
            labels,
            troubled,
            code,
            trace_id,
            key_id,
            cost_unknown,
        } = self;
        // The quotes of `Debug` keep the fields apart, whatever their texts are.
        let text = format!(
            "{from:?} {until:?} {account:?} {scenario:?} {provider:?} {model:?} {labels:?} {troubled} {:?} {trace_id:?} \
             {key_id:?} {cost_unknown}",
            code.map(Code::name),
        );
        sha256(text.as_bytes())
    }
}

/// What a credential may see of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Every call.
    All,
    /// The calls of this account and of the accounts below it. Ids are unique over callers, teams and organisations.
    Account(Arc<str>),
}
