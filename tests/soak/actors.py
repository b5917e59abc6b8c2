"""Those who do something all the time: the pipeline, people and scripts at the API, the operator, and bad luck."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
import requests

from soak.policies import broken, policies
from soak.world import API, EITHER, GOES, LONG_AGO, STAYS, TASKS, Task, World, patiently

_ANSWER_S = 120.0
_REFUSED = {408, 429, 503}
"""What a client may be told when it is too early or too late: try again."""


class Actor(threading.Thread):
    """Does one thing again and again; a surprise is a difference."""

    def __init__(self, world: World, do: Callable[[], None], pause: float, stop: threading.Event) -> None:
        super().__init__(name=f"{world.name} {do.__name__}", daemon=True)
        self._world, self._do, self._pause, self._halt = world, do, pause, stop

    def run(self) -> None:
        while not self._halt.wait(self._pause * self._world.chance.uniform(0.5, 1.5)):
            try:
                self._do()
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._world.count("database away for the pipeline")
            except Exception as error:
                self._world.differ(f"{self.name}: {type(error).__name__}: {error}")


class Pipeline:
    """Makes tasks of every kind, and restarts some while a sweep may be at them."""

    _KINDS = ("sweep", "records", "trash", "api", "api", "api", "api", "run", "keep", "young", "hold", "flip")

    def __init__(self, world: World) -> None:
        self._world = world
        self._turn = 0

    def create(self) -> None:
        kind = self._KINDS[self._turn % len(self._KINDS)]
        self._turn += 1
        world = self._world
        old = {"created_at": LONG_AGO, "completed_at": LONG_AGO}
        if kind in ("sweep", "records", "trash"):
            world.make(kind, GOES, **old)
        elif kind in ("keep", "flip"):
            world.make(kind, STAYS if kind == "keep" else EITHER, **old)
        elif kind == "run":
            task = world.make(kind, STAYS)
            world.update(task, f"status = 'in_progress', created_at = '{LONG_AGO}', completed_at = '{LONG_AGO}'")
        elif kind == "hold":
            self._held()
        else:
            world.make(kind, STAYS)

    def _held(self) -> None:
        world = self._world
        task = world.make("hold", STAYS)
        body = {"task_id": task.before.task_id, "reason": "soak"}
        for _ in patiently():
            try:
                if requests.post(f"{world.address}{API}/holds", json=body, timeout=_ANSWER_S).status_code == 201:
                    break
            except requests.RequestException:
                continue
        else:
            return  # it stays young
        world.update(task, f"created_at = '{LONG_AGO}', completed_at = '{LONG_AGO}'")

    def restart(self) -> None:
        """A finished task is started again, at the very moment a sweep may want it."""
        for task in self._world.some("flip", EITHER)[:1]:
            gone_by_now = not self._world.update(task, "status = 'in_progress'")
            task.turn(GOES if gone_by_now else STAYS)
            self._world.count("restarted too late" if gone_by_now else "restarted in time")


class People:
    """Delete and restore by HTTP, try again as scripts do, and are refused what must stay."""

    def __init__(self, world: World) -> None:
        self._world = world

    def act(self) -> None:
        chance = self._world.chance
        chance.choice((self.single, self.single, self.batch, self.job, self.there_and_back, self.forbidden))()

    def single(self) -> None:
        for task in self._take(1):
            records = self._world.chance.random() < 0.3
            answer = self._send("DELETE", f"{TASKS}/{task.before.task_id}", {"delete_database_records": records})
            self._deleted(task, answer, "deleted one by one")

    def batch(self) -> None:
        taken = self._take(5)
        if taken:
            answer = self._send("DELETE", TASKS, {"task_ids": [task.before.task_id for task in taken]})
            self._summary(taken, answer, "deleted in batches")

    def job(self) -> None:
        taken = self._take(6)
        if not taken:
            return
        body = {"task_ids": [task.before.task_id for task in taken], "async": True}
        answer = self._send("DELETE", TASKS, body)
        if answer is None or answer["code"] != 202:
            self._world.differ(f"a job was answered {answer}")
            return
        for _ in patiently(120):
            job = self._get(answer["data"]["url"])
            if job is not None and job["data"]["result"] is not None:
                self._summary(taken, {"code": 200, "data": job["data"]["result"]}, "deleted by jobs")
                return
        self._world.differ(f"the job {answer['data']['job_id']} does not end")

    def there_and_back(self) -> None:
        for task in self._take(1):
            at = f"{TASKS}/{task.before.task_id}"
            records = self._world.chance.random() < 0.5
            body = {"retain": "1h", "delete_database_records": records}
            self._deleted(task, self._send("DELETE", at, body), "retained")
            if task.fate != GOES:
                continue
            task.turn(EITHER)  # it may be back before its answer is
            answer = self._send("POST", f"{at}/restore", {}, confirmed=False)
            if answer is not None and answer["code"] == 200:
                task.turn(STAYS)
                self._world.count("restored")
            else:
                self._world.differ(f"{task.before.task_id} was not restored: {answer}")

    def forbidden(self) -> None:
        for kind, code in (("hold", "TASK_HELD"), ("run", "TASK_RUNNING")):
            tasks = self._world.some(kind, STAYS)
            if tasks:
                task = self._world.chance.choice(tasks)
                # what was made a moment ago may still be on its way to being held
                if time.monotonic() - task.at < 5 + 60 * (kind == "hold"):
                    continue
                answer = self._send("DELETE", f"{TASKS}/{task.before.task_id}", {})
                if answer is None or answer.get("error_code") not in (code, "TASK_BUSY"):
                    self._world.differ(f"{task.before.task_id} has to be refused with {code}: {answer}")
                self._world.count("refused as it has to be")

    def _take(self, number: int) -> list[Task]:
        """Tasks that nobody else deletes; until an answer comes nobody knows what becomes of them."""
        with self._world.lock:
            waiting = [task for task in self._world.tasks.values() if task.kind == "api" and task.fate == STAYS]
            fresh = [task for task in waiting if task.before.task_id not in self._world.used][:number]
            for task in fresh:
                self._world.used.add(task.before.task_id)
                task.turn(EITHER)
        return fresh

    def _deleted(self, task: Task, answer: Mapping[str, Any] | None, how: str) -> None:
        if answer is not None and answer["code"] == 200:
            task.turn(GOES)
            self._world.count(how)
        else:
            self._world.differ(f"{task.before.task_id} was not deleted: {answer}")

    def _summary(self, taken: list[Task], answer: Mapping[str, Any] | None, how: str) -> None:
        if answer is None or answer["code"] != 200:
            self._world.differ(f"a batch was answered {answer}")
            return
        deleted = {entry["task_id"] for entry in answer["data"]["deleted_tasks"]}
        for task in taken:
            if task.before.task_id in deleted:
                task.turn(GOES)
                self._world.count(how)
        failed = [e for e in answer["data"]["failed_tasks"] if e["error_code"] not in _PASSING]
        for entry in failed:
            self._world.differ(f"a batch did not delete {entry}")
        self._world.count("not deleted: an outage", len(answer["data"]["failed_tasks"]) - len(failed))

    def _send(self, method: str, path: str, body: dict[str, Any], *, confirmed: bool = True) -> dict[str, Any] | None:
        """Until there is an answer, with one key, as a client that must not do anything twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        sent = {"confirm": True, **body} if confirmed else body
        for _ in patiently(180):
            try:
                response = requests.request(
                    method, self._world.address + path, json=sent, headers=headers, timeout=_ANSWER_S
                )
                answer: dict[str, Any] = response.json()
            except requests.RequestException:
                self._world.count("no answer")
                continue
            if response.status_code in _REFUSED:
                self._world.count(f"answered {response.status_code}")
                if "Retry-After" not in response.headers:
                    self._world.differ(f"{response.status_code} without Retry-After: {response.text}")
                continue
            if answer.get("error_code") in ("IDEMPOTENCY_KEY_IN_USE", "TASK_BUSY"):
                continue
            if response.status_code >= 500:
                self._world.differ(f"{method} {path} was answered {response.text}")
            return answer
        return None

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            response = requests.get(self._world.address + path, timeout=_ANSWER_S)
        except requests.RequestException:
            return None
        found: dict[str, Any] = response.json()
        return found if response.ok else None


