"""Whatever a client calls a task: nothing outside the root is touched, and nothing inside that was not named."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.errors import SweepdError
from support.prepared import Prepared
from support.site import opened, request
from support.trees import fill, snapshot

EXAMPLES = 10_000 if os.environ.get("TORTURE") else 300

ODD = st.sampled_from(
    ["..", ".", "", "/", "//", "\0", "\n", "../outside", "..%2foutside", "%2e%2e", ".sweepd", ".sweepd/trash", "~", "*"]
)
PIECES = st.one_of(
    ODD, st.text(max_size=8), st.sampled_from(["a", "task", "-", "_", "é", "\ud800", "\u2025", "\uff0e"])
)
IDS = st.one_of(
    st.lists(PIECES, max_size=6).map("".join),
    st.lists(PIECES, max_size=6).map("/".join),
    st.text(min_size=100, max_size=300),
    st.integers(min_value=1, max_value=12).map(lambda depth: "../" * depth + "etc"),
)


def test_no_id_leads_out_of_the_root_or_into_what_is_sweepds(prepared: Prepared, tmp_path: Path) -> None:
    with opened(prepared.sqlite(tmp_path), tmp_path / "root") as site:
        site.init()
        outside, kept = fill(tmp_path / "outside"), site.directory("kept-1")
        marker = (site.path / ".sweepd" / "root.json").read_bytes()
        tree = snapshot(outside)
        site.catalog.root_id()

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
        @given(task_id=IDS)
        def attempt(task_id: str) -> None:
            if task_id == "kept-1":
                return
            for work in (
                lambda: site.engine.delete(request(task_id, force=True)),
                lambda: site.restorer.restore_task(task_id, "test"),
            ):
                try:
                    work()
                except SweepdError:
                    continue
                raise AssertionError(f"{task_id!r} was taken for a task")

        attempt()
        assert snapshot(outside) == tree
        assert snapshot(site.path / "kept-1") == kept.tree
        assert (site.path / ".sweepd" / "root.json").read_bytes() == marker
        assert site.entries() == []
        assert set(os.listdir(tmp_path)) >= {"root", "outside"}
