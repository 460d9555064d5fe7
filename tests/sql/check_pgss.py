#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of statements against what PostgreSQL's statistics view says of the same statements.

Starts a private server with pg_stat_statements in a temporary directory, runs every statement of
corpus.sql and of EXTRA below, each on fresh statistics, and reads back the text that the view has for
it, with $1 where constants were. The fingerprint of the text as sent, as sent and masked, and as the
view has it must be one. Statements that the view does not count or that cannot run here are named
in NOT_RUN; a name too many is an error as well. Each statement runs a second time with all blanks
gone that it can do without, because the view puts $1 in without any. Left out on purpose: -(5) and
- -5, for which servers up to 17 replace only the sign and what follows it, so that the view shows
text that is no SQL.

Usage: check_pgss.py SQLFP CORPUS SCHEMA [BINDIR]
"""

import asyncio
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import asyncpg
import psycopg2

PORT = 25432
MARK = " /*bracket*/"

# The view counts no PREPARE, EXECUTE, DEALLOCATE; the others fail or need what is not here.
NOT_RUN = {
    "prepare", "execute", "deallocate", "deallocate-pg3", "deallocate-all", "deallocate-prepare",
    "copy-in-binary",
}

# Run before the statement, in the same transaction. {0} is the last word of the statement.
PRELUDE = {
    "release": "SAVEPOINT {0}", "release-savepoint": "SAVEPOINT {0}",
    "rollback-to": "SAVEPOINT {0}",
    "fetch-forward": "DECLARE {0} CURSOR FOR SELECT 1", "fetch-all": "DECLARE {0} CURSOR FOR SELECT 1",
    "fetch-next": "DECLARE {0} CURSOR FOR SELECT 1", "move": "DECLARE {0} CURSOR FOR SELECT 1",
    "close": "DECLARE {0} CURSOR FOR SELECT 1", "close-plain": "DECLARE {0} CURSOR FOR SELECT 1",
    "commit-prepared": "PREPARE TRANSACTION {0}", "rollback-prepared": "PREPARE TRANSACTION {0}",
}
OUTSIDE = {
    "vacuum", "vacuum-analyze", "discard", "begin", "begin-transaction", "begin-isolation",
    "begin-read-only", "start-transaction",
}
AFTER = {"prepare-transaction": "ROLLBACK PREPARED {0}"}

EXTRA = r"""
SELECT date'2024-01-01',interval'1 day'
SELECT N'abc', n'', N'a''b'
SELECT U&'d!0061' UESCAPE '!'
SELECT id FROM users WHERE name LIKE'a'AND name>'b'OR name IN('a','b')ORDER BY 1
SELECT CASE WHEN true THEN'a'ELSE'b'END
SELECT 1 IS NULL, NULL IS NULL, true IS TRUE, NULL IS NOT FALSE
SELECT NOT NULL
SELECT (NOT NULL) IS NULL
SELECT interval(0)'1.5 s'
SELECT interval'1'year,interval '1-2' year to month
SELECT bool't', boolean 'f', double precision '1.5', bit varying '101', character varying 'x'
SELECT time with time zone '10:00', timestamp '2024-01-01 10:00', timestamp(3) '2024-01-01'
SELECT id FROM users WHERE id IN (1, 2+3, -4)
SELECT NULL IS DISTINCT FROM NULL, age IS NOT DISTINCT FROM NULL FROM users
SELECT EXTRACT("year" FROM now()), extract(EPOCH from now()), extract('day' from now())
SELECT position('-5' in 'a-5'), overlay('abc' placing 'x' from 2), trim(leading 'x' from 'xa')
SELECT age+1 FROM users GROUP BY age+1
SELECT 1 + 1 ORDER BY 1
SELECT 'x'::text COLLATE "C", 'x'::varchar(10), 1::numeric(10,2), '{1}'::int[]
SELECT ARRAY[]::int[], ARRAY[1, age, -3], ARRAY[-1], ARRAY[[1],[-2]] FROM users
SELECT ('{1,2,3}'::int[])[-1], ('{1,2,3}'::int[])[1:2], ('{1,2,3}'::int[])[:2], tags[age:] FROM users
SELECT json '{"a":1}'->'a', jsonb '[1]'->-1, jsonb '[1]'->0
SELECT id FROM users WHERE data ?'a' AND data?'b' AND NOT data?|ARRAY['c']
SELECT a FROM (VALUES (1,'x'),(2,'y')) v(a,b) WHERE a = -1
SELECT a FROM (VALUES (1,now()),(-2,now()),(3,NULL)) v(a,b)
SELECT GREATEST(-1, 2), COALESCE(NULL, -1), nullif(-1, -1)
SELECT id FROM users ORDER BY age DESC NULLS LAST, -age
SELECT -5 % 3, +5, @ -5, ~1, 2 ^ -1, |/ 25, 5=-5, 5>=-5, 5*-5, 5 - -5, 5-5, 5 -5, -5-5
SELECT - 5, -   5.5, + 5, -'5'::int, - 5::int, -5::int, (-5)::int
SELECT -/* c */5, 5 -/* c */5
SELECT ALL -5
SELECT DISTINCT -5
SELECT CASE -5 WHEN -5 THEN -5 ELSE -6 END - 5
SELECT 'a' LIKE 'b' ESCAPE '', 'a' SIMILAR TO 'b' ESCAPE '!', 'a' ~ 'b'
SELECT 1 BETWEEN -1 AND -2, 1 NOT BETWEEN SYMMETRIC -1 AND -2, NOT -5 = 5, -5 IS NULL, -5 ISNULL
SELECT count(*) - 5, count(*) -5, count(-5) FROM users HAVING -1 < 0
SELECT substring('abc' from -1 for 3), substring('abc' for 2), substring('abc' from 'b')
SELECT now() AT TIME ZONE interval '-1' hour, now() AT TIME ZONE -interval '1 hour'
SELECT ROW(-1), ROW(-1, 'a') = ROW(1, 'b'), (-1, 2) < (3, -4)
SELECT make_interval(days => -1), make_interval(days := -1), concat(VARIADIC ARRAY['a', 'b'])
SELECT u.id FROM users u JOIN posts p ON -1 < p.views AND true LEFT JOIN comments c ON TRUE
SELECT id FROM users WHERE -1 < age LIMIT 5 OFFSET 0
SELECT id FROM users WHERE age = ANY (ARRAY[1, -2]) OR age > ALL ('{1}') OR age = SOME (VALUES (1), (-2))
SELECT id FROM users FETCH FIRST ROW ONLY
SELECT id FROM users FETCH NEXT 3 ROWS ONLY
SELECT sum(age) OVER (ORDER BY age RANGE BETWEEN 1 PRECEDING AND 2 FOLLOWING) FROM users
SELECT sum(age) OVER (ORDER BY age ROWS 1 PRECEDING) FROM users
INSERT INTO orders (id, customer_id, note) VALUES (DEFAULT, -1, 'x'), (DEFAULT, 2, NULL) RETURNING -1, id
INSERT INTO orders (customer_id, placed) VALUES (1, date '2024-01-01'), (2, date'2024-01-02'), (-3, now())
UPDATE users SET data = data || '{"a":1}', age = -age - -1, active = NOT active, tags[1] = 'x'
UPDATE users SET (name, age) = ROW('x', -1), balance = balance * 1.05 WHERE id IN (-1) AND (active IS TRUE) = FALSE
SELECT 'line one'
	'line two', E'a\'b'
	'c\'d', 'x' -- comment 'y'
	'z'
