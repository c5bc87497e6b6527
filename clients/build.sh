#!/usr/bin/env bash
# Builds what callers of Modelway are given, into target/clients or the folder that is named:
#
#   modelway.binpb                 the contract as a descriptor set with its comments, for grpcurl, Envoy and the like
#   modelway_service_config.json   how gRPC clients should treat calls
#   modelway-VERSION-*.whl         Python's package
#   modelway-client-VERSION.tgz    npm's package, where there is npm
#
# Needs buf, Python 3 with pip, and npm.
set -euo pipefail
cd "$(dirname "$0")/.."

out="$(realpath --canonicalize-missing "${1:-target/clients}")"
rm -rf "$out"
mkdir -p "$out"

buf build --as-file-descriptor-set --output "$out/modelway.binpb"
cp proto/service_config.json "$out/modelway_service_config.json"
python3 -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$out" clients/python
if command -v npm >&-; then
  cd clients/typescript
  npm ci --no-audit --no-fund --silent
  npm pack --silent --pack-destination "$out"
else
  echo "there is no npm: its package is left out" >&2
fi
