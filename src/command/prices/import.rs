//! How does a public list of prices become a file of prices? Two forms are read: the JSON map of LiteLLM and the list of models
//! that OpenRouter answers with. Pure: nothing is fetched, and what cannot be said in a file of prices is told.
//!
//! The fields: <https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json> ("sample_spec") and
//! <https://openrouter.ai/docs/api-reference/list-available-models>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::chat::ServiceTier;
use crate::money::{HIGHEST_FEE, HIGHEST_RATE, Rates, decimal};

/// The models of a configuration that prices are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedModel {
    /// Its id.
    pub(super) id: String,
    /// The name of its provider in the configuration.
    pub(super) provider: String,
    /// Its name at the provider.
    pub(super) model: String,
}

/// For a tier, and prompts with more tokens than this.
type Conditions = (usize, u64);

/// What a list says of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImportedModel {
    pub(super) prices: BTreeMap<Conditions, Rates>,
    /// What a file of prices cannot say.
    pub(super) unsaid: Vec<String>,
}

/// What a list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Imported {
    /// By id.
    pub(super) models: BTreeMap<String, ImportedModel>,
    /// The ids of wanted models that the list does not have.
    pub(super) missing: Vec<String>,
}

/// What the list in this text says of these models, or of all of its own if none are named.
///
/// # Errors
/// The text is neither of the two forms.
pub(super) fn import(text: &str, wanted: Option<&[WantedModel]>) -> Result<Imported, String> {
    let list: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("it is no JSON: see line {line}, column {column}")
    })?;
    let listed = match list.get("data").and_then(Value::as_array) {
        Some(models) => of_openrouter(models),
        None => of_litellm(list.as_object().ok_or(NEITHER)?),
    };
    if listed.is_empty() {
        return Err(NEITHER.to_owned());
    }
    let Some(wanted) = wanted else {
        let models = listed.into_iter().map(|(_, name, model)| (name, model));
        return Ok(Imported {
            models: models.collect(),
            missing: Vec::new(),
        });
    };
    let mut imported = Imported::default();
    for WantedModel {
        id,
        provider,
        model,
    } in wanted
    {
        // Under the provider's own name, else under a name that says the provider, else as it is.
        let names = [format!("{provider}/{model}"), id.clone(), model.clone()];
        let named = |(of, name, _): &&ListedModel| {
            names.contains(name) && (of.is_empty() || of == provider)
        };
        let found = listed.iter().find(named).or_else(|| {
            let mut named = listed.iter().filter(|(_, name, _)| names.contains(name));
            named.next()
        });
        match found {
            Some((_, _, found)) => {
                imported.models.insert(id.clone(), found.clone());
            }
            None => imported.missing.push(id.clone()),
        }
    }
    Ok(imported)
}

const NEITHER: &str = "it is neither the price map of LiteLLM (an object of models with `input_cost_per_token`) nor the list of models \
                       of OpenRouter (an object with `data`)";

/// The provider that a list names, if it names one; the name of the model; and what is said of it.
type ListedModel = (String, String, ImportedModel);

fn of_litellm(map: &Map<String, Value>) -> Vec<ListedModel> {
    let mut models = Vec::new();
    for (name, value) in map {
        // Not a model, but an explanation of the fields.
        let Some(fields) = value.as_object().filter(|_| name != "sample_spec") else {
            continue;
        };
        let mut model = ImportedModel::default();
        for (field, value) in fields {
            litellm_field(&mut model, field, value);
        }
        if model == ImportedModel::default() {
            continue;
        }
        model.fill_in_context_tiers();
        let provider = fields.get("litellm_provider").and_then(Value::as_str);
        models.push((provider.unwrap_or_default().to_owned(), name.clone(), model));
    }
    models
}

