//! Which rates belong to the version of the prices that a row names? Every version that was ever in use lies in a file of its
//! own, `DATA/prices/VERSION.json`, which is written once and never changed.
//!
//! So an export of last year shows last year's unit prices, whatever the configuration says by now. A version is made from
//! the prices themselves: a file whose prices do not have the version in its name is ignored.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::chat::ServiceTier;
use crate::ledger::{Files, LedgerFile};
use crate::money::{Price, Prices, Rates, ToolFees, Validity};

/// The prices of every model of one version.
type PricesOfVersion = HashMap<String, Prices>;

/// Reads the versions that were kept.
#[derive(Debug)]
pub(super) struct PriceBook {
    /// `None` if the ledger is in memory only.
    folder: Option<PathBuf>,
    versions: HashMap<String, Option<PricesOfVersion>>,
}

impl PriceBook {
    /// The versions beside these files of the ledger.
    pub(super) fn new(files: &Files) -> Self {
        Self {
            folder: folder(files),
            versions: HashMap::new(),
        }
    }

    /// The prices of a model in a version; `None` if that version was not kept, or has none for it.
    pub(super) fn prices(&mut self, version: &str, model: &str) -> Option<&Prices> {
        let folder = self.folder.as_ref()?;
        let known = self.versions.entry(version.to_owned());
        let known = known.or_insert_with(|| read(folder, version));
        known.as_ref()?.get(model)
    }
}

/// Where the prices of these files of the ledger lie; `None` if it is in memory only.
fn folder(files: &Files) -> Option<PathBuf> {
    let usage = files.path(LedgerFile::Usage);
    let data = usage.parent().filter(|_| !files.are_in_memory())?;
    Some(data.join("prices"))
}

/// Keeps the prices of all models, each with the id of its model, for exports to come.
///
/// # Errors
/// The file cannot be written.
pub fn keep<'m>(files: &Files, models: &[(&'m str, &'m Prices)]) -> io::Result<()> {
    let (Some(folder), Some((_, first))) = (folder(files), models.first()) else {
        return Ok(());
    };
    // All prices of a configuration have one version.
    let version = first.version();
    let path = folder.join(format!("{version}.json"));
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    let list: Vec<_> = models
        .iter()
        .flat_map(|(model, prices)| prices.list().iter().map(|price| written(model, price)))
        .collect();
    let draft = folder.join(format!("{version}.json.new"));
    let mut file = fs::File::create(&draft)?;
    file.write_all(json!({ "prices": list }).to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path)
}

fn read(folder: &Path, version: &str) -> Option<PricesOfVersion> {
    let text = fs::read(folder.join(format!("{version}.json"))).ok()?;
    let file: Value = serde_json::from_slice(&text).ok()?;
    let mut models: Vec<(String, Vec<Price>)> = Vec::new();
    for value in file.get("prices")?.as_array()? {
        let (model, price) = understood(value)?;
        match models.iter_mut().find(|(known, _)| *known == model) {
            Some((_, prices)) => prices.push(price),
            None => models.push((model, vec![price])),
        }
    }
    let together = models.iter().map(|(model, list)| (&**model, list.clone()));
    let prices = Prices::together(together);
    let is_believed = prices
        .iter()
        .all(|(_, prices)| prices.version().to_string() == version);
    let prices = prices
        .into_iter()
        .map(|(model, prices)| (model.to_owned(), prices));
    is_believed.then(|| prices.collect())
}

fn written(model: &str, price: &Price) -> Value {
    let Price { holds, rates } = price;
    let Validity {
        tier,
        input_tokens_above,
        from,
        until,
    } = holds;
    let second = |moment: &SystemTime| {
        moment
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    let mut value = json!({
        "model": model,
        "tier": tier.name(),
        "input_tokens_above": input_tokens_above,
        "from": from.as_ref().map(second),
        "until": until.as_ref().map(second),
    });
    for (name, number) in rates.by_name() {
        value[name] = json!(number);
    }
    value["request_nanos"] = json!(rates.request_nanos);
    value
}

fn understood(value: &Value) -> Option<(String, Price)> {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let moment = |key: &str| number(key).map(|second| UNIX_EPOCH + Duration::from_secs(second));
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let tier = text("tier")?;
    let mut tiers = ServiceTier::ALL.into_iter();
    let tier = tiers.find(|known| known.name() == tier)?;
    let price = Price {
        holds: Validity {
            tier,
            input_tokens_above: number("input_tokens_above")?,
            from: moment("from"),
            until: moment("until"),
        },
        rates: Rates {
            input: number("input"),
            output: number("output"),
            cache_read_input: number("cache_read_input"),
            cache_write_input: number("cache_write_input"),
            cache_write_long_input: number("cache_write_long_input"),
            reasoning_output: number("reasoning_output"),
            tools: ToolFees {
                web_search: number("web_search"),
                web_fetch: number("web_fetch"),
                code_execution: number("code_execution"),
                file_search: number("file_search"),
            },
            request_nanos: number("request_nanos")?,
        },
    };
    Some((text("model")?.to_owned(), price))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::specimens::Specimen;

    fn list(input: u64) -> Vec<(String, Vec<Price>)> {
        let price = |tier, input_tokens_above, input| Price {
            holds: Validity {
                input_tokens_above,
                from: Some(UNIX_EPOCH + Duration::from_secs(1_000)),
                ..Validity::always(tier)
            },
            rates: Rates {
                input: Some(input),
                output: Some(0),
                request_nanos: 7,
                tools: ToolFees {
                    web_search: Some(10),
                    ..ToolFees::default()
                },
                ..Rates::default()
            },
        };
        vec![
            (
                "a/\"x\"".to_owned(),
                vec![
                    price(ServiceTier::Standard, 0, input),
                    price(ServiceTier::Standard, 200_000, 2 * input),
                ],
            ),
            ("b".to_owned(), vec![price(ServiceTier::Flex, 0, 1)]),
        ]
    }

    #[test]
    fn prices_of_the_past_are_found_by_their_version() {
        let ledger = Specimen::new();
        let (old, new) = (list(5), list(6));
        for list in [&old, &new, &old] {
            keep_all(&ledger, list);
        }

        let mut book = PriceBook::new(&ledger.files());

        let together = old.iter().map(|(model, list)| (&**model, list.clone()));
        for (model, prices) in Prices::together(together) {
            let version = prices.version().to_string();
            assert_eq!(book.prices(&version, model), Some(&prices));
            assert_eq!(book.prices(&version, "c"), None);
        }
        assert_eq!(book.prices("0123456789ab", "b"), None);
    }

    #[test]
    fn a_file_whose_prices_were_changed_is_not_believed() {
        let ledger = Specimen::new();
        let version = keep_all(&ledger, &list(5));
        let path = ledger.data.join(format!("prices/{version}.json"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"input\":5", "\"input\":4")).unwrap();

        let mut book = PriceBook::new(&ledger.files());

        assert_eq!(book.prices(&version, "b"), None);
    }

    /// Keeps these prices. Returns their version.
    fn keep_all(ledger: &Specimen, list: &[(String, Vec<Price>)]) -> String {
        let together = list.iter().map(|(model, list)| (&**model, list.clone()));
        let together = Prices::together(together);
        let models: Vec<_> = together
            .iter()
            .map(|(model, prices)| (*model, prices))
            .collect();
        keep(&ledger.files(), &models).unwrap();
        together[0].1.version().to_string()
    }
}
