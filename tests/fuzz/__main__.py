"""``make fuzz``: every check of Schemathesis, stateful ones included, against a real daemon on PostgreSQL.

Fails on any answer outside the description, and if fewer than 2,000 cases were tried.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from support.daemons import Daemon, Installation
from support.postgres import PostgresServer, create_pipeline_tables
from support.stores import Store

CASES = 2000
EXAMPLES = 80
TOKEN = "fuzz-fuzz-fuzz-fuzz-fuzz-fuzz-fuzz"
_HERE = Path(__file__).parent
_TASKS = [f"task_2025070{day}_{number:06}" for day in range(1, 6) for number in range(8)]
_POLICIES = """
version: 1
policies:
  - {name: old, mode: enforce, match: {status: completed, older_than: 1d}, action: {trash: {retain: 7d}}}
  - {name: looks-only, match: {status: failed}, action: {delete: directory}}
"""


def main() -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="random cases of each operation, at most")
    parser.add_argument("--seed", type=int, default=1, help="the same cases again")
    parser.add_argument("rest", nargs="*", help="further options of `schemathesis run`, after --")
    options = parser.parse_args()
    server = PostgresServer()
    server.start()
    try:
        with tempfile.TemporaryDirectory(prefix="sweepd-fuzz-") as folder:
            site = _site(Path(folder), server)
            with site.daemon() as daemon:
                status = _fuzz(daemon, Path(folder), options)
                crashes = daemon.events("request_crashed")
    finally:
        server.remove()
    for crash in crashes:
        print(json.dumps(crash), file=sys.stderr)
    return status or (1 if crashes else 0)


def _site(folder: Path, server: PostgresServer) -> Installation:
    url = server.create_database()
    create_pipeline_tables(url)
    site = Installation(folder / "site", url, _POLICIES)
    text = site.config.read_text(encoding="utf-8")
    site.config.write_text(text.replace("server: {", f"server: {{tokens: ['{TOKEN}'], "), encoding="utf-8")
    site.init()
    store = Store(url)
    for number, task_id in enumerate(_TASKS):
        store.add_task(task_id, status="failed" if number % 4 == 0 else "completed")
        directory = site.root / task_id
        directory.mkdir()
        (directory / "data.bin").write_bytes(b"x" * 1000)
    return site


def _fuzz(daemon: Daemon, folder: Path, options: argparse.Namespace) -> int:
    config = folder / "schemathesis.toml"
    config.write_text(_config(options.seed), encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={config}",
        "run",
        f"{daemon.address}/api/v0/openapi.json",
        f"--max-examples={options.examples}",
        *options.rest,
    ]
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzz.hooks", "PYTHONPATH": str(_HERE.parent)}
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    found = re.search(r"(\d+) generated", "".join(said))
    cases = int(found[1]) if found else 0
    if options.examples >= EXAMPLES and cases < CASES:
        print(f"only {cases} cases were tried, and {CASES} are wanted: raise EXAMPLES", file=sys.stderr)
        return 1
    return process.returncode


def _config(seed: int) -> str:
    return f"""
seed = {seed}
continue-on-failure = true

[auth.openapi]
bearer = {{ bearer = "{TOKEN}" }}

# A cursor has to come from another page, and neither offset nor limit goes together with everything.
[[operations]]
include-name = ["GET /api/v0/data_pipeline/tasks", "GET /api/v0/deletions"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "5xx"]

# A key may have been another request's.
[[operations]]
include-name = [
    "DELETE /api/v0/data_pipeline/tasks",
    "DELETE /api/v0/data_pipeline/tasks/{{task_id}}",
    "POST /api/v0/data_pipeline/tasks/{{task_id}}/restore",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422", "429", "5xx"]

[dictionaries.tasks]
values = {json.dumps(_TASKS)}

[dictionaries.policies]
values = ["old", "looks-only"]

[parameters]
"path.task_id" = {{ dictionary = "tasks" }}
"path.name" = {{ dictionary = "policies" }}
"""


if __name__ == "__main__":
    sys.exit(main())