/// The rate that a field is about, by its name without what it says of tier and context.
fn litellm_rate(name: &str) -> Option<PricePart> {
    Some(match name {
        "input_cost_per_token" => PricePart::Token(|rates| &mut rates.input),
        "output_cost_per_token" => PricePart::Token(|rates| &mut rates.output),
        "output_cost_per_reasoning_token" => PricePart::Token(|rates| &mut rates.reasoning_output),
        "cache_read_input_token_cost" => PricePart::Token(|rates| &mut rates.cache_read_input),
        "cache_creation_input_token_cost" => PricePart::Token(|rates| &mut rates.cache_write_input),
        "cache_creation_input_token_cost_above_1hr" => {
            PricePart::Token(|rates| &mut rates.cache_write_long_input)
        }
        "input_cost_per_request" => PricePart::Request,
        _ => return None,
    })
}

/// A part of a price.
#[derive(Clone, Copy)]
enum PricePart {
    /// In USD for a token.
    Token(fn(&mut Rates) -> &mut Option<u64>),
    /// In USD for an attempt.
    Request,
    /// In USD for a use of a tool.
    Tool(fn(&mut Rates) -> &mut Option<u64>),
}

fn litellm_field(model: &mut ImportedModel, field: &str, value: &Value) {
    if field == "search_context_cost_per_query" {
        return search_cost(model, value);
    }
    let (name, tier) = [
        ("_priority", ServiceTier::Priority),
        ("_flex", ServiceTier::Flex),
        ("_batches", ServiceTier::Batch),
    ]
    .into_iter()
    .find_map(|(suffix, tier)| Some((field.strip_suffix(suffix)?, tier)))
    .unwrap_or((field, ServiceTier::Standard));
    let (name, above) = match name.rsplit_once("_above_") {
        Some((name, rest)) => {
            let thousands = rest
                .strip_suffix("k_tokens")
                .and_then(|number| number.parse::<u64>().ok());
            match thousands {
                Some(thousands) => (name, thousands.saturating_mul(1_000)),
                // The time that a cache keeps something, and whatever else there may be.
                None => (field, 0),
            }
        }
        None => (name, 0),
    };
    match litellm_rate(name) {
        Some(part) => model.set(field, value, tier, above, part),
        None => model.leave_out(field, value),
    }
}

/// One price for a search of the web can be said, but not one for each size of its result.
fn search_cost(model: &mut ImportedModel, value: &Value) {
    let sizes = value.as_object().map(|sizes| sizes.values());
    let sizes: Vec<&Value> = sizes.into_iter().flatten().collect();
    let Some(first) = sizes.first() else {
        return;
    };
    match sizes.iter().all(|size| size == first) {
        true => {
            let part = PricePart::Tool(|rates| &mut rates.tools.web_search);
            model.set(
                "search_context_cost_per_query",
                first,
                ServiceTier::Standard,
                0,
                part,
            );
        }
        false => model.unsaid.push(
            "search_context_cost_per_query: searches cost by the size of their result".to_owned(),
        ),
    }
}

fn of_openrouter(list: &[Value]) -> Vec<ListedModel> {
    let mut models = Vec::new();
    for value in list {
        let name = value.get("id").and_then(Value::as_str);
        let pricing = value.get("pricing").and_then(Value::as_object);
        let (Some(name), Some(pricing)) = (name, pricing) else {
            continue;
        };
        let mut model = ImportedModel::default();
        for (field, value) in pricing {
            let part = match field.as_str() {
                "prompt" => PricePart::Token(|rates| &mut rates.input),
                "completion" => PricePart::Token(|rates| &mut rates.output),
                "input_cache_read" => PricePart::Token(|rates| &mut rates.cache_read_input),
                "input_cache_write" => PricePart::Token(|rates| &mut rates.cache_write_input),
                // 0 means here that reasoning is charged as other output.
                "internal_reasoning" if is_zero(value) => continue,
                "internal_reasoning" => PricePart::Token(|rates| &mut rates.reasoning_output),
                "request" => PricePart::Request,
                "web_search" => PricePart::Tool(|rates| &mut rates.tools.web_search),
                _ => {
                    model.leave_out(field, value);
                    continue;
                }
            };
            model.set(field, value, ServiceTier::Standard, 0, part);
        }
        models.push((String::new(), name.to_owned(), model));
    }
    models
}

