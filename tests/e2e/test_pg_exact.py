# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: calls, rows and errors against pg_stat_statements and the client, driver by driver.

The profiler attaches to a driver process that waits for `go` and has no connection yet, and detaches
before it ends, so both sides see the same statements. pg_stat_statements' texts are grouped by the
product's own fingerprint. Failed statements are not in that view: calls there = count - errors here.
"""

import json
import os
import re
import statistics
import subprocess
from collections import Counter, defaultdict

import pytest

from lib import procs, profiler

HERE = os.path.dirname(os.path.abspath(__file__))
FP = os.path.join(profiler.OUTPUT, "test", "sqlfp")


def fingerprints(texts):
    """The fingerprint of each text, in order."""
    if not texts:
        return []
    got = subprocess.run([FP], input="".join(t + "\0" for t in texts).encode(),
                         capture_output=True, check=True).stdout.decode().splitlines()
    assert len(got) == len(texts)
    return [line.split(" ")[0] for line in got]


def reference(pg, database):
    """{fingerprint: [calls, rows, exec_ms, texts]} by the server."""
    rows = pg.statements(database)
    found = defaultdict(lambda: [0, 0, 0.0, []])
    for row, fp in zip(rows, fingerprints([r["query"] for r in rows])):
        entry = found[fp]
        entry[0] += row["calls"]
        entry[1] += row["rows"]
        entry[2] += row["exec_ms"]
        entry[3].append(row["query"])
    return dict(found)


def measured(report):
    """{fingerprint: [ok calls, rows, summed latency ms, statements, batched?]} by hostprof."""
    found = defaultdict(lambda: [0, 0, 0.0, [], False])
    for q in report.queries():
        assert q["system"] == "postgresql"
        assert q["partial"] == {"at_attach": 0, "at_detach": 0}, q["statement"]
        assert q["untimed"] == 0, q["statement"]
        assert not q["statement"].startswith("<prepared"), q["statement"]
        entry = found[q["fingerprint"]]
        entry[0] += q["count"] - q["errors"]
        entry[1] += q["rows"]
        entry[2] += (q["latency_ms"]["mean"] or 0) * q["count"]
        entry[3].append(q["statement"])
        entry[4] |= q["round_trips"] < q["count"]
    return dict(found)


def compare(pg, database, report, errors, watches, known=None):
    """known: {text: calls} of statements that the server's view is known to count wrongly."""
    want, got = reference(pg, database), measured(report)
    assert report.lost() == {}
    assert want
    for text, calls in (known or {}).items():
        entry = want[fingerprints([text])[0]]
        assert entry[0] < calls, f"the server counts {text} right: no need to know better"
        entry[0] = calls
    for fp, (calls, rows, exec_ms, texts) in want.items():
        assert fp in got, f"not seen: {calls} × {texts}"
        assert got[fp][0] == calls, f"{got[fp][0]} calls, {calls} by the server: {texts}"
        assert got[fp][1] == rows, f"{got[fp][1]} rows, {rows} by the server: {texts}"
        # A call of a batch lasts from the end of the one before it, and several answers may come
        # in one packet: only the sum over the batch's statements can be held against the server.
        assert got[fp][4] or got[fp][2] >= exec_ms * 0.999, f"faster than the server: {texts}"
    assert sum(g[2] for g in got.values()) >= sum(w[2] for w in want.values())
    for fp, (calls, _, _, statements, _) in got.items():
        assert fp in want or calls == 0, f"not known to the server: {calls} × {statements}"

    codes = Counter()
    for q in report.queries():
        codes.update(q["error_codes"])
        assert q["errors"] == sum(q["error_codes"].values()), q["statement"]
    assert dict(codes) == errors

    for (sql, times), fp in zip(watches.items(), fingerprints(list(watches))):
        assert len(times) >= 100
        mine = [q for q in report.queries() if q["fingerprint"] == fp]
        assert len(mine) == 1 and mine[0]["count"] >= len(times), sql
        client_ms = statistics.median(times) / 1e6
        assert mine[0]["latency_ms"]["p50"] <= client_ms * 1.01 + 0.001, sql
        assert client_ms - mine[0]["latency_ms"]["p50"] <= 0.3, (sql, client_ms)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg2", "psycopg3", "sqlalchemy"])
