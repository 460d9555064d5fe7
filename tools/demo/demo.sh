#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `make demo`: profile a running FastAPI and PostgreSQL server, with nothing set up beforehand.
#
# Installs what is missing, builds, starts a private PostgreSQL and the demo shop on free ports,
# loads it, attaches hostprof for ten seconds, shows the top of the report. Everything runs in a
# temporary directory and is ended by pid; no system service is started, stopped or changed.
# Options: -d TIME (10s), -o DIR (the build directory's demo/).
set -euo pipefail

cd "$(dirname "$0")/../.."
output=${O:-.output}
duration=10s
report=$output/demo
while getopts d:o: opt; do
	case $opt in
	d) duration=$OPTARG ;;
	o) report=$OPTARG ;;
	*) exit 2 ;;
	esac
done

step() { printf '\n== %s\n' "$*"; }
fail() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "attaching needs root: run 'sudo make demo'"

step "dependencies"
tools/install-deps.sh build demo
step "build"
make --no-print-directory -j"$(nproc)" O="$output"

work=$(mktemp -d /tmp/hostprof-demo.XXXXXX)
pids=()
stop_all() {
	local i
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		# A background job of a script ignores SIGINT, unless it asks for it as PostgreSQL does,
		# where SIGTERM would wait for clients.
		kill -TERM "${pids[i]}" 2>/dev/null || true
		[ $i != 0 ] || kill -INT "${pids[i]}" 2>/dev/null || true
		wait "${pids[i]}" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

free_ports() {
	/usr/bin/python3 - "$1" <<-'PY'
		import random, socket, sys
		found = []
		while len(found) < int(sys.argv[1]):
		    port = random.randrange(20000, 32000)
		    with socket.socket() as s:
		        try:
		            s.bind(("127.0.0.1", port))
		        except OSError:
		            continue
		    if port not in found:
		        found.append(port)
		print(*found)
	PY
}
read -r pg_port app_port < <(free_ports 2)

# wait_for SECONDS WHAT COMMAND…: polls until the command succeeds.
wait_for() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

step "PostgreSQL on port $pg_port"
bin=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -t/ -k5 -n | tail -1)")
[ -x "$bin/initdb" ] || bin=$(dirname "$(command -v initdb || echo /usr/bin/initdb)")
user=postgres
id -u $user >/dev/null 2>&1 || user=nobody # the server refuses root
chown "$user" "$work"
as_user() { setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"; }
(cd / && as_user "$bin/initdb" -D "$work/data" -U postgres -A trust -N -E UTF8 --locale=C) \
	>"$work/initdb.log" 2>&1 || { cat "$work/initdb.log" >&2; fail "initdb failed"; }
(cd / && exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- \
	"$bin/postgres" -D "$work/data" -p "$pg_port" -k "$work" -c listen_addresses=127.0.0.1 \
	-c ssl=off -c fsync=off -c max_connections=80) >"$work/postgres.log" 2>&1 &
pids+=($!)
psql=("$bin/psql" -X -q -h 127.0.0.1 -p "$pg_port" -U postgres)
wait_for 30 PostgreSQL "${psql[@]}" -c 'SELECT 1' postgres ||
	{ cat "$work/postgres.log" >&2; fail "PostgreSQL did not start"; }
"${psql[@]}" -c 'CREATE DATABASE shop' postgres
"${psql[@]}" -f tools/demo/schema.sql -v ON_ERROR_STOP=1 shop >/dev/null

step "demo shop (FastAPI on uvicorn) on port $app_port"
export DEMO_PG_URL=postgresql://postgres@127.0.0.1:$pg_port/shop
export DEMO_PG_DSN="host=127.0.0.1 port=$pg_port user=postgres dbname=shop"
export DEMO_URL=http://127.0.0.1:$app_port PYTHONDONTWRITEBYTECODE=1
(cd tools/demo && exec /usr/bin/python3 -m uvicorn app:app --port "$app_port" --log-level warning \
	--no-access-log) >"$work/uvicorn.log" 2>&1 &
app=$!
pids+=("$app")
wait_for 30 uvicorn /usr/bin/python3 -c "import urllib.request as u; u.urlopen('$DEMO_URL/health')" ||
	{ cat "$work/uvicorn.log" >&2; fail "the demo shop did not start"; }

step "load: 16 keep-alive connections"
/usr/bin/python3 tools/demo/load.py "$app_port" 16 >"$work/load.log" 2>&1 &
load=$!
pids+=("$load")
wait_for 15 load grep -q ready "$work/load.log" ||
	{ cat "$work/load.log" "$work/uvicorn.log" >&2; fail "the load did not start"; }

step "hostprof attach $app -d $duration -o $report"
rm -rf "$report"
"$output/hostprof" attach "$app" -d "$duration" -o "$report"
kill -0 "$load" 2>/dev/null || { cat "$work/load.log" >&2; fail "the load ended early"; }

step "top of $report/PERFORMANCE_REPORT.md"
head -n 40 "$report/PERFORMANCE_REPORT.md"
step "files"
ls -l "$report"
echo
echo "Open $report/cpu.svg in a browser; make the reports again, as root or who has called sudo:"
echo "  $output/hostprof report $report/capture.hpcap -o again"
