#!/bin/sh
# Runs govulncheck, whose database is on the web. Where it cannot be reached this says so, and does not fail.
set -eu

out=$(mktemp)
trap 'rm -f "$out"' EXIT
if go run "$1" ./... >"$out" 2>&1; then
	tail -n 1 "$out"
elif grep -q 'vuln.go.dev' "$out"; then
	echo "govulncheck: skipped, its database cannot be reached"
else
	cat "$out" >&2
	exit 1
fi
