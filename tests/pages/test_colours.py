# SPDX-License-Identifier: Apache-2.0
"""Colours of frames, read from the source: kinds and changes keep apart under protanopia, deuteranopia and
tritanopia, and dark text is readable on all but the one that has white text."""
import itertools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Machado, Oliveira, Fernandes 2009, severity 1.0, linear RGB.
SIGHT = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}
APART = 10  # CIE76; 2.3 is just noticeable side by side
CONTRAST = 4.5  # WCAG AA
INK = "#1a1a1a"


def linear(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def luminance(rgb):
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


def lab(rgb):
    xyz = (0.4124 * rgb[0] + 0.3576 * rgb[1] + 0.1805 * rgb[2], luminance(rgb),
           0.0193 * rgb[0] + 0.1192 * rgb[1] + 0.9505 * rgb[2])
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
               for t in (xyz[0] / 0.95047, xyz[1], xyz[2] / 1.08883))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour, sight):
    rgb = linear(colour)
    return lab([min(1, max(0, sum(m * c for m, c in zip(row, rgb)))) for row in SIGHT[sight]])


def palettes():
    kinds = {name: re.findall(r"#[0-9a-f]{6}", rest) for name, rest in re.findall(
        r"\[FRAME_(\w+)\] =\s*\{([^}]*\}) \}", (ROOT / "user/out/frames.c").read_text())}
    changes = {name: re.findall(r"#[0-9a-f]{6}", rest) for name, rest in re.findall(
        r'\{ "(more|less|new|gone|same)", (.*) \}', (ROOT / "user/out/flamepage.c").read_text())}
    assert len(kinds) == 6 and len(changes) == 5 and all(kinds.values()) and all(changes.values())
    return {"kinds": kinds, "changes": changes}


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", ["kinds", "changes"])
def test_colours_keep_apart(palette, sight):
    for (a, shades_a), (b, shades_b) in itertools.combinations(palettes()[palette].items(), 2):
        for x, y in itertools.product(shades_a, shades_b):
            apart = sum((p - q) ** 2 for p, q in zip(seen(x, sight), seen(y, sight))) ** 0.5
            assert apart >= APART, (a, x, b, y)


def test_text_is_readable():
    for shades in [s for p in palettes().values() for s in p.items()]:
        for colour in shades[1]:
            ink = "#ffffff" if shades[0] == "gone" else INK
            a, b = sorted((luminance(linear(colour)), luminance(linear(ink))))
            assert (b + 0.05) / (a + 0.05) >= CONTRAST, (shades[0], colour)
