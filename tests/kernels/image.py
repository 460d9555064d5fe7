# SPDX-License-Identifier: Apache-2.0
"""The guest's file system: two archives, from the packages of this host and from the build.

base.cpio: busybox, Python, nginx and PostgreSQL as the host's packages have them, each with the
shared libraries that it names, and a cluster that initdb made here. It is made anew when any of the
files in it is another than last time. work.cpio: hostprof, the probe tests, the guest's scripts. It is
made for every run.

Only what the cases touch goes in: the kernel copies all of it at boot, under emulation, into memory.
"""

import glob
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile

from cpio import Cpio

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASE_VERSION = 1  # counts up when base.cpio is made in another way
PG_UID = 100
PASSWD = ("root:x:0:0:root:/root:/bin/sh\n"
          f"postgres:x:{PG_UID}:{PG_UID}::/tmp:/bin/sh\n"
          "www-data:x:33:33::/tmp:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n")
GROUP = f"root:x:0:\npostgres:x:{PG_UID}:\nwww-data:x:33:\nnogroup:x:65534:\n"
# Parts of the standard library that no case imports.
STDLIB_LESS = re.compile(
    r"/(config-\d|test|tests|idlelib|lib2to3|pydoc_data|distutils|ensurepip|tkinter|turtledemo|"
    r"unittest|xmlrpc|dbm|curses|wsgiref|sqlite3|lib-dynload/(_test|_codecs_[a-hj-z]|_sqlite|_dbm))|"
    r"encodings/(cp|mac_|big5|euc|gb|hz|iso2022|iso8859|johab|koi8|shift|kz|ptcp|tis)")
PYTHON_PACKAGES = ("uvicorn", "uvloop", "httptools", "asyncpg", "click", "h11", "asgiref",
                   "typing_extensions.py")
PG_SETTINGS = {
    "listen_addresses": "'127.0.0.1'", "unix_socket_directories": "'/tmp'", "ssl": "off",
    "fsync": "off", "shared_buffers": "8MB", "max_connections": "20", "jit": "off",
    "autovacuum": "off", "max_wal_size": "1GB", "checkpoint_timeout": "1h",
    "logging_collector": "off", "bgwriter_lru_maxpages": "0", "max_wal_senders": "0",
    "wal_level": "minimal", "max_logical_replication_workers": "0", "huge_pages": "off",
    "shared_preload_libraries": "'pg_stat_statements'", "pg_stat_statements.track": "top",
    "pg_stat_statements.track_utility": "on", "pg_stat_statements.save": "off",
    "pg_stat_statements.max": "1000", "timezone": "'GMT'", "log_timezone": "'GMT'",
}
SQL = {
    "postgres": "CREATE EXTENSION pg_stat_statements\nCREATE DATABASE app\n",
    "app": "CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, seen int DEFAULT 0)\n"
           "INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 400) i\n",
}


class Missing(Exception):
    """A package that the image is made from is not installed."""


def newest(pattern):
    found = sorted(glob.glob(pattern), key=lambda p: [int(n) for n in re.findall(r"\d+", p)])
    if not found:
        raise Missing(f"nothing matches {pattern}; tools/install-deps.sh test installs it")
    return found[-1]


def program(name):
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    if not path:
        raise Missing(f"{name} is not installed; tools/install-deps.sh test installs it")
    return os.path.realpath(path)


