# SPDX-License-Identifier: Apache-2.0
"""Holds a JSON document against the JSON Schema that `hostprof report --schema NAME` prints.

Knows the part of JSON Schema that hostprof uses: type, required, properties, additionalProperties,
items, enum. An unknown keyword is an error, so that a check never passes by not being looked at.

    errors = schema_check.check(document, schema)      # list of "path: what is wrong"
    schema_check.check_summary(hostprof, path)         # raises AssertionError
"""
import json
import re
import subprocess
import sys

KNOWN = {"$schema", "title", "description", "type", "required", "properties",
         "additionalProperties", "items", "enum"}

TYPES = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}


def check(value, schema, path="$"):
    """Every violation below value, as text; an empty list when there is none."""
    unknown = schema.keys() - KNOWN
    if unknown:
        return [f"{path}: schema uses {', '.join(sorted(unknown))}, which is not checked here"]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(TYPES[t](value) for t in types):
        return [f"{path}: {json.dumps(value)[:60]} is not {' or '.join(types)}"]
    errors = []
    if "enum" in schema and value not in schema["enum"]:
        errors.append(f"{path}: {value!r} is none of {schema['enum']}")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            errors += check(item, schema["items"], f"{path}[{i}]")
    if isinstance(value, dict):
        errors += [f"{path}: no key {key}" for key in schema.get("required", ()) if key not in value]
        props = schema.get("properties", {})
        for key, item in value.items():
            sub = props.get(key, schema.get("additionalProperties"))
            if sub is not None:
                errors += check(item, sub, f"{path}.{key}")
    return errors


def null_sections_without_note(summary):
    """Parts of summary.json that are null although no line of trust.notes names them."""
    notes = " ".join(n for n in summary["trust"]["notes"] if n.startswith("not recorded:"))
    return [key for key, value in summary.items()
            if value is None and not re.search(rf"(?<![\w.]){key}(?![\w.\[])", notes)]


def load_strict(path):
    """JSON without NaN, infinity or a key that stands twice in an object."""
    def once(pairs):
        keys = [k for k, _ in pairs]
        assert len(keys) == len(set(keys)), f"{path}: a key stands twice in {keys}"
        return dict(pairs)

    def no_constant(name):
        raise AssertionError(f"{path}: {name} is no JSON")

    with open(path, encoding="utf-8") as f:
        return json.load(f, object_pairs_hook=once, parse_constant=no_constant)


def schema_of(hostprof, name="summary"):
    return json.loads(subprocess.run([hostprof, "report", "--schema", name], check=True,
                                     stdout=subprocess.PIPE).stdout)


def check_summary(hostprof, path):
    """Returns the document after all checks have passed."""
    summary = load_strict(path)
    errors = check(summary, schema_of(hostprof))
    assert not errors, "\n".join(errors[:20])
    missing = null_sections_without_note(summary)
    assert not missing, f"null without a note in trust.notes: {missing}"
    return summary


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: schema_check.py HOSTPROF SUMMARY.JSON")
    check_summary(sys.argv[1], sys.argv[2])
