# SPDX-License-Identifier: Apache-2.0
"""Counts of a JUnit file for tests/run.sh: prints "passed failed skipped".

With --failed it prints the failed tests instead, as pytest takes them, one a line.

With CI=true a skip counts as failed too, unless its reason begins with one of ALLOWED_SKIPS: those
are facts about a machine. Everything else means that a test vanished.
"""

import os
import sys
import xml.etree.ElementTree as ET

ALLOWED_SKIPS = (
    "not root",
    "this kernel",
    "this machine cannot fetch",
)


def failed_ids(path):
    for case in ET.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            yield case.get("classname").replace(".", "/") + ".py::" + case.get("name")


def main():
    passed = failed = skipped = 0
    for case in ET.parse(sys.argv[1]).getroot().iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is None:
            passed += 1
        else:
            skipped += 1
            reason = skip.get("message", "")
            if os.environ.get("CI") == "true" and not reason.startswith(ALLOWED_SKIPS):
                failed += 1
                print(f"skipped, but this machine should run it: {case.get('classname')}."
                      f"{case.get('name')}: {reason}", file=sys.stderr)
    print(passed, failed, skipped)


if sys.argv[1] == "--failed":
    print("\n".join(failed_ids(sys.argv[2])))
else:
    main()
