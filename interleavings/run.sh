#!/usr/bin/env bash
# Lets threads meet in so many orders at each thing that calls share: interleavings/run.sh SCHEDULES
set -euo pipefail
cd "$(dirname "$0")/.."

# All atomics are taken for sequentially consistent. They are counts, and guard nothing else.
export SHUTTLE_SILENCE_WARNINGS=1
exec cargo run --locked --manifest-path interleavings/Cargo.toml \
  --target-dir target/interleavings -- "$@"
