//! `config.schema.json`: does it say of each file what the parser says, and of each key what the example says?

mod exceptions;
mod mutations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jsonschema::Validator;
use modelway::config::file::File;
use modelway::config::{Config, Surroundings};
use modelway::wire::{anthropic, gemini, openai_chat, openai_responses};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, RngAlgorithm, TestRng, TestRunner};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::exceptions::exception;
use self::mutations::{Change, Step, at_mut, places, probes};

const SCHEMA_TEXT: &str = include_str!("../../config.schema.json");

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// A file in which every key stands.
const WHOLE: &str = include_str!("config_schema/whole.toml");

/// The tables that the example writes out with their defaults.
const WRITTEN_OUT: [&str; 16] = [
    "server",
    "admin",
    "cors",
    "json",
    "requests",
    "admission",
    "idempotency",
    "ledger",
    "logging",
    "telemetry",
    "reload",
    "transport",
    "breaker",
    "credential_lock",
    "throttle",
    "retry",
];

static SCHEMA: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA_TEXT).unwrap());

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&SCHEMA).expect("the schema is a schema"));

/// The JSON that stands for a file of TOML, as editors see it.
fn json(text: &str) -> Value {
    let file: toml::Table = text.parse().unwrap();
    serde_json::to_value(file).unwrap()
}

fn toml(file: &Value) -> String {
    toml::to_string(file).unwrap()
}

