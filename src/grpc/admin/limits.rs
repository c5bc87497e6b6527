//! How does the contract spell limits and what administrators do with them?

use std::collections::HashMap;
use std::sync::Arc;

use crate::admin::{AdminError, GrantWish, LimitChange, ListedLimit, StateFilter};
use crate::check::Faults;
use crate::error::LimitUnit;
use crate::grpc::caller::limit_state;
use crate::grpc::{status, v1};
use crate::limits::{
    Enforcement, Limit, LimitDimension, LimitMatch, LimitRecord, LimitState, LimitWindow, Now,
    Zone, shown_key,
};

use super::Work;
use super::convert::{FILE, STORE, checked};
use super::pages::{AskedPage, page_after};

/// The thresholds of a limit that names none.
const USUAL_THRESHOLDS: [u8; 2] = [80, 95];

pub(super) fn list(
    work: &Work<'_>,
    request: v1::ListLimitsRequest,
) -> Result<v1::ListLimitsResponse, AdminError> {
    let v1::ListLimitsRequest {
        page_size,
        page_token,
        account,
    } = request;
    let asked = AskedPage::read(page_size, page_token)?;
    let limits = work
        .administration
        .limits(work.by, given(&account).as_deref())?;
    let (limits, next_page_token) = page_after(limits, &asked, |listed| &listed.limit.id)?;
    Ok(v1::ListLimitsResponse {
        limits: limits.into_iter().map(limit).collect(),
        next_page_token,
    })
}

pub(super) fn put(
    work: &Work<'_>,
    request: v1::PutLimitRequest,
) -> Result<v1::PutLimitResponse, AdminError> {
    let v1::PutLimitRequest { limit, comment } = request;
    let change = limit_change(limit.unwrap_or_default(), comment)?;
    let written = work.administration.put_limit(work.by, change, work.now)?;
    Ok(v1::PutLimitResponse {
        limit: Some(self::limit(written)),
    })
}

pub(super) fn delete(
    work: &Work<'_>,
    request: v1::DeleteLimitRequest,
) -> Result<v1::DeleteLimitResponse, AdminError> {
    let v1::DeleteLimitRequest { id, comment } = request;
    let admin = work.administration;
    admin.delete_limit(work.by, &id, &comment, work.now)?;
    Ok(v1::DeleteLimitResponse {})
}

pub(super) fn grant(
    work: &Work<'_>,
    request: v1::GrantLimitRequest,
) -> Result<v1::GrantLimitResponse, AdminError> {
    let wish = grant_wish(request);
    let admin = work.administration;
    let state = admin.grant_limit(work.by, &wish, Now::of_clocks())?;
    Ok(v1::GrantLimitResponse {
        state: Some(limit_state(&state)),
    })
}

pub(super) fn states(
    work: &Work<'_>,
    request: v1::ListLimitStatesRequest,
) -> Result<v1::ListLimitStatesResponse, AdminError> {
    let filter = state_filter(&request)?;
    let asked = AskedPage::read(request.page_size, request.page_token)?;
    let admin = work.administration;
    let states = admin.limit_states(work.by, &filter, Now::of_clocks())?;
    let named: Vec<_> = states
        .iter()
        .map(|state| (counter_name(state), state))
        .collect();
    let (page, next_page_token) = page_after(named, &asked, |(name, _)| name)?;
    Ok(v1::ListLimitStatesResponse {
        states: page.iter().map(|(_, state)| limit_state(state)).collect(),
        next_page_token,
    })
}

/// Which counters a request asks for, pages aside.
///
/// # Errors
/// What cannot be read.
pub(crate) fn state_filter(
    request: &v1::ListLimitStatesRequest,
) -> Result<StateFilter, AdminError> {
    let v1::ListLimitStatesRequest {
        page_size: _,
        page_token: _,
        limit_id,
        min_percent,
        account,
    } = request;
    let Ok(min_percent) = u32::try_from(*min_percent) else {
        let what = "it is negative; use a percentage from 0";
        return Err(AdminError::invalid("min_percent", what));
    };
    Ok(StateFilter {
        limit: given(limit_id),
        account: given(account),
        min_percent,
    })
}

/// What names a counter among all.
fn counter_name(state: &LimitState) -> String {
    format!("{}:{}", state.limit.id, shown_key(&state.key))
}

