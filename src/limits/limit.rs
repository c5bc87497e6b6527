//! What is a limit? Which calls it counts, how it counts them apart, what it counts, and the most within a window.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::LimitUnit;
use crate::identity::{Identity, Labels};

use super::texts::{labels, names};
use super::windows::{LimitWindow, Zone};

/// The most limits that may apply to one call or attempt.
pub const MOST_APPLYING: usize = 32;

/// The most thresholds of one limit.
pub const MOST_THRESHOLDS: usize = 8;

/// A limit on what calls may use. A call is held to every limit that matches it.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Its id; 1 to 64 characters.
    pub id: Arc<str>,
    /// What it is for, for people.
    pub description: String,
    /// The calls that it counts.
    pub matching: LimitMatch,
    /// How calls are counted apart: one counter for each combination of values.
    pub per: Vec<LimitDimension>,
    /// What is counted.
    pub unit: LimitUnit,
    /// The most within a window: nano-USD of [`LimitUnit::Money`] and [`LimitUnit::Waste`], else a count. Never negative. With 0
    /// only explicitly free calls get through.
    pub amount: i64,
    /// What a window is; `None` for [`LimitUnit::ConcurrentCalls`], which has none.
    pub window: Option<LimitWindow>,
    /// Where days, weeks, months and years begin.
    pub zone: Zone,
    /// Percentages of the amount that are announced, each once in a window; ascending.
    pub thresholds: Vec<u8>,
    /// What happens to a call that would pass it.
    pub enforcement: Enforcement,
    /// What a million tokens of unknown price are taken to cost, in nano-USD. Without it a hard limit on money lets no
    /// attempt through whose price is not known.
    pub unknown_ceiling: Option<i64>,
}

/// Which calls a limit counts. What is set must all hold. The control store and the audit record keep it in this form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitMatch {
    /// Ids of accounts: the caller is one of them, or stands below one. Empty for all.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Arc<str>>,
    /// Ids of scenarios. Empty for all.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub scenarios: Vec<Arc<str>>,
    /// Names of providers. Empty for all.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Arc<str>>,
    /// Ids of models. Empty for all.
    #[serde(with = "names", skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Arc<str>>,
    /// Labels that the call must have.
    #[serde(with = "labels", skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// What calls can be counted apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitDimension {
    /// The organisation of the caller.
    Organisation,
    /// The team of the caller.
    Team,
    /// The caller.
    Caller,
    /// The API key.
    Key,
    /// The scenario.
    Scenario,
    /// The provider.
    Provider,
    /// The model.
    Model,
    /// The value of the label with this key.
    Label(Arc<str>),
}

/// What happens to a call that would pass a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// It is refused before anything is sent.
    #[default]
    Hard,
    /// It goes on, and is counted and announced.
    Watch,
}

/// At which point a limit is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitStage {
    /// Once for a call, before it is let in.
    Call,
    /// For each attempt, before it is sent.
    Attempt,
    /// Once for a call that shares the result of another one, which is under way: it counts as a request alone.
    Join,
}

/// What is known of a call or an attempt when its limits are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who calls.
    pub identity: &'a Identity,
    /// The scenario; empty if a model was named.
    pub scenario: &'a str,
    /// Name of the provider of the attempt; empty for a call.
    pub provider: &'a str,
    /// Id of the model of the attempt; empty for a call.
    pub model: &'a str,
    /// The labels of the call.
    pub labels: &'a Labels,
}

impl LimitDimension {
    /// Those that no key belongs to.
    const PLAIN: [Self; 7] = [
        Self::Organisation,
        Self::Team,
        Self::Caller,
        Self::Key,
        Self::Scenario,
        Self::Provider,
        Self::Model,
    ];

    /// The dimension with this name.
    pub fn named(name: &str) -> Option<Self> {
        match name.strip_prefix("label:") {
            Some(key) => Some(Self::Label(key.into())),
            None => Self::PLAIN.into_iter().find(|plain| plain.name() == name),
        }
    }

