# `just` lists the recipes.
_:
    @just --list

policies := "-f src/error/upstream.rs -f 'src/health/{acceptance,breaker/forced,breaker/mod,breaker/opening,breaker/pass,breaker/recovery,guard,latency,lock,mod,permit,provider,rejections,scopes/mod,scopes/operator,scopes/outcomes,throttle,window}.rs' -f 'src/dispatch/{attempt/timers,hedging,plan/again,plan/cursor,plan/eligibility,retry_budget,tokens}.rs' -f 'src/admission/{callers,limiter,room}.rs'"
calls := "-f 'src/dispatch/{attempt/arriving,attempt/mod,call,plan/call_time,plan/exhausted,plan/last_resort,plan/limits,plan/mod,plan/opening,plan/retries,plan/rival,race,start}.rs'"

# Serve with simulated providers on 127.0.0.1:50051
run:
    cargo run

# Show failover and breakers at work
demo:
    cargo run -- demo

# Every test, the replay of recorded traffic included
test:
    RUST_TEST_THREADS=$((2 * $(nproc))) cargo test --locked

# Format, lints, docs, contract
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
    buf lint
    buf breaking --against proto/baseline.binpb

# What users reported of real hosts; FILE holds the cases
field file="../shared/wire/field-cases.json":
    MODELWAY_FIELD_CASES={{ file }} cargo test --locked --test field

# How many recorded requests can be said in the contract; DIRECTORY holds the exchanges
reach directory="../shared/wire/exchanges":
    MODELWAY_EXCHANGES={{ directory }} cargo test --locked --test reach

# Recorded answers only; DIRECTORY holds the exchanges
replay directory="../shared/wire/exchanges":
    MODELWAY_EXCHANGES={{ directory }} cargo test --locked --test replay

# Outages and recoveries in virtual time, with the tables of docs/reliability.md; the laws over a million calls
simulate seeds="5":
    MODELWAY_SEEDS={{ seeds }} MODELWAY_RECOVERIES=1 MODELWAY_CALLS=1000000 MODELWAY_BREAKERS=5000 cargo test --locked --test suite -- simulation --nocapture

# Ten thousand mixed calls: what each attempt costs by answer, span, metric, ledger, export and the provider's own log
exact calls="10000":
    MODELWAY_EXACT={{ calls }} cargo test --locked --test suite -- exact:: drained:: --include-ignored --nocapture

# Ten thousand calls cancelled at any moment, two thousand ended by deadlines, answers cut at every byte
storms:
    MODELWAY_CANCELS=10000 MODELWAY_DEADLINES=2000 MODELWAY_LONGEST=30000 MODELWAY_STEP=1 cargo test --locked --test suite -- storm cut_short --nocapture --test-threads 1

# How long streams stand still where packets are lost, with the tables of docs/reaching-providers.md
loss words="12000":
    MODELWAY_WORDS={{ words }} cargo test --locked --test suite -- loss::over --nocapture
    cargo test --locked --test suite -- loss::streams --ignored --nocapture

# Every reader of foreign bytes against made-up ones, so many seconds each
fuzz seconds="300" *targets:
    fuzz/run.sh {{ seconds }} {{ targets }}

# Orders in which threads can meet at what calls share
interleavings schedules="100000":
    interleavings/run.sh {{ schedules }}

# Call the server with real clients in four languages, grpcurl and curl
polyglot:
    tests/polyglot/run.sh

# Packages, descriptor set and service config for callers, into target/clients
clients:
    clients/build.sh

# Decoding, policies, and the server beside one that only forwards
bench:
    cargo bench --bench core --bench end_to_end

# Every fault of a provider over real sockets, with the table of docs/reliability.md
chaos *options:
    cargo bench --bench chaos -- {{ options }}

# Changes of the policies' code that no unit test notices; `--shard 0/8` for a sample
mutants *options:
    cargo mutants {{ policies }} -C=--lib {{ options }}

# The same for the way of a call, with the whole suite as the judge: some twenty seconds a change
mutants-of-calls *options:
    cargo mutants {{ calls }} -C=--lib -C=--test=suite {{ options }}

# The service under load and attack, and a soak of so many minutes; fails if a bound is broken
load soak="1":
    cargo bench --locked --bench load -- --soak {{ soak }}

# Ten minutes at 500 calls a second without a collector: it is away, silent, slow, or refuses
collectors seconds="600" rate="500":
    MODELWAY_SECONDS={{ seconds }} MODELWAY_RATE={{ rate }} cargo test --locked --test suite minutes_without_a_collector -- --ignored --nocapture

# Probes beside twice as many calls as the cores can answer, for ten minutes
probes seconds="600":
    MODELWAY_SECONDS={{ seconds }} cargo test --locked --test suite twice_as_many_calls -- --ignored --nocapture

# A reload every second for a minute, under load: targets and budgets; keys, limits and prices
reload:
    cargo test --locked --test suite a_reload_every_second -- --ignored

# Advisories, licences and sources of dependencies
deny:
    cargo deny check

# What CI does
ci:
    bash .ci/run

# Kill the program 200 times and terminate it 50 times under load, and compare its ledger with what the provider received
kills:
    MODELWAY_KILLS=200 MODELWAY_TERMINATIONS=50 cargo test --locked --test suite ledger::kills -- --nocapture