_PASSING = {"CATALOG_UNAVAILABLE", "CATALOG_NOT_READY", "TASK_BUSY", "SHUTTING_DOWN"}


class Readers:
    """Look at everything."""

    _PATHS = (
        TASKS,
        f"{TASKS}?status=completed&limit=20&sort=-updated",
        "/metrics",
        "/readyz",
        f"{API}/deletions?limit=20",
        f"{API}/storage",
        f"{API}/policies",
        f"{API}/sweeps",
        f"{API}/jobs",
        f"{API}/data_pipeline/trash",
    )

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self) -> None:
        try:
            response = requests.get(self._world.address + self._world.chance.choice(self._PATHS), timeout=_ANSWER_S)
        except requests.RequestException:
            self._world.count("no answer")
            return
        self._world.count(f"read, answered {response.status_code}")
        if response.status_code not in (200, 503):
            self._world.differ(f"GET {response.url} was answered {response.status_code}: {response.text[:300]}")


class Operator:
    """Changes the policies, sometimes wrongly, and lets the daemon reload them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._number = 0

    def reload(self) -> None:
        world = self._world
        self._number += 1
        wrong = self._number % 4 == 3
        with world.files:
            self._reload(wrong)

    def _reload(self, wrong: bool) -> None:
        world = self._world
        world.site.write_policies(broken(self._number) if wrong else policies(self._number))
        if self._number % 2 and not wrong:
            world.hang_up()
            world.count("reloads by signal")
            return
        try:
            status = requests.post(f"{world.address}{API}/reload", timeout=_ANSWER_S).status_code
        except requests.RequestException:
            return
        finally:
            if wrong:  # a daemon that starts now would refuse to
                world.site.write_policies(policies(self._number))
        world.count("reloads refused" if status == 422 else "reloads by HTTP")
        if status not in ((422, 503) if wrong else (200, 503)):
            world.differ(f"a reload of {'wrong' if wrong else 'right'} files was answered {status}")
