#!/usr/bin/env bash
# Holds what is in deploy/, the workflows and the docs against the real judges of each: promtool, Prometheus, Kubernetes'
# schemas, systemd-analyze, and the built server.
# Needs a Rust toolchain, Python 3 with venv, Node with npm, and Debian's apt-get; all else is put into target/deploy.
# Nothing is installed on the machine. With arguments: those tests alone, such as `tests/deploy/run.sh test_rules`.
set -euo pipefail
cd "$(dirname "$0")/../.."

work="$PWD/target/deploy"
here=tests/deploy
mkdir -p "$work"

say() { printf '\ndeploy: %s\n' "$*"; }

say "fetching the tools, unless they are there"
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
if ! cmp --silent $here/requirements.txt "$work/requirements.txt"; then
  "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement $here/requirements.txt
  cp $here/requirements.txt "$work/requirements.txt"
fi
if ! cmp --silent $here/package.json "$work/package.json"; then
  cp $here/package.json "$work/package.json.new"
  (cd "$work" && mv package.json.new package.json &&
    npm install --silent --no-audit --no-fund --no-package-lock || { rm package.json; exit 1; })
fi
# A package of Debian, unpacked: no root, no service, and none of the packages that it recommends.
unpacked() {
  [ -x "$work/debian/$2" ] && return
  mkdir -p "$work/packages" "$work/debian"
  (cd "$work/packages" && apt-get download --quiet "$1") || return
  dpkg -x "$work/packages/$1"_*.deb "$work/debian"
}
unpacked prometheus usr/bin/promtool || (apt-get update --quiet && unpacked prometheus usr/bin/promtool)

say "building the server"
cargo build --locked --bin modelway
MODELWAY="$(cargo metadata --no-deps --format-version 1 | "$work/venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/modelway"
export MODELWAY

say "generating Python stubs"
export PATH="$work/venv/bin:$PATH"
rm -rf "$work/stubs"
mkdir -p "$work/stubs"
python -m grpc_tools.protoc -I proto --python_out="$work/stubs" --grpc_python_out="$work/stubs" proto/modelway/v1/*.proto

say "testing"
export PYTHONPATH="$here:$work/stubs" PYTHONDONTWRITEBYTECODE=1
if [ $# -gt 0 ]; then
  python -m unittest --verbose "$@"
else
  python -m unittest discover --verbose --start-directory $here
fi

say "passed"
