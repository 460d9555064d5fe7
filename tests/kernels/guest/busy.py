# SPDX-License-Identifier: Apache-2.0
"""A process that computes when told to: a line with seconds in, `done` out."""

import sys
import time


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(i * i for i in range(2000))


print("ready", flush=True)
for line in sys.stdin:
    spin(float(line))
    print("done", flush=True)
