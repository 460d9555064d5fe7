# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers read back, as the encoding's own document has them."""

import collections


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 128:
            return value, at


def message(data):
    """{field: [int or bytes]}; a length that does not fit fails."""
    fields, at = collections.defaultdict(list), 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            assert key & 7 == 2, "neither varint nor bytes"
            n, at = varint(data, at)
            value, at = data[at:at + n], at + n
            assert len(value) == n
        fields[key >> 3].append(value)
    return fields


def one(fields, number, default=0):
    assert len(fields[number]) <= 1
    return fields[number][0] if fields[number] else default
