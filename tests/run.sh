#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests and counts them: the last line is "N passed, N failed, N skipped".
#
# `make check` calls `run.sh check BINARY…`: style, layers, unit tests, fuzz corpora, SQL corpus; no
# root. `make test` calls `run.sh test`, which installs the packages and lets make build everything
# and come back with `run.sh all BINARY…`: the same and the tests against real servers.
# Exit status 1 on a failure; with CI=true also on a skip that junit.py does not allow.
set -uo pipefail
cd "$(dirname "$0")/.."
output=${O:-.output}
mode=${1:-}
shift || true

passed=0 failed=0 skipped=0
failures=()

if [ "$mode" = test ]; then
	tools/install-deps.sh build demo test || exit 1
	exec make --no-print-directory -j"$(nproc)" O="$output" test-all
fi

results=$output/test-results/$mode
rm -rf "$results"
mkdir -p "$results"

section() { printf '\n-- %s\n' "$*"; }

# one NAME COMMAND…: a test that is a command.
one() {
	local name=$1 log
	shift
	log=$results/${name//[^A-Za-z0-9_.-]/_}.log
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok      %s\n' "$name"
	else
		failed=$((failed + 1))
		failures+=("$name")
		printf 'FAILED  %s\n' "$name"
		tail -n 60 "$log"
	fi
}

skip() {
	skipped=$((skipped + 1))
	printf 'skipped %s: %s\n' "$1" "$2"
	if [ "${CI:-}" = true ]; then
		failed=$((failed + 1))
		failures+=("$1 (skipped: $2)")
	fi
}

# start BINARY: a cmocka program, which prints TAP.
start() {
	local log
	log=$results/$(basename "$1").tap
	CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=abort_on_error=0 "$1" >"$log" 2>"$log.err"
	echo $? >"$log.status"
}

# TAP: "1..N", then "ok N - name", "not ok N # SKIP name" or "not ok N - name".
tally() {
	local name log planned ok bad skips status
	name=$(basename "$1")
	log=$results/$name.tap
	status=$(cat "$log.status")
	planned=$(sed -n 's/^\s*1\.\.\([0-9]*\).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
	skips=$(grep -cE '^\s*(not )?ok [0-9]+ .*# SKIP' "$log")
	ok=$(grep -E '^\s*ok [0-9]+' "$log" | grep -cv '# SKIP')
	bad=$((planned - ok - skips)) # a crash leaves tests without a line: they failed
	[ $status = 0 ] || [ $bad -gt 0 ] || bad=1
	[ "$planned" -gt 0 ] || bad=1
	passed=$((passed + ok))
	skipped=$((skipped + skips))
	if [ $bad -gt 0 ]; then
		failed=$((failed + bad))
		failures+=("$name ($bad)")
		printf 'FAILED  %s: %d of %d\n' "$name" "$bad" "$planned"
		grep -vE '^\s*ok ' "$log" | tail -n 40
		tail -n 40 "$log.err"
	else
		printf 'ok      %s: %d tests%s\n' "$name" "$ok" "$([ "$skips" = 0 ] || echo ", $skips skipped")"
	fi
	skips=$((skips - $(grep -cE '^\s*skipped: (not root|this kernel)' "$log")))
	if [ "$skips" -gt 0 ] && [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ]; then
		failed=$((failed + skips))
		failures+=("$name ($skips skipped)")
	fi
}

# pytest_run NAME ARGUMENT…: counts come from the JUnit file, so a crash of pytest is a failure.
# A few failures are run again, once and named: these tests compare times of different clocks to 100 µs,
# and a virtual machine may stand still for longer. What fails twice has failed.
pytest_run() {
	local name=$1 xml=$results/$1.xml line p f s again=()
	shift
	/usr/bin/python3 -m pytest -p no:cacheprovider -q -rfEs --junitxml="$xml" "$@"
	local status=$?
	line=$(/usr/bin/python3 tests/junit.py "$xml") || true
	read -r p f s <<<"${line:-0 1 0}"
	[ $status = 0 ] || [ "$f" -gt 0 ] || f=1
	[ "$f" = 0 ] || mapfile -t again < <(/usr/bin/python3 tests/junit.py --failed "$xml")
	if [ ${#again[@]} = "$f" ] && [ "$f" -gt 0 ] && [ "$f" -le 6 ]; then
		printf 'second run: %s\n' "${again[@]}"
		if /usr/bin/python3 -m pytest -p no:cacheprovider -q -rfEs "${again[@]}"; then
			p=$((p + f)) f=0
		fi
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	[ "$f" = 0 ] || failures+=("$name ($f)")
}

# kernels_run: the lab of tests/kernels counts for itself; a kernel without a feature skips by its name.
kernels_run() {
	local xml=$output/kernels/junit.xml p f s
	rm -f "$xml"
	/usr/bin/python3 tests/kernels/run.py --output "$output"
	local status=$?
	[ $status != 3 ] || { skip kernels "the guests cannot be made on this system"; return; }
	read -r p f s < <(/usr/bin/python3 tests/junit.py "$xml")
	p=${p:-0} f=${f:-1} s=${s:-0}
	[ $status = 0 ] || [ "$f" -gt 0 ] || f=1
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	[ "$f" = 0 ] || failures+=("kernels ($f)")
}

section "source"
for check in tools/check-layers.sh tools/check-style.sh tests/unit/check_tools.sh; do
	[ -x $check ] && one "$(basename $check .sh)" $check
done

section "unit tests and fuzz corpora (AddressSanitizer, UndefinedBehaviorSanitizer)"
# As many at a time as there are processors: none of them looks at the clock on the wall.
export -f start
export results
printf '%s\n' "$@" | grep -E '/[uh]_[^/]*$' | xargs -P "$(nproc)" -I {} bash -c 'start {}'
for binary in "$@"; do
	name=$(basename "$binary")
	case $name in
	u_* | h_*) tally "$binary" ;;
	fuzz_*) one "$name" "$binary" "tests/fuzz/corpus/${name#fuzz_}" ;;
	esac
done

section "captures"
one replay /usr/bin/python3 tests/replay/run.py

section "SQL corpus"
if [ -x "$output/test/compare_pg_query" ]; then
	one compare_pg_query "$output/test/compare_pg_query" tests/sql/corpus.sql \
		tests/sql/disagreements.txt
else
	skip compare_pg_query "libpg-query is not installed"
fi

# What `make check` does is done.
checked=$([ $failed = 0 ] && echo 1)

if [ "$mode" = all ]; then
	section "probes on this kernel"
	if [ "$(id -u)" = 0 ]; then
		for binary in "$output"/test/b_*; do
			[ -x "$binary" ] && [ -f "$binary" ] && start "$binary" && tally "$binary"
		done
	else
		skip bpf "not root: loading the probes needs privileges"
	fi
	O="$output" pytest_run capture tests/bpf
	section "Python frames against the interpreters"
	O="$output" pytest_run python tests/python
	section "stacks against another unwinder"
	O="$output" pytest_run unwind tests/unwind
	section "SQL corpus on a server"
	one check_pgss /usr/bin/python3 tests/sql/check_pgss.py "$output/test/sqlfp" \
		tests/sql/corpus.sql tests/sql/schema.sql
	section "pages in a browser"
	pytest_run pages tests/pages
	section "stock kernels"
	kernels_run
	section "end to end"
	O="$output" HP_CHECKED=$checked pytest_run e2e tests/e2e
fi

echo
[ ${#failures[@]} = 0 ] || printf 'FAILED: %s\n' "${failures[@]}"
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed = 0 ]
