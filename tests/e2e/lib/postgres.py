# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL with pg_stat_statements: the reference for every query count.

Runs as an unprivileged user in a temporary directory on its own port; connections over TCP are not
encrypted, so that the profiler can read them. pg_stat_statements tracks top-level statements and
utility commands and starts empty.
"""

import glob
import os
import shutil
import signal
import tempfile

import psycopg2

from . import procs

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, name text NOT NULL);
INSERT INTO users SELECT i, 'user' || i || '@example.org', 'User ' || i
    FROM generate_series(1, 500) i;
CREATE TABLE posts (id serial PRIMARY KEY, user_id int REFERENCES users, title text, body text);
INSERT INTO posts (user_id, title, body)
    SELECT 1 + i % 500, 'Post ' || i, repeat('text ', 20) FROM generate_series(1, 2000) i;
CREATE INDEX ON posts (user_id);
CREATE TABLE events (id bigserial PRIMARY KEY, kind text NOT NULL, amount int, note text);
"""


def bindir():
    """Directory of the newest installed server."""
    dirs = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if dirs:
        newest = max(dirs, key=lambda d: int(d.split("/")[4]))
        return os.path.dirname(newest)
    initdb = shutil.which("initdb")
    assert initdb, "no PostgreSQL server is installed"
    return os.path.dirname(initdb)


def owner():
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    try:
        procs.user_ids("postgres")
        return "postgres"
    except KeyError:
        return "nobody"


class Postgres:
    def __init__(self, tls=False):
        self.base = tempfile.mkdtemp(prefix="hp-pg-", dir="/tmp")
        self.bin = bindir()
        self.port = procs.free_port()
        self.user = owner()
        self.host = "127.0.0.1"
        self.socket_dir = self.base
        data = os.path.join(self.base, "data")
        if self.user:
            os.chown(self.base, *procs.user_ids(self.user))
        init = procs.Process(
            [f"{self.bin}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N",
             "-E", "UTF8", "--locale=C"],
            user=self.user, cwd="/",
        )
        assert init.wait(120) == 0, init.stderr
        self.hba = os.path.join(data, "pg_hba.conf")
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port,
            "unix_socket_directories": self.base, "ssl": "off", "fsync": "off",
            "max_connections": 100, "shared_buffers": "32MB", "jit": "off",
            "autovacuum": "off", "logging_collector": "off", "log_min_messages": "fatal",
            "max_prepared_transactions": 4,
            "shared_preload_libraries": "pg_stat_statements",
            "pg_stat_statements.track": "top", "pg_stat_statements.track_utility": "on",
            "pg_stat_statements.save": "off", "pg_stat_statements.max": 10000,
        }
        if tls:
            settings.update(self._certificate(), ssl="on")
        argv = [f"{self.bin}/postgres", "-D", data]
        for key, value in settings.items():
            argv += ["-c", f"{key}={value}"]
        self.server = procs.Process(argv, user=self.user, cwd="/")
        procs.wait_for(self._ready, 30, "PostgreSQL to accept connections")
        self.execute("CREATE EXTENSION pg_stat_statements", "postgres")
        self._made = 0

    def _certificate(self):
        key, cert = f"{self.base}/server.key", f"{self.base}/server.crt"
        make = procs.Process(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-keyout", key, "-out", cert])
        assert make.wait() == 0, make.stderr
        os.chmod(key, 0o600)
        if self.user:
            for name in (key, cert):
                os.chown(name, *procs.user_ids(self.user))
        return {"ssl_key_file": key, "ssl_cert_file": cert}

    def _ready(self):
        assert self.server.running(), self.server.stderr
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def dsn(self, database, tcp=True):
        host = self.host if tcp else self.socket_dir
        return f"host={host} port={self.port} user=postgres dbname={database}"

    def url(self, database, scheme="postgresql"):
        return f"{scheme}://postgres@{self.host}:{self.port}/{database}"

    def connect(self, database):
        # Over the unix socket: the profiler's targets use TCP, so the two cannot be mixed up.
        return psycopg2.connect(self.dsn(database, tcp=False))

    def execute(self, sql, database, args=None):
        conn = self.connect(database)
        try:
            conn.autocommit = True
            with conn.cursor() as cur:
                cur.execute(sql, args)
                return cur.fetchall() if cur.description else None
        finally:
            conn.close()

    def new_database(self, schema=SCHEMA):
        """A database of its own for one test, so that statistics cannot mix."""
        self._made += 1
        name = f"t{self._made}"
        self.execute(f"CREATE DATABASE {name}", "postgres")
        if schema:
            self.execute(schema, name)
        self.execute("SELECT pg_stat_statements_reset()", "postgres")
        return name

    def statements(self, database):
        """[{query, calls, rows, exec_ms}] of one database since new_database()."""
        rows = self.execute(
            "SELECT s.query, s.calls, s.rows, s.total_exec_time FROM pg_stat_statements s"
            " JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = %s",
            "postgres", (database,),
        )
        return [dict(query=q, calls=c, rows=r, exec_ms=t) for q, c, r, t in rows]

    def version(self):
        return int(self.execute("SHOW server_version_num", "postgres")[0][0]) // 10000

    def stop(self):
        self.server.stop(signal.SIGINT)
        shutil.rmtree(self.base, ignore_errors=True)
