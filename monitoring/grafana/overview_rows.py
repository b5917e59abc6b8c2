"""Whether it is fine, and space."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.grafana.kit import BAD, GOOD, WARN, graph, number, sheet, timeline
from monitoring.grafana.queries import of, of_policy, rate


def fine(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Is it fine?"))
    board.with_panel(
        number(
            "Ready",
            f"min({of('sweepd_ready')})",
            "Whether every part of the daemon does its work; of several instances, the worst.",
            words={"1": ("ready", GOOD), "0": ("NOT READY", BAD)},
        )
    )
    board.with_panel(
        number(
            "Alerts",
            'count(ALERTS{alertname=~"Sweepd.*", alertstate="firing"}) or vector(0)',
            "Alerts that ring now; the table below names them, and the runbook says what to do.",
            steps=((None, GOOD), (1, BAD)),
        )
    )
    board.with_panel(
        number(
            "Policies in trouble",
            f"count(max by (instance, policy) ({of('sweepd_policy_last_outcome', outcome='failed|blocked')}) == 1 or "
            f"max by (instance, policy) ({of('sweepd_policy_suspended')}) == 1) or vector(0)",
            "Policies whose last sweep failed or was stopped by a limit, and those that have suspended themselves.",
            steps=((None, GOOD), (1, BAD)),
        )
    )
    board.with_panel(
        number(
            "Available space",
            f"min({of('sweepd_filesystem_available_bytes')} / {of('sweepd_filesystem_size_bytes')})",
            "Of the storage root's file system.",
            unit="percentunit",
            steps=((None, BAD), (0.05, WARN), (0.15, GOOD)),
        )
    )
    board.with_panel(
        number(
            "Freed in 24 h",
            f"sum(increase({of('sweepd_freed_bytes_total')}[24h]))",
            "Bytes given back to the file system, by whomever.",
            unit="bytes",
        )
    )
    board.with_panel(
        number(
            "Success in 24 h",
            f"sum(increase({of('sweepd_deletions_total', outcome='success')}[24h])) / "
            f"sum(increase({of('sweepd_deletions_total', outcome='success|failed')}[24h]))",
            "Share of the deletions that worked; what was rightly refused (running, held) does not count.",
            unit="percentunit",
            steps=((None, BAD), (0.9, WARN), (0.99, GOOD)),
            decimals=1,
        )
    )
    board.with_panel(
        number(
            "Configuration",
            f"min({of('sweepd_config_last_reload_successful')})",
            "Whether the last reload took effect, or the old configuration is still in force.",
            words={"1": ("in force", GOOD), "0": ("REFUSED", BAD)},
        )
    )
    board.with_panel(
        number(
            "Up since",
            f"max(time() - {of('process_start_time_seconds')} * on (instance) group_left () {of('sweepd_build_info')})",
            "How long the daemon has been running.",
            unit="s",
        )
    )
    board.with_panel(
        timeline(
            "Parts of the daemon",
            {"{{instance}} {{component}}": of("sweepd_component_ready")},
            "What /readyz says.",
            {"1": ("ready", GOOD), "0": ("not ready", BAD)},
        )
    )
    board.with_panel(
        sheet(
            "Alerts that ring",
            {"": ('ALERTS{alertname=~"Sweepd.*", alertstate="firing"}', "short")},
            "Empty is good.",
            hidden=("__name__", "alertstate", "job", "Value"),
            width=12,
            height=6,
        )
    )


def space(board: dashboard.Dashboard) -> None:
    size, available = of("sweepd_filesystem_size_bytes"), of("sweepd_filesystem_available_bytes")
    board.with_row(dashboard.Row("Space"))
    board.with_panel(
        graph(
            "File system of the storage root",
            {
                "size {{instance}}": size,
                "used {{instance}}": f"{size} - {of('sweepd_filesystem_free_bytes')}",
                "trash is purged early below, available {{instance}}": of("sweepd_filesystem_min_free_bytes"),
                "available {{instance}}": available,
            },
            "What is absent here could not be seen: the root was away.",
            unit="bytes",
        )
    )
    board.with_panel(
        graph(
            "Full in, at the pace of six hours",
            {"{{instance}}": f"{available} / (-deriv({available}[6h]) > 0)"},
            "Nothing is shown while space is not going down.",
            unit="s",
        )
    )
    board.with_panel(
        graph(
            "Freed",
            {"{{trigger}}": rate("sweepd_freed_bytes_total", "trigger")},
            "Bytes given back per second, by who asked.",
            unit="Bps",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Task directories and trash",
            {
                "task directories {{instance}}": of("sweepd_inventory_bytes"),
                "trash {{instance}}": of("sweepd_trash_bytes"),
            },
            "As counted by the last scan, and by the deletions.",
            unit="bytes",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Free inodes",
            {
                "{{instance}}": f"{of('sweepd_filesystem_free_inodes')} / ({of('sweepd_filesystem_inodes')} > 0)",
            },
            "Share; nothing for a file system that makes them as needed.",
            unit="percentunit",
            most=1,
        )
    )
    board.with_panel(
        graph(
            "Quotas",
            {
                "used {{policy}}": of_policy("sweepd_quota_used"),
                "begins at {{policy}}": of_policy("sweepd_quota_high"),
                "ends at {{policy}}": of_policy("sweepd_quota_low"),
            },
            "Of several users or databases the fullest; bytes, or inodes where the quota measures them.",
            unit="bytes",
        )
    )
