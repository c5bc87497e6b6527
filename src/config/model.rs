//! Reads `[models."PROVIDER/MODEL"]`: a model's name, abilities, limits and prices.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dispatch::prices::CurrentPrices;
use crate::dispatch::target::{Charging, Target, Timeouts, UpstreamMode};
use crate::features::{Feature, Features, Modality};
use crate::money::Price;
use crate::name::is_legal_model_id;
use crate::simulator::{KEYS, Sequence};

use super::body;
use super::dialect::WireFormats;
use super::family::Family;
use super::mistake::Location;
use super::path;
use super::price;
use super::provider;
use super::simulate;
use super::table::{Table, Value};

/// The default of `stall_after` as a share of `first_event`, and of `slow_first_content` as a share of the longer of
/// `first_event` and `first_content`.
const SLOW_SHARE: f64 = 0.4;

/// A model, whose prices are still to be completed.
pub(super) struct WrittenModel<'a> {
    pub(super) target: Target,
    /// What it says of its prices, and where.
    pub(super) price: Option<(Vec<Price>, Location<'a>)>,
}

/// Reads one model. `None` where something about it is wrong.
pub(super) fn read<'a>(
    id: &'a str,
    mut table: Table<'a>,
    providers: &BTreeMap<&str, provider::Written<'_>>,
    wire_formats: &mut WireFormats,
) -> Option<WrittenModel<'a>> {
    if !is_legal_model_id(id) {
        table.place.wrong(
            "not an id for a model",
            "use at most 128 letters, digits and signs, without spaces and quotes",
        );
    }
    // `openrouter/meta/llama` is `meta/llama` at `openrouter`.
    let (provider_by_id, model_by_id) = id.split_once('/').unwrap_or(("", id));
    let provider = match table.get("provider") {
        Some(value) => value
            .string()
            .and_then(|name| known_provider(name, &value.place, providers)),
        None if provider_by_id.is_empty() => {
            table.place.wrong(
                "no provider is named",
                "write the id as \"PROVIDER/MODEL\", or set `provider`",
            );
            None
        }
        None => known_provider(provider_by_id, &table.place, providers),
    };
    let model = table.or("model", model_by_id, Value::string);
    if model.is_empty() {
        table.place.wrong(
            "the model has no name",
            "set `model` to its name at the provider",
        );
    }
    if provider.is_some_and(|provider| provider.is_simulated)
        && let Some((_, behaviour)) = model.split_once('+')
        && let Err(why) = behaviour.parse::<Sequence>()
    {
        let known = KEYS.map(|key| format!("`{key}`")).join(", ");
        table.place.wrong(
            format!("the simulator cannot behave like this: {why}"),
            format!("use some of {known}; see docs/simulator.md"),
        );
    }
    let model = match table.get("simulate") {
        None => model.to_owned(),
        Some(value) => simulate::model(
            &value,
            model,
            provider.map(|provider| provider.is_simulated),
        ),
    };
    let context_window_tokens = table.optional("context_window_tokens", |value| {
        value.whole(1..=1_000_000_000)
    });
    let max_output_tokens =
        table.optional("max_output_tokens", |value| value.whole(1..=1_000_000_000));
    let is_anthropic = provider.is_some_and(|provider| provider.family == Some(Family::Anthropic));
    // https://docs.anthropic.com/en/api/messages: `max_tokens` is required.
    if is_anthropic && !table.has("max_output_tokens") {
        table.place.absent(
            "`max_output_tokens` is missing",
            "set it: the anthropic wire format has to send a limit with every request",
        );
    }
    let unsupported = table.or("unsupported", Features::NONE, provider::features);
    let read = table.get("input_modalities");
    let output_modalities = table.or("output_modalities", Vec::new(), |value| {
        Some(modalities(value))
    });
    let price = table.optional("price", |value| {
        let prices = price::of_model(value.table()?)?;
        Some((prices, value.place.clone()))
    });
    let tokens = |value: &Value<'_>| value.whole(1..=1_000_000_000_u64);
    let image_tokens = table.optional("image_tokens", tokens);
    let document_tokens = table.optional("document_tokens", tokens);
    let unknown_ceiling = table.optional("unknown_ceiling", price::ceiling);
    let upstream_mode = table.or("upstream_mode", UpstreamMode::default(), |value| {
        value.choice(&[
            ("stream", UpstreamMode::Stream),
            ("whole", UpstreamMode::Whole),
        ])
    });
    let timeouts = timeouts(table.section("timeouts"));
    let dialect = table.get("dialect");
    let wire_format = provider.and_then(|provider| {
        wire_formats.get(
            provider.family?,
            provider.dialect.as_ref(),
            dialect.as_ref(),
        )
    });
    let own_paths = path::WrittenPaths::read(&mut table);
    let paths = provider
        .zip(wire_format.as_ref())
        .map(|(provider, format)| {
            let is_own = !own_paths.is_empty() || dialect.is_some();
            let resolved = own_paths.over(&provider.paths).resolve(&**format);
            match is_own {
                true => path::noted(resolved, &table.place),
                // What is wrong has been noted where the provider is read.
                false => resolved.ok().flatten(),
            }
        });
    let family = provider.and_then(|provider| provider.family);
    let own_body = body::read(&mut table, family);
    table.finish();

    let written = provider?;
    let provider = Arc::clone(written.provider.as_ref()?);
    let wire_format = wire_format?;
    let features = wire_format.features();
    let unread = read.map_or(Features::NONE, |value| unread(&value, features));
    let target = Target {
        id: id.to_owned(),
        features: features
            .minus(written.unsupported)
            .minus(unsupported)
            .minus(unread),
        output_modalities,
        provider,
        wire_format,
        model,
        paths: paths.flatten(),
        body: body::fields(written.body.clone(), own_body),
        context_window_tokens,
        max_output_tokens,
        prices: CurrentPrices::default(),
        charging: Charging {
            unknown_ceiling,
            image_tokens,
            document_tokens,
            ..written.charging
        },
        upstream_mode,
        timeouts,
    };
    Some(WrittenModel { target, price })
}

