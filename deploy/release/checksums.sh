#!/usr/bin/env bash
# checksums.sh FOLDER: writes FOLDER/SHA256SUMS for every file in it, to be checked by `sha256sum --check`.
set -euo pipefail
cd "$1"
rm -f SHA256SUMS
# The shell sorts the names.
sums=$(LC_ALL=C sha256sum -- *)
printf '%s\n' "$sums" > SHA256SUMS
