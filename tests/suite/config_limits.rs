//! `[[limits]]` and `[notify]`: what they become, and how each mistake is told.

use modelway::config::file::File;
use modelway::config::{Config, Surroundings};
use modelway::error::LimitUnit;
use modelway::limits::{Enforcement, LimitDimension, LimitWindow};

/// What the file under test needs besides what it is about. Lines of the test begin at 10.
const REST: &str = r#"[providers.p]
wire_format = "openai_chat"
base_url = "https://api.example.com/v1"
api_key = "env:KEY"
[models."p/m"]
price = { input = 1, output = 2 }
[scenarios.s]
targets = ["p/m"]

"#;

fn resolve(text: &str) -> Result<Config, String> {
    let text = format!("{REST}{text}");
    let surroundings = Surroundings::without_secrets(None);
    let resolved = File::parse(&text).resolve(&surroundings);
    resolved.map_err(|mistakes| mistakes.to_string())
}

#[test]
fn a_limit_is_read_with_all_that_it_says() {
    let config = resolve(
        r#"
        [[limits]]
        id = "team-month"
        per = ["team", "model"]
        money = "500.25 USD"
        window = "month"
        time_zone = "Asia/Shanghai"
        match = { scenarios = ["s"], providers = ["p"], models = ["p/m"] }
        thresholds = [50, 100]
        enforcement = "watch"
        unknown_ceiling = "2USD"
        [[limits]]
        id = "rate"
        requests = 60
        window = "minute"
        [[limits]]
        id = "open"
        concurrent_calls = 4
        "#,
    );
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));

    let [month, rate, open] = &config.limits[..] else {
        panic!("{:?}", config.limits);
    };
    assert_eq!(month.per, [LimitDimension::Team, LimitDimension::Model]);
    assert_eq!(
        (month.unit, month.amount),
        (LimitUnit::Money, 500_250_000_000)
    );
    assert_eq!(month.window, Some(LimitWindow::Month));
    assert_eq!(month.zone.name(), "Asia/Shanghai");
    assert_eq!(month.thresholds, [50, 100]);
    assert_eq!(month.enforcement, Enforcement::Watch);
    assert_eq!(month.unknown_ceiling, Some(2_000_000_000));
    assert_eq!(*month.matching.models[0], *"p/m");
    assert_eq!((rate.unit, rate.amount), (LimitUnit::Requests, 60));
    assert_eq!(rate.zone.name(), "UTC");
    assert_eq!((open.window, open.enforcement), (None, Enforcement::Hard));
    assert!(rate.thresholds.is_empty() && open.thresholds.is_empty());
}