impl ImportedModel {
    fn set(&mut self, field: &str, value: &Value, tier: ServiceTier, above: u64, part: PricePart) {
        if value.is_null() {
            return;
        }
        let places = match part {
            PricePart::Token(_) => 12,
            PricePart::Request | PricePart::Tool(_) => 9,
        };
        let most = match part {
            PricePart::Token(_) => HIGHEST_RATE,
            PricePart::Request | PricePart::Tool(_) => HIGHEST_FEE,
        };
        let text = number_text(value);
        let read = text
            .as_deref()
            .and_then(|text| decimal::exact(text, places));
        let Some(number) = read.filter(|number| *number <= most) else {
            let said = text.unwrap_or_else(|| "no number".to_owned());
            self.unsaid.push(format!(
                "{field} = {said}: no amount that a file of prices can hold"
            ));
            return;
        };
        let rates = self.prices.entry((tier as usize, above)).or_default();
        match part {
            PricePart::Token(rate) | PricePart::Tool(rate) => *rate(rates) = Some(number),
            PricePart::Request => rates.request_nanos = number,
        }
    }

    /// Tells of a cost that a file of prices has no key for.
    fn leave_out(&mut self, field: &str, value: &Value) {
        let is_cost = field.contains("cost") || !field.contains('_') && value.is_string();
        let is_amount = number_text(value).is_some() && !is_zero(value);
        if is_amount && (is_cost || value.is_string())
            || (is_cost && (value.is_array() || value.is_object()))
        {
            let value = match number_text(value) {
                Some(text) => text,
                None => "(several)".to_owned(),
            };
            self.unsaid
                .push(format!("{field} = {value}: there is no key for it"));
        }
    }

    /// A price for longer prompts holds for every rate: what the list does not say again for them stays as for shorter ones.
    fn fill_in_context_tiers(&mut self) {
        let bases: BTreeMap<usize, Rates> = self
            .prices
            .iter()
            .filter(|((_, above), _)| *above == 0)
            .map(|((tier, _), rates)| (*tier, *rates))
            .collect();
        let standard = bases.get(&(ServiceTier::Standard as usize)).copied();
        for ((tier, above), rates) in &mut self.prices {
            let Some(base) = bases.get(tier).copied().or(standard).filter(|_| *above > 0) else {
                continue;
            };
            for part in TOKEN_PARTS {
                let said = *part(rates);
                *part(rates) = said.or(*part(&mut base.clone()));
            }
            rates.tools = base.tools;
            rates.request_nanos = base.request_nanos;
        }
    }
}

/// The rates of tokens.
const TOKEN_PARTS: [fn(&mut Rates) -> &mut Option<u64>; 6] = [
    |rates| &mut rates.input,
    |rates| &mut rates.output,
    |rates| &mut rates.cache_read_input,
    |rates| &mut rates.cache_write_input,
    |rates| &mut rates.cache_write_long_input,
    |rates| &mut rates.reasoning_output,
];

/// A number as decimal text; the shortest one that stands for the same floating-point number.
fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()).filter(|text| text.parse::<f64>().is_ok()),
        _ => None,
    }
}

fn is_zero(value: &Value) -> bool {
    number_text(value).is_some_and(|text| text.parse::<f64>() == Ok(0.0))
}

/// The prices as a file of prices, in the order of models and tiers. `start_time` is when they begin to hold.
pub(super) fn written(imported: &Imported, start_time: Option<&str>) -> String {
    let mut text = String::new();
    for (model, of_model) in &imported.models {
        for ((tier, above), rates) in &of_model.prices {
            let tiers = ServiceTier::ALL.into_iter();
            let tier = tiers.into_iter().find(|known| *known as usize == *tier);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "[[price]]\nmodel = {}", quoted(model));
            if let Some(tier) = tier.filter(|tier| *tier != ServiceTier::Standard) {
                let _ = writeln!(text, "service_tier = \"{}\"", tier.name());
            }
            if *above > 0 {
                let _ = writeln!(text, "input_tokens_above = {above}");
            }
            if let Some(start) = start_time {
                let _ = writeln!(text, "start_time = {start}");
            }
            for (key, rate) in keys(rates) {
                let _ = writeln!(text, "{key} = \"{rate}\"");
            }
            text.push('\n');
        }
    }
    text
}

