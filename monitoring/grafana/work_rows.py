"""Deletions, trash and inventory."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.grafana.kit import graph
from monitoring.grafana.queries import increase, of, quantile, rate


def deletions(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Deletions"))
    board.with_panel(
        graph(
            "Deletions",
            {"{{trigger}} {{outcome}}": rate("sweepd_deletions_total", "trigger, outcome")},
            "Per second, by who asked and how it ended.",
            unit="ops",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Files removed",
            {"{{trigger}}": rate("sweepd_deleted_files_total", "trigger")},
            "Per second.",
            unit="ops",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Time of a deletion",
            {
                "median": quantile(0.5, "sweepd_deletion_duration_seconds"),
                "95%": quantile(0.95, "sweepd_deletion_duration_seconds"),
                "99%": quantile(0.99, "sweepd_deletion_duration_seconds"),
            },
            "From the request to the last unlink.",
            unit="s",
        )
    )
    board.with_panel(
        graph(
            "Success share",
            {
                "{{trigger}}": f"{rate('sweepd_deletions_total', 'trigger', outcome='success')} / "
                f"({rate('sweepd_deletions_total', 'trigger', outcome='success|failed')} > 0)",
            },
            "Of the deletions that were tried.",
            unit="percentunit",
            most=1,
        )
    )
    board.with_panel(
        graph(
            "Restores",
            {"{{outcome}}": increase("sweepd_restores_total", "outcome")},
            "By how they ended.",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Settled by recovery",
            {"{{result}}": increase("sweepd_recovered_entries_total", "result")},
            "What crashes and blocked files left in the trash, and what became of it.",
            stacked=True,
        )
    )


def trash(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Trash and journal"))
    board.with_panel(
        graph(
            "Waits in the trash",
            {
                "deletions {{instance}}": of("sweepd_trash_deletions"),
                "of them not counted yet {{instance}}": of("sweepd_trash_uncounted_deletions"),
                "holds in force {{instance}}": of("sweepd_holds"),
            },
            "Can be restored.",
        )
    )
    board.with_panel(
        graph(
            "Ages",
            {
                "oldest in the trash {{instance}}": of("sweepd_trash_oldest_age_seconds"),
                "purge overdue {{instance}}": of("sweepd_trash_overdue_seconds"),
                "oldest unfinished deletion {{instance}}": of("sweepd_journal_unfinished_age_seconds"),
            },
            "Overdue should be near zero.",
            unit="s",
        )
    )
    board.with_panel(
        graph(
            "Not settled",
            {
                "blocked entries {{instance}}": of("sweepd_trash_blocked_entries"),
                "unfinished deletions {{instance}}": of("sweepd_journal_unfinished_deletions"),
            },
            "Blocked: something in it cannot be removed or moved.",
        )
    )


def inventory(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Inventory"))
    board.with_panel(
        graph(
            "Task directories",
            {"{{instance}}": of("sweepd_inventory_directories")},
            "By the last complete scan.",
            width=6,
        )
    )
    board.with_panel(
        graph(
            "Drift",
            {
                "orphans {{instance}}": of("sweepd_inventory_orphans"),
                "missing {{instance}}": of("sweepd_inventory_missing"),
            },
            "Directories without a row, and rows without their directory.",
            width=6,
        )
    )
    board.with_panel(
        graph(
            "Age of the inventory",
            {
                "{{instance}}": of("sweepd_inventory_age_seconds"),
                "period {{instance}}": of("sweepd_inventory_period_seconds"),
            },
            "Time since the last complete scan ended.",
            unit="s",
            width=6,
        )
    )
    board.with_panel(
        graph(
            "Scans",
            {
                "{{outcome}}": increase("sweepd_scans_total", "outcome"),
                "mean time": f"sum({of('sweepd_scan_duration_seconds_sum')}) / "
                f"(sum({of('sweepd_scan_duration_seconds_count')}) > 0)",
            },
            "How they ended, and how long a complete one takes (seconds).",
            width=6,
        )
    )
