//! Does docs/reload.md say which keys need a restart?

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::config::Overrides;
use crate::config::check::checked;
use crate::config::documented;

use super::*;

const PAGE: &str = include_str!("../../../docs/reload.md");

/// What every file below begins with.
const BASE: &str = "
    [providers.p]
    simulated = true
    wire_format = 'openai_chat'
    [models.'p/m']
    [scenarios.s]
    targets = ['p/m']
    [ledger]
    path = 'data'
    [telemetry]
    endpoint = 'http://127.0.0.1:4317'
    [[accounts]]
    id = 'a'
    kind = 'caller'
    label_rules = [{ key = 'product', values = ['ads'] }]
";

/// Another value for each key of the tables of which a part needs a restart.
const OTHERS: &str = "
    [server]
    listen = '127.0.0.1:7'
    runtimes = 3
    max_message_bytes = '1MiB'
    max_unfinished_bytes = '64MiB'
    max_connections = 7
    max_connections_per_ip = 7
    max_concurrent_streams = 7
    max_resets = 5000
    handshake_timeout = '7s'
    first_request_timeout = '7s'
    receive_timeout = '7s'
    keepalive_interval = '7s'
    keepalive_timeout = '7s'
    connection_age = '7m'
    client_stall = '7s'
    plaintext = 'behind-proxy'
    admin = false
    reflection = false
    predrain = '7s'
    drain_timeout = '7m'
    tls = { cert = '/etc/c.pem', key = '/etc/k.pem' }
    [admin]
    listen = '127.0.0.1:8'
    plaintext = 'behind-proxy'
    reflection = false
    tls = { cert = '/etc/c.pem', key = '/etc/k.pem' }
    [probes]
    listen = '127.0.0.1:9'
    [ledger]
    path = 'others'
    durability = 'power'
    keep = '7d'
    keep_usage = '700d'
    query_timeout = '7s'
    on_failure = 'unrecorded'
    [metrics]
    labels = ['product']
    [telemetry]
    endpoint = 'http://127.0.0.1:4318'
    protocol = 'http'
    compression = 'gzip'
    headers = { x-team = 'search' }
    allow_insecure = true
    ca = '/etc/ca.pem'
    traces = false
    metrics = false
    sample = 0.5
    interval = '7s'
    genai_names = 'both'
    callers = ['a']
";

/// Keys whose change is not seen here, since no file is read; the last one only says what another key may say.
const UNSEEN: [(&str, &str); 4] = [
    ("server", "tls"),
    ("admin", "tls"),
    ("telemetry", "ca"),
    ("telemetry", "allow_insecure"),
];

fn restart_only(file: &Table) -> RestartOnly {
    let text = toml::to_string(file).unwrap();
    let config = checked("file", &text, false, &Overrides::default());
    RestartOnly::of(
        &config.unwrap_or_else(|wrong| panic!("{wrong:?}: {text}")),
        true,
    )
}

/// The keys that the page lists among those that need a restart.
fn listed() -> BTreeSet<&'static str> {
    let (_, list) = PAGE.split_once("**A restart is needed**").unwrap();
    let (list, _) = list.split_once("\n\nA file that").unwrap();
    let rows = list.lines().filter(|line| line.starts_with("| `"));
    let keys = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(", "));
    keys.map(|key| key.trim().trim_matches('`')).collect()
}

#[test]
fn the_page_lists_what_needs_a_restart_and_nothing_else() {
    let base: Table = BASE.parse().unwrap();
    let others: BTreeMap<String, Table> = toml::from_str(OTHERS).unwrap();
    let before = restart_only(&base);
    let listed = listed();
    let is_listed = |table: &str, key: &str| {
        let whole = listed.contains(table) && (table, key) != ("telemetry", "sample");
        whole || listed.contains(format!("{table}.{key}").as_str())
    };
    let mut tried = 0;
    for (table, keys) in &others {
        let mut missing = documented::keys_of(table);
        missing.retain(|key| !keys.contains_key(key));
        assert!(
            missing.is_empty(),
            "[{table}] has no other value for {missing:?}"
        );
        for (key, value) in keys {
            let mut changed = base.clone();
            let place = changed.entry(table).or_insert(Value::Table(Table::new()));
            place
                .as_table_mut()
                .unwrap()
                .insert(key.clone(), value.clone());

            let named = before.changed(&restart_only(&changed));

            if !UNSEEN.contains(&(table, key)) {
                assert_eq!(
                    !named.is_empty(),
                    is_listed(table, key),
                    "{table}.{key}: {named:?}"
                );
            }
            for name in named {
                let (of_table, of_key) = name.split_once('.').unwrap_or((name, ""));
                assert!(is_listed(of_table, of_key), "{name} is not on the page");
            }
            tried += 1;
        }
    }
    let parts = |key: &&&str| others.contains_key(key.split('.').next().unwrap());
    for key in listed.iter().filter(parts) {
        let (table, key) = key.split_once('.').unwrap_or((key, ""));
        let is_known = key.is_empty() || others[table].contains_key(key);
        assert!(is_known, "{table}.{key} is no key");
    }
    println!("keys changed: {tried}");
}

#[test]
fn the_page_says_of_every_table_when_it_changes() {
    for name in documented::tables() {
        let spellings = [
            format!("`[{name}]`"),
            format!("`[[{name}]]`"),
            format!("`{name}."),
            format!("| `{name}` |"),
        ];
        let is_named = spellings.iter().any(|spelling| PAGE.contains(spelling));
        assert!(
            is_named,
            "docs/reload.md does not say when [{name}] changes"
        );
    }
}
