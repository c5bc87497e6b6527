//! `[[limits]]`: what callers may use. `[notify]`: who is told when little of it is left.

mod accounts;
mod ground;
mod names;

use std::sync::Arc;

use crate::dispatch::target::Catalog;
use crate::error::LimitUnit;
use crate::identity::Labels;
use crate::ledger;
use crate::limits::{
    Enforcement, HIGHEST_COUNT, LedgerLack, Limit, LimitDimension, LimitMatch, LimitWindow,
    MOST_APPLYING, MOST_DESCRIPTION, MOST_THRESHOLDS, TooManyLimits, Zone, at_most_applying,
};
use crate::money::decimal;
use crate::name::is_legal_name;
use crate::outbound::notify::{self, Webhook};

use super::address::is_loopback;
use super::mistake::Location;
use super::secret::Surroundings;
use super::table::{Table, Value};

pub(super) use self::accounts::KnownAccounts;
use self::names::KnownNames;

/// What one thing is that a limit counts, by its key.
const UNITS: [(&str, LimitUnit); 5] = [
    ("money", LimitUnit::Money),
    ("requests", LimitUnit::Requests),
    ("tokens", LimitUnit::Tokens),
    ("concurrent_calls", LimitUnit::ConcurrentCalls),
    ("waste", LimitUnit::Waste),
];

/// What the rest of the file says that limits stand on.
pub(super) struct Beneath<'c> {
    pub(super) catalog: &'c Catalog,
    pub(super) accounts: KnownAccounts,
    pub(super) ledger: &'c ledger::Settings,
}

/// Reads `[[limits]]`.
pub(super) fn limits(root: &mut Table<'_>, beneath: &Beneath<'_>) -> Vec<Limit> {
    let Some(list) = root.get("limits") else {
        return Vec::new();
    };
    let accounts = &beneath.accounts;
    let known = KnownNames::of(root, accounts);
    let mut limits: Vec<Limit> = Vec::new();
    for item in list.list().unwrap_or_default() {
        let Some(table) = item.table() else {
            continue;
        };
        let Some(limit) = limit(table, &known, accounts, beneath) else {
            continue;
        };
        if limits.iter().any(|other| other.id == limit.id) {
            item.place.wrong(
                format!("there are two limits with the id `{}`", limit.id),
                "give each an id of its own",
            );
            continue;
        }
        limits.push(limit);
    }
    if let Err(TooManyLimits { caller, applying }) = most_applying(&limits, accounts, beneath) {
        list.place.wrong(
            format!("{applying} limits may apply to one attempt of the caller `{caller}`"),
            format!("{MOST_APPLYING} may: name accounts, scenarios or models in `match`, or use `per` in place of a limit for each"),
        );
    }
    limits
}

/// Whether no call meets too many limits.
fn most_applying(
    limits: &[Limit],
    accounts: &KnownAccounts,
    beneath: &Beneath<'_>,
) -> Result<(), TooManyLimits> {
    let catalog = beneath.catalog;
    let direct = catalog
        .targets
        .values()
        .map(|target| ("", &*target.provider.name, &*target.id));
    let of_scenarios = catalog.scenarios.iter().flat_map(|(scenario, it)| {
        let targets = it.targets.iter();
        targets.map(|target| (&**scenario, &*target.provider.name, &*target.id))
    });
    let targets: Vec<_> = direct.chain(of_scenarios).collect();
    at_most_applying(limits, &accounts.callers(), &targets)
}

fn limit(
    mut table: Table<'_>,
    known: &KnownNames<'_, '_>,
    accounts: &KnownAccounts,
    beneath: &Beneath<'_>,
) -> Option<Limit> {
    let place = table.place.clone();
    let id = table.required("id", "give it an id, such as \"team-month\"", id);
    let description = table.or("description", String::new(), description);
    let matching = matching(table.section("match"), known);
    let per = table.or("per", Vec::new(), |value| per(value, known));
    let counted = counted(&mut table);
    let unit = counted.map(|(unit, _)| unit);
    let window = window(&mut table, unit);
    let zone = zone(&mut table, unit, window);
    let thresholds = thresholds(&mut table, unit, window);
    let enforcement = table.or("enforcement", Enforcement::Hard, |value| {
        value.choice(&[("hard", Enforcement::Hard), ("watch", Enforcement::Watch)])
    });
    let ceiling = table.get("unknown_ceiling");
    let unknown_ceiling = ceiling.as_ref().and_then(usd);
    if let Some(ceiling) = &ceiling
        && unit.is_some_and(|unit| !unit.is_money())
    {
        ceiling.place.wrong(
            "only limits on `money` and `waste` need a ceiling for unknown prices",
            "remove it",
        );
    }
    table.finish();
    let (unit, amount) = counted?;
    if window.is_none() && unit != LimitUnit::ConcurrentCalls {
        // It has been noted as a mistake.
        return None;
    }
    let zone = zone.unwrap_or_else(|| accounts.zone(&matching.accounts));
    let limit = Limit {
        id: id?.into(),
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
    };
    if unit.is_money() {
        of_money(&limit, &place, beneath);
    }
    Some(limit)
}

