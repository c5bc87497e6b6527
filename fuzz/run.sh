#!/usr/bin/env bash
# Fuzzes each target for so many seconds, as many at once as there are cores: fuzz/run.sh SECONDS [TARGET…]
# What is found stays in `target/fuzz/corpus`; an input that breaks a law in `target/fuzz/artifacts`.
# Needs a C++ compiler, for libFuzzer; installs cargo-fuzz under `target/` where it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
work=target/fuzz
export PATH="$PATH:$PWD/target/tools/bin"
command -v cargo-fuzz >/dev/null ||
  cargo install cargo-fuzz --version 0.13.2 --locked --root target/tools

# Without a sanitizer no compiler flag is unstable. The crate holds no unsafe code to be watched.
cargo fuzz build --sanitizer none --target-dir "$work"
fuzz/seeds.py "$work/corpus"

fuzz_one() {
  local work=$1 seconds=$2 target=$3 log=$1/$3.log
  mkdir -p "$work/corpus/$target" "$work/artifacts"
  if "$work"/*/release/"$target" -max_total_time="$seconds" -max_len=2048 -dict=fuzz/words.dict -timeout=25 \
    -rss_limit_mb=1024 -artifact_prefix="$work/artifacts/$target-" "$work/corpus/$target" \
    >"$log" 2>&1; then
    printf '%s: %s\n' "$target" "$(grep -aE 'DONE +cov' "$log" | sed -E 's/ (lim|exec\/s|rss).*//')"
  else
    tail -n 30 "$log"
    printf '%s: a law is broken\n' "$target"
    return 1
  fi
}
export -f fuzz_one

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
printf '%s\0' "${targets[@]}" |
  xargs -0 -n 1 -P "$(nproc)" bash -c 'fuzz_one "$@"' fuzz_one "$work" "$seconds"
