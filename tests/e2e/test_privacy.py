# SPDX-License-Identifier: Apache-2.0
"""Secrets planted everywhere: none may reach a file or the terminal of a busy run.

Passwords (database login, JSON body, basic auth), a bearer token, a cookie, an e-mail address in SQL
literals, bind values, comments, query strings and rows. The same run with --show-literals finds the
SQL literals, so the search is known to be able to find something.
"""

import base64
import http.client
import json
import os
import threading
import urllib.parse

from lib import procs, profiler

SECONDS = 60
SECRETS = {
    "HP_PASSWORD": "hunter2-Tr0ub4dor-pw",
    "HP_TOKEN": "tok-4f9a8b7c6d5e4f3a2b1c",
    "HP_COOKIE": "cook-ie9d8c7b6a5f4e3d2c1b",
    "HP_EMAIL": "planted.person@secret-mail.example",
    "HP_DB_PASSWORD": "db-pa55-w0rd-zebra",
}


def spellings():
    """Each secret as it is, and as it may look in other encodings."""
    found = {}
    for key, value in SECRETS.items():
        found[key] = {value, urllib.parse.quote(value, safe=""), value.upper()}
        found[key].add(value.encode().hex())
    basic = base64.b64encode(f"admin:{SECRETS['HP_PASSWORD']}".encode()).decode()
    found["HP_PASSWORD"].add(basic)
    # Parts count too: half a secret in a file is one too many.
    for key, value in SECRETS.items():
        found[key].add(value[2:-2])
    return found


def search(run, report):
    """[(secret, where)] in all files and what was printed."""
    places = {name: report.read(name) for name in report.files()}
    places["terminal"] = (run.process.stdout + run.process.stderr).encode()
    return [(key, name) for key, values in spellings().items() for name, data in places.items()
            if any(v.encode() in data for v in values)]


class Clients:
    """Four keep-alive clients that send secrets until told to stop."""

    def __init__(self, port):
        self.port = port
        self.stopping = threading.Event()
        self.count = 0
        self.failed = []
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(4)]
        for t in self.threads:
            t.start()

    def _run(self, number):
        email = urllib.parse.quote(SECRETS["HP_EMAIL"])
        headers = [
            {"Authorization": "Bearer " + SECRETS["HP_TOKEN"]},
            {"Cookie": "a=b; session=" + SECRETS["HP_COOKIE"]},
            {"Authorization": "Basic " + base64.b64encode(
                f"admin:{SECRETS['HP_PASSWORD']}".encode()).decode()},
            {"X-Api-Key": SECRETS["HP_TOKEN"]},
        ]
        body = json.dumps({"password": SECRETS["HP_PASSWORD"], "email": SECRETS["HP_EMAIL"]})
        asks = [
            ("POST", f"/login/{number}", body),
            ("GET", f"/search?email={email}&token={SECRETS['HP_TOKEN']}", None),
            ("GET", f"/out/{number}", None),
            ("GET", f"/nothing/there?email={SECRETS['HP_EMAIL']}#{SECRETS['HP_TOKEN']}", None),
        ]
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        n = number
        while not self.stopping.is_set():
            method, path, data = asks[n % len(asks)]
            conn.request(method, path, data, {**headers[n // 4 % 4],
                                              "Content-Type": "application/json"})
            answer = conn.getresponse()
            answer.read()
            if answer.status >= 500:
                self.failed.append((path, answer.status))
            self.count += 1
            n += 1
        conn.close()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()


def start(pg, cleanup):
    database = pg.new_database()
    pg.execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'clear') THEN"
        f" CREATE ROLE clear LOGIN SUPERUSER PASSWORD '{SECRETS['HP_DB_PASSWORD']}';"
        " END IF; END $$", "postgres")
    pg.execute(f"INSERT INTO users VALUES (9999, '{SECRETS['HP_EMAIL']}', 'x')", database)
    with open(pg.hba) as f:
        rules = f.read()
    if " clear " not in rules:
        with open(pg.hba, "w") as f:
            f.write("host all clear 127.0.0.1/32 password\n" + rules)
        pg.execute("SELECT pg_reload_conf()", "postgres")
    port = procs.free_port()
    server = procs.Process(
        [procs.PYTHON, "-m", "uvicorn", "secrets_app:app", "--port", port, "--log-level", "error",
         "--no-access-log"],
        cwd=os.path.dirname(os.path.abspath(__file__)),
        env={**SECRETS, "HP_PORT": str(port), "HP_PG_URL": pg.url(database),
             "PYTHONDONTWRITEBYTECODE": "1",
             "HP_PG_PASSWORD_DSN": f"host={pg.host} port={pg.port} user=clear dbname={database} "
                                   f"password={SECRETS['HP_DB_PASSWORD']}"})
    cleanup(server)
    procs.wait_for(lambda: server.running() and procs.listening(port), 20, "the application")
    return server, port


def test_nothing_private_in_a_busy_minute(pg, cleanup, hostprof):
    server, port = start(pg, cleanup)
    clients = Clients(port)
    cleanup(clients)
    run = hostprof(server.pid, "-d", f"{SECONDS}s")
    report = run.report(timeout=SECONDS + 60)
    clients.stop()
    assert not clients.failed, clients.failed[:3]
    assert clients.count > 1000
    # The capture is searchable: what is not private stands in it in the clear.
    capture = report.read("capture.hpcap")
    assert b"/nothing/there" in capture and b"UPDATE users SET name" in capture
    assert {e["route"] for e in report.endpoints()} >= {"/login/{id}", "/search", "/out/{id}"}
    assert any("email" in q["statement"] for q in report.queries())
    assert search(run, report) == []


def test_show_literals_shows_them(pg, cleanup, hostprof):
    server, port = start(pg, cleanup)
    clients = Clients(port)
    cleanup(clients)
    run = hostprof(server.pid, "-d", "2s", "--show-literals")
    report = run.report()
    clients.stop()
    found = search(run, report)
    assert ("HP_EMAIL", "capture.hpcap") in found
    assert {name for _, name in found} == {"capture.hpcap"}, "README: no table shows them"


def test_files_are_for_their_owner(app, hostprof, tmp_path):
    """0700 and 0600, owned by whoever called sudo."""
    uid = procs.user_ids("nobody")[0]
    run = procs.Process(
        [profiler.BINARY, "attach", app.pid, "-d", "300ms", "-o", tmp_path / "own"],
        env={"SUDO_UID": str(uid), "SUDO_GID": str(procs.user_ids("nobody")[1])})
    assert run.wait(30) == 0, run.stderr
    directory = tmp_path / "own"
    assert directory.stat().st_mode & 0o777 == 0o700 and directory.stat().st_uid == uid
    files = list(directory.iterdir())
    assert {f.name for f in files} >= {"summary.json", "capture.hpcap"}
    for f in files:
        assert f.stat().st_mode & 0o777 == 0o600 and f.stat().st_uid == uid, f
