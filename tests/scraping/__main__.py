"""``make monitoring``: every query of the dashboard and every alert, asked of a Prometheus that scrapes a busy daemon.

Ends with 1 if a query has no data, a rule does not evaluate, or a scrape failed; 2 if there is no Prometheus.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring.grafana.board import FILE
from scraping.pipeline import Pipeline
from scraping.server import RULES, Prometheus, found, scraping
from support.postgres import PostgresServer, create_pipeline_tables
from support.promql import filled

_RATE_INTERVAL = "10s"


@dataclass(frozen=True)
class Row:
    """What one query gave: series, and values that are numbers."""

    panel: str
    legend: str
    series: int
    values: int

    def __str__(self) -> str:
        verdict = "ok" if self.values else "NO DATA"
        return f"{verdict:8} {self.panel:38.38} {self.legend:38.38} {self.series:6} {self.values:7}"


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="scraping", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the daemon is at work")
    options = parser.parse_args(arguments)
    if not found():
        print("there is no prometheus and promtool on the PATH: apt install prometheus", file=sys.stderr)
        return 2
    postgres = PostgresServer()
    postgres.start()
    try:
        url = postgres.create_database()
        create_pipeline_tables(url)
        with tempfile.TemporaryDirectory(prefix="sweepd-monitoring-") as folder:
            return _look(Path(folder), Pipeline(Path(folder) / "site", url), options.seconds)
    finally:
        postgres.remove()


def _look(folder: Path, pipeline: Pipeline, seconds: float) -> int:
    with pipeline.site.daemon(cold=True) as daemon:
        with scraping(folder, daemon.address.removeprefix("http://")) as prometheus:
            pipeline.start(daemon.address)
            time.sleep(seconds)
            rows = list(_panels(prometheus, seconds))  # while it is at work
            problems = [f"no data: {row.panel}, {row.legend}" for row in rows if not row.values]
            print(f"{'':8} {'panel':38} {'query':38} {'series':>6} {'values':>7}", *rows, sep="\n")
            problems += _alerts(prometheus) + _scrapes(prometheus, seconds)
            pipeline.stop()
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(rows)} queries, {sum(bool(row.values) for row in rows)} with data; {len(problems)} problems")
    return 1 if problems else 0


def _panels(prometheus: Prometheus, seconds: float) -> Iterator[Row]:
    for panel in json.loads(FILE.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            expr = filled(target["expr"].replace("$__rate_interval", _RATE_INTERVAL))
            if target.get("instant"):
                found = [[one["value"]] for one in prometheus.query(expr)]
            else:
                found = [one["values"] for one in prometheus.over(expr, seconds)]
            values = sum(math.isfinite(float(value)) for series in found for _, value in series)
            yield Row(panel["title"], target.get("legendFormat") or target["refId"], len(found), values)


def _alerts(prometheus: Prometheus) -> list[str]:
    proven = subprocess.run(
        ["promtool", "test", "rules", *map(str, sorted((RULES.parent / "tests").glob("*.yaml")))],
        capture_output=True,
        text=True,
        check=False,
    )
    problems = (
        [] if proven.returncode == 0 else [f"promtool does not prove the alerts:\n{proven.stdout}{proven.stderr}"]
    )
    print(f"\n{'alert':30} {'health':8} {'state':10} series")
    for rule in prometheus.rules():
        series = len(prometheus.query(rule["query"]))
        known = "" if series else "quiet; promtool proves that it rings"
        print(f"{rule['name']:30} {rule['health']:8} {rule['state']:10} {series or known}")
        if rule["health"] != "ok":
            problems.append(f"{rule['name']}: {rule.get('lastError')}")
    return problems


def _scrapes(prometheus: Prometheus, seconds: float) -> list[str]:
    def one(expr: str) -> float:
        result: list[dict[str, Any]] = prometheus.query(expr)
        return float(result[0]["value"][1]) if result else math.nan

    window = f"[{max(1, int(seconds) - 5)}s]"
    failed = one(f'sum(count_over_time(up{{job="sweepd"}}{window}) - sum_over_time(up{{job="sweepd"}}{window}))')
    print(
        f"\nscrapes: {one(f'count_over_time(up{window})'):.0f}, failed: {failed:.0f}, "
        f"samples in one: {one('scrape_samples_scraped'):.0f}, "
        f"time of one: median {one(f'quantile_over_time(0.5, scrape_duration_seconds{window})') * 1000:.1f} ms, "
        f"longest {one(f'max_over_time(scrape_duration_seconds{window})') * 1000:.1f} ms"
    )
    return [] if failed == 0 else [f"{failed:.0f} scrapes failed"]


if __name__ == "__main__":
    sys.exit(main())
