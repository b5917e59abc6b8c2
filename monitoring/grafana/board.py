"""The dashboard: is it fine, then space, policies, deletions, trash, inventory, API, and what is inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from monitoring.grafana.kit import SOURCE
from monitoring.grafana.overview_rows import fine, space
from monitoring.grafana.policy_rows import policies
from monitoring.grafana.server_rows import api, inside
from monitoring.grafana.work_rows import deletions, inventory, trash

FILE: Final = Path(__file__).parent / "sweepd.json"
"""Where it is committed."""


def build() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    board = (
        dashboard.Dashboard("sweepd")
        .uid("sweepd")
        .description("A policy-driven cleanup daemon. Made by `make dashboard`: change monitoring/grafana, not this.")
        .tags(["sweepd"])
        .time("now-24h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name, query in (
        ("instance", "label_values(sweepd_build_info, instance)"),
        ("policy", 'label_values(sweepd_policy_mode{instance=~"$instance"}, policy)'),
    ):
        board.with_variable(
            dashboard.QueryVariable(name)
            .label(name.capitalize())
            .query({"query": query, "refId": "StandardVariableQuery"})
            .definition(query)
            .datasource(SOURCE)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .current(VariableOption(True, ["All"], ["$__all"]))
        )
    for part in (fine, space, policies, deletions, trash, inventory, api, inside):
        part(board)
    return json.loads(text_of(board.build()))  # type: ignore[no-any-return]


def text_of(board: Any) -> str:
    """As it is committed."""
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
