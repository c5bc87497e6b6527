#!/usr/bin/env bash
# Calls the built server with real gRPC clients: grpcurl, and Python over generated stubs.
# Needs a Rust toolchain and Python 3 with venv; everything else is installed into target/polyglot.
set -euo pipefail
cd "$(dirname "$0")/../.."

work="$PWD/target/polyglot"
requirements=tests/polyglot/requirements.txt

say() { printf '\npolyglot: %s\n' "$*"; }

say "installing the tools of $requirements, unless they are there"
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
if ! cmp --silent "$requirements" "$work/installed.txt"; then
  "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
  cp "$requirements" "$work/installed.txt"
fi
export PATH="$work/venv/bin:$PATH"

say "building the server"
cargo build --locked --bin modelway
MODELWAY="$(cargo metadata --no-deps --format-version 1 | python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/modelway"
export MODELWAY

say "checking that the contract is formatted and compiles with another compiler"
buf format --diff --exit-code
buf build --output target/polyglot/image.binpb

say "generating Python stubs"
rm -rf "$work/stubs"
mkdir -p "$work/stubs"
python -m grpc_tools.protoc -I proto --python_out="$work/stubs" --pyi_out="$work/stubs" \
  --grpc_python_out="$work/stubs" proto/modelway/v1/*.proto

say "calling the server"
PYTHONPATH="$work/stubs:tests/polyglot" PYTHONDONTWRITEBYTECODE=1 \
  python -m unittest discover --verbose --start-directory tests/polyglot "$@"

say "passed"
