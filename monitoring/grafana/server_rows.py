"""The API, and what is inside."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.grafana.kit import graph, sheet, signed
from monitoring.grafana.queries import increase, of, quantile, rate


def api(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("API and jobs"))
    board.with_panel(
        graph(
            "Answers by status",
            {"{{status}}": rate("sweepd_http_requests_total", "status")},
            "Per second.",
            unit="reqps",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Slowest operations, 95%",
            {"{{operation}}": f"topk(8, {quantile(0.95, 'sweepd_http_request_duration_seconds', 'operation')} > 0)"},
            "From the request's head to its answer; streams of events are left out.",
            unit="s",
        )
    )
    board.with_panel(
        graph(
            "Clients",
            {
                "connections {{instance}}": of("sweepd_http_connections"),
                "requests under way {{instance}}": of("sweepd_http_requests_in_progress"),
                "followers of jobs {{instance}}": of("sweepd_event_listeners"),
            },
            "At this moment.",
        )
    )
    board.with_panel(
        graph(
            "Waiting for their turn to delete",
            {"{{lane}}": f"sum by (lane) ({of('sweepd_waiting_deletions')})"},
            "Single deletions never wait for a whole batch or job.",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Jobs",
            {
                "{{state}}": f"sum by (state) ({of('sweepd_jobs')})",
                "ended: {{state}}": increase("sweepd_jobs_ended_total", "state"),
                "stands still for (s)": f"max({of('sweepd_jobs_stall_seconds')})",
            },
            "Those that have not ended, and those that have.",
        )
    )
    board.with_panel(
        graph(
            "Turned away",
            {
                "{{error_code}}": increase("sweepd_requests_refused_total", "error_code"),
                "{{reason}}": increase("sweepd_connections_closed_total", "reason"),
            },
            "Requests without the right to ask, and connections that were closed.",
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Notifications",
            {
                "{{webhook}} taken": increase("sweepd_notifications_sent_total", "webhook"),
                "{{webhook}} failed tries": increase("sweepd_notifications_failed_total", "webhook"),
                "{{webhook}} given up": increase("sweepd_notifications_dropped_total", "webhook"),
                "{{webhook}} waiting": f"sum by (webhook) ({of('sweepd_notifications_queued')})",
            },
            "Messages to webhooks; what was not taken is tried again.",
        )
    )
    board.with_panel(
        graph(
            "Oldest notification that waits",
            {"{{webhook}}": f"max by (webhook) ({of('sweepd_notifications_oldest_age_seconds')})"},
            "After three days it is given up.",
            unit="s",
        )
    )


def inside(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Inside"))
    board.with_panel(
        graph(
            "Lag of the event loop",
            {
                "{{instance}} median": quantile(0.5, "sweepd_event_loop_lag_seconds"),
                "{{instance}} 99%": quantile(0.99, "sweepd_event_loop_lag_seconds"),
            },
            "How much later than asked it wakes a task up.",
            unit="s",
        )
    )
    board.with_panel(
        graph(
            "Database connections",
            {
                "{{state}} {{instance}}": of("sweepd_database_connections"),
                "most {{instance}}": of("sweepd_database_connections_max"),
                "waiting {{instance}}": of("sweepd_database_waiting"),
            },
            "Of the pool.",
        )
    )
    board.with_panel(
        graph(
            "Log lines lost",
            {"{{instance}}": increase("sweepd_log_lines_dropped_total", "instance")},
            "Nobody reads the log, or the disk it goes to is full.",
        )
    )
    board.with_panel(
        graph(
            "Parts found dead",
            {"{{instance}}": of("sweepd_watchdog_problems")},
            "While there is one, systemd's watchdog is not fed.",
        )
    )
    board.with_panel(
        graph(
            "Audit file behind the journal",
            {"{{instance}}": of("sweepd_audit_file_behind_seconds")},
            "For how long it has lacked entries; nothing is shown without one.",
            unit="s",
        )
    )
    board.with_panel(
        signed(
            graph(
                "Clocks",
                {
                    "this machine less the database {{instance}}": of("sweepd_clock_skew_seconds"),
                    "jumped since the start {{instance}}": of("sweepd_clock_jump_seconds"),
                },
                "At five minutes nothing is enforced any more.",
                unit="s",
            )
        )
    )
    board.with_panel(
        graph(
            "Memory",
            {"{{instance}}": of("process_resident_memory_bytes")},
            "Of the daemon, without its child processes.",
            unit="bytes",
        )
    )
    board.with_panel(
        graph(
            "Processor",
            {"{{instance}}": f"rate({of('process_cpu_seconds_total')}[$__rate_interval])"},
            "Cores in use by the daemon, without its child processes.",
        )
    )
    board.with_panel(
        graph(
            "File descriptors",
            {"open {{instance}}": of("process_open_fds"), "most {{instance}}": of("process_max_fds")},
            "Of the daemon.",
        )
    )
    board.with_panel(
        sheet(
            "Versions and roots",
            {
                "": (f"{of('sweepd_build_info')}", "short"),
                "root": (f"{of('sweepd_root_info')}", "short"),
                "loaded": (f"time() - {of('sweepd_config_last_reload_success_timestamp_seconds')}", "s"),
            },
            "What runs where; when its configuration was loaded.",
            hidden=("__name__", "job", "Value #A", "Value #B", "root", ""),
            height=5,
        )
    )
