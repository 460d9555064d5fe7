#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fuzz/corpus/python: small files that look like interpreters of each version, with one thing
after the other wrong in them. Deterministic, so the corpus can be made again and compared."""
import os
import random
import struct
import sys

import gen_elf

TEXT, TEXT_AT = 0x401000, 0x1000
DATA, DATA_AT, DATA_LEN = 0x403000, 0x3000, 0x500
RUNTIME, VERSION = DATA, DATA + 0x480
LOOP, LOOP_LEN = TEXT + 0x20, 0x60
COLD, COLD_LEN = TEXT + 0x200, 0x180


def debug_offsets(version, change=None):
    """_Py_DebugOffsets whose every field is small; change: {word: value}."""
    words = [8 * (i % 8) + 8 for i in range(128)]
    words[0] = struct.unpack("<Q", b"xdebugpy")[0]
    words[1], words[2] = version, 0
    for word, value in (change or {}).items():
        words[word] = value
    return struct.pack("<128Q", *words)


def code(jumps):
    """The loop's hot part with jumps to the cold one, as jmp and jcc with 32-bit distances."""
    out = bytearray(b"\x90" * 0x800)
    at = LOOP - TEXT + 4
    for i in range(jumps):
        op = b"\xe9" if i % 2 else b"\x0f\x85"
        here = at + len(op) + 4
        out[at:here] = op + struct.pack("<i", COLD + 0x20 * i + 8 - (TEXT + here))
        at = here
    return bytes(out)


def build(version=0x030B02F0, names=("_PyRuntime", "_PyEval_EvalFrameDefault", "Py_Version"),
          debug=None, jumps=4, loop_len=LOOP_LEN, loop=LOOP, runtime=RUNTIME, frames=None, symtab=()):
    where = {"_PyRuntime": (runtime, 0x400, 1), "Py_Version": (VERSION, 8, 1)}
    strs, at = gen_elf.strtab(list(names) + list(symtab))

    def symbols(which):
        out = gen_elf.sym(0, 0, 0, 0, 0, 0)
        for name in which:
            value, size, kind = where.get(name, (loop, loop_len, 2))
            if name.endswith(".cold"):
                value, size = COLD, COLD_LEN
            out += gen_elf.sym(at[name], value, size, 1, kind)
        return out

    data = bytearray(DATA_LEN)
    data[:0x400] = debug or debug_offsets(version)
    data[0x480:0x488] = struct.pack("<Q", version)
    frames_addr = 0x402000
    eh = gen_elf.eh_frame(frames_addr, frames or [(LOOP, LOOP_LEN), (COLD, COLD_LEN)])
    hdr_addr = frames_addr + 0x400
    hdr = struct.pack("<BBBBiI", 1, 0x1B, 3, 0x3B, frames_addr - (hdr_addr + 4), 0)
    shstrs, shat = gen_elf.strtab([".text", ".eh_frame", ".eh_frame_hdr", ".data", ".dynsym",
                                   ".dynstr", ".symtab", ".strtab", ".shstrtab"])
    parts = [(".text", 1, 6, TEXT, TEXT_AT, code(jumps), 0, 0),
             (".eh_frame", 1, 2, frames_addr, 0x2000, eh, 0, 0),
             (".eh_frame_hdr", 1, 2, hdr_addr, 0x2400, hdr, 0, 0),
             (".data", 1, 3, DATA, DATA_AT, bytes(data), 0, 0),
             (".dynsym", 11, 2, 0, 0x3800, symbols(names), 6, 24),
             (".dynstr", 3, 2, 0, 0x3C00, strs, 0, 0)]
    if symtab:
        parts += [(".symtab", 2, 0, 0, 0x3D00, symbols(symtab), 8, 24),
                  (".strtab", 3, 0, 0, 0x3E00, strs, 0, 0)]
    parts.append((".shstrtab", 3, 0, 0, 0x3F00, shstrs, 0, 0))
    phdrs = [(1, 5, TEXT_AT, TEXT, 0x800), (1, 4, 0x2000, frames_addr, 0x500),
             (1, 6, DATA_AT, DATA, DATA_LEN), (0x6474E550, 4, 0x2400, hdr_addr, len(hdr))]
    out = bytearray(0x4000)
    for _, _, _, _, off, content, _, _ in parts:
        out[off:off + len(content)] = content
    shoff = len(out)
    out += bytes(64)
    for name, kind, flags, addr, off, content, link, size in parts:
        out += struct.pack("<IIQQQQIIQQ", shat[name], kind, flags, addr, off, len(content), link, 0,
                           8, size)
    out[:64] = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, TEXT, 64, shoff, 0, 64, 56,
                           len(phdrs), 64, len(parts) + 1, len(parts))
    for i, (kind, flags, off, addr, size) in enumerate(phdrs):
        out[64 + 56 * i:120 + 56 * i] = struct.pack("<IIQQQQQQ", kind, flags, off, addr, addr, size,
                                                    size, 4096)
    return bytes(out)