SELECT $$a$$, $x$b$$c$x$, $x$a$y$b$y$c$x$
SELECT 0.5, .5, 5., 1e10, 1E-10, 1.5e+3, 12345678901234567890, 00012
SELECT B'1', b'01', X'fF', x'0'
SELECT E'\\', E'\'', E'a\\\'b', 'a\', E'\x41\101'
SELECT/**/1/**/,/**/'a'/* ' */
SELECT 1 --
SELECT "a--b", "a/*b", "a'b", "a""b" FROM (SELECT 1, 2, 3, 4) t("a--b", "a/*b", "a'b", "a""b")
SELECT 1; SELECT 'a;b'; SELECT 2
SELECT 1;;  ; /* empty */ ; SELECT "id" FROM users WHERE name = ';'
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SEARCH DEPTH FIRST BY n SET o CYCLE n SET is_c TO true DEFAULT false USING p SELECT * FROM t
SELECT xmlelement(name "a", xmlattributes(1 AS b), NULL, -1)
SELECT * FROM json_to_recordset('[{"a":1}]') AS x(a int, b text) WHERE a IS NULL OR b IS NOT NULL
SELECT * FROM unnest(ARRAY[1,2], ARRAY['a','b']) WITH ORDINALITY
SELECT set_config('x.y', NULL, TRUE), current_setting('x.y', true), CURRENT_TIME(0), LOCALTIMESTAMP(3)
SELECT * FROM users WHERE (name, age) IN (('a', 1), ('b', -2)) AND id NOT IN (1, 2) AND age IN (1, NULL)
SELECT id::text || '-' || age::text || E'\n' FROM users
SELECT 1 AS "User", 2 AS "group", 3 years, 4 AS limit_
SELECT normalize('a', NFKC), normalize('a'), 'a' IS NORMALIZED, 'a' IS NOT NFKC NORMALIZED
SELECT $1::int + 5, $2::text || 'x', -$1
SELECT id FROM users WHERE id = $1 AND name IN ('a', $2) AND age IN (1, 2) LIMIT 5
DECLARE c1 CURSOR FOR SELECT id FROM users WHERE age IN (1, 2) AND name = 'x'
EXPLAIN (COSTS off, VERBOSE true) SELECT id FROM users WHERE age = 5 AND name IN ('a', 'b')
COPY (SELECT 1, 'a' WHERE NULL IS NULL) TO STDOUT (FORMAT csv, HEADER true, NULL 'NULL')
CREATE TABLE t9 AS SELECT 1 AS a, NULL AS b, 'x' AS c
CREATE VIEW v9 AS SELECT 1 AS a, 'x' AS c WHERE true
SET application_name = 'x'
SET LOCAL statement_timeout TO '5s'
SHOW ALL
SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;
"""


def statements(text, group=None):
    """(group, statement) of a corpus file."""
    out = []
    for line in text.split("\n"):
        if line.startswith("# group "):
            group = line[8:]
        elif line.startswith("\t"):
            out[-1] = (out[-1][0], out[-1][1] + "\n" + line[1:])
        elif line and not line.startswith("#"):
            out.append((group, line))
    return out


TOKEN = re.compile(
    r"""[EeNnBbXx]?'(?:[^'\\]|''|\\.)*'|"[^"]*"|\$(\w*)\$.*?\$\1\$|--[^\n]*\n|/\*.*?\*/|\w+|\s+|.""",
    re.S)