/// What differs from the prices that a configuration has, a line for each price.
pub(super) fn changes(
    imported: &Imported,
    present: &BTreeMap<(String, usize, u64), Rates>,
) -> Vec<String> {
    let mut next = BTreeMap::new();
    for (model, of_model) in &imported.models {
        for ((tier, above), rates) in &of_model.prices {
            next.insert((model.clone(), *tier, *above), *rates);
        }
    }
    let known: BTreeSet<_> = present.keys().chain(next.keys()).cloned().collect();
    let mut lines = Vec::new();
    for key in known {
        let (model, tier, above) = &key;
        if !imported.models.contains_key(model) {
            continue;
        }
        let tiers = ServiceTier::ALL.into_iter();
        let tier = tiers.into_iter().find(|known| *known as usize == *tier);
        let mut name = format!("{model} {}", tier.map_or("", ServiceTier::name));
        if *above > 0 {
            let _ = write!(name, " above {above} tokens");
        }
        match (present.get(&key), next.get(&key)) {
            (None, Some(new)) => lines.push(format!("+ {name}: {}", told(new))),
            (Some(old), None) => lines.push(format!("- {name}: {}", told(old))),
            (Some(old), Some(new)) if old != new => {
                lines.push(format!("~ {name}: {} -> {}", told(old), told(new)));
            }
            _ => {}
        }
    }
    lines
}

fn told(rates: &Rates) -> String {
    let keys = keys(rates).into_iter();
    let keys: Vec<_> = keys.map(|(key, rate)| format!("{key} {rate}")).collect();
    keys.join(", ")
}

/// The keys of a file of prices and their numbers.
fn keys(rates: &Rates) -> Vec<(&'static str, String)> {
    let mut keys: Vec<_> = [
        ("input", rates.input),
        ("output", rates.output),
        ("cache_read_input", rates.cache_read_input),
        ("cache_write_input", rates.cache_write_input),
        ("cache_write_long_input", rates.cache_write_long_input),
        ("reasoning_output", rates.reasoning_output),
    ]
    .into_iter()
    .filter_map(|(key, rate)| Some((key, places(rate?, 6))))
    .collect();
    let tools = [
        ("tools.web_search", rates.tools.web_search),
        ("tools.web_fetch", rates.tools.web_fetch),
        ("tools.code_execution", rates.tools.code_execution),
        ("tools.file_search", rates.tools.file_search),
        (
            "request",
            Some(rates.request_nanos).filter(|nanos| *nanos > 0),
        ),
    ];
    let tools = tools.into_iter();
    keys.extend(tools.filter_map(|(key, fee)| Some((key, places(fee?, 9)))));
    keys
}