/// Whether it can be known what is spent.
fn of_money(limit: &Limit, place: &Location<'_>, beneath: &Beneath<'_>) {
    let lack = LedgerLack::of(beneath.ledger);
    if let Some(LedgerLack { needs, remedy }) = lack.filter(|_| limit.is_hard_on_money()) {
        place.wrong(
            format!("a hard limit on money needs {needs}"),
            format!("{remedy}, or set `enforcement = \"watch\"`"),
        );
    }
    // Where there is a ledger, there is a control store, in which the prices may be.
    if beneath.ledger.path.is_none() && lacks_prices(limit, beneath.catalog) {
        place.wrong(
            "no model to which it applies has a price",
            "give the models a `price`, or the limit `unknown_ceiling = \"20 USD\"`, which a million tokens of \
             unknown price are then taken to cost",
        );
    }
}

/// Whether the configuration has no price for what a limit on money counts, and the limit no ceiling.
pub(super) fn lacks_prices(limit: &Limit, catalog: &Catalog) -> bool {
    let mut applies = catalog.targets.values().filter(|target| {
        let among =
            |list: &[Arc<str>], name: &str| list.is_empty() || list.iter().any(|it| **it == *name);
        among(&limit.matching.providers, &target.provider.name)
            && among(&limit.matching.models, &target.id)
    });
    limit.unit.is_money()
        && limit.unknown_ceiling.is_none()
        && !catalog.targets.is_empty()
        && !applies.any(|target| target.prices.are_known())
}

fn id(value: &Value<'_>) -> Option<String> {
    let id = value.string()?;
    if !is_legal_name(id) {
        value.place.wrong(
            "not an id",
            "write 1 to 64 small letters, digits, `.`, `_` and `-`",
        );
        return None;
    }
    Some(id.to_owned())
}

fn description(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.chars().count() > MOST_DESCRIPTION || text.chars().any(char::is_control) {
        value.place.wrong(
            format!(
                "not a text of at most {MOST_DESCRIPTION} characters without control characters"
            ),
            "shorten it, and write it in one line",
        );
        return None;
    }
    Some(text.to_owned())
}

fn matching(mut table: Table<'_>, known: &KnownNames<'_, '_>) -> LimitMatch {
    let matching = LimitMatch {
        accounts: table.or("accounts", Vec::new(), |value| known.accounts(value)),
        scenarios: table.or("scenarios", Vec::new(), |value| {
            names::listed(value, "scenario", &known.scenarios)
        }),
        providers: table.or("providers", Vec::new(), |value| {
            names::listed(value, "provider", &known.providers)
        }),
        models: table.or("models", Vec::new(), |value| {
            names::listed(value, "model", &known.models)
        }),
        labels: table.or("labels", Labels::new(), |value| known.labels(value)),
    };
    table.finish();
    matching
}

fn per(value: &Value<'_>, known: &KnownNames<'_, '_>) -> Option<Vec<LimitDimension>> {
    let mut per = Vec::new();
    for item in value.list()? {
        let Some(dimension) = dimension(&item, known) else {
            continue;
        };
        if per.contains(&dimension) {
            item.place
                .wrong("it stands here twice", "remove one of them");
            continue;
        }
        per.push(dimension);
    }
    Some(per)
}

fn dimension(value: &Value<'_>, known: &KnownNames<'_, '_>) -> Option<LimitDimension> {
    if let Some(key) = value.text().and_then(|text| text.strip_prefix("label:")) {
        known.label(&value.place, key);
        return Some(LimitDimension::Label(key.into()));
    }
    let position = value.choice(&[
        ("organisation", 0),
        ("team", 1),
        ("caller", 2),
        ("key", 3),
        ("scenario", 4),
        ("provider", 5),
        ("model", 6),
        ("label:KEY", 7),
    ])?;
    const DIMENSIONS: [LimitDimension; 7] = [
        LimitDimension::Organisation,
        LimitDimension::Team,
        LimitDimension::Caller,
        LimitDimension::Key,
        LimitDimension::Scenario,
        LimitDimension::Provider,
        LimitDimension::Model,
    ];
    DIMENSIONS.get(position).cloned()
}

/// What is counted, and the most of it.
fn counted(table: &mut Table<'_>) -> Option<(LimitUnit, i64)> {
    let mut counted = None;
    let mut first = None;
    for (key, unit) in UNITS {
        let Some(value) = table.get(key) else {
            continue;
        };
        if let Some(first) = first {
            value.place.wrong(
                format!("it counts `{first}` already"),
                "make a limit of its own for each",
            );
            return None;
        }
        first = Some(key);
        let amount = match unit.is_money() {
            true => usd(&value),
            false => value
                .whole(0..=HIGHEST_COUNT.unsigned_abs())
                .and_then(|count| i64::try_from(count).ok()),
        };
        counted = amount.map(|amount| (unit, amount));
    }
    if first.is_none() {
        table.place.absent(
            "nothing says what it counts",
            "add one of `money`, `requests`, `tokens`, `concurrent_calls`, `waste`, such as `money = \"500 USD\"`",
        );
    }
    counted
}