def squeezed(text):
    """The text without the blanks that its tokens can do without."""
    tokens = [m.group() for m in TOKEN.finditer(text)]
    out = tokens[:1]
    for i in range(1, len(tokens)):
        before, t, after = tokens[i - 1], tokens[i], (tokens + ["", ""])[i + 1]
        free = before[-1] in "(),[]=" or after[:1] in tuple("(),[]=") or \
            (after[:1] == "'" and before.isalpha() and len(before) > 1) or \
            (before[-1] == "'" and after.isalpha())
        if not (t.isspace() and "\n" not in t and free and before[-1] + after[:1] not in ("==", ">=")):
            out.append(t)
    return "".join(out)


def fingerprints(sqlfp, texts, *options):
    """For each text the list of fingerprints of its statements."""
    data = b"".join(t.encode() + b"\0" for t in texts)
    out = subprocess.run([sqlfp, *options], input=data, stdout=subprocess.PIPE, check=True).stdout
    return [line.split() for line in out.decode().split("\n")[:-1]]


class Server:
    """A private PostgreSQL, gone after the with block."""

    def __init__(self, bindir):
        self.bindir = bindir
        self.dir = tempfile.mkdtemp(prefix="pgss-")
        self.proc = None

    def as_postgres(self, *cmd):
        return ["runuser", "-u", "postgres", "--", *cmd] if os.geteuid() == 0 else list(cmd)

    def __enter__(self):
        if os.geteuid() == 0:
            os.chown(self.dir, pwd.getpwnam("postgres").pw_uid, -1)
        data = self.dir + "/data"
        subprocess.run(
            self.as_postgres(self.bindir + "/initdb", "-D", data, "-U", "postgres", "-A", "trust",
                             "-N", "-E", "UTF8", "--locale=C"),
            check=True, stdout=subprocess.DEVNULL, cwd="/")
        options = {
            "shared_preload_libraries": "pg_stat_statements", "port": PORT, "fsync": "off",
            "listen_addresses": "", "unix_socket_directories": self.dir,
            "max_prepared_transactions": 5, "logging_collector": "off", "log_min_messages": "panic",
            "pg_stat_statements.track": "top",
        }
        args = [a for k, v in options.items() for a in ("-c", f"{k}={v}")]
        # The log keeps errors that the statements make on purpose out of the test's output.
        self.log = open(self.dir + "/log", "wb")
        self.proc = subprocess.Popen(
            self.as_postgres(self.bindir + "/postgres", "-D", data, *args),
            stdout=self.log, stderr=self.log, cwd="/")
        for _ in range(100):
            try:
                psycopg2.connect(host=self.dir, port=PORT, user="postgres", dbname="postgres").close()
                return self
            except psycopg2.OperationalError:
                time.sleep(0.1)
        raise RuntimeError("the server does not start")

    def __exit__(self, *exc):
        with open(self.dir + "/data/postmaster.pid", encoding="ascii") as f:
            os.kill(int(f.readline()), signal.SIGINT)
        self.proc.wait()
        self.log.close()
        shutil.rmtree(self.dir)