/// What the parser says of a file: its mistakes, a line for each.
fn parse(text: &str) -> Result<Config, Vec<String>> {
    let surroundings = Surroundings::without_secrets(Some("http://127.0.0.1:41234"));
    let resolved = File::parse(text).resolve(&surroundings);
    resolved.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

/// How the two judge a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Agreement {
    BothAccept,
    BothRefuse,
    /// Only the parser refuses it, for this reason.
    Excepted(&'static str),
}

/// How the two judge a file, unless they differ without an excuse.
fn judge(file: &Value) -> Result<Agreement, String> {
    match (VALIDATOR.is_valid(file), parse(&toml(file))) {
        (true, Ok(_)) => Ok(Agreement::BothAccept),
        (false, Err(_)) => Ok(Agreement::BothRefuse),
        (true, Err(mistakes)) => {
            let reasons: Vec<_> = mistakes.iter().map(|mistake| exception(mistake)).collect();
            match reasons.iter().any(Option::is_none) {
                false => Ok(Agreement::Excepted(reasons[0].unwrap_or_default())),
                true => Err(format!("only the parser refuses it: {mistakes:#?}")),
            }
        }
        (false, Ok(_)) => {
            let told = VALIDATOR.iter_errors(file);
            let told: Vec<_> = told
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            Err(format!("only the schema refuses it: {told:#?}"))
        }
    }
}

/// How often each judgement was found, for each kind of change.
#[derive(Default)]
struct Counts(BTreeMap<(&'static str, Agreement), usize>);

impl Counts {
    fn add(&mut self, kind: &'static str, agreement: Agreement) {
        *self.0.entry((kind, agreement)).or_default() += 1;
    }

    fn of(&self, wanted: impl Fn(Agreement) -> bool) -> usize {
        let found = self.0.iter().filter(|((_, found), _)| wanted(*found));
        found.map(|(_, count)| count).sum()
    }

    fn print(&self) {
        for ((kind, agreement), count) in &self.0 {
            println!("{count:6}  {kind}: {agreement:?}");
        }
    }
}

#[test]
fn the_files_that_are_shipped_follow_it() {
    for text in [EXAMPLE, WHOLE, modelway::config::KEYLESS] {
        assert_eq!(judge(&json(text)), Ok(Agreement::BothAccept));
    }
}

/// The least that a file must say.
const SHORT: &str = "
    [providers.p]\nwire_format = 'openai_chat'\nbase_url = 'https://api.example.com/v1'\napi_key = 'env:KEY'
    [models.'p/m']\n[scenarios.s]\ntargets = ['p/m']";

/// The tables whose entries refer to each other.
const CATALOG: [&str; 3] = ["providers", "models", "scenarios"];

/// The same for those who call.
const CALLERS: [&str; 3] = ["auth", "accounts", "keys"];

/// A small file that has this place of the whole one.
fn part(whole: &Value, place: &[Step]) -> Value {
    let mut part = json(SHORT);
    match place {
        [Step::Key(table), Step::Key(name), ..] if table == "providers" => {
            part[table][name] = whole[table][name].clone();
        }
        [Step::Key(table), ..] if CATALOG.contains(&table.as_str()) => {
            for table in CATALOG {
                part[table] = whole[table].clone();
            }
        }
        [Step::Key(table), ..] if CALLERS.contains(&table.as_str()) => {
            for table in CALLERS {
                part[table] = whole[table].clone();
            }
        }
        [Step::Key(table), ..] => {
            part[table] = whole[table].clone();
            // Limits name what is in the catalogue, and accounts.
            if table == "limits" {
                for table in CATALOG.iter().chain(&CALLERS) {
                    part[table] = whole[table].clone();
                }
            }
        }
        _ => {}
    }
    part
}

#[test]
fn it_judges_each_value_of_each_key_as_the_parser_does() {
    let whole = json(WHOLE);
    let mut counts = Counts::default();
    let mut differing = Vec::new();
    // The file itself is a table, and the items of a list are alike.
    let is_first = |place: &Vec<Step>| !place.iter().any(|step| matches!(step, Step::Item(1..)));
    for place in places(&whole).into_iter().skip(1).filter(is_first) {
        let part = part(&whole, &place);
        for value in probes(&SCHEMA, &place) {
            let mut file = part.clone();
            *at_mut(&mut file, &place).unwrap() = value.clone();
            match judge(&file) {
                Ok(agreement) => counts.add("another value", agreement),
                Err(why) => differing.push(format!("{place:?} = {value}: {why}")),
            }
        }
    }

    counts.print();
    assert!(
        differing.is_empty(),
        "{} differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[test]
fn it_judges_five_thousand_changed_files_as_the_parser_does() {
    const FILES: u32 = 5_000;
    let whole = json(WHOLE);
    let (mut settings, catalog) = (
        whole.clone(),
        part(&whole, &[Step::Key("models".to_owned())]),
    );
    for (table, value) in json(SHORT).as_object().unwrap() {
        settings[table] = value.clone();
    }
    let files = [settings, catalog];
    let runs = Runs {
        cases: FILES,
        failure_persistence: None,
        ..Runs::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(runs, rng);
    let counts = std::cell::RefCell::new(Counts::default());
    let changes = (0..files.len(), prop::collection::vec(Change::any(), 1..3));

    runner
        .run(&changes, |(which, changes)| {
            let mut file = files[which].clone();
            for change in &changes {
                change.apply(&mut file, &SCHEMA);
            }
            match judge(&file) {
                Ok(agreement) => counts.borrow_mut().add(changes[0].kind(), agreement),
                Err(why) => return Err(TestCaseError::fail(why)),
            }
            Ok(())
        })
        .unwrap();

    let counts = counts.into_inner();
    counts.print();
    assert_eq!(counts.of(|_| true), FILES as usize);
    assert!(counts.of(|found| found == Agreement::BothAccept) > 200);
    assert!(counts.of(|found| found == Agreement::BothRefuse) > 2000);
}

/// The tables of the schema that stand somewhere in a file, each with the names of its keys.
fn tables_of(file: &Value) -> Vec<(Vec<Step>, BTreeSet<String>)> {
    let mut tables = Vec::new();
    for place in places(file) {
        let is_table = mutations::at(file, &place).is_some_and(Value::is_object);
        if let Some(known) = is_table.then(|| mutations::keys(&SCHEMA, file, &place)) {
            tables.extend(known.map(|known| (place, known)));
        }
    }
    tables
}

#[test]
fn it_has_the_keys_that_the_parser_knows_and_no_others() {
    // Each table tells its keys when it is asked for one that it does not know.
    const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzzzzzz";
    let whole = json(WHOLE);
    let tables = tables_of(&whole);
    assert!(tables.len() > 40, "{}", tables.len());
    for (place, keys) in tables {
        let mut file = whole.clone();
        let table = at_mut(&mut file, &place).unwrap().as_object_mut().unwrap();
        table.insert(UNKNOWN.to_owned(), Value::from(1));

        let mistakes = parse(&toml(&file)).err().unwrap();

        let told = mistakes.iter().find(|mistake| mistake.contains("unknown "));
        let told = told.unwrap_or_else(|| panic!("{place:?}: {mistakes:#?}"));
        let (_, list) = told
            .split_once("use one of ")
            .or_else(|| told.split_once(", expected "))
            .unwrap_or_else(|| panic!("{place:?}: {told}"));
        let known = list.split('`').skip(1).step_by(2).map(str::to_owned);
        assert_eq!(keys, known.collect(), "{place:?}");
    }
}

#[test]
fn every_key_has_a_description_and_stands_in_the_file_of_these_tests() {
    let whole = json(WHOLE);
    for (place, keys) in tables_of(&whole) {
        for key in &keys {
            let property = mutations::property(&SCHEMA, &whole, &place, key);
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.ends_with(['.', ')']), "{place:?}.{key}");
        }
    }
    // What is in no table of the file must be left out for a reason: it cannot stand beside the others.
    let mut missing = BTreeSet::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for place in places(&whole) {
        seen.extend(place.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.clone()),
            Step::Item(_) => None,
        }));
    }
    mutations::each_property(&SCHEMA, &mut |key, _| {
        if !seen.contains(key) {
            missing.insert(key.to_owned());
        }
    });
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn defaults_are_those_of_the_example_and_the_other_way_round() {
    let example = json(EXAMPLE);
    let default = |table: &str, key: &str| SCHEMA["properties"][table]["properties"][key].clone();
    for table in WRITTEN_OUT {
        for (key, value) in example[table].as_object().unwrap() {
            let property = default(table, key);
            assert!(property.is_object(), "{table}.{key} is not in the schema");
            assert_eq!(property["default"], *value, "{table}.{key}");
        }
        let properties = SCHEMA["properties"][table]["properties"]
            .as_object()
            .unwrap();
        for (key, property) in properties {
            if property.get("default").is_none() {
                continue;
            }
            let written = example[table].get(key).cloned();
            let commented = || commented_out(table, key);
            let shown = written.or_else(commented);
            assert_eq!(shown.as_ref(), property.get("default"), "{table}.{key}");
        }
    }
}

/// The value of a key that the example shows behind a `#`.
fn commented_out(table: &str, key: &str) -> Option<Value> {
    let (_, rest) = EXAMPLE.split_once(&format!("[{table}]\n"))?;
    let begin = format!("# {key} = ");
    let line = rest.lines().find_map(|line| line.strip_prefix(&begin))?;
    let table: toml::Table = format!("x = {line}").parse().ok()?;
    serde_json::to_value(&table["x"]).ok()
}

/// What a configuration says, as far as it can be compared.
fn shown(config: &Config) -> Vec<String> {
    let scenario = &config.catalog.scenarios["s"];
    let target = &scenario.targets[0];
    let Config {
        server,
        admin,
        probes,
        admission,
        idempotency,
        logging,
        telemetry,
        scopes,
        reload,
        transport,
        retry,
        ..
    } = config;
    vec![
        format!("{server:#?}"),
        format!("{admin:#?}"),
        format!("{probes:#?}"),
        format!("{admission:#?}"),
        format!("{idempotency:#?}"),
        format!("{logging:#?}"),
        format!("{telemetry:#?}"),
        format!(
            "{:#?} {:#?} {:#?}",
            scopes.breaker, scopes.lock, scopes.throttle
        ),
        format!("{reload:#?} {transport:#?} {retry:#?}"),
        format!("{} {:#?}", config.catalog.allow_model, scenario.retry),
        format!("{:?} {:?}", scenario.default_timeout, scenario.max_timeout),
        format!("{} {:?}", scenario.max_attempts, scenario.first_content),
        format!(
            "{} {}",
            scenario.content_filter_failover, scenario.empty_answer_failover
        ),
        format!("{:?} {:?}", scenario.retry_first, scenario.hedge),
        format!("{:?} {:?}", target.timeouts, target.upstream_mode),
        format!("{:?} {:?}", target.features, target.provider.link.http),
    ]
}

/// The defaults of a table of the schema, and of those in it that are switched on by standing there.
fn defaults_of(table: &Value, defaults: &mut Map<String, Value>, switched_on: &[&str]) {
    for (key, property) in table["properties"].as_object().into_iter().flatten() {
        if let Some(default) = property.get("default") {
            defaults.insert(key.clone(), default.clone());
        } else if property["type"] == "object" && switched_on.contains(&key.as_str()) {
            let mut of_table = Map::new();
            defaults_of(property, &mut of_table, &[]);
            defaults.insert(key.clone(), of_table.into());
        }
    }
}

#[test]
fn writing_the_defaults_changes_nothing() {
    for (format, dialect) in [
        ("openai_chat", "dialect_openai_chat"),
        ("openai_responses", "dialect_openai_responses"),
        ("anthropic", "dialect_anthropic"),
        ("gemini", "dialect_gemini"),
    ] {
        let mut brief = json(SHORT);
        brief["providers"]["p"]["wire_format"] = format.into();
        brief["models"]["p/m"]["max_output_tokens"] = 1.into();
        // Those that are off without their table have defaults in it.
        for table in ["retry_first", "hedge"] {
            brief["scenarios"]["s"][table] = Value::Object(Map::new());
        }
        brief["scenarios"]["s"]["targets"] = vec!["p/m", "p/n"].into();
        brief["models"]["p/n"] = brief["models"]["p/m"].clone();
        brief["models"]["p/n"]["price"] = serde_json::json!({"input": 1, "output": 1});
        let mut long = brief.clone();
        for (table, schema) in SCHEMA["properties"].as_object().unwrap() {
            let mut defaults = Map::new();
            defaults_of(schema, &mut defaults, &[]);
            if !defaults.is_empty() {
                long[table] = defaults.into();
            }
        }
        for (definition, place) in [
            ("provider", &["providers", "p"]),
            ("model", &["models", "p/m"]),
            ("scenario", &["scenarios", "s"]),
        ] {
            let table = &mut long[place[0]][place[1]];
            let mut defaults = Map::new();
            let switched_on = ["retry_first", "hedge", "timeouts"];
            defaults_of(
                &SCHEMA["definitions"][definition],
                &mut defaults,
                &switched_on,
            );
            table.as_object_mut().unwrap().extend(defaults);
        }
        let mut defaults = Map::new();
        defaults_of(&SCHEMA["definitions"][dialect], &mut defaults, &[]);
        long["providers"]["p"]["dialect"] = defaults.into();

        let [brief, long] = [brief, long].map(|file| match parse(&toml(&file)) {
            Ok(config) => shown(&config),
            Err(mistakes) => panic!("{mistakes:#?}"),
        });

        for (brief, long) in brief.iter().zip(&long) {
            assert_eq!(brief, long);
        }
    }
}

/// The dialect that the schema's defaults are, and the one that is the default.
fn dialects<T: DeserializeOwned + Default>(format: &str) -> [T; 2] {
    let mut defaults = Map::new();
    let schema = &SCHEMA["definitions"][format!("dialect_{format}")];
    defaults_of(schema, &mut defaults, &[]);
    [
        serde_json::from_value(defaults.into()).unwrap(),
        T::default(),
    ]
}

#[test]
fn defaults_of_dialects_are_those_of_the_wire_formats() {
    let [written, default] = dialects::<openai_chat::Dialect>("openai_chat");
    assert_eq!(written, default);
    let [written, default] = dialects::<openai_responses::Dialect>("openai_responses");
    assert_eq!(written, default);
    let [written, default] = dialects::<anthropic::Dialect>("anthropic");
    assert_eq!(written, default);
    let [written, default] = dialects::<gemini::Dialect>("gemini");
    assert_eq!(written, default);
}

#[test]
fn the_example_tells_editors_where_it_is() {
    let first = EXAMPLE.lines().next();

    assert_eq!(first, Some("#:schema ./config.schema.json"));
}
