# SPDX-License-Identifier: Apache-2.0
"""The processes whose captures tests/replay keeps: target.py KIND.

Prints `ready`, does its work when a line comes on standard input, prints `done` and waits for the end of
standard input. KIND is http (serves on $PORT), busy (uses CPU) or a PostgreSQL case (server in $DSN).
Every value that must never be in a capture contains the word `hunter2`.
"""

import asyncio
import hashlib
import http.client
import http.server
import os
import sys
import threading

DSN = os.environ.get("DSN", "")


def say(word):
    print(word, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "target"

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while n := int(self.rfile.readline(), 16):
                data += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        data = self.body()
        path = self.path.split("?")[0]
        if path == "/missing":
            self.answer(404, b"no\n")
        elif path == "/boom":
            self.answer(500, b"oops, hunter2\n")
        elif path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for n in (1, 70, 3000):
                self.wfile.write(b"%x\r\n%s\r\n" % (n, b"s" * n))
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
            self.close_connection = True
        elif path == "/call":
            conn = http.client.HTTPConnection("127.0.0.1", int(os.environ["CALL_PORT"]))
            conn.request("GET", "/upstream/7?key=hunter2")
            self.answer(200, conn.getresponse().read())
            conn.close()
        else:
            self.answer(200, b"item %d\n" % len(data), [("Set-Cookie", "id=hunter2")])

    do_POST = do_PUT = do_HEAD = do_GET

    def log_message(self, *args):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def pg_simple(before):
    import psycopg2

    conn = psycopg2.connect(DSN)
    conn.autocommit = True
    cur = conn.cursor()
    before()
    for i in range(5):
        cur.execute("SELECT id, email FROM users WHERE id = %s AND name <> 'hunter2'", (i,))
        cur.fetchall()
    cur.execute("SELECT 1; SELECT 2, 'hunter2'; SELECT generate_series(1, 300)")
    cur.execute("UPDATE users SET name = 'hunter2' WHERE id IN (1, 2, 3)")
    conn.close()


def pg_transaction(before):
    import psycopg2

    before()
    conn = psycopg2.connect(DSN)
    cur = conn.cursor()
    for i in range(3):
        cur.execute("INSERT INTO events (kind, note) VALUES (%s, 'hunter2')", (f"kind{i}",))
        conn.commit()
    cur.execute("SELECT count(*) FROM events")
    conn.rollback()
    conn.close()


def pg_copy(before):
    import io

    import psycopg2

    conn = psycopg2.connect(DSN)
    cur = conn.cursor()
    before()
    rows = "".join(f"kind\t{i}\thunter2\n" for i in range(60))
    cur.copy_expert("COPY events (kind, amount, note) FROM STDIN", io.StringIO(rows))
    cur.copy_expert("COPY (SELECT * FROM events) TO STDOUT", io.StringIO())
    conn.commit()
    conn.close()


def pg_error(before):
    import psycopg2

    conn = psycopg2.connect(DSN)
    cur = conn.cursor()
    before()
    for sql in ("SELECT nonesuch", "INSERT INTO users VALUES (1, 'hunter2', 'hunter2')", "SELEC 1",
                "SELECT 1/0"):
        try:
            cur.execute(sql)
        except psycopg2.Error:
            pass
        try:
            cur.execute("SELECT 'in a failed transaction'")
        except psycopg2.Error:
            conn.rollback()
    conn.close()


def pg_encrypted(before):
    import psycopg2

    before()
    conn = psycopg2.connect(DSN + " sslmode=require")
    cur = conn.cursor()
    for _ in range(5):
        cur.execute("SELECT 'hunter2'")
    conn.close()


async def asyncpg_main(before, work):
    import asyncpg

    conn = await asyncpg.connect(os.environ["URL"])
    if before:
        await conn.fetchval("SELECT 40 + $1::int", 2)  # prepared before the window
        before()
    await work(conn)
    await conn.close()


async def extended(conn):
    await conn.fetchval("SELECT 40 + $1::int", 2)
    for i in range(5):
        await conn.fetch("SELECT * FROM posts WHERE user_id = $1 AND body <> $2", i, "hunter2")
    async with conn.transaction():
        async for _ in conn.cursor("SELECT * FROM users", prefetch=100):
            pass


async def batch(conn):
    await conn.executemany("INSERT INTO events (kind, amount, note) VALUES ($1, $2, $3)",
                           [("kind", i, f"hunter2 {i}") for i in range(100)])


def pg_extended(before):
    asyncio.run(asyncpg_main(before, extended))


def pg_batch(before):
    before()
    asyncio.run(asyncpg_main(None, batch))


def busy(before):
    before()
    data = b"x" * 100000
    for _ in range(1500):
        data = hashlib.sha256(data).digest() * 3125


def main():
    kind = sys.argv[1]

    def ready():
        say("ready")
        sys.stdin.readline()

    if kind == "http":
        serve()
        ready()
    else:
        globals()[kind](ready)
    say("done")
    sys.stdin.read()


if __name__ == "__main__":
    main()