class Runner:
    def __init__(self, server):
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.control = self.connect("postgres")
        self.sql(self.control, "CREATE EXTENSION pg_stat_statements")
        self.sql(self.control, "CREATE ROLE app SUPERUSER LOGIN")

    def connect(self, user):
        conn = psycopg2.connect(host=self.server.dir, port=PORT, user=user, dbname="postgres")
        conn.autocommit = True
        return conn

    @staticmethod
    def sql(conn, text):
        with conn.cursor() as cur:
            if text.startswith("COPY") and "STD" in text:
                with open(os.devnull, "rb+") as null:
                    cur.copy_expert(text, null)
            else:
                cur.execute(text)
            return cur.fetchall() if cur.description else []

    def with_params(self, text):
        """Runs a text with $1 in it, every parameter NULL."""
        count = max(i for i in range(1, 20) if f"${i}" in text)

        async def go():
            conn = await asyncpg.connect(host=self.server.dir, port=PORT, user="app",
                                         database="postgres")
            try:
                await conn.fetch(text, *[None] * count)
            finally:
                await conn.close()

        self.loop.run_until_complete(go())

    def run(self, group, text):
        """Texts that the view has for this one, or None when it cannot run."""
        self.sql(self.control, "SELECT pg_stat_statements_reset()")
        try:
            if any(f"${i}" in text for i in range(1, 9)) and group != "prepare":
                self.with_params(text)
            else:
                self.plain(group, text)
        except (psycopg2.Error, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
            print(f"{group}: {text!r}: {str(e).strip().splitlines()[0]}", file=sys.stderr)
            return None
        rows = self.sql(self.control, """SELECT query FROM pg_stat_statements s
            JOIN pg_roles r ON r.oid = s.userid WHERE rolname = 'app' AND calls > 0""")
        # asyncpg asks for types on its own.
        return [q for (q,) in rows if MARK.strip() not in q and
                ("typeinfo_tree" in text or "typeinfo_tree" not in q)]

    def plain(self, group, text):
        conn = self.connect("app")
        word = text.rstrip("; ").split()[-1]
        try:
            if group not in OUTSIDE:
                self.sql(conn, "BEGIN" + MARK)
            if group in PRELUDE:
                self.sql(conn, PRELUDE[group].format(word) + MARK)
            self.sql(conn, text)
            if group in AFTER:
                self.sql(conn, AFTER[group].format(word) + MARK)
        finally:
            conn.close()


def main():
    sqlfp, corpus, schema = sys.argv[1:4]
    bindirs = sys.argv[4:] or sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    with open(corpus, encoding="utf-8") as f:
        todo = statements(f.read())
    todo += [("extra", text) for _, text in statements(EXTRA)]
    todo.append(("extra", asyncpg.introspection.INTRO_LOOKUP_TYPES))
    todo += [(group, squeezed(text)) for group, text in todo
             if squeezed(text) != text and group not in {*PRELUDE, *AFTER, *NOT_RUN}]
    with Server(bindirs[-1]) as server:
        runner = Runner(server)
        app = runner.connect("app")
        with open(schema, encoding="utf-8") as f:
            runner.sql(app, f.read())
        app.close()
        seen = [runner.run(group, text) for group, text in todo]
        runner.control.close()

    ours = fingerprints(sqlfp, [text for _, text in todo])
    masked = fingerprints(sqlfp, [text for _, text in todo], "--masked")
    bad = compared = 0
    not_run = set()
    for (group, text), views, a, b in zip(todo, seen, ours, masked):
        if not views:
            not_run.add(group)
            continue
        compared += 1
        theirs = [f for fs in fingerprints(sqlfp, views) for f in fs]
        if a != b or set(a) != set(theirs):
            bad += 1
            print(f"{group}: sent {text!r}\n  the view has {views}", file=sys.stderr)
    if not_run != NOT_RUN:
        bad += 1
        print(f"not run or not counted: {sorted(not_run ^ NOT_RUN)}", file=sys.stderr)
    print(f"{compared} statements compared with pg_stat_statements, {bad} wrong")
    return bad or compared < 850


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