/// Kinds of content. Text, which every model knows, may be listed and is left out.
fn modalities(value: &Value<'_>) -> Vec<Modality> {
    let mut choices = vec![("text", None)];
    choices.extend(Modality::ALL.map(|modality| (modality.name(), Some(modality))));
    let items = value.list().unwrap_or_default();
    let known = items.iter().filter_map(|item| item.choice(&choices));
    known.flatten().collect()
}

/// The features that a model lacks because it reads nothing but this, of those that its wire format has.
fn unread(value: &Value<'_>, features: Features) -> Features {
    let read = modalities(value);
    for modality in &read {
        if modality.features().and(features) == Features::NONE {
            value.place.wrong(
                format!("the wire format has no place for `{}`", modality.name()),
                "remove it",
            );
        }
    }
    let unread = Modality::ALL
        .into_iter()
        .filter(|modality| !read.contains(modality));
    let unread = unread.fold(Features::NONE, |all, modality| all.or(modality.features()));
    match read.is_empty() {
        true => unread.with(Feature::StoredFile),
        false => unread,
    }
}

fn known_provider<'a>(
    name: &str,
    place: &Location<'_>,
    providers: &'a BTreeMap<&str, provider::Written<'a>>,
) -> Option<&'a provider::Written<'a>> {
    let found = providers.get(name);
    if found.is_none() {
        place.absent(
            format!("there is no provider `{}`", name.escape_debug()),
            place.advise(name, providers.keys().copied()),
        );
    }
    found
}

fn timeouts(mut table: Table<'_>) -> Timeouts {
    let default = Timeouts::default();
    let first_event = table.or("first_event", default.first_event, Value::duration);
    let first_content = table.or("first_content", default.first_content, Value::duration);
    // A model that may think for minutes is neither slow nor suspicious after seconds.
    let slow = first_content.max(first_event).mul_f64(SLOW_SHARE);
    let suspicious = first_event.mul_f64(SLOW_SHARE);
    let timeouts = Timeouts {
        write_idle: table.or("write_idle", default.write_idle, Value::duration),
        first_event,
        first_content,
        byte_idle: table.or("byte_idle", default.byte_idle, Value::duration),
        progress_idle: table.or("progress_idle", default.progress_idle, Value::duration),
        slow_first_content: table.or(
            "slow_first_content",
            default.slow_first_content.max(slow),
            Value::duration,
        ),
        stall_after: table.or(
            "stall_after",
            default.stall_after.max(suspicious),
            Value::duration,
        ),
    };
    table.finish();
    timeouts
}
