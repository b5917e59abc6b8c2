"""The JSON Schema that editors read: kept in step, and of one mind with the loader where structure is concerned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from daemon.errors import DocumentError
from daemon.policy.models import json_schema
from daemon.strict_yaml import read

PROJECT = Path(__file__).parents[3]
FIXTURES = PROJECT / "tests" / "policies"
KEPT = PROJECT / "policies" / "schema.json"
CHECKER = jsonschema.Draft202012Validator(json_schema())

# Right in structure, wrong in meaning: the loader alone knows.
MEANING = frozenset(
    [
        "age-too-long",
        "age-zero",
        "catch-up-without-schedule",
        "cron-backwards",
        "cron-day-and-weekday",
        "cron-macro-unknown",
        "cron-name-unknown",
        "cron-never",
        "cron-out-of-range",
        "cron-quartz",
        "cron-reboot",
        "cron-six-fields",
        "cron-step-too-large",
        "cron-step-without-range",
        "cron-step-zero",
        "keep-per-without-last",
        "limit-max-bytes-zero",
        "match-everything-by-glob",
        "match-everything-by-negation",
        "name-twice",
        "notify-with-quota",
        "notify-without-schedule",
        "order-twice-by-date",
        "order-twice-the-same",
        "orphans-all-of-them",
        "orphans-by-completed",
        "orphans-by-what-rows-have",
        "orphans-delete-records",
        "orphans-keep-last",
        "orphans-newer-than-created",
        "orphans-trash-of-records",
        "orphans-with-quota",
        "protect-name-twice",
        "quota-bytes-counted-before-measure",
        "quota-inodes-with-a-unit",
        "quota-low-above-high",
        "quota-low-not-below-high",
        "quota-few-inodes",
        "quota-mark-without-unit",
        "quota-share-without-percent",
        "quota-marks-differ-in-kind",
        "quota-of-records",
        "quota-retains-in-trash",
        "quota-share-of-a-database",
        "quota-share-of-a-user",
        "quota-share-over-100",
        "schedule-timezone-unknown",
        "schedule-timezone-with-every",
        "size-bound-twice",
        "size-empty-range",
        "size-too-large",
        "status-unknown",
        "status-in-capitals",
        "status-unknown-in-protect",
    ]
)


def test_the_kept_schema_is_the_generated_one() -> None:
    assert json.loads(KEPT.read_text()) == json_schema(), "run: sweepd check --schema > policies/schema.json"


def test_the_schema_is_one() -> None:
    CHECKER.check_schema(json_schema())


@pytest.mark.parametrize(
    "path",
    sorted([*(FIXTURES / "good").iterdir(), *(FIXTURES / "whole").iterdir(), *(PROJECT / "policies").glob("*.yaml")]),
    ids=lambda path: path.stem,
)
def test_what_loads_fits_the_schema(path: Path) -> None:
    assert [error.message for error in CHECKER.iter_errors(content(path))] == []


@pytest.mark.parametrize("path", sorted((FIXTURES / "bad").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_wrong_in_structure_does_not_fit(path: Path) -> None:
    try:
        value = content(path)
    except DocumentError:
        return  # not even a document
    assert CHECKER.is_valid(value) == (path.stem in MEANING)


def test_the_shipped_policies_name_their_schema() -> None:
    for path in (PROJECT / "policies").glob("*.yaml"):
        assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n"), path.name


def content(path: Path) -> Any:
    """The file's plain values, if it is YAML that is accepted at all."""
    document = read(path)
    if document.problems:
        raise DocumentError(document.problems)
    return document.value