def libraries(paths):
    """Everything that these ELF files load, as ldd sees it."""
    found = set()
    elf = []
    for path in paths:
        with open(path, "rb") as f:
            if f.read(4) == b"\x7fELF":
                elf.append(path)
    for i in range(0, len(elf), 200):
        text = subprocess.run(["ldd", *elf[i:i + 200]], capture_output=True, text=True).stdout
        found.update(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", text, re.M))
    return sorted(found)


def walk(path):
    """Files below a directory, without links."""
    for top, _, files in os.walk(path):
        for name in sorted(files):
            full = os.path.join(top, name)
            if not os.path.islink(full):
                yield full


def base_files():
    """The host's files in base.cpio, without their libraries."""
    python = os.path.realpath("/usr/bin/python3")
    stdlib = newest("/usr/lib/python3.[0-9]*/os.py")[:-len("/os.py")]
    # dash and dd beside busybox: its shell runs its own applets without exec(), which a test counts.
    files = [program("busybox"), program("dash"), program("dd"), python, program("nginx")]
    files += [f for f in walk(stdlib) if not STDLIB_LESS.search(f) and "/opt-" not in f]
    for name in PYTHON_PACKAGES:
        path = f"/usr/lib/python3/dist-packages/{name}"
        files += [f for f in walk(path) if "/tests/" not in f and not f.endswith((".c", ".pyx"))]
        files += [path] if os.path.isfile(path) else []
    postgres = newest("/usr/lib/postgresql/*/bin/postgres")
    top = postgres[:-len("/bin/postgres")]
    share = top.replace("/usr/lib", "/usr/share")
    files += [postgres]
    files += [f"{top}/lib/{name}.so" for name in ("pg_stat_statements", "plpgsql")]
    files += list(walk(f"{share}/timezonesets"))
    missing = [f for f in files if not os.path.exists(f)]
    if missing:
        raise Missing(f"{missing[0]} is not installed; tools/install-deps.sh test installs it")
    return files, postgres


def fixed_pyc(name, data):
    """Compiled Python is taken as it is: the kernel may not keep the sources' times."""
    if name.endswith(".pyc") and len(data) > 16:
        return data[:4] + b"\x01\0\0\0" + data[8:]
    return data


def cluster(into, postgres):
    """A PostgreSQL cluster as the server's user would have made it; returns the directory."""
    bindir = os.path.dirname(postgres)
    data = os.path.join(into, "pgdata")
    user = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        os.chown(into, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    run = dict(check=True, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **user)
    subprocess.run([f"{bindir}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E",
                    "UTF8", "--locale=C", "--wal-segsize=1"], **run)
    with open(f"{data}/postgresql.conf", "a") as f:
        f.writelines(f"{k} = {v}\n" for k, v in PG_SETTINGS.items())
    for database, sql in SQL.items():
        subprocess.run([postgres, "--single", "-D", data, database], input=sql.encode(), **run)
    return data


def identity(files):
    """Changes when base.cpio must be made anew."""
    h = hashlib.sha256(repr((BASE_VERSION, PG_SETTINGS, SQL, PASSWD)).encode())
    for path in files:
        st = os.stat(path)
        h.update(f"{path} {st.st_size} {st.st_mtime_ns}\n".encode())
    return h.hexdigest()


def base(output):
    """The path of base.cpio, made now if need be."""
    directory = os.path.join(output, "kernels")
    path, stamp = f"{directory}/base.cpio", f"{directory}/base.id"
    os.makedirs(directory, exist_ok=True)
    files, postgres = base_files()
    files += libraries(files)
    now = identity(files)
    if os.path.exists(path) and os.path.exists(stamp) and open(stamp).read() == now:
        return path
    with tempfile.TemporaryDirectory(prefix="hp-image-", dir="/tmp") as tmp, Cpio(path) as out:
        os.chmod(tmp, 0o755)
        for d in ("proc", "sys", "dev", "run", "root", "var/tmp", "etc", "mnt"):
            out.directory(d)
        out.directory("tmp", 0o1777)
        # Debian's merged /usr: libraries are named by either path.
        for d in ("bin", "sbin", "lib", "lib64"):
            out.directory(f"usr/{d}")
            out.link(d, f"usr/{d}")
        out.node("dev/console", 5, 1)
        out.file("etc/passwd", PASSWD.encode())
        out.file("etc/group", GROUP.encode())
        out.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
        for f in files:
            f = re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", f)
            if os.path.islink(f):
                out.file(f, open(f, "rb").read(), 0o755)
            else:
                out.copy(f, change=fixed_pyc)
        out.link("usr/bin/python3", os.path.basename(os.path.realpath("/usr/bin/python3")))
        applets = subprocess.run([program("busybox"), "--list"], capture_output=True, text=True)
        out.link("usr/bin/sh", "dash")
        for name in applets.stdout.split():
            out.link(f"usr/bin/{name}", "busybox")
        out.copy(cluster(tmp, postgres), "pgdata", PG_UID, PG_UID)
    with open(stamp, "w") as f:
        f.write(now)
    return path


def work(output, path, job, extra=()):
    """work.cpio: what is under test, and the job (a shell script) that the guest runs."""
    here = os.path.dirname(os.path.abspath(__file__))
    built = os.path.join(ROOT, output)
    binaries = [f"{built}/hostprof", *sorted(glob.glob(f"{built}/guest/*"))]
    with Cpio(path) as out:
        for b in binaries:
            out.copy(b, f"hp/.output/{os.path.relpath(b, built)}", 0, 0)
        for lib in libraries(binaries + list(extra)):
            lib = re.sub(r"^/(lib|lib64)/", r"/usr/\1/", lib)
            out.file(lib, open(lib, "rb").read(), 0o755)
        for f in extra:
            out.file(f"hp/bin/{os.path.basename(f)}", open(f, "rb").read(), 0o755)
        for part in ("tests/kernels/guest", "tests/e2e/lib", "tests/cost"):
            for f in walk(os.path.join(ROOT, part)):
                if f.endswith((".py", ".txt", ".sh")):
                    out.copy(f, f"hp/{os.path.relpath(f, ROOT)}", 0, 0)
        out.file("init", open(f"{here}/guest/init", "rb").read(), 0o755)
        out.file("hp/job", job.encode(), 0o755)
