#!/usr/bin/env bash
# Compiles the TypeScript clients against the npm package:  build.sh FOLDER PACKAGES
set -euo pipefail
cd "$(dirname "$0")"

out="$1"
mkdir -p "$out"
cp package.json package-lock.json tsconfig.json ./*.ts "$out"
cp ../health.proto "$out"
cp ../../guides/*.ts ../../strangers/*.ts ../../refusals/*.ts "$out"
cp ../../../../examples/typescript/client.ts "$out/example.ts"
cd "$out"
npm ci --no-audit --no-fund --silent
npm install --no-save --no-audit --no-fund --silent "$2"/modelway-client-*.tgz
PATH="$PWD/node_modules/.bin:$PATH" buf generate --template \
  '{"version": "v2", "plugins": [{"local": "protoc-gen-es", "out": "gen", "opt": ["target=ts", "import_extension=js"]}]}' \
  health.proto
node_modules/.bin/tsc
