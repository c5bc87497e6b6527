//! Which limit do the options of `modelway limits put` describe?

use std::collections::HashMap;

use clap::{Args, ValueEnum};

use crate::grpc::v1;
use crate::grpc::v1::LimitDimensionKind as Kind;

use super::amount::WrittenAmount;

/// What is named of a limit. What is not stays as it is, or is the default of a new one.
#[derive(Clone, Debug, Args)]
pub(super) struct PutArguments {
    /// The limit's id: 1 to 64 small letters, digits, `.`, `_` and `-`.
    pub(super) id: String,
    /// The most that may be spent in a window, such as "500 USD".
    #[arg(long, value_name = "AMOUNT", group = "counted")]
    money: Option<WrittenAmount>,
    /// The most calls in a window; attempts, if it names providers or models.
    #[arg(long, value_name = "COUNT", group = "counted")]
    requests: Option<WrittenAmount>,
    /// The most tokens of input and output in a window.
    #[arg(long, value_name = "COUNT", group = "counted")]
    tokens: Option<WrittenAmount>,
    /// The most calls that are open at one time.
    #[arg(long, value_name = "COUNT", group = "counted")]
    concurrent_calls: Option<WrittenAmount>,
    /// The most in a window for attempts that gave no answer, such as "5 USD".
    #[arg(long, value_name = "AMOUNT", group = "counted")]
    waste: Option<WrittenAmount>,
    /// What a window is.
    #[arg(long, value_name = "WINDOW", value_enum)]
    window: Option<WindowOption>,
    /// How calls are counted apart: organisation, team, caller, key, scenario, provider, model or label:KEY. May be
    /// repeated.
    #[arg(long, value_name = "DIMENSION", value_parser = dimension)]
    per: Vec<v1::LimitDimension>,
    /// Only calls of this account and of those below it. May be repeated.
    #[arg(long, value_name = "ID")]
    account: Vec<String>,
    /// Only calls for this scenario. May be repeated.
    #[arg(long, value_name = "ID")]
    scenario: Vec<String>,
    /// Only attempts at this provider. May be repeated.
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// Only attempts with this model. May be repeated.
    #[arg(long, value_name = "ID")]
    model: Vec<String>,
    /// Only calls with this label. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// The zone in which its windows begin, such as Asia/Shanghai. Default: that of its accounts.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Percentages that are announced, such as 50,80,95; "none" for nothing.
    #[arg(long, value_name = "PERCENT", value_parser = thresholds)]
    thresholds: Option<Thresholds>,
    /// What happens to a call that would pass it.
    #[arg(long, value_name = "WHAT", value_enum)]
    enforcement: Option<EnforcementOption>,
    /// What a million tokens of unknown price are taken to cost, such as "20 USD".
    #[arg(long, value_name = "AMOUNT")]
    unknown_ceiling: Option<WrittenAmount>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Percentages that are announced; empty if none are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Thresholds(Vec<i32>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WindowOption {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EnforcementOption {
    /// It is refused before anything is sent.
    Hard,
    /// It goes on, and is counted and announced.
    Watch,
}

impl PutArguments {
    /// The limit, if this one is there already.
    ///
    /// # Errors
    /// What is written wrong.
    pub(super) fn limit(self, existing: Option<v1::Limit>) -> Result<v1::Limit, String> {
        let mut limit = existing.unwrap_or_default();
        let Self {
            id,
            money,
            requests,
            tokens,
            concurrent_calls,
            waste,
            window,
            per,
            account,
            scenario,
            provider,
            model,
            label,
            time_zone,
            thresholds,
            enforcement,
            unknown_ceiling,
            description,
        } = self;
        limit.id = id;
        let counted = [
            (money, v1::LimitUnit::Money),
            (requests, v1::LimitUnit::Requests),
            (tokens, v1::LimitUnit::Tokens),
            (concurrent_calls, v1::LimitUnit::ConcurrentCalls),
            (waste, v1::LimitUnit::Waste),
        ];
        for (amount, unit) in counted {
            if let Some(amount) = amount {
                limit.amount = amount.of(unit)?;
                limit.unit = unit.into();
            }
        }
        if limit.unit() == v1::LimitUnit::Unspecified {
            return Err(
                "say what it counts: one of --money, --requests, --tokens, --concurrent-calls, --waste".to_owned(),
            );
        }
        if let Some(window) = window {
            limit.window = window.spelled().into();
        } else if limit.unit() == v1::LimitUnit::ConcurrentCalls {
            limit.window = v1::LimitWindow::Unspecified.into();
        }
        if limit.window() == v1::LimitWindow::Unspecified
            && limit.unit() != v1::LimitUnit::ConcurrentCalls
        {
            return Err(
                "say over which time it counts with --window, such as --window month".to_owned(),
            );
        }
        let replace = |field: &mut Vec<String>, named: Vec<String>| {
            if !named.is_empty() {
                *field = named;
            }
        };
        let mut matching = limit.r#match.take().unwrap_or_default();
        replace(&mut matching.accounts, account);
        replace(&mut matching.scenarios, scenario);
        replace(&mut matching.providers, provider);
        replace(&mut matching.models, model);
        if !label.is_empty() {
            matching.labels = label.into_iter().collect::<HashMap<_, _>>();
        }
        limit.r#match = Some(matching);
        if !per.is_empty() {
            limit.per = per;
        }
        drop_needless(&mut limit);
        if let Some(zone) = time_zone {
            limit.time_zone = zone;
        }
        if let Some(Thresholds(percentages)) = thresholds {
            limit.no_thresholds = percentages.is_empty();
            limit.thresholds = percentages;
        }
        if let Some(enforcement) = enforcement {
            limit.enforcement = match enforcement {
                EnforcementOption::Hard => v1::LimitEnforcement::Hard,
                EnforcementOption::Watch => v1::LimitEnforcement::Watch,
            }
            .into();
        }
        if let Some(ceiling) = unknown_ceiling {
            limit.unknown_ceiling = Some(ceiling.of(v1::LimitUnit::Money)?);
        }
        if let Some(description) = description {
            limit.description = description;
        }
        Ok(limit)
    }
}

/// Drops what an existing limit had and what it cannot have with another unit or window.
fn drop_needless(limit: &mut v1::Limit) {
    use v1::{LimitUnit, LimitWindow};

    if !matches!(limit.unit(), LimitUnit::Money | LimitUnit::Waste) {
        limit.unknown_ceiling = None;
    }
    match limit.window() {
        LimitWindow::Unspecified | LimitWindow::Minute => {
            limit.thresholds.clear();
            limit.no_thresholds = false;
            limit.time_zone.clear();
        }
        LimitWindow::Total => limit.time_zone.clear(),
        LimitWindow::Hour
        | LimitWindow::Day
        | LimitWindow::Week
        | LimitWindow::Month
        | LimitWindow::Year => {}
    }
}

impl WindowOption {
    fn spelled(self) -> v1::LimitWindow {
        match self {
            Self::Minute => v1::LimitWindow::Minute,
            Self::Hour => v1::LimitWindow::Hour,
            Self::Day => v1::LimitWindow::Day,
            Self::Week => v1::LimitWindow::Week,
            Self::Month => v1::LimitWindow::Month,
            Self::Year => v1::LimitWindow::Year,
            Self::Total => v1::LimitWindow::Total,
        }
    }
}

fn thresholds(text: &str) -> Result<Thresholds, &'static str> {
    if text == "none" {
        return Ok(Thresholds(Vec::new()));
    }
    let percentages = text.split(',').map(|part| part.trim().parse());
    percentages
        .collect::<Result<_, _>>()
        .map(Thresholds)
        .map_err(|_| "write percentages such as 80,95, or none")
}

fn dimension(text: &str) -> Result<v1::LimitDimension, &'static str> {
    let (kind, label) = match (text, text.strip_prefix("label:")) {
        (_, Some(label)) if !label.is_empty() => (Kind::Label, label),
        ("organisation", _) => (Kind::Organisation, ""),
        ("team", _) => (Kind::Team, ""),
        ("caller", _) => (Kind::Caller, ""),
        ("key", _) => (Kind::Key, ""),
        ("scenario", _) => (Kind::Scenario, ""),
        ("provider", _) => (Kind::Provider, ""),
        ("model", _) => (Kind::Model, ""),
        (_, _) => {
            return Err(
                "use organisation, team, caller, key, scenario, provider, model or label:KEY",
            );
        }
    };
    Ok(v1::LimitDimension {
        kind: kind.into(),
        label: label.to_owned(),
    })
}

/// A name and its value.
pub(super) fn pair(text: &str) -> Result<(String, String), &'static str> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write a name and its value, such as team=search")?;
    Ok((name.to_owned(), value.to_owned()))
}
