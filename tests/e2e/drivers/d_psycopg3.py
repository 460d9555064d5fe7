# SPDX-License-Identifier: Apache-2.0
"""psycopg 3: extended protocol, automatic prepare, pipeline mode, server cursors, COPY, errors."""

import sys

import psycopg

from common import Run, wait_go

BY_ID = "SELECT id, name FROM users WHERE id = $1"


def work(dsn, run):
    conn = psycopg.connect(dsn, autocommit=True)
    cur = conn.cursor()
    for n in range(200):  # prepared by itself after five
        with run.watch(BY_ID):
            cur.execute("SELECT id, name FROM users WHERE id = %s", (1 + n,))
            cur.fetchall()
    cur.execute("SELECT * FROM posts ORDER BY id LIMIT 1500", prepare=False)
    assert len(cur.fetchall()) == 1500
    cur.execute("SELECT 1; SELECT 2, 'x'; SELECT 3")
    cur.execute("SELECT * FROM users WHERE id = ANY(%s)", ([1, 2, 3],))
    cur.execute("SELECT title FROM posts WHERE id = %b", (9,), binary=True)
    cur.executemany("INSERT INTO events (kind, amount) VALUES (%s, %s)",
                    [("many", n) for n in range(400)])

    with conn.pipeline():
        for n in range(30):
            conn.execute("SELECT name FROM users WHERE id = %s", (n,))
        conn.execute("UPDATE events SET amount = 0 WHERE kind = %s", ("many",))

    with run.fails("23505"):
        cur.execute("INSERT INTO users VALUES (%s, %s, %s)", (1, "a", "b"))
    for n in range(6):
        with run.fails("22012"):
            cur.execute("SELECT 1 / (%s::int - %s::int)", (n, n))
    with run.fails("42P01"):
        cur.execute("SELECT * FROM no_such_table WHERE id = %s", (1,))

    with conn.transaction():
        cur.execute("INSERT INTO events (kind) VALUES ('tx')")
        with conn.transaction():
            cur.execute("DELETE FROM events WHERE kind = 'tx'")
    with conn.transaction():
        with conn.cursor("server_side") as named:
            named.execute("SELECT id FROM posts ORDER BY id")
            named.itersize = 300
            assert sum(1 for _ in named) == 2000

    with cur.copy("COPY events (kind, amount) FROM STDIN") as copy:
        for n in range(1800):
            copy.write_row(("copied", n))
    got = 0
    with cur.copy("COPY (SELECT id, title FROM posts) TO STDOUT") as copy:
        for _ in copy.rows():
            got += 1
    assert got == 2000
    cur.execute("SET statement_timeout = '50ms'")
    with run.fails("57014"):
        cur.execute("SELECT pg_sleep(5)")
    cur.execute("RESET statement_timeout")
    conn.close()


def main():
    run = Run(lambda e: getattr(e, "sqlstate", None))
    wait_go()
    work(sys.argv[1], run)
    run.report()


main()
