# SPDX-License-Identifier: Apache-2.0
"""Profiles as plain stacks, and every figure of a page worked out from them in the slow, obvious way.

A frame is (text, letter): letter k n p u o as page_tool.c has them. A profile is a list of
(stack, count); the first frame of a stack is the thread.
"""
import collections
import random
import re


def write(path, stacks):
    with open(path, "wb") as f:
        for stack, count in stacks:
            f.write(b"\1".join(text + b"\2" + letter.encode() for text, letter in
                               ((as_bytes(t), k) for t, k in stack)))
            f.write(b"\3%d\0" % count)
    return path


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def parse(line):
    """'main:o serve:p read:k 12' to (stack, count); texts without blanks and colons."""
    *frames, count = line.split()
    return [tuple(f.split(":")) for f in frames], int(count)


class Model:
    """Figures of one profile; with threads given only of those."""

    def __init__(self, stacks, threads=None):
        self.stacks = [(tuple(t for t, _ in s), n) for s, n in stacks
                       if threads is None or s[0][0] in threads]
        self.all = sum(n for _, n in self.stacks)
        self.tree = collections.Counter()  # path without the root -> total
        self.own = collections.Counter()
        self.total = collections.Counter()
        for stack, n in self.stacks:
            for depth in range(1, len(stack) + 1):
                self.tree[stack[:depth]] += n
            if len(stack) > 1:
                self.own[stack[-1]] += n
            for text in set(stack[1:]):
                self.total[text] += n

    def matched(self, pattern, below=()):
        """Share of the samples whose stack has a match, of those under one path."""
        inside = [(s, n) for s, n in self.stacks if s[:len(below)] == below]
        first = len(below) - 1 if below else 0
        hit = sum(n for s, n in inside if any(re.search(pattern, t, re.I) for t in s[max(first, 0):])
                  or (not below and re.search(pattern, "all", re.I)))
        return hit / sum(n for _, n in inside)

    def beside(self, function, up):
        """Merged callees (or callers, outward) of a function's outermost places: path -> weight."""
        found = collections.Counter()
        for stack, n in self.stacks:
            if function not in stack[1:]:
                continue
            at = stack.index(function, 1)
            way = stack[at::-1] if up else stack[at:]
            for depth in range(1, len(way) + 1):
                found[way[:depth]] += n
        return found


def at_random(seed, stacks=300, names=25, threads=3):
    """Few functions that call each other often, so that recursion is everywhere."""
    rnd = random.Random(seed)
    out = collections.Counter()
    for _ in range(stacks):
        frames = [(f"thread-{rnd.randrange(threads)}", "o")]
        for _ in range(rnd.randrange(0, 12)):
            i = rnd.randrange(names)
            frames.append((f"f{i:02}", "knpu"[i % 4]))
        out[tuple(frames)] += rnd.randrange(1, 1000)
    return [(list(s), n) for s, n in out.items()]
