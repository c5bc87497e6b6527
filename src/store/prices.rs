//! How are prices read from and written to the control store?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use crate::calendar::unix_us;
use crate::chat::ServiceTier;
use crate::money::{Price, Rates, ToolFees, Validity};

use super::error::StoreError;
use super::{StoreReading, StoreWriting, columns};

/// A price of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPrice {
    /// Id of the model.
    pub model: String,
    /// The price.
    pub price: Price,
}

const COLUMNS: &str = "model, service_tier, input_tokens_above, start_us, end_us, input, output, cache_read, cache_write, \
                       cache_write_long, reasoning, web_search, web_fetch, code_execution, file_search, request";

impl StoreReading<'_> {
    /// All prices, in order of model, tier, size of the prompt and beginning.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prices(&self) -> Result<Vec<StoredPrice>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM prices ORDER BY model, service_tier, input_tokens_above, start_us"
        );
        let mut statement = self.0.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut prices = Vec::new();
        while let Some(row) = rows.next()? {
            prices.push(price(row)?);
        }
        Ok(prices)
    }
}

impl StoreWriting<'_> {
    /// Writes a price, in place of the one of the same model, tier, size of the prompt and beginning.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_price(&self, stored: &StoredPrice) -> Result<(), StoreError> {
        let StoredPrice { model, price } = stored;
        let Price { holds, rates } = price;
        let Validity {
            tier,
            input_tokens_above,
            from,
            until,
        } = holds;
        let key = [
            Value::from(model.clone()),
            tier.name().to_owned().into(),
            written(*input_tokens_above).into(),
            from.map_or(0, unix_us).into(),
            until.map(unix_us).into(),
        ];
        // The columns stand in the order of the rates.
        let rates_and_fees = rates
            .by_name()
            .map(|(_, number)| number.map(written).into());
        let request = written(rates.request_nanos).into();
        let values = key.into_iter().chain(rates_and_fees).chain([request]);
        self.0.execute(
            "INSERT OR REPLACE INTO prices VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            params_from_iter(values),
        )?;
        Ok(())
    }
}

fn price(row: &Row<'_>) -> Result<StoredPrice, StoreError> {
    let count = |column: &str| -> Result<u64, StoreError> { read(row.get(column)?, column) };
    let rate = |column: &str| -> Result<Option<u64>, StoreError> {
        let found: Option<i64> = row.get(column)?;
        found.map(|number| read(number, column)).transpose()
    };
    let tier: String = row.get("service_tier")?;
    let mut tiers = ServiceTier::ALL.into_iter();
    let tier = tiers.find(|known| known.name() == tier);
    let from = count("start_us")?;
    let holds = Validity {
        tier: tier.ok_or_else(|| columns::unknown("tier of service"))?,
        input_tokens_above: count("input_tokens_above")?,
        from: (from > 0).then(|| moment(from)),
        until: rate("end_us")?.map(moment),
    };
    let rates = Rates {
        input: rate("input")?,
        output: rate("output")?,
        cache_read_input: rate("cache_read")?,
        cache_write_input: rate("cache_write")?,
        cache_write_long_input: rate("cache_write_long")?,
        reasoning_output: rate("reasoning")?,
        tools: ToolFees {
            web_search: rate("web_search")?,
            web_fetch: rate("web_fetch")?,
            code_execution: rate("code_execution")?,
            file_search: rate("file_search")?,
        },
        request_nanos: count("request")?,
    };
    Ok(StoredPrice {
        model: row.get("model")?,
        price: Price { holds, rates },
    })
}

fn moment(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

/// A number that was checked before: no rate or count of tokens is larger.
fn written(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read(number: i64, column: &str) -> Result<u64, StoreError> {
    let number = u64::try_from(number);
    number.map_err(|_| StoreError::damaged(format!("the column `{column}` of a price is negative")))
}
