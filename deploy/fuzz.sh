#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (a minute); found inputs are kept in testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do
    grep -oE '^func Fuzz[A-Za-z0-9_]*' "$file" | sed 's/^func //' | while read -r target; do
        echo "== $target ($(dirname "$file"))"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-1m}" -fuzzminimizetime 1x "$(dirname "$file")"
    done
done
