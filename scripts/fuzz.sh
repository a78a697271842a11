#!/bin/sh
# Runs every fuzzer of the module for the given time each.
set -eu

time=${1:-10s}
go list -f '{{.Dir}}' ./... | while read -r dir; do
	grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | cut -d' ' -f2 | while read -r fuzzer; do
		echo "$dir $fuzzer"
		(cd "$dir" && go test -run '^$' -fuzz "^$fuzzer\$" -fuzztime "$time" . </dev/null)
	done
done
