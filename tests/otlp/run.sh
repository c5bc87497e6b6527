#!/usr/bin/env bash
# Exports spans and metrics to receivers that are not ours: grpcio's server with the published OTLP messages, and Python's HTTP server.
# Needs a Rust toolchain and Python 3 with venv; what it installs goes into target/otlp.
set -euo pipefail
cd "$(dirname "$0")/../.."

work="$PWD/target/otlp"
[ -x "$work/bin/python" ] || python3 -m venv "$work"
"$work/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/otlp/requirements.txt
cargo build --locked --bin modelway
MODELWAY="${MODELWAY:-$PWD/target/debug/modelway}" exec "$work/bin/python" tests/otlp/receivers.py "$@"
