# SPDX-License-Identifier: Apache-2.0
"""Stock Debian cloud kernels: finds the newest of a series, fetches and unpacks it.

apt does the work, with a state of its own (lists, caches, sources) below the cache directory, so that
signatures are checked as for any package and the host's apt stays as it is. The archive is the one
that the host's apt already uses; proxies and credentials are the host's too. No version is written
down: each suite says which package its linux-image-cloud-amd64 stands for today. What was unpacked is
used for a week without asking the archive again, and longer when the archive does not answer.

Result: a directory with `vmlinuz`, `config` and `release` (the package's version).
"""

import os
import re
import shutil
import subprocess
import tempfile
import time

# series: (suites that carry it). The newest version that any of them has is taken.
SUITES = {
    "5.10": ("bullseye", "bullseye-security"),
    "6.1": ("bookworm", "bookworm-security"),
    "6.12": ("trixie", "trixie-security"),
    "newest": ("sid",),
}
RELEASES = r"(bullseye|bookworm|trixie|forky|sid|(old)*stable|testing|unstable)"
FRESH_S = 7 * 86400
META = "linux-image-cloud-amd64"
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp")


class Unavailable(Exception):
    """No such kernel can be had now; the text says why."""


class Unsupported(Unavailable):
    """Nor ever on this system: it is no Debian."""


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "hostprof", "kernels")


def run(argv, **kw):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "LC_ALL": "C.UTF-8"}, **kw)
    if done.returncode:
        raise Unavailable(f"{' '.join(argv[:1] + argv[-2:])}: {done.stderr.strip()[-600:]}")
    return done.stdout


def archives():
    """(main archive, security archive) of the host's apt; the second may be None."""
    main = security = None
    rows = run(["apt-get", "indextargets", "--format",
                "$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)", "Created-By: Packages"])
    for row in rows.splitlines():
        origin, release, component, uri = row.split("|", 3)
        # An archive whose lists were never fetched has no origin yet.
        if origin not in ("Debian", "") or component != "main":
            continue
        if re.fullmatch(RELEASES + "-security", release):
            security = security or uri
        elif re.fullmatch(RELEASES, release):
            main = main or uri
    if not main:
        raise Unsupported("this host's apt has no Debian archive to take kernels from")
    return main, security


class Apt:
    """apt with its own state, for the suites of one series."""

    def __init__(self, root, suites):
        main, security = archives()
        keyring = next((k for k in KEYRINGS if os.path.exists(k)), None)
        if not keyring:
            raise Unavailable("no debian-archive-keyring to check the kernels' signatures with")
        for d in ("lists/partial", "archives/partial"):
            os.makedirs(os.path.join(root, d), exist_ok=True)
        for f in ("status", "extended_states"):
            open(os.path.join(root, f), "a").close()
        with open(os.path.join(root, "sources.list"), "w") as f:
            for suite in suites:
                uri = security if suite.endswith("-security") else main
                if uri:
                    f.write(f"deb [arch=amd64 signed-by={keyring}] {uri} {suite} main\n")
        self.options = []
        for key, value in {
            "Dir::State": root, "Dir::State::lists": f"{root}/lists",
            "Dir::State::status": f"{root}/status", "Dir::Cache": root,
            "Dir::Cache::archives": f"{root}/archives",
            "Dir::Etc::sourcelist": f"{root}/sources.list", "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": "amd64", "APT::Architectures": "amd64",
            "APT::Default-Release": "", "APT::Sandbox::User": "root", "Acquire::Languages": "none",
            "Acquire::Retries": "3", "DPkg::Lock::Timeout": "300",
        }.items():
            self.options += ["-o", f"{key}={value}"]

    def update(self):
        run(["apt-get", *self.options, "-q", "update", "-o", "APT::Update::Error-Mode=any"])

    def parts(self, package):
        """(version, the packages of the kernel that this one depends on)."""
        text = run(["apt-cache", *self.options, "show", "--no-all-versions", package])
        fields = dict(re.findall(r"^(\S+): (.*)$", text, re.M))
        names = re.findall(r"\b(linux-(?:image|binary)-[0-9]\S*)", fields.get("Depends", ""))
        return fields["Version"], names

    def download(self, package, into):
        run(["apt-get", *self.options, "-q", "download", package], cwd=into)
        return next(os.path.join(into, f) for f in os.listdir(into)
                    if f.startswith(package.replace("+", "%2b") + "_") or
                    f.startswith(package + "_"))


def vmlinuz_package(apt):
    """The package that holds vmlinuz: the end of the chain of dependencies from META."""
    package, version = META, ""
    for _ in range(4):
        version, names = apt.parts(package)
        if not names:
            return package, version
        package = names[0]
    raise Unavailable(f"{META}: no end of dependencies")


def unpack(deb, into):
    """vmlinuz and the configuration; modules are not needed, what the lab uses is built in."""
    with tempfile.TemporaryDirectory(dir=into) as tmp:
        run(["dpkg-deb", "-x", deb, tmp])
        found = {}
        for top, _, files in os.walk(tmp):
            for name in files:
                for want in ("vmlinuz", "config"):
                    if name.startswith(want):
                        found.setdefault(want, os.path.join(top, name))
        if "vmlinuz" not in found:
            raise Unavailable(f"{os.path.basename(deb)}: no vmlinuz inside")
        for want, path in found.items():
            shutil.move(path, os.path.join(into, want))


def fetch(series, into):
    """Into a temporary directory, renamed at the end: a run that was killed leaves nothing half."""
    root = os.path.join(cache_dir(), "apt-" + series)
    os.makedirs(root, exist_ok=True)
    apt = Apt(root, SUITES[series])
    apt.update()
    package, version = vmlinuz_package(apt)
    have = os.path.join(into, "release")
    if os.path.exists(have) and open(have).read().split() == [package, version]:
        os.utime(have)
        return
    tmp = tempfile.mkdtemp(dir=cache_dir(), prefix="new-")
    try:
        unpack(apt.download(package, tmp), tmp)
        with open(os.path.join(tmp, "release"), "w") as f:
            f.write(f"{package} {version}\n")
        for name in os.listdir(tmp):
            if name.endswith(".deb"):
                os.unlink(os.path.join(tmp, name))
        shutil.rmtree(into, ignore_errors=True)
        os.rename(tmp, into)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def kernel(series, refresh=False):
    """The directory of the kernel of a series; raises Unavailable."""
    into = os.path.join(cache_dir(), series)
    stamp = os.path.join(into, "release")
    os.makedirs(cache_dir(), exist_ok=True)
    if not refresh and os.path.exists(stamp) and time.time() - os.stat(stamp).st_mtime < FRESH_S:
        return into
    try:
        fetch(series, into)
    except Unavailable:
        if not os.path.exists(stamp):
            raise
    return into


def version(directory):
    with open(os.path.join(directory, "release")) as f:
        return f.read().split()[1]