#[test]
fn each_mistake_says_where_it_is_and_what_to_do() {
    let limit = |lines: &str| format!("[[limits]]\nid = \"l\"\n{lines}\n");
    let cases = [
        (
            "[[limits]]\nrequests = 1\nwindow = \"day\"\n".to_owned(),
            "10: limits[0]: `id` is missing; give it an id, such as \"team-month\"",
        ),
        (
            "[[limits]]\nid = \"L\"\nrequests = 1\nwindow = \"day\"\n".to_owned(),
            "11: limits[0].id: not an id; write 1 to 64 small letters, digits, `.`, `_` and `-`",
        ),
        (
            limit("window = \"day\""),
            "10: limits[0]: nothing says what it counts; add one of `money`, `requests`, `tokens`, `concurrent_calls`, `waste`, such as `money = \"500 USD\"`",
        ),
        (
            limit("requests = 1\ntokens = 1\nwindow = \"day\""),
            "13: limits[0].tokens: it counts `requests` already; make a limit of its own for each",
        ),
        (
            limit("money = \"500 EUR\"\nwindow = \"day\"\nenforcement = \"watch\""),
            "12: limits[0].money: not an amount of money; write USD with at most 9 decimals and below 9 billion, such as \"500 USD\" or \"0.25 USD\"",
        ),
        (
            limit("money = 500\nwindow = \"day\"\nenforcement = \"watch\""),
            "12: limits[0].money: a whole number stands here; write a string in quotes",
        ),
        (
            limit("requests = -1\nwindow = \"day\""),
            "12: limits[0].requests: out of range; choose from 0 to 1000000000000000",
        ),
        (
            limit("requests = 1"),
            "10: limits[0]: `window` is missing; add one of \"minute\", \"hour\", \"day\", \"week\", \"month\", \"year\", \"total\", such as `window = \"month\"`",
        ),
        (
            limit("requests = 1\nwindow = \"mont\""),
            "13: limits[0].window: not one of the known words; did you mean `month`?",
        ),
        (
            limit("concurrent_calls = 1\nwindow = \"day\""),
            "13: limits[0].window: open calls are counted at every moment, in no window; remove it",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\ntime_zone = \"Mars/Olympus\""),
            "14: limits[0].time_zone: not a time zone; write an IANA name, such as \"Asia/Shanghai\" or \"UTC\"",
        ),
        (
            limit("requests = 1\nwindow = \"minute\"\ntime_zone = \"UTC\""),
            "14: limits[0].time_zone: the window of the limit is the same in every time zone; remove it",
        ),
        (
            limit("requests = 1\nwindow = \"minute\"\nthresholds = [80]"),
            "14: limits[0].thresholds: limits by the minute and limits on open calls announce no thresholds; remove it",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nthresholds = [95, 80]"),
            "14: limits[0].thresholds: not at most 8 percentages, each higher than the one before; write them like [80, 95]",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nmatch = { accounts = [\"locl\"] }"),
            "14: limits[0].match.accounts[0]: the file has no account `locl`; did you mean `local`?",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nmatch = { scenarios = [\"t\"] }"),
            "14: limits[0].match.scenarios[0]: there is no scenario `t`; did you mean `s`?",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nmatch = { providers = [\"q\"] }"),
            "14: limits[0].match.providers[0]: there is no provider `q`; did you mean `p`?",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nmatch = { models = [\"p/n\"] }"),
            "14: limits[0].match.models[0]: there is no model `p/n`; did you mean `p/m`?",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nmatch = { models = [] }"),
            "14: limits[0].match.models: the list is empty; leave it out if the limit is on all of them",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nmatch = { labels = { product = \"ads\" } }"),
            "14: limits[0].match.labels.product: no account has a label `product`; add it to the `label_rules` or the `labels` of an account",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nper = [\"label:product\"]"),
            "14: limits[0].per[0]: no account has a label `product`; add it to the `label_rules` or the `labels` of an account",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nper = [\"team\", \"team\"]"),
            "14: limits[0].per[1]: it stands here twice; remove one of them",
        ),
        (
            limit("requests = 1\nwindow = \"day\"\nunknown_ceiling = \"1 USD\""),
            "14: limits[0].unknown_ceiling: only limits on `money` and `waste` need a ceiling for unknown prices; remove it",
        ),
        (
            limit("money = \"1 USD\"\nwindow = \"day\""),
            "10: limits[0]: a hard limit on money needs a ledger, from which it learns after a restart what is spent; add `[ledger]` with `path = \"data\"`, or set `enforcement = \"watch\"`",
        ),
        (
            format!(
                "{}[ledger]\npath = \"data\"\ndurability = \"none\"\n",
                limit("money = \"1 USD\"\nwindow = \"day\"")
            ),
            "10: limits[0]: a hard limit on money needs a ledger that outlives the process; set `ledger.durability = \"process\"`, or set `enforcement = \"watch\"`",
        ),
        (
            format!(
                "{}[ledger]\npath = \"data\"\non_failure = \"unrecorded\"\n",
                limit("money = \"1 USD\"\nwindow = \"day\"")
            ),
            "10: limits[0]: a hard limit on money needs a ledger without which nothing is sent; set `ledger.on_failure = \"refuse\"`, or set `enforcement = \"watch\"`",
        ),
        (
            format!(
                "{}[models.\"p/free\"]\n",
                limit(
                    "money = \"1 USD\"\nwindow = \"day\"\nenforcement = \"watch\"\nmatch = { models = [\"p/free\"] }"
                )
            ),
            "10: limits[0]: no model to which it applies has a price; give the models a `price`, or the limit `unknown_ceiling = \"20 USD\"`, which a million tokens of unknown price are then taken to cost",
        ),
        (
            format!("{0}{0}", limit("requests = 1\nwindow = \"day\"")),
            "14: limits[1]: there are two limits with the id `l`; give each an id of its own",
        ),
        (
            "[notify]\nwebhook = \"https://hooks.example.com\"\n".to_owned(),
            "10: notify: `secret` is missing; write `secret = \"env:NAME\"`: what is sent is signed with it, so that the receiver knows who sends it",
        ),
        (
            "[notify]\nsecret = \"env:SECRET\"\n".to_owned(),
            "11: notify.secret: there is no `webhook` to sign for; add one, or remove it",
        ),
        (
            "[notify]\nwebhook = \"http://hooks.example.com\"\nsecret = \"env:SECRET\"\n"
                .to_owned(),
            "11: notify.webhook: budgets of teams would travel in plaintext; use https; http is for this machine alone",
        ),
    ];
    for (text, expected) in cases {
        let mistakes = resolve(&text).err().unwrap_or_default();

        assert_eq!(mistakes, expected, "{text}");
    }
}

#[test]
fn more_limits_than_may_apply_to_one_attempt_are_refused() {
    let limits = |count: usize| -> String {
        let limit =
            |number| format!("[[limits]]\nid = \"l{number}\"\nrequests = 1\nwindow = \"day\"\n");
        (0..count).map(limit).collect()
    };

    assert!(resolve(&limits(32)).is_ok());
    let mistakes = resolve(&limits(33)).err().unwrap_or_default();

    assert_eq!(
        mistakes,
        "10: limits: 33 limits may apply to one attempt of the caller `local`; 32 may: name accounts, scenarios or models in `match`, or use `per` in place of a limit for each"
    );
}

/// An organisation in one zone, with a team in another.
const ACCOUNTS: &str = r#"
[[accounts]]
id = "shop"
kind = "organisation"
time_zone = "Asia/Shanghai"
label_rules = [{ key = "product", values = ["ads", "feed"] }, { key = "job" }]
[[accounts]]
id = "search"
kind = "team"
parent = "shop"
time_zone = "Europe/Berlin"
[[accounts]]
id = "indexer"
kind = "caller"
parent = "search"
[[accounts]]
id = "cart"
kind = "caller"
parent = "shop"
"#;

#[test]
fn windows_begin_in_the_zone_of_the_accounts_unless_the_limit_names_one() {
    let cases = [
        ("match = { accounts = [\"shop\"] }", "Asia/Shanghai"),
        (
            "match = { accounts = [\"cart\", \"shop\"] }",
            "Asia/Shanghai",
        ),
        ("match = { accounts = [\"indexer\"] }", "Europe/Berlin"),
        ("match = { accounts = [\"indexer\", \"cart\"] }", "UTC"),
        ("", "UTC"),
        ("time_zone = \"America/New_York\"", "America/New_York"),
    ];
    for (line, zone) in cases {
        let limit = format!("[[limits]]\nid = \"l\"\nrequests = 1\nwindow = \"day\"\n{line}\n");

        let config = resolve(&format!("{limit}{ACCOUNTS}"));

        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(config.limits[0].zone.name(), zone, "{line}");
    }
}

#[test]
fn a_limit_names_accounts_and_labels_of_the_file() {
    let cases = [
        (
            "match = { accounts = [\"shop\", \"search\", \"indexer\"] }",
            "",
        ),
        (
            "match = { labels = { product = \"ads\", job = \"anything\" } }",
            "",
        ),
        ("per = [\"label:product\"]", ""),
        (
            "match = { accounts = [\"serch\"] }",
            "14: limits[0].match.accounts[0]: the file has no account `serch`; did you mean `search`?",
        ),
        (
            "match = { labels = { product = \"fed\" } }",
            "14: limits[0].match.labels.product: no account allows this value of the label `product`; use one that `label_rules` list, or add it there",
        ),
        (
            "per = [\"label:prodct\"]",
            "14: limits[0].per[0]: no account has a label `prodct`; did you mean `product`?",
        ),
    ];
    for (line, expected) in cases {
        let limit = format!("[[limits]]\nid = \"l\"\nrequests = 1\nwindow = \"day\"\n{line}\n");

        let mistakes = resolve(&format!("{limit}{ACCOUNTS}")).err();

        assert_eq!(mistakes.unwrap_or_default(), expected, "{line}");
    }
}