def test_python_driver(pg, hostprof, cleanup, driver):
    database = pg.new_database()
    where = {
        "asyncpg": pg.url(database), "sqlalchemy": pg.url(database, "postgresql+psycopg2"),
    }.get(driver, pg.dsn(database))
    process = procs.Process(
        [procs.PYTHON, os.path.join(HERE, "drivers", f"d_{driver}.py"), where], stdin=-1)
    cleanup(process)
    process.wait_line("waiting")
    run = hostprof(process.pid, "-d", "0")
    process.write("go\n")
    result = json.loads(process.wait_line("{", timeout=60))
    report = run.stop()
    process.close_stdin()
    assert process.wait() == 0, process.stderr
    compare(pg, database, report, result["errors"], result["watches"])


def test_busy_reader(pg, hostprof, cleanup):
    """A database does not answer for a process that reads late: 60 ms on every call but the first."""
    database = pg.new_database()
    process = procs.Process(
        [procs.PYTHON, os.path.join(HERE, "drivers", "d_busy.py"), pg.url(database)], stdin=-1)
    cleanup(process)
    process.wait_line("waiting")
    run = hostprof(process.pid, "-d", "0")
    process.write("go\n")
    watches = json.loads(process.wait_line("{", timeout=60))["watches"]
    report = run.stop()
    process.close_stdin()
    (sql, times), = watches.items()
    assert min(times) >= 60e6
    row, = [q for q in report.queries() if q["fingerprint"] == fingerprints([sql])[0]]
    server = reference(pg, database)[row["fingerprint"]]
    assert row["count"] == len(times) + 1 == server[0]
    assert row["latency_ms"]["mean"] * row["count"] >= server[2]
    assert row["latency_ms"]["p50"] < 20 and row["first_row_ms"]["p50"] < 20


def gated(argv, env=None):
    """A command that starts when told to, in the process that is known from the start."""
    return procs.Process(["/bin/sh", "-c", 'echo waiting; read go; exec "$@"', "sh", *argv],
                         stdin=-1, env=env, name=os.path.basename(argv[0]))


PSQL = r"""
\set VERBOSITY verbose
\timing on
{many}
SELECT * FROM posts ORDER BY id LIMIT 1500 \g /dev/null
INSERT INTO events (kind, amount) VALUES ('psql', -1), ('psql', 2), (NULL, 3);
INSERT INTO events (kind, amount) VALUES ('psql', -1), ('psql', 2);
SELECT 1 \; SELECT 'two;' \; SELECT 3;
SELECT nothing FROM users;
SELECT 1/0;
BEGIN;
UPDATE events SET note = $q$it's$q$ WHERE kind = 'psql';
SAVEPOINT a;
SELEKT;
SELECT 9 AS in_failed_transaction;
ROLLBACK TO a;
COMMIT;
\set FETCH_COUNT 300
SELECT id FROM posts ORDER BY id \g /dev/null
\set FETCH_COUNT 0
\copy (SELECT id, title FROM posts) TO '/dev/null'
COPY events (kind, amount) FROM STDIN;
copied	1
copied	2
\.
VACUUM events;
EXPLAIN SELECT 1;
"""


