#!/usr/bin/env bash
# Counts what is to be read to follow a call through the code: files, and their lines without tests.
#
#   tests/path.sh                  the files that docs/life-of-a-call.md walks through
#   tests/path.sh COMMIT FILE...   these files as they were at a commit
#
# The page is the list: each of its stops is a heading `### `FILE``, which may end with `(unary)`, `(streamed)` or `(JSON)` if
# only such calls pass by.
set -euo pipefail
cd "$(dirname "$0")/.."

page=docs/life-of-a-call.md

# Lines of a file up to its tests, which stand at its end.
lines() { sed '/^#\[cfg(test)\]/,$d' | wc -l; }

count() {
  local what=$1 files=0 total=0 file length
  while read -r file; do
    [ -f "$file" ] || { echo "$page names $file, which does not exist" >&2; exit 1; }
    length=$(lines < "$file")
    files=$((files + 1)) total=$((total + length))
    printf '%6d  %s\n' "$length" "$file"
  done
  printf '%6d  lines in %d files: %s\n\n' "$total" "$files" "$what"
}

# The stops of one kind of call; those of the kinds that are named are left out.
stops() { sed -nE "/^### .*\(($1)\)$/d; s/^### \`([^\`]+)\`.*/\1/p" "$page"; }

if [ $# -gt 0 ]; then
  commit=$1
  shift
  files=0 total=0
  for file in "$@"; do
    length=$(git show "$commit:$file" | lines)
    files=$((files + 1)) total=$((total + length))
    printf '%6d  %s\n' "$length" "$file"
  done
  printf '%6d  lines in %d files at %s\n' "$total" "$files" "$commit"
  exit
fi

stops 'streamed|JSON' | count "a unary call"
stops 'unary|JSON' | count "a streamed call"
# The JSON door stands in place of the gRPC method.
stops 'streamed' | grep -v '^src/grpc/generation.rs$' | count "a call in JSON"
stops 'unary' | grep -v '^src/grpc/generation.rs$' | count "a stream in JSON"
