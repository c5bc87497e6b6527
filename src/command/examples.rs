//! How is each command used? The ends of their `--help` texts; tests run every line of them.

/// Ends the help of the program.
pub(super) const PROGRAM: &str = "\
Examples:
  modelway                                  serves simulated providers: no key, no network
  modelway check config.toml                lists every mistake in a configuration
  modelway serve --config config.toml       serves it

Exit codes:
  0  well
  1  something outside failed: an address is in use, a file cannot be written
  2  the configuration or the command line has a mistake
  3  no service answers

MODELWAY_CONFIG, MODELWAY_LISTEN, MODELWAY_ADMIN_LISTEN, MODELWAY_PROBES_LISTEN, MODELWAY_PLAINTEXT and MODELWAY_LOG win over
the file; options win over them.";

pub(super) const SERVE: &str = "\
Examples:
  modelway serve
  modelway serve --config config.toml
  modelway serve --config config.toml --listen 0.0.0.0:50051 --plaintext behind-proxy
  modelway serve --config config.toml --admin-listen none --probes-listen 0.0.0.0:50053

SIGHUP has the file read again. SIGTERM and SIGINT stop the service once open calls have ended; a second one ends them.";

pub(super) const CHECK: &str = "\
Examples:
  modelway check config.toml
  modelway check --no-secrets config.toml   on a machine without the keys

It ends with 0 if the file can be served, with 2 if it has a mistake, and with 3 if --live finds a target that fails. Warnings
do not change that.";

pub(super) const HEALTH: &str = "\
Examples:
  modelway health
  modelway health --address 127.0.0.1:50053 --wait 30s
  modelway health --service scenario/general";

pub(super) const LEDGER: &str = "\
Examples:
  modelway ledger repair --data data

`repair` is what a service that ends with 78 asks for. Nothing of a damaged file is deleted.";

pub(super) const CALL: &str = "\
Examples:
  modelway call general \"What is a gateway?\"
  modelway call general \"Sum this up\" --file notes.txt --timeout 30s
  echo Hello | modelway call general - --json

It ends with 0 if the call is answered, with 4 if it fails for what the caller did, with 5 if a provider, the time or the
service is at fault, with 3 if nothing answers, and with 130 if it is interrupted.";

pub(super) const EXPLAIN: &str = "\
Examples:
  modelway explain general
  modelway explain general \"Hello\" --json";

pub(super) const KEYS: &str = "\
Examples:
  modelway keys create --caller ops --admin ADMIN_ACCOUNTS --admin ADMIN_READ --data data --out ops.key
  modelway keys list --data data

A key is shown once. It is kept as its SHA-256, never stands on a command line, and a running service takes a change of its
store over within a second.";

pub(super) const LIMITS: &str = "\
Examples:
  modelway limits put everybody-day --requests 10000 --window day --data data --comment \"to begin with\"
  modelway limits list --data data
  modelway limits grant everybody-day --amount 500 --data data --comment \"the fair\"
  modelway limits states --data data
  modelway limits delete everybody-day --data data

A running service takes a change of its store over within a second, and what --server changes holds when it is answered. With
--data alone, nothing is known of the configuration: names of scenarios and models are not checked.";

pub(super) const PRICES: &str = "\
Examples:
  modelway prices list --data data
  modelway prices put prices.toml --data data --dry-run
  modelway prices import public.json --out imported.toml
  modelway prices price-unknown --since 7d --data data --dry-run

A rate that has held is never changed; one that is missing can be added. While a service runs, it prices what is unknown: name it with --server.";

pub(super) const AUDIT: &str = "\
Examples:
  modelway audit list --since 7d --data data
  modelway audit verify --data data

It ends with 0 if all is well, with 1 if the record was edited or cannot be read, and with 2 if there is no store.";

pub(super) const DEMO: &str = "\
Examples:
  modelway demo
  modelway demo --fast";

pub(super) const USAGE: &str = "\
Examples:
  modelway usage --config config.toml
  modelway usage --by team,model --since 7d --data data
  modelway usage --by caller --interval day --time-zone Europe/Berlin --format csv --data data";

pub(super) const EXPORT: &str = "\
Examples:
  modelway export --since 7d --data data
  modelway export --since 7d --format json --single-attempts --data data

The sum of the lines is that of the ledger, and two exports of the same time are the same bytes: standard error tells how many
lines they are, what they cost, and their SHA-256.";

pub(super) const CALLS: &str = "\
Examples:
  modelway calls --config config.toml
  modelway calls --troubled --since 24h --data data
  modelway calls --account search --format json --data data";

pub(super) const SCHEMA: &str = "\
Examples:
  modelway schema > config.schema.json

The line `#:schema ./config.schema.json` at the top of a configuration lets editors check and complete it.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  modelway completions bash > modelway.bash
  modelway completions zsh > _modelway
  modelway completions fish > modelway.fish";

pub(super) const MAN: &str = "\
Examples:
  modelway man > modelway.1
  modelway man --directory man1";
