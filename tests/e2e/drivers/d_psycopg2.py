# SPDX-License-Identifier: Apache-2.0
"""psycopg2: simple protocol with literals in the text, named cursors, COPY, errors."""

import io
import sys

import psycopg2
import psycopg2.extras

from common import Run, wait_go

BY_ID = "SELECT id, name FROM users WHERE id = 1"


def work(dsn, run):
    conn = psycopg2.connect(dsn)
    conn.autocommit = True
    cur = conn.cursor()
    for n in range(200):
        with run.watch(BY_ID):
            cur.execute("SELECT id, name FROM users WHERE id = %s", (1 + n,))
            cur.fetchall()
    cur.execute("SELECT * FROM posts ORDER BY id LIMIT 1500")
    assert len(cur.fetchall()) == 1500
    cur.execute("SELECT * FROM users WHERE id IN %s AND email <> %s", ((1, 2, -3), "it's"))
    cur.execute("SELECT * FROM users WHERE id = ANY(%s)", ([4, 5, 6],))
    cur.executemany("INSERT INTO events (kind, amount) VALUES (%s, %s)",
                    [("many", n - 50) for n in range(300)])
    psycopg2.extras.execute_values(
        cur, "INSERT INTO events (kind, amount, note) VALUES %s",
        [("values", n, None) for n in range(250)])
    cur.execute("UPDATE events SET note = %s WHERE kind = %s", ("a;b -- c", "many"))
    cur.execute("SELECT 1; SELECT 'a;b'; SELECT 3 -- the end")
    cur.execute("/* hint */ SELECT TRUE, NULL, E'\\n', $tag$ quoted $tag$, 1.5e3")
    cur.execute("DO $$ BEGIN RAISE NOTICE 'told'; END $$")
    cur.execute("SELECT * FROM posts WHERE id IN (%s)" % ", ".join(map(str, range(1, 6000))))
    assert cur.rowcount == 2000

    with run.fails("23505"):
        cur.execute("INSERT INTO users VALUES (1, 'a', 'b')")
    for n in range(5):
        with run.fails("42703"):
            cur.execute("SELECT nothing FROM users WHERE id = %s", (n,))
    with run.fails("22P02"):
        cur.execute("SELECT 'x'::int")

    conn.autocommit = False
    cur.execute("SELECT current_user")
    with run.fails("42601"):
        cur.execute("SELEKT 1")
    with run.fails("25P02"):
        cur.execute("SELECT 8 AS in_failed_transaction")
    conn.rollback()
    named = conn.cursor("named_cursor")
    named.itersize = 400
    named.execute("SELECT id, title FROM posts ORDER BY id")
    assert sum(1 for _ in named) == 2000
    named.close()
    conn.commit()

    cur.copy_expert("COPY events (kind, amount) FROM STDIN",
                    io.StringIO("".join(f"copied\t{n}\n" for n in range(2500))))
    sink = io.StringIO()
    cur.copy_expert("COPY (SELECT id FROM posts WHERE id > 500) TO STDOUT", sink)
    assert sink.getvalue().count("\n") == 1500
    conn.commit()
    cur.execute("CREATE TEMP TABLE t2 AS SELECT id FROM posts WHERE id < 100")
    cur.execute("SAVEPOINT s1")
    cur.execute("SELECT count(*) FROM t2")
    cur.execute("ROLLBACK TO SAVEPOINT s1")
    conn.commit()
    conn.close()


def main():
    run = Run(lambda e: getattr(e, "pgcode", None))
    wait_go()
    work(sys.argv[1], run)
    run.report()


main()
