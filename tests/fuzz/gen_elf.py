#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fuzz/corpus/elf: a small ELF file with every part that user/sym reads, and copies of
it that lie in one place each. Deterministic, so the corpus can be made again and compared."""
import lzma
import os
import struct
import sys

BASE = 0x401000
CODE, CODE_LEN = 0x1000, 0x100


def align(b, n=8):
    return b + b"\0" * (-len(b) % n)


def sym(name, value, size, bind=1, kind=2, shndx=1):
    return struct.pack("<IBBHQQ", name, bind << 4 | kind, 0, shndx, value, size)


def strtab(names):
    out, at = b"\0", {}
    for n in names:
        at[n] = len(out)
        out += n.encode() + b"\0"
    return out, at


def eh_frame(vaddr, functions):
    cie = struct.pack("<IB4sBBBBB", 0, 1, b"zR\0\x01", 0x78, 0x10, 1, 0x1B, 0x0C)
    cie = align(cie + b"\7\10\x90\1", 4)
    out = struct.pack("<I", len(cie)) + cie
    for start, size in functions:
        at = len(out)
        body = struct.pack("<I", at + 4)
        body += struct.pack("<iI", start - (vaddr + at + 8), size) + b"\0" * 4
        out += struct.pack("<I", len(body)) + body
    return out + b"\0" * 4


def build(machine=62, debugdata=True, symtab=True):
    """The file and where its parts are: name -> (offset of section header, offset of content)."""
    names = ["f", "__f", "_ZN3foo3barEv", "_RNvC1a1b", "zero_size", "nested", "$x", "ver@@V_1",
             "_ZN4core3fmt5write17h0123456789abcdefE.llvm.7"]
    strs, at = strtab(names)
    syms = sym(0, 0, 0, 0, 0, 0)
    syms += sym(at["f"], BASE + 0x10, 0x20) + sym(at["__f"], BASE + 0x10, 0x20)
    syms += sym(at["_ZN3foo3barEv"], BASE + 0x40, 0x10, 2) + sym(at["nested"], BASE + 0x44, 4, 0)
    syms += sym(at["_RNvC1a1b"], BASE + 0x50, 0x10) + sym(at["zero_size"], BASE + 0x60, 0, 1, 0)
    syms += sym(at["$x"], BASE + 0x60, 0, 0, 0) + sym(at["ver@@V_1"], BASE + 0x70, 8)
    syms += sym(at["_ZN4core3fmt5write17h0123456789abcdefE.llvm.7"], BASE + 0x78, 8, 0)
    dstrs, dat = strtab(["write", "f"])
    dsyms = sym(0, 0, 0, 0, 0, 0) + sym(dat["write"], 0, 0, 1, 2, 0)
    dsyms += sym(dat["f"], BASE + 0x10, 0x20)
    got = 0x403008
    plt = b"\xff\x35" + b"\0" * 14 + b"\xf3\x0f\x1e\xfa\xf2\xff\x25"
    plt_addr = BASE + 0x80
    plt += struct.pack("<i", got - (plt_addr + 16 + 11))
    plt = align(plt, 32)
    rela = struct.pack("<QQq", got, 1 << 32 | 7, 0)
    note = struct.pack("<III4s", 4, 20, 3, b"GNU") + bytes(range(20))
    link = align(b"x.debug\0", 4) + struct.pack("<I", 0x12345678)
    frames_addr = 0x402000
    frames = eh_frame(frames_addr, [(BASE + 0x60, 0x10), (BASE + 0xA0, 0x20), (BASE + 0x80, 0x20)])
    hdr_addr = frames_addr + 0x400
    hdr = struct.pack("<BBBBiI", 1, 0x1B, 3, 0x3B, frames_addr - (hdr_addr + 4), 0)

    parts = [(".text", 1, 6, BASE, CODE, bytes(CODE_LEN), 0, 0)]
    shstrs, shat = strtab([".text", ".symtab", ".strtab", ".dynsym", ".dynstr", ".plt",
                           ".rela.plt", ".note.gnu.build-id", ".gnu_debuglink", ".eh_frame",
                           ".eh_frame_hdr", ".gnu_debugdata", ".shstrtab"])
    if symtab:
        parts += [(".symtab", 2, 0, 0, None, syms, 3, 24), (".strtab", 3, 0, 0, None, strs, 0, 0)]
    first_dyn = len(parts) + 1
    parts += [(".dynsym", 11, 2, 0, None, dsyms, first_dyn + 1, 24),
              (".dynstr", 3, 2, 0, None, dstrs, 0, 0),
              (".plt", 1, 6, plt_addr, CODE + 0x80, plt, 0, 16),
              (".rela.plt", 4, 2, 0, None, rela, first_dyn, 24),
              (".note.gnu.build-id", 7, 2, 0, None, note, 0, 0),
              (".gnu_debuglink", 1, 0, 0, None, link, 0, 0),
              (".eh_frame", 1, 2, frames_addr, None, frames, 0, 0),
              (".eh_frame_hdr", 1, 2, hdr_addr, None, hdr, 0, 0)]
    if debugdata:
        inner, _ = build(machine, False, True)
        packed = lzma.compress(bytes(inner), lzma.FORMAT_XZ, preset=1)
        parts += [(".gnu_debugdata", 1, 0, 0, None, packed, 0, 1)]
    parts += [(".shstrtab", 3, 0, 0, None, shstrs, 0, 0)]

    # Code sits low in the file too: a corpus of page-aligned files would be mostly zeros.
    low = 64 + 4 * 56
    out = bytearray(low)
    shdrs, where = bytearray(64), {}
    for name, kind, flags, addr, off, data, link_to, ent in parts:
        if off is None:
            off = len(out)
            out += align(data)
        else:
            off = off - CODE + low
            out[off:off + len(data)] = data
            if len(out) < low + CODE_LEN:
                out += b"\0" * (low + CODE_LEN - len(out))
        where[name] = (len(shdrs), off)
        shdrs += struct.pack("<IIQQQQIIQQ", shat[name], kind, flags, addr, off, len(data), link_to, 0,
                             8, ent)
    shoff = len(out)
    out += shdrs
    phdrs = b""

    def phdr(kind, flags, off, vaddr, size):
        return struct.pack("<IIQQQQQQ", kind, flags, off, vaddr, vaddr, size, size, 0x1000)

    phdrs += phdr(1, 5, low, BASE, CODE_LEN)
    fo = where[".eh_frame"][1]
    # Both frame sections in one segment; the header goes where its address says.
    ho = where[".eh_frame_hdr"][1]
    phdrs += phdr(1, 4, fo, frames_addr, len(frames))
    phdrs += phdr(1, 4, ho, hdr_addr, len(hdr))
    phdrs += phdr(0x6474E550, 4, ho, hdr_addr, len(hdr))
    out[64:64 + len(phdrs)] = phdrs
    out[:64] = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, machine, 1, BASE, 64, shoff, 0, 64,
                           56, 4, 64, len(shdrs) // 64, len(shdrs) // 64 - 1)
    return out, {n: (shoff + s, o) for n, (s, o) in where.items()}


def main():
    to = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "corpus/elf")
    os.makedirs(to, exist_ok=True)
    files = {}

    def put(name, data):
        files[name] = bytes(data)

    def patch(name, off, fmt, *values, machine=62, symtab=True):
        data, _ = build(machine, not symtab, symtab)
        struct.pack_into(fmt, data, off, *values)
        put(name, data)

    whole, where = build(debugdata=False)
    put("whole", whole)
    put("arm64", build(183)[0])
    stripped, swhere = build(symtab=False)
    put("stripped", stripped)
    for n in (0, 3, 16, 63, 64, 200, 400, len(whole) // 2, len(whole) - 64, len(whole) - 1):
        put("cut-%d" % n, whole[:n])
    extremes = {"0": 0, "1": 1, "big": 0x7FFFFFFFFFFFFFF0, "max": 0xFFFFFFFFFFFFFFFF}
    # Section header fields: address, offset, size, item size.
    for sect in (".symtab", ".strtab", ".dynsym", ".plt", ".rela.plt", ".eh_frame"):
        for field, off in (("addr", 16), ("off", 24), ("size", 32), ("ent", 56)):
            for label in ("1", "max"):
                patch("sect%s-%s-%s" % (sect, field, label), where[sect][0] + off, "<Q",
                      extremes[label])
    patch("sect-link-self", where[".symtab"][0] + 40, "<I", 2)
    patch("sect-link-dynsym", where[".dynsym"][0] + 40, "<I", 2)
    patch("sect-link-max", where[".symtab"][0] + 40, "<I", 0xFFFFFFFF)
    patch("sect-count-max", 60, "<H", 0xFFFF)
    patch("sect-count-xindex", 60, "<HH", 0, 0xFFFF)
    patch("sect-table-inside-header", 40, "<Q", 0)
    patch("segment-count-max", 56, "<H", 0xFFFF)
    patch("segment-wraps", 64 + 16, "<QQQQ", 0xFFFFFFFFFFFFF000, 0, 0x2000, 0x2000)
    patch("segment-huge", 64 + 32, "<QQ", 0x7FFFFFFFFFFF, 0x7FFFFFFFFFFF)
    patch("segment-file-over-memory", 64 + 32, "<QQ", 0x1000, 1)
    s = where[".symtab"][1]
    patch("symbol-name-max", s + 24, "<I", 0xFFFFFFFF)
    patch("symbol-size-max", s + 24 + 16, "<Q", 0xFFFFFFFFFFFFFFFF)
    patch("symbol-wraps", s + 24 + 8, "<QQ", BASE + 0xFF, 0xFFFFFFFFFFFFFF00)
    f = where[".eh_frame"][1]
    for label, value in (("0", 0), ("1", 1), ("3", 3), ("64bit", 0xFFFFFFFF), ("big", 0x7FFFFFFF)):
        patch("cie-length-" + label, f, "<I", value)
        patch("fde-length-" + label, f + 20, "<I", value)
        patch("fde-cie-" + label, f + 24, "<I", value)
    for enc in (0x00, 0x02, 0x0C, 0x50, 0x9B, 0xFF):
        patch("cie-encoding-%02x" % enc, f + 16, "<B", enc)
        h = where[".eh_frame_hdr"][1]
        patch("hdr-encoding-%02x" % enc, h + 1, "<B", enc)
    patch("hdr-pointer-away", where[".eh_frame_hdr"][1] + 4, "<i", -0x7FFFFFFF)
    for label, off in (("magic", 0), ("header", 8), ("middle", 60), ("end", 120)):
        patch("xz-" + label, swhere[".gnu_debugdata"][1] + off, "<I", 0xDEADBEEF, symtab=False)
    patch("note-name-max", where[".note.gnu.build-id"][1], "<I", 0xFFFFFFFF)
    patch("note-desc-max", where[".note.gnu.build-id"][1] + 4, "<I", 0xFFFFFFFF)
    patch("link-slash", swhere[".gnu_debuglink"][1], "<8s", b"../x/y\0", symtab=False)
    patch("link-endless", swhere[".gnu_debuglink"][1], "<12s", b"a" * 12, symtab=False)
    patch("reloc-symbol-max", where[".rela.plt"][1] + 8, "<Q", 0xFFFFFFFF00000007)
    patch("class32", 4, "<B", 1)
    patch("big-endian", 5, "<B", 2)
    # A short name that stands for a very long one.
    pairs = "".join("S0_IS%c_S%c_E" % (c, c) for c in "123456789ABCDEFGHIJKLMNOPQRSTUV")
    name = ("_Z1fI1aIiiE" + pairs + "Evv").encode() + b"\0"
    data = bytearray(whole) + b"\0" + name
    struct.pack_into("<QQ", data, where[".strtab"][0] + 24, len(whole), len(name) + 1)
    struct.pack_into("<I", data, where[".symtab"][1] + 3 * 24, 1)
    put("name-exponential", data)
    # A Rust crate without a name: the demangler prints it as no bytes at no address.
    data = bytearray(whole)
    at = data.index(b"_RNvC1a1b")
    data[at:at + 10] = b"_RNvC01b\0\0"
    put("name-empty-piece", data)
    for name, content in files.items():
        with open(os.path.join(to, name), "wb") as out:
            out.write(content)
    print("%d files, %d bytes" % (len(files), sum(map(len, files.values()))))


if __name__ == "__main__":
    main()
