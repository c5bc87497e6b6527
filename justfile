# `just` lists the recipes.
_:
    @just --list

# Serve with simulated providers on 127.0.0.1:50051
run:
    cargo run

# Show failover and breakers at work
demo:
    cargo run -- demo

# Every test, the replay of recorded traffic included
test:
    cargo test --locked

# Format, lints, docs, contract
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
    buf lint

# Recorded traffic only; DIRECTORY holds the exchanges
replay directory="../shared/wire/exchanges":
    MODELWAY_EXCHANGES={{ directory }} cargo test --locked --test replay

# Outages in virtual time, with the table of docs/reliability.md; the laws over a million calls
simulate seeds="5":
    MODELWAY_SEEDS={{ seeds }} MODELWAY_CALLS=1000000 MODELWAY_BREAKERS=5000 cargo test --locked --test suite -- simulation --nocapture

# Call the server with grpcurl and Python
polyglot:
    tests/polyglot/run.sh

# Decoding, policies, and the server beside one that only forwards
bench:
    cargo bench --bench core --bench end_to_end

# The service under load and attack, and a soak of so many minutes; fails if a bound is broken
load soak="1":
    cargo bench --locked --bench load -- --soak {{ soak }}

# Advisories, licences and sources of dependencies
deny:
    cargo deny check

# What CI does
ci:
    bash .ci/run
