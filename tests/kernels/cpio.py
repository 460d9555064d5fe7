# SPDX-License-Identifier: Apache-2.0
"""Writes initramfs archives (cpio, "newc") entry by entry.

The kernel unpacks several archives one after the other, so a large one of installed packages is made
once and a small one with what is under test is put behind it. Owners and device nodes are whatever
the entry says, which needs no privileges here. Not compressed: unpacking is then a copy, and QEMU
has no disk to wait for.
"""

import os
import stat


class Cpio:
    """Files, links, directories and nodes; parents come by themselves. Use as a context manager."""

    def __init__(self, path):
        self.path = path
        self.f = open(path + ".tmp", "wb")
        self.ino = 0
        self.dirs = {""}
        self.names = set()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self._entry("TRAILER!!!", 0, b"")
            self.f.write(b"\0" * (-self.f.tell() % 512))
        self.f.close()
        if kind is None:
            os.rename(self.path + ".tmp", self.path)
        else:
            os.unlink(self.path + ".tmp")

    def _entry(self, name, mode, data, uid=0, gid=0, rdev=(0, 0), mtime=0):
        self.ino += 1
        raw = name.encode() + b"\0"
        fields = (self.ino, mode, uid, gid, 1, mtime, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % v for v in fields) + raw
        self.f.write(head + b"\0" * (-len(head) % 4))
        self.f.write(data + b"\0" * (-len(data) % 4))

    def parents(self, name):
        parent = os.path.dirname(name)
        if parent not in self.dirs:
            self.directory(parent)

    def directory(self, name, mode=0o755, uid=0, gid=0):
        name = name.strip("/")
        self.parents(name)
        if name not in self.dirs:
            self.dirs.add(name)
            self._entry(name, stat.S_IFDIR | mode, b"", uid, gid)

    def file(self, name, data, mode=0o644, uid=0, gid=0, mtime=0):
        name = name.strip("/")
        if name in self.names:
            return
        self.names.add(name)
        self.parents(name)
        self._entry(name, stat.S_IFREG | mode, data, uid, gid, mtime=mtime)

    def link(self, name, target):
        name = name.strip("/")
        if name in self.names or name in self.dirs:
            return
        self.names.add(name)
        self.parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, major, minor, mode=0o600):
        name = name.strip("/")
        self.parents(name)
        self._entry(name, stat.S_IFCHR | mode, b"", rdev=(major, minor))

    def copy(self, path, name=None, uid=None, gid=None, change=None):
        """A file, link or whole directory of the host; change(name, data) may rewrite a file."""
        name = name or path
        st = os.lstat(path)
        owner = (st.st_uid if uid is None else uid, st.st_gid if gid is None else gid)
        mode = stat.S_IMODE(st.st_mode)
        if stat.S_ISLNK(st.st_mode):
            self.link(name, os.readlink(path))
        elif stat.S_ISDIR(st.st_mode):
            self.directory(name, mode, *owner)
            for entry in sorted(os.listdir(path)):
                self.copy(os.path.join(path, entry), f"{name}/{entry}", uid, gid, change)
        elif stat.S_ISREG(st.st_mode):
            with open(path, "rb") as f:
                data = f.read()
            if change:
                data = change(name, data)
            if data is not None:
                self.file(name, data, mode, *owner, mtime=int(st.st_mtime))
