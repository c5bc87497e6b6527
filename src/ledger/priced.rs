//! Did attempts of some past time have a price? A known cost is never changed, so a new price may begin in the past only
//! where no attempt of that time had one.

use rusqlite::{Connection, params};

use crate::chat::{ServedTier, ServiceTier};
use crate::money::CostSource;

use super::call_id::Day;
use super::files::{Files, LedgerFile};
use super::rows::{ESTIMATED_COST, cost_source_number, tier_number};
use super::schema::SchemaError;

/// Attempts of a model, a tier and a size of the prompt, in a time.
#[derive(Clone, Copy, Debug)]
pub struct PricedTime<'t> {
    /// Id of the model.
    pub model: &'t str,
    /// The tier that was served.
    pub tier: ServiceTier,
    /// Of prompts with more tokens than this.
    pub input_tokens_above: u64,
    /// From this moment on, in microseconds since 1970.
    pub from_us: i64,
    /// Before this moment.
    pub until_us: i64,
}

/// Whether the cost of one of these attempts was computed from prices. Blocks.
///
/// # Errors
/// A file cannot be read.
pub fn has_known_cost(files: &Files, time: &PricedTime<'_>) -> Result<bool, SchemaError> {
    let days = files.days();
    let days = days.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    // A call is in the file of the day in which it came, and may have been tried after midnight.
    let (first, last) = (Day::of_us(time.from_us).0 - 1, Day::of_us(time.until_us).0);
    for day in days {
        if (first..=last).contains(&day.0)
            // It may have been dropped since the days were listed.
            && let Some(file) = files.open_if_there(LedgerFile::Day(day))?
            && in_file(&file, time)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn in_file(file: &Connection, time: &PricedTime<'_>) -> Result<bool, SchemaError> {
    let PricedTime {
        model,
        tier,
        input_tokens_above,
        from_us,
        until_us,
    } = *time;
    let of_model = "SELECT 1 FROM targets WHERE model = ?1";
    if !file.prepare(of_model)?.exists([model])? {
        return Ok(false);
    }
    // A tier that was not reported is the standard one. Of attempts of which nothing was charged no price was needed.
    let sql = "
        SELECT 1 FROM settled_attempts
        WHERE started_us >= ?1 AND started_us < ?2 AND price_id <> 0 AND cost_source IN (?3, ?4)
            AND coalesce(service_tier, ?5) = ?6 AND coalesce(input, 0) > ?7
            AND target IN (SELECT id FROM targets WHERE model = ?8)
        LIMIT 1";
    let standard = tier_number(ServedTier::Known(ServiceTier::Standard));
    let above = i64::try_from(input_tokens_above).unwrap_or(i64::MAX);
    Ok(file.prepare(sql)?.exists(params![
        from_us,
        until_us,
        cost_source_number(CostSource::Prices),
        ESTIMATED_COST,
        standard,
        tier_number(ServedTier::Known(tier)),
        above,
        model,
    ])?)
}