/// A number of units of 10^-`places` as decimal text.
pub(super) fn places(number: u64, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made up, with the fields of the price map.
    const LITELLM: &str = r#"{
        "sample_spec": { "input_cost_per_token": 0.0, "litellm_provider": "one of many" },
        "small-1": {
            "litellm_provider": "acme", "mode": "chat", "max_input_tokens": 1000000, "supports_vision": true,
            "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 2.5e-07,
            "cache_creation_input_token_cost": 3.125e-06, "cache_creation_input_token_cost_above_1hr": 5e-06,
            "input_cost_per_token_above_200k_tokens": 5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05,
            "input_cost_per_token_flex": 1.25e-06, "output_cost_per_token_flex": 5e-06,
            "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_batches": 5e-06,
            "search_context_cost_per_query": { "search_context_size_low": 0.01, "search_context_size_medium": 0.01 },
            "input_cost_per_audio_token": 0.0001, "output_cost_per_image": 0.04
        },
        "other/small-1": { "litellm_provider": "other", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06 },
        "tiny": { "litellm_provider": "acme", "input_cost_per_token": 1.23456789e-13, "output_cost_per_token": 0.0 }
    }"#;

    /// Made up, with the fields of the list of models.
    const OPENROUTER: &str = r#"{ "data": [
        { "id": "acme/large", "name": "Large", "pricing": { "prompt": "0.000003", "completion": "0.000015",
          "request": "0.0001", "image": "0.0048", "web_search": "0.004", "internal_reasoning": "0",
          "input_cache_read": "0.0000003", "input_cache_write": "0.00000375" } },
        { "id": "router/auto", "pricing": { "prompt": "-1", "completion": "-1" } }
    ] }"#;

    fn wanted(id: &str, provider: &str, model: &str) -> WantedModel {
        WantedModel {
            id: id.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
        }
    }

    #[test]
    fn the_price_map_of_litellm_becomes_a_file_of_prices() {
        let models = [
            wanted("acme/s", "acme", "small-1"),
            wanted("other/s", "other", "small-1"),
            wanted("acme/tiny", "acme", "tiny"),
            wanted("acme/none", "acme", "none"),
        ];

        let imported = import(LITELLM, Some(&models)).unwrap();
        let text = written(&imported, Some("2026-12-01"));

        let expected = r#"[[price]]
model = "acme/s"
start_time = 2026-12-01
input = "2.5"
output = "10"
cache_read_input = "0.25"
cache_write_input = "3.125"
cache_write_long_input = "5"
tools.web_search = "0.01"

[[price]]
model = "acme/s"
input_tokens_above = 200000
start_time = 2026-12-01
input = "5"
output = "15"
cache_read_input = "0.25"
cache_write_input = "3.125"
cache_write_long_input = "5"
tools.web_search = "0.01"
"#;
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.matches("service_tier = \"flex\"").count(), 1);
        assert_eq!(text.matches("service_tier = \"batch\"").count(), 1);
        let unsaid = &imported.models["acme/s"].unsaid;
        assert_eq!(unsaid.len(), 2, "{unsaid:?}");
        assert!(
            unsaid
                .iter()
                .any(|line| line.contains("input_cost_per_audio_token"))
        );
        assert_eq!(imported.missing, ["acme/none"]);
        // Of two models of one name, that of the provider counts.
        let other = imported.models["other/s"].prices.values().next().unwrap();
        assert_eq!(other.input, Some(1_000_000));
        let tiny = &imported.models["acme/tiny"];
        assert!(tiny.unsaid[0].contains("input_cost_per_token"), "{tiny:?}");
        assert_eq!(tiny.prices[&(0, 0)].output, Some(0));
    }

    #[test]
    fn the_models_of_openrouter_become_a_file_of_prices() {
        let imported = import(OPENROUTER, None).unwrap();

        let large = &imported.models["acme/large"];
        let rates = large.prices.values().next().unwrap();
        assert_eq!(
            (rates.input, rates.output),
            (Some(3_000_000), Some(15_000_000))
        );
        assert_eq!(rates.cache_write_input, Some(3_750_000));
        assert_eq!(rates.request_nanos, 100_000);
        assert_eq!(rates.tools.web_search, Some(4_000_000));
        assert_eq!(rates.reasoning_output, None);
        assert_eq!(large.unsaid, ["image = 0.0048: there is no key for it"]);
        // A price that depends on the model that answers is none.
        let router = &imported.models["router/auto"];
        assert!(router.prices.is_empty());
        assert_eq!(router.unsaid.len(), 2);
    }

    #[test]
    fn what_differs_from_before_is_told() {
        let imported = import(OPENROUTER, None).unwrap();
        let standard = ServiceTier::Standard as usize;
        let present = BTreeMap::from([(
            ("acme/large".to_owned(), standard, 0),
            Rates {
                input: Some(2_000_000),
                ..Rates::default()
            },
        )]);

        let lines = changes(&imported, &present);

        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("~ acme/large standard: input 2 -> input 3"),
            "{lines:?}"
        );
    }

    #[test]
    fn another_text_is_refused() {
        for text in ["", "[1]", "{}", "{\"a\": 1}", "{\"data\": []}"] {
            assert!(import(text, None).is_err(), "{text}");
        }
    }
}