fn given(text: &str) -> Option<String> {
    Some(text)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// What a request wants to grant.
pub(crate) fn grant_wish(request: v1::GrantLimitRequest) -> GrantWish {
    let v1::GrantLimitRequest {
        id,
        key,
        amount,
        grant_id,
        comment,
    } = request;
    GrantWish {
        limit: id,
        key: key.into_iter().collect(),
        amount,
        id: grant_id,
        comment,
    }
}

/// The limit that a request describes, and the version that it was read with.
///
/// # Errors
/// What cannot be read.
pub(crate) fn limit_change(limit: v1::Limit, comment: String) -> Result<LimitChange, AdminError> {
    let (unit, window, enforcement) = (limit.unit, limit.window, limit.enforcement);
    let v1::Limit {
        id,
        description,
        r#match: matching,
        per,
        unit: _,
        amount,
        window: _,
        time_zone,
        enforcement: _,
        thresholds,
        source: _,
        etag,
        unknown_ceiling,
        no_thresholds,
    } = limit;
    let mut faults = Faults::default();
    let unit = unit_of(unit, &mut faults);
    let window = window_of(window, &mut faults);
    let enforcement = match v1::LimitEnforcement::try_from(enforcement) {
        Ok(v1::LimitEnforcement::Unspecified | v1::LimitEnforcement::Hard) => Enforcement::Hard,
        Ok(v1::LimitEnforcement::Watch) => Enforcement::Watch,
        Err(_) => {
            faults.add("limit.enforcement", "use one of LimitEnforcement");
            Enforcement::Hard
        }
    };
    let per = per
        .iter()
        .enumerate()
        .filter_map(|(at, read)| dimension(&format!("limit.per[{at}]"), read, &mut faults));
    let per: Vec<_> = per.collect();
    let zone = given(&time_zone).and_then(|name| {
        let zone = Zone::named(&name);
        if zone.is_none() {
            faults.add(
                "limit.time_zone",
                "not a time zone; write an IANA name, such as \"Asia/Shanghai\" or \"UTC\"",
            );
        }
        zone
    });
    let announces = announces(window);
    if no_thresholds && !(announces && thresholds.is_empty()) {
        let what = match announces {
            true => "`limit.thresholds` names some; leave one of the two out",
            false => {
                "what frees itself within a minute, or with the call, is never announced; leave it out"
            }
        };
        faults.add("limit.no_thresholds", what);
    }
    let thresholds = match thresholds.is_empty() {
        true if announces && !no_thresholds => USUAL_THRESHOLDS.to_vec(),
        // What is no percentage is refused as 0 is.
        true | false => thresholds
            .iter()
            .map(|threshold| u8::try_from(*threshold).unwrap_or(0))
            .collect(),
    };
    checked(faults)?;
    let record = LimitRecord {
        limit: Limit {
            id: id.into(),
            description,
            matching: limit_match(matching.unwrap_or_default()),
            per,
            unit,
            amount,
            window,
            zone: Zone::UTC,
            thresholds,
            enforcement,
            unknown_ceiling,
        },
        zone,
    };
    let version = match &*etag {
        "" => None,
        etag => Some(etag.parse().map_err(|_| {
            AdminError::Changed(
                "`limit.etag` is not that of the limit; read the limit again".to_owned(),
            )
        })?),
    };
    Ok(LimitChange {
        record,
        version,
        comment,
    })
}

/// Whether a limit over this window has thresholds, unless it wants none.
fn announces(window: Option<LimitWindow>) -> bool {
    !matches!(window, None | Some(LimitWindow::Minute))
}

fn limit_match(matching: v1::LimitMatch) -> LimitMatch {
    let v1::LimitMatch {
        accounts,
        scenarios,
        providers,
        models,
        labels,
    } = matching;
    let names = |names: Vec<String>| names.into_iter().map(Arc::from).collect();
    LimitMatch {
        accounts: names(accounts),
        scenarios: names(scenarios),
        providers: names(providers),
        models: names(models),
        labels: labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect(),
    }
}

fn unit_of(unit: i32, faults: &mut Faults) -> LimitUnit {
    match v1::LimitUnit::try_from(unit) {
        Ok(v1::LimitUnit::Requests) => LimitUnit::Requests,
        Ok(v1::LimitUnit::Tokens) => LimitUnit::Tokens,
        Ok(v1::LimitUnit::ConcurrentCalls) => LimitUnit::ConcurrentCalls,
        Ok(v1::LimitUnit::Money) => LimitUnit::Money,
        Ok(v1::LimitUnit::Waste) => LimitUnit::Waste,
        Ok(v1::LimitUnit::Unspecified) | Err(_) => {
            faults.add(
                "limit.unit",
                "it is required; use one of LimitUnit, such as LIMIT_UNIT_MONEY",
            );
            LimitUnit::Requests
        }
    }
}

fn window_of(window: i32, faults: &mut Faults) -> Option<LimitWindow> {
    match v1::LimitWindow::try_from(window) {
        Ok(v1::LimitWindow::Unspecified) => None,
        Ok(v1::LimitWindow::Minute) => Some(LimitWindow::Minute),
        Ok(v1::LimitWindow::Hour) => Some(LimitWindow::Hour),
        Ok(v1::LimitWindow::Day) => Some(LimitWindow::Day),
        Ok(v1::LimitWindow::Week) => Some(LimitWindow::Week),
        Ok(v1::LimitWindow::Month) => Some(LimitWindow::Month),
        Ok(v1::LimitWindow::Year) => Some(LimitWindow::Year),
        Ok(v1::LimitWindow::Total) => Some(LimitWindow::Total),
        Err(_) => {
            faults.add("limit.window", "use one of LimitWindow");
            None
        }
    }
}

fn dimension(path: &str, read: &v1::LimitDimension, faults: &mut Faults) -> Option<LimitDimension> {
    use v1::LimitDimensionKind as Kind;

    let v1::LimitDimension { kind, label } = read;
    let plain = match Kind::try_from(*kind) {
        Ok(Kind::Organisation) => LimitDimension::Organisation,
        Ok(Kind::Team) => LimitDimension::Team,
        Ok(Kind::Caller) => LimitDimension::Caller,
        Ok(Kind::Key) => LimitDimension::Key,
        Ok(Kind::Scenario) => LimitDimension::Scenario,
        Ok(Kind::Provider) => LimitDimension::Provider,
        Ok(Kind::Model) => LimitDimension::Model,
        Ok(Kind::Label) => match &**label {
            "" => {
                let what = "it is required for LIMIT_DIMENSION_KIND_LABEL; name the label";
                faults.add(format_args!("{path}.label"), what);
                return None;
            }
            label => return Some(LimitDimension::Label(label.into())),
        },
        Ok(Kind::Unspecified) | Err(_) => {
            faults.add(
                format_args!("{path}.kind"),
                "it is required; use one of LimitDimensionKind",
            );
            return None;
        }
    };
    if !label.is_empty() {
        let what = "only LIMIT_DIMENSION_KIND_LABEL has a label; leave it out";
        faults.add(format_args!("{path}.label"), what);
    }
    Some(plain)
}

/// How the contract spells a limit.
pub(crate) fn limit(listed: ListedLimit) -> v1::Limit {
    let ListedLimit { limit, version } = listed;
    let begins_in_zone = limit.begins_in_zone();
    let Limit {
        id,
        description,
        matching,
        per,
        unit,
        amount,
        window,
        zone,
        thresholds,
        enforcement,
        unknown_ceiling,
    } = limit;
    let enforcement = match enforcement {
        Enforcement::Hard => v1::LimitEnforcement::Hard,
        Enforcement::Watch => v1::LimitEnforcement::Watch,
    };
    let zone = Some(zone.name()).filter(|_| begins_in_zone);
    v1::Limit {
        id: id.to_string(),
        description,
        r#match: Some(matching)
            .filter(|matching| *matching != LimitMatch::default())
            .map(match_spelled),
        per: per.iter().map(dimension_spelled).collect(),
        unit: status::limit_unit(unit).into(),
        amount,
        window: window
            .map_or(v1::LimitWindow::Unspecified, window_spelled)
            .into(),
        time_zone: zone.unwrap_or_default().to_owned(),
        enforcement: enforcement.into(),
        no_thresholds: announces(window) && thresholds.is_empty(),
        thresholds: thresholds.into_iter().map(i32::from).collect(),
        source: if version.is_some() { STORE } else { FILE }.to_owned(),
        etag: version
            .map(|version| version.to_string())
            .unwrap_or_default(),
        unknown_ceiling,
    }
}

fn match_spelled(matching: LimitMatch) -> v1::LimitMatch {
    let LimitMatch {
        accounts,
        scenarios,
        providers,
        models,
        labels,
    } = matching;
    let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect();
    v1::LimitMatch {
        accounts: names(accounts),
        scenarios: names(scenarios),
        providers: names(providers),
        models: names(models),
        labels: labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect::<HashMap<_, _>>(),
    }
}

fn dimension_spelled(dimension: &LimitDimension) -> v1::LimitDimension {
    use v1::LimitDimensionKind as Kind;

    let (kind, label) = match dimension {
        LimitDimension::Organisation => (Kind::Organisation, ""),
        LimitDimension::Team => (Kind::Team, ""),
        LimitDimension::Caller => (Kind::Caller, ""),
        LimitDimension::Key => (Kind::Key, ""),
        LimitDimension::Scenario => (Kind::Scenario, ""),
        LimitDimension::Provider => (Kind::Provider, ""),
        LimitDimension::Model => (Kind::Model, ""),
        LimitDimension::Label(label) => (Kind::Label, &**label),
    };
    v1::LimitDimension {
        kind: kind.into(),
        label: label.to_owned(),
    }
}

fn window_spelled(window: LimitWindow) -> v1::LimitWindow {
    match window {
        LimitWindow::Minute => v1::LimitWindow::Minute,
        LimitWindow::Hour => v1::LimitWindow::Hour,
        LimitWindow::Day => v1::LimitWindow::Day,
        LimitWindow::Week => v1::LimitWindow::Week,
        LimitWindow::Month => v1::LimitWindow::Month,
        LimitWindow::Year => v1::LimitWindow::Year,
        LimitWindow::Total => v1::LimitWindow::Total,
    }
}