def test_psql(pg, hostprof, cleanup):
    database = pg.new_database()
    many = "\n".join(f"SELECT id, name FROM users WHERE id = {n};" for n in range(1, 201))
    process = gated([f"{pg.bin}/psql", "-X", "-q", "-f", "-", pg.dsn(database)])
    cleanup(process)
    process.wait_line("waiting")
    run = hostprof(process.pid, "-d", "0")
    process.write("go\n" + PSQL.replace("{many}", many) + "\\echo finished\n")
    process.wait_line("finished")
    report = run.stop()
    process.close_stdin()
    process.wait()
    errors = Counter(re.findall(r"ERROR:  ([0-9A-Z]{5}):", process.stderr))
    assert set(errors) == {"23502", "42703", "22012", "42601", "25P02"}
    times = [float(line.split()[1]) * 1e6 for line in process.out if line.startswith("Time:")]
    compare(pg, database, report, dict(errors),
            {"SELECT id, name FROM users WHERE id = 1": times[:200]})


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(pg, hostprof, cleanup, tmp_path, mode):
    database = pg.new_database(schema=None)
    subprocess.run([f"{pg.bin}/pgbench", "-i", "-q", "-s", "1", "-h", pg.socket_dir, "-p",
                    str(pg.port), "-U", "postgres", database], check=True, capture_output=True)
    pg.execute("SELECT pg_stat_statements_reset()", "postgres")
    connect = ["-h", pg.host, "-p", pg.port, "-U", "postgres", database]
    process = gated([f"{pg.bin}/pgbench", "-n", "-M", mode, "-c", "4", "-j", "2", "-t", "150",
                     *map(str, connect)])
    cleanup(process)
    process.wait_line("waiting")
    run = hostprof(process.pid, "-d", "0")
    process.write("go\n")
    assert process.wait() == 0, process.stderr
    # The server's view loses the identity of a prepared utility statement after its first run, up
    # to version 16 at least: it knows one BEGIN and one END of each client.
    known = {}
    if mode == "prepared" and pg.version() <= 16:
        known = {"BEGIN": 600, "END": 600}
    # The end of the target ends the window by itself.
    compare(pg, database, run.report(), {}, {}, known)


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_latency(pg, hostprof, cleanup, tmp_path, mode):
    """One statement a transaction: pgbench's log of transaction times is the stopwatch."""
    database = pg.new_database()
    script = tmp_path / "one.sql"
    sql = "SELECT id, name FROM users WHERE id = 7"
    script.write_text(sql + ";\n")
    connect = ["-h", pg.host, "-p", pg.port, "-U", "postgres", database]
    process = gated([f"{pg.bin}/pgbench", "-n", "-M", mode, "-t", "500", "-f", str(script), "-l",
                     "--log-prefix", str(tmp_path / "log"), *map(str, connect)])
    cleanup(process)
    process.wait_line("waiting")
    run = hostprof(process.pid, "-d", "0")
    process.write("go\n")
    assert process.wait() == 0, process.stderr
    report = run.report()
    log, = tmp_path.glob("log.*")
    times = [int(line.split()[2]) * 1000 for line in log.read_text().splitlines()]
    assert len(times) == 500
    assert reference(pg, database)[fingerprints([sql])[0]][0] == 500
    compare(pg, database, report, {}, {sql: times})


def test_prepared_before_attach(pg, hostprof, cleanup):
    """Statements prepared before attach keep their counts under <prepared NAME>."""
    database = pg.new_database()
    code = (
        "import asyncio, asyncpg, sys\n"
        "async def main():\n"
        "    c = await asyncpg.connect(sys.argv[1])\n"
        "    a = await c.prepare('SELECT name FROM users WHERE id = $1')\n"
        "    b = await c.prepare('SELECT count(*) FROM posts')\n"
        "    print('waiting', flush=True); sys.stdin.readline()\n"
        "    for n in range(30): await a.fetch(n)\n"
        "    for n in range(20): await b.fetch()\n"
        "    print('finished', flush=True); sys.stdin.readline()\n"
        "asyncio.run(main())\n")
    process = procs.Process([procs.PYTHON, "-c", code, pg.url(database)], stdin=-1)
    cleanup(process)
    process.wait_line("waiting")
    run = hostprof(process.pid, "-d", "0")
    process.write("go\n")
    process.wait_line("finished")
    report = run.stop()
    unknown = {q["statement"]: (q["count"], q["rows"]) for q in report.queries()
               if q["statement"].startswith("<prepared ")}
    # asyncpg names its statements __asyncpg_stmt_N__; ids start at 0.
    assert sorted(unknown.values()) == [(20, 20), (30, 29)], unknown
    assert sum(q["count"] for q in report.queries()) == 50
