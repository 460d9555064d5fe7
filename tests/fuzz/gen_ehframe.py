#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fuzz/corpus/ehframe: call frame information with every instruction and expression that
user/unwind reads, copies of it that lie in one place each, and an image with its damages. Deterministic, so
the corpus can be made again and compared."""
import os
import struct
import sys

TEXT = 0x401000
PLAIN = bytes([0x0C, 7, 8, 0x90, 1])


def record(body, wide=False):
    body += b"\0" * (-len(body) % 4)
    if wide:
        return struct.pack("<IQ", 0xFFFFFFFF, len(body)) + body
    return struct.pack("<I", len(body)) + body


class Frames:
    """Records of one section; addresses are relative to their own place, as compilers write them."""

    def __init__(self, how=0):
        self.how = how
        self.out = b""

    def cie(self, aug=b"zR", data=b"\x1b", prog=PLAIN, version=1):
        at = len(self.out)
        ident = 0xFFFFFFFF if self.how & 1 else 0
        if self.how & 1:
            aug, data = b"", b""
        body = struct.pack("<IB", ident, version) + aug + b"\0"
        if version == 4:
            body += b"\x08\0"
        body += b"\x01\x78\x10"
        if aug.startswith(b"z"):
            body += bytes([len(data)]) + data
        self.out += record(body + prog)
        return at

    def fde(self, cie, start, size, prog=b""):
        at = len(self.out)
        if self.how & 1:
            body = struct.pack("<IQQ", cie, TEXT + start, size)
        else:
            body = struct.pack("<IiI", at + 4 - cie, TEXT + start - (TEXT + 1 + at + 8), size) + b"\0"
        self.out += record(body + prog)
        return at

    def bytes(self):
        return bytes([self.how]) + self.out


PROGRAMS = {
    "gcc": b"\x41\x0e\x10\x86\x02\x43\x0d\x06\x48\x0a\xc6\x0c\x07\x08\x41\x0b",
    "advance": b"\x02\x04\x0e\x10\x03\x04\0\x0e\x18\x04\x04\0\0\0\x0e\x20\x1d\x04\0\0\0\0\0\0\0\x0e\x28",
    "set-loc": b"\x01\x40\0\0\0\x0e\x10",
    "registers": b"\x05\x06\x02\x41\x06\x06\x41\x07\x06\x41\x08\x06\x41\x09\x06\x03\x41\x2f\x06\x02",
    "signed": b"\x11\x06\x7e\x41\x12\x07\x7e\x41\x13\x7d\x41\x14\x06\x02\x41\x15\x06\x02",
    "realigned": b"\x0f\x03\x76\x78\x06\x10\x06\x02\x76\0",
    "openssl": b"\x0f\x06\x77\x98\x01\x06\x23\x08\x41\x0f\x0a\x77\x08\x79\0\x38\x1e\x22\x06\x23\x08",
    "plt": b"\x0e\x10\x46\x0e\x18\x4a\x0f\x0b\x77\x08\x80\0\x3f\x1a\x3b\x2a\x33\x24\x22",
    "signal": b"\x0f\x04\x77\xa0\x01\x06\x10\x06\x03\x77\xf8\0\x10\x10\x03\x77\xa8\x01",
    "end": b"\x07\x10",
    "vfork": b"\x0e\0\x09\x10\x05",
    "longjmp": b"\x0c\x05\0\x09\x07\x08\x09\x10\x01",
    "args": b"\x2e\x80\x01\x16\x06\x01\x30",
    "deep": b"\x0a" * 40,
    "shallow": b"\x0b",
    "unknown": b"\x41\x3f",
    "block": b"\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "stack": b"\x0f\x0c" + b"\x30" * 12,
    "constants": b"\x0f\x1c\x77\0\x08\x01\x22\x09\xff\x22\x0a\x01\0\x22\x0b\xff\xff\x22"
                 b"\x0c\x01\0\0\0\x22\x10\x01\x22\x11\x7f",
}


def whole(how):
    f = Frames(how)
    plain = f.cie()
    signal = f.cie(b"zRS")
    f.cie(b"zPLR", b"\x9b\x01\x02\x03\x04\x1b\x1b")
    start = 0
    for name, prog in PROGRAMS.items():
        f.fde(signal if name == "signal" else plain, start, 0x40, prog)
        start += 0x44 if name in ("gcc", "end") else 0x40
    return f.bytes()


def corpus():
    for how, name in ((0, "eh"), (1, "debug"), (2, "segment"), (4, "both")):
        yield f"whole-{name}", whole(how)
    for name, prog in PROGRAMS.items():
        f = Frames()
        f.fde(f.cie(b"zRS" if name == "signal" else b"zR"), 0x100, 0x1800, prog)
        yield f"program-{name}", f.bytes()
    for enc in (0x00, 0x01, 0x02, 0x03, 0x04, 0x09, 0x0A, 0x0C, 0x1B, 0x1C, 0x23, 0x33, 0x40, 0x50, 0x9B, 0xFF):
        f = Frames()
        f.fde(f.cie(data=bytes([enc])), 0x100, 0x40, PROGRAMS["gcc"])
        yield f"encoding-{enc:02x}", f.bytes()
    for version in (0, 2, 3, 4, 5):
        f = Frames(1)
        f.fde(f.cie(version=version), 0x100, 0x40, PROGRAMS["gcc"])
        yield f"version-{version}", f.bytes()
    for aug in (b"eh", b"R", b"zP", b"zRSB", b"z", b"zRRRR", b"z" + b"S" * 40):
        f = Frames()
        f.fde(f.cie(aug), 0x100, 0x40)
        yield f"augmentation-{aug.decode()[:8]}", f.bytes()
    f = Frames()
    plain = f.cie()
    for start, size in ((0x100, 0x400), (0x80, 0x100), (0x100, 0x10), (0x200, 0), (0x200, 0xFFFFFFFF), (0xFFF, 2)):
        f.fde(plain, start, size, PROGRAMS["gcc"])
    yield "overlaps", f.bytes()
    f = Frames()
    at = f.fde(0, 0x100, 0x40)
    f.fde(at, 0x140, 0x40)
    f.fde(len(f.out), 0x180, 0x40)
    yield "cie-cycle", f.bytes()
    f = Frames()
    f.out += record(struct.pack("<IB", 0, 1) + b"zR\0\1\x78\x10\1\x1b" + PLAIN, wide=True)
    f.fde(0, 0x100, 0x40)
    yield "wide", f.bytes()
    base = whole(0)
    for at in (1, 5, 9, 20, 40, 60, 80, 120):
        for value in (0, 1, 3, 0x7FFFFFFF, 0xFFFFFFFF):
            yield f"word-{at}-{value:x}", base[:at] + struct.pack("<I", value) + base[at + 4:]
    for n in (1, 2, 5, 9, 17, 30, 50, 77, 130):
        yield f"cut-{n}", base[:n]
    clone = b"\x0f\x05\x48\x85\xc0\x7c\x13\x74\x01\xc3"
    restorer = b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05"
    f = Frames()
    plain = f.cie()
    f.fde(plain, 0, 0x101)
    f.fde(plain, 0x10B, 0x10, PROGRAMS["end"])
    f.out += b"\0" * (0x100 - len(f.out)) + clone + b"\x90" * 0x40 + restorer + b"\x55\x48\x89\xe5" * 2048
    yield "code", f.bytes()
    plt = b"\xff\x35\1\2\3\4\xff\x25\1\2\3\4\x0f\x1f\x40\0" + b"\xff\x25\1\2\3\4\x68\0\0\0\0\xe9\1\2\3\4" * 8
    yield "linkage", b"\x10" + plt
    # struct uw_image, one page with rows and one without, two rules.
    image = struct.pack("<IIIIQ20sB3x", 0x31777568, 2, 2, 3, TEXT, b"", 0)
    image += struct.pack("<IIII", 0, 3, 3, 0) + struct.pack("<HHHHHHHH", 0, 0, 0x10, 1, 0x20, 0, 0, 0)
    image += b"\0" * 16 + struct.pack("<BBBBiii", 2, 1, 0, 0, 16, 0, -16)
    yield "image", b"\x08" + image
    for at in range(0, len(image), 4):
        yield f"image-{at}", b"\x08" + image[:at] + b"\xff\xff\xff\x7f" + image[at + 4:]


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "corpus/ehframe")
    os.makedirs(out, exist_ok=True)
    for name, data in corpus():
        with open(os.path.join(out, name), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
