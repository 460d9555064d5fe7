# SPDX-License-Identifier: Apache-2.0
"""The checker of summary.json: passes the golden document and fails every damaged one."""
import copy
import json
import pathlib

import pytest

import schema_check

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "unit" / "golden"


@pytest.fixture(scope="module")
def schema():
    return json.loads((GOLDEN / "summary.schema.json").read_text())


@pytest.fixture
def summary():
    return schema_check.load_strict(GOLDEN / "summary.json")


def test_golden_passes(summary, schema):
    assert schema_check.check(summary, schema) == []
    assert schema_check.null_sections_without_note(summary) == []


def test_every_key_is_required(summary, schema):
    """Removing any key of any object that has listed keys is noticed."""
    def walk(value, sub, path):
        if isinstance(value, dict) and "properties" in sub:
            for key in sub["required"]:
                yield path, key
                yield from walk(value[key], sub["properties"][key], path + [key])
        elif isinstance(value, list) and value and "items" in sub:
            yield from walk(value[0], sub["items"], path + [0])

    checked = 0
    for path, key in walk(summary, schema, []):
        broken = copy.deepcopy(summary)
        at = broken
        for step in path:
            at = at[step]
        del at[key]
        assert any(f"no key {key}" in e for e in schema_check.check(broken, schema)), (path, key)
        checked += 1
    assert checked > 150


@pytest.mark.parametrize("path, value, error", [
    (["schema_version"], "1", "$.schema_version: \"1\" is not integer"),
    (["schema_version"], True, "is not integer"),
    (["endpoints", 0, "count"], 1.5, "$.endpoints[0].count"),
    (["endpoints", 0, "route_source"], "guessed", "is none of"),
    (["endpoints", 0, "status"], {"200": "many"}, "$.endpoints[0].status.200"),
    (["trust"], None, "$.trust: null is not object"),
    (["window", "blocks"], {}, "is not array"),
])
def test_damage_is_named(summary, schema, path, value, error):
    at = summary
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    errors = schema_check.check(summary, schema)
    assert len(errors) == 1 and error in errors[0]


def test_unknown_keyword_is_an_error(summary, schema):
    schema = dict(schema, minProperties=1)
    assert "minProperties" in schema_check.check(summary, schema)[0]


def test_silent_null_is_noticed(summary):
    summary["queries"] = None
    assert schema_check.null_sections_without_note(summary) == ["queries"]


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1, "a": 2}'])
def test_json_that_is_none(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(AssertionError):
        schema_check.load_strict(tmp_path / "x.json")
