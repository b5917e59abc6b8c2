"""Policies and their sweeps."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.grafana.kit import BAD, GOOD, WARN, graph, sheet, timeline
from monitoring.grafana.queries import increase_of_policies, last_outcome, of_policy

_OUTCOMES = {
    "1": ("success", GOOD),
    "2": ("observed", "blue"),
    "3": ("partial", WARN),
    "4": ("failed", BAD),
    "5": ("blocked", "purple"),
    "6": ("stopped", "yellow"),
}
"""As ``queries.last_outcome`` numbers them."""


def policies(board: dashboard.Dashboard) -> None:
    def latest(metric: str) -> str:
        return f"max by (instance, policy) ({of_policy(metric)})"

    def age(metric: str) -> str:
        return f"max by (instance, policy) (time() - ({of_policy(metric)} > 0))"

    board.with_row(dashboard.Row("Policies"))
    board.with_panel(
        sheet(
            "Policies",
            {
                "on": (f"max by (instance, policy, mode) ({of_policy('sweepd_policy_mode')} == 1)", "short"),
                "last outcome": (last_outcome(), "short"),
                "ran": (age("sweepd_policy_last_run_timestamp_seconds"), "s"),
                "succeeded": (age("sweepd_policy_last_success_timestamp_seconds"), "s"),
                "runs again in": (f"{latest('sweepd_policy_next_run_timestamp_seconds')} - time()", "s"),
                "overdue": (f"clamp_min(time() - {latest('sweepd_policy_due_timestamp_seconds')}, 0)", "s"),
                "considered": (latest("sweepd_policy_considered_tasks"), "short"),
                "selected": (latest("sweepd_policy_selected_tasks"), "short"),
                "deleted": (latest("sweepd_policy_deleted_tasks"), "short"),
                "without a match": (latest("sweepd_policy_sweeps_without_match"), "short"),
                "low mark not reached": (latest("sweepd_quota_unreached"), "short"),
                "failing tasks": (latest("sweepd_policy_failing_tasks"), "short"),
                "suspended": (latest("sweepd_policy_suspended"), "short"),
            },
            "Of each policy: how its last sweep went, and when the next one is. Times are ages.",
            hidden=("on", "Value #A"),
            words={"last outcome": _OUTCOMES, "suspended": {"0": ("no", "transparent"), "1": ("SUSPENDED", BAD)}},
        )
    )
    board.with_panel(
        timeline("How the last sweep ended", {"{{instance}} {{policy}}": last_outcome()}, "Over time.", _OUTCOMES)
    )
    board.with_panel(
        timeline(
            "Sweeps under way",
            {"{{instance}} {{policy}}": of_policy("sweepd_policy_sweep_running")},
            "When each policy was being swept.",
            {"0": ("", "transparent"), "1": ("sweeping", "blue")},
        )
    )
    board.with_panel(
        graph(
            "What stays, and why",
            {
                "selected": f"sum({of_policy('sweepd_policy_selected_tasks')})",
                "{{reason}}": f"sum by (reason) ({of_policy('sweepd_policy_kept_tasks')})",
            },
            "Tasks of the last plan of each policy.",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "What became of the selected tasks",
            {"{{outcome}}": increase_of_policies("sweepd_sweep_tasks_total", "outcome")},
            "Dropped: changed since the plan, so rightly left alone.",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Freed by sweeps",
            {"{{policy}}": f"sum by (policy) (rate({of_policy('sweepd_sweep_freed_bytes_total')}[$__rate_interval]))"},
            "At once; what waits in the trash is not in it.",
            unit="Bps",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Sweeps by outcome",
            {"{{outcome}}": increase_of_policies("sweepd_sweeps_total", "outcome")},
            "Refused: it did not begin.",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Stopped or refused, by why",
            {
                "{{policy}} {{limit}}": f"sum by (policy, limit) "
                f"(increase({of_policy('sweepd_sweeps_blocked_total')}[$__rate_interval])) > 0",
                "{{policy}} {{error_code}}": f"sum by (policy, error_code) "
                f"(increase({of_policy('sweepd_sweeps_refused_total')}[$__rate_interval])) > 0",
            },
            "Limits, and what kept sweeps from beginning.",
        )
    )
    board.with_panel(
        graph(
            "Time of a sweep",
            {
                "{{policy}} median": "histogram_quantile(0.5, sum by (policy, le) "
                f"(rate({of_policy('sweepd_sweep_duration_seconds_bucket')}[$__rate_interval])))",
                "{{policy}} 95%": "histogram_quantile(0.95, sum by (policy, le) "
                f"(rate({of_policy('sweepd_sweep_duration_seconds_bucket')}[$__rate_interval])))",
            },
            "From plan to report.",
            unit="s",
        )
    )