/// An amount of money, in nano-USD.
fn usd(value: &Value<'_>) -> Option<i64> {
    let text = value.string()?;
    let amount = text.strip_suffix("USD").map(str::trim_end);
    let nanos = amount.and_then(|amount| decimal::exact(amount, 9));
    let nanos = nanos.and_then(|nanos| i64::try_from(nanos).ok());
    if nanos.is_none() {
        value.place.wrong(
            "not an amount of money",
            "write USD with at most 9 decimals and below 9 billion, such as \"500 USD\" or \"0.25 USD\"",
        );
    }
    nanos
}

fn window(table: &mut Table<'_>, unit: Option<LimitUnit>) -> Option<LimitWindow> {
    const REMEDY: &str = "add one of \"minute\", \"hour\", \"day\", \"week\", \"month\", \"year\", \"total\", such as `window = \"month\"`";
    let choices = LimitWindow::ALL.map(|window| (window.name(), window));
    match (table.get("window"), unit) {
        (Some(value), Some(LimitUnit::ConcurrentCalls)) => {
            value.place.wrong(
                "open calls are counted at every moment, in no window",
                "remove it",
            );
            None
        }
        (Some(value), _) => value.choice(&choices),
        (None, Some(LimitUnit::ConcurrentCalls) | None) => None,
        (None, Some(_)) => {
            table.place.absent("`window` is missing", REMEDY);
            None
        }
    }
}

fn zone(
    table: &mut Table<'_>,
    unit: Option<LimitUnit>,
    window: Option<LimitWindow>,
) -> Option<Zone> {
    let value = table.get("time_zone")?;
    let counts_days = match window {
        None => unit != Some(LimitUnit::ConcurrentCalls),
        Some(LimitWindow::Minute | LimitWindow::Total) => false,
        Some(_) => true,
    };
    if !counts_days {
        value.place.wrong(
            "the window of the limit is the same in every time zone",
            "remove it",
        );
        return None;
    }
    let zone = Zone::named(value.string()?);
    if zone.is_none() {
        value.place.wrong(
            "not a time zone",
            "write an IANA name, such as \"Asia/Shanghai\" or \"UTC\"",
        );
    }
    zone
}

fn thresholds(
    table: &mut Table<'_>,
    unit: Option<LimitUnit>,
    window: Option<LimitWindow>,
) -> Vec<u8> {
    const DEFAULT: [u8; 2] = [80, 95];
    let never = unit == Some(LimitUnit::ConcurrentCalls) || window == Some(LimitWindow::Minute);
    let Some(value) = table.get("thresholds") else {
        return if never { Vec::new() } else { DEFAULT.to_vec() };
    };
    if never {
        value.place.wrong(
            "limits by the minute and limits on open calls announce no thresholds",
            "remove it",
        );
        return Vec::new();
    }
    let items = value.list().unwrap_or_default();
    let thresholds: Vec<u8> = items
        .iter()
        .filter_map(|item| item.whole(1..=100))
        .collect();
    if thresholds.len() > MOST_THRESHOLDS || !thresholds.is_sorted_by(|one, next| one < next) {
        value.place.wrong(
            format!("not at most {MOST_THRESHOLDS} percentages, each higher than the one before"),
            "write them like [80, 95]",
        );
    }
    thresholds
}

/// Reads `[notify]`.
pub(super) fn notify(mut table: Table<'_>, surroundings: &Surroundings<'_>) -> notify::Settings {
    let url = table.get("webhook");
    let secret = table.get("secret");
    let settings = match (&url, &secret) {
        (Some(url), Some(secret)) => {
            let url = webhook(url);
            let secret = surroundings.secret_text(secret);
            let webhook = url.zip(secret);
            webhook.map(|(url, secret)| Webhook { url, secret })
        }
        (Some(_), None) => {
            table.place.absent(
                "`secret` is missing",
                "write `secret = \"env:NAME\"`: what is sent is signed with it, so that the receiver knows who sends it",
            );
            None
        }
        (None, Some(secret)) => {
            secret
                .place
                .wrong("there is no `webhook` to sign for", "add one, or remove it");
            None
        }
        (None, None) => None,
    };
    table.finish();
    notify::Settings { webhook: settings }
}

/// The URL of a webhook. Mistakes do not show it: it may hold a key.
fn webhook(value: &Value<'_>) -> Option<String> {
    let written = value.string()?;
    let url = written.parse::<http::Uri>().unwrap_or_default();
    let wrong = |what: &str, remedy: &str| {
        value.place.wrong(what, remedy);
        None
    };
    let (Some(scheme), Some(host)) = (url.scheme_str(), url.host()) else {
        return wrong(
            "not a URL",
            "write it like \"https://hooks.example.com/modelway\"",
        );
    };
    if url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return wrong(
            "the URL holds a credential",
            "remove it: what is sent is signed with `secret`",
        );
    }
    match scheme {
        "https" => Some(written.to_owned()),
        "http" if is_loopback(host) => Some(written.to_owned()),
        "http" => wrong(
            "budgets of teams would travel in plaintext",
            "use https; http is for this machine alone",
        ),
        _ => wrong("neither https nor http", "use https"),
    }
}
