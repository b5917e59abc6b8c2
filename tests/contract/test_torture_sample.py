"""A sample of ``make torture``: every rule, every mutant, and some of the kills and faults."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from torture import tracer
from torture.mutants import MUTANTS

TESTS = Path(__file__).parents[1]
SECONDS = 5


@pytest.mark.costly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_sample_of_the_torture_finds_nothing_and_catches_every_mutant(kind: str) -> None:
    command = [sys.executable, "-m", "torture", "--sample", str(SECONDS), "--database", kind]
    command += ["--operation", "delete/kept-records"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS.parent, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    mutants = re.findall(r"^\| \w+ \| mutant \| (\d+) \| (\d+) \| (\d+) \| 0 \| 0 \|$", done.stdout, re.MULTILINE)
    assert len(mutants) == 1, done.stdout
    if tracer.possible() is None:
        assert all(int(points) >= len(MUTANTS) for points, _, _ in mutants)
        tried = re.search(r"^\| \*\*all\*\* \| \| \d+ \| (\d+) \|", done.stdout, re.MULTILINE)
        assert tried is not None
        assert int(tried[1]) > 45