def cases():
    yield "3.11", 0, build()
    for minor in (8, 9, 10, 12):
        yield f"3.{minor}-by-version", 0, build(0x03000000 | minor << 16)
    yield "3.8-by-name", 1, build(0, names=("_PyRuntime", "_PyEval_EvalFrameDefault"))
    yield "3.10-by-name", 6, build(0, names=("_PyRuntime", "_PyEval_EvalFrameDefault"))
    yield "digits-without-end", 5, build(0, names=("_PyRuntime", "_PyEval_EvalFrameDefault"))
    for minor in (13, 14):
        hexa = 0x030000F0 | minor << 16
        yield f"3.{minor}", 0, build(hexa)
        yield f"3.{minor}-version-of-another", 0, build(hexa, debug=debug_offsets(0x030C00F0))
        for word in (2, 5, 9, 23, 26, 30, 36, 40, 45, 51, 66, 80):
            for value in (0, 4096, 1 << 32, (1 << 64) - 1):
                if (word + minor) % 3 == 0 or value == 4096:
                    yield (f"3.{minor}-word-{word}-{value:x}", 0,
                           build(hexa, debug=debug_offsets(hexa, {word: value})))
    yield "3.15", 0, build(0x030F00F0)
    yield "2.7", 0, build(0x020700F0)
    yield "no-runtime", 0, build(names=("_PyEval_EvalFrameDefault", "Py_Version"))
    yield "no-loop", 0, build(names=("_PyRuntime", "Py_Version"))
    yield "loop-of-nothing", 0, build(loop_len=0)
    yield "loop-huge", 0, build(loop_len=1 << 40)
    yield "loop-ends-past-the-address-space", 0, build(loop=(1 << 64) - 16)
    yield "loop-outside-of-the-file", 0, build(loop=0x7F0000000000)
    yield "runtime-outside-of-the-file", 0, build(0x030D00F0, runtime=0x7F0000000000)
    yield "runtime-at-the-end", 0, build(0x030D00F0, runtime=DATA + DATA_LEN - 12)
    yield "jumps-to-one-place", 0, build(jumps=1)
    yield "no-jumps", 0, build(jumps=0)
    yield "cold-of-nothing", 0, build(frames=[(LOOP, LOOP_LEN), (COLD, 0)])
    yield "cold-is-everything", 0, build(frames=[(0, (1 << 31) - 1)])
    cold = ("_PyRuntime", "_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault.cold")
    yield "cold-by-name", 0, build(symtab=cold)
    yield "lto", 0, build(symtab=("_PyRuntime", "_PyEval_EvalFrameDefault.lto_priv.0"))
    whole = build(0x030D00F0)
    for cut in (0, 16, 63, 200, 0x1030, 0x2010, 0x3100, 0x3810, 0x4030, len(whole) - 20):
        yield f"cut-{cut}", 4, whole[:cut]
    rng = random.Random(5)
    for i in range(12):
        b = bytearray(whole)
        for _ in range(24):
            area = rng.choice([(0, 320), (0x1020, 0x1080), (0x2000, 0x2080), (0x3000, 0x3300),
                               (0x3800, 0x3880), (0x4000, len(b))])
            b[rng.randrange(*area)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        yield f"random-{i}", i % 7, bytes(b)


def main():
    into = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "python")
    os.makedirs(into, exist_ok=True)
    for name, path, content in cases():
        with open(os.path.join(into, name), "wb") as f:
            f.write(bytes([path]) + content)


if __name__ == "__main__":
    sys.exit(main())