    /// Its name in the configuration and in the keys of counters.
    pub fn name(&self) -> String {
        match self {
            Self::Label(key) => format!("label:{key}"),
            Self::Organisation => "organisation".to_owned(),
            Self::Team => "team".to_owned(),
            Self::Caller => "caller".to_owned(),
            Self::Key => "key".to_owned(),
            Self::Scenario => "scenario".to_owned(),
            Self::Provider => "provider".to_owned(),
            Self::Model => "model".to_owned(),
        }
    }

    /// The value that a call or an attempt has; empty if it has none. All that have none share a counter.
    pub(super) fn value<'a>(&self, asked: &Asked<'a>) -> &'a str {
        let identity = asked.identity;
        let account = &identity.account;
        match self {
            Self::Organisation => account.organisation.as_deref().unwrap_or_default(),
            Self::Team => account.team.as_deref().unwrap_or_default(),
            Self::Caller => &account.caller,
            Self::Key => identity.key_id.as_deref().unwrap_or_default(),
            Self::Scenario => asked.scenario,
            Self::Provider => asked.provider,
            Self::Model => asked.model,
            Self::Label(key) => asked.labels.get(key).map_or("", |value| value),
        }
    }
}

impl Enforcement {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Hard, Self::Watch];

    /// Its name in the configuration and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Watch => "watch",
        }
    }
}

impl LimitMatch {
    /// Whether the limit counts what is asked, accounts aside.
    pub(super) fn holds_beside_accounts(&self, asked: &Asked<'_>) -> bool {
        let Self {
            accounts: _,
            scenarios,
            providers,
            models,
            labels,
        } = self;
        names(scenarios, asked.scenario)
            && names(providers, asked.provider)
            && names(models, asked.model)
            && labels
                .iter()
                .all(|(key, value)| asked.labels.get(key) == Some(value))
    }
}

impl Limit {
    /// Whether it is asked for each attempt rather than once for a call.
    pub fn counts_attempts(&self) -> bool {
        let by_target = |dimension: &LimitDimension| {
            matches!(dimension, LimitDimension::Provider | LimitDimension::Model)
        };
        match self.unit {
            LimitUnit::Tokens | LimitUnit::Money | LimitUnit::Waste => true,
            LimitUnit::Requests | LimitUnit::ConcurrentCalls => {
                !self.matching.providers.is_empty()
                    || !self.matching.models.is_empty()
                    || self.per.iter().any(by_target)
            }
        }
    }

    /// Whether no money beyond it may be spent.
    pub fn is_hard_on_money(&self) -> bool {
        self.unit.is_money() && self.enforcement == Enforcement::Hard
    }

    /// Whether its windows begin at a time of a zone.
    pub fn begins_in_zone(&self) -> bool {
        match self.window {
            None | Some(LimitWindow::Minute | LimitWindow::Total) => false,
            Some(
                LimitWindow::Hour
                | LimitWindow::Day
                | LimitWindow::Week
                | LimitWindow::Month
                | LimitWindow::Year,
            ) => true,
        }
    }

    pub(super) fn stage(&self) -> LimitStage {
        match self.counts_attempts() {
            true => LimitStage::Attempt,
            false => LimitStage::Call,
        }
    }

    /// Whether it is held against this caller alone: its counter shows nothing of the use of others.
    pub fn is_own(&self, identity: &Identity) -> bool {
        let apart = |dimension: &LimitDimension| {
            matches!(dimension, LimitDimension::Caller | LimitDimension::Key)
        };
        self.per.iter().any(apart)
            || matches!(&self.matching.accounts[..], [only] if *only == identity.account.caller)
    }

    /// Whether both count the same in the same way, so that one can go on with the counters of the other.
    pub fn shares_counters_with(&self, other: &Self) -> bool {
        self.per == other.per
            && self.unit == other.unit
            && self.window == other.window
            && self.zone == other.zone
            && self.counts_attempts() == other.counts_attempts()
    }
}

/// Whether a list names this; an empty one names everything.
fn names(list: &[Arc<str>], wanted: &str) -> bool {
    list.is_empty() || list.iter().any(|name| **name == *wanted)
}
