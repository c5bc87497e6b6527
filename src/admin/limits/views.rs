//! What does the audit record say of limits and grants? Typed views.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::limits::{Grant, Limit, LimitDimension, LimitMatch, LimitRecord, LimitWindow, Zone};
use crate::store::StoredGrant;

/// A limit. Money is in nano-USD.
#[derive(Debug, Serialize)]
pub(super) struct LimitView<'r> {
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'r str,
    #[serde(rename = "match")]
    matching: &'r LimitMatch,
    per: Vec<String>,
    unit: &'static str,
    amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'r str>,
    thresholds: &'r [u8],
    enforcement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_ceiling: Option<i64>,
}

impl<'r> From<&'r LimitRecord> for LimitView<'r> {
    fn from(record: &'r LimitRecord) -> Self {
        let LimitRecord { limit, zone } = record;
        let Limit {
            id: _,
            description,
            matching,
            per,
            unit,
            amount,
            window,
            zone: _,
            thresholds,
            enforcement,
            unknown_ceiling,
        } = limit;
        Self {
            description,
            matching,
            per: per.iter().map(LimitDimension::name).collect(),
            unit: unit.name(),
            amount: *amount,
            window: window.map(LimitWindow::name),
            time_zone: zone.as_ref().map(Zone::name),
            thresholds,
            enforcement: enforcement.name(),
            unknown_ceiling: *unknown_ceiling,
        }
    }
}

/// A grant. Money is in nano-USD; the end of the window in seconds since 1970.
#[derive(Debug, Serialize)]
pub(super) struct GrantView<'g> {
    grant: &'g str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    key: &'g BTreeMap<String, String>,
    unit: &'static str,
    amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

impl<'g> From<&'g StoredGrant> for GrantView<'g> {
    fn from(stored: &'g StoredGrant) -> Self {
        let StoredGrant { grant, end } = stored;
        let Grant {
            id,
            limit: _,
            key,
            unit,
            amount,
            at: _,
        } = grant;
        Self {
            grant: id,
            key,
            unit: unit.name(),
            amount: *amount,
            until: Some(*end).filter(|end| *end < i64::MAX),
        }
    }
}
