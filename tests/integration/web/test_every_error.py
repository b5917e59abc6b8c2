"""Every error code with its status and its exact body, in both languages, each provoked by one request.

What needs a fault deep below (a lock, a mount, a clock) is raised where the web calls the rest of the daemon: that it
happens there is what the contract tests are for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from daemon.config import ServerConfig
from daemon.deletion.engine import Engine
from daemon.deletion.restore import Restorer
from daemon.errors import DocumentError, ErrorCode, Problem, SweepdError, SweepRefused, TaskRefused
from daemon.jobs.journal import Journal
from daemon.policy.models import Action, Condition, Policy, PolicySet
from daemon.sweep.sweeper import Sweeper
from daemon.tokens import TokenEntry, hash_of
from daemon.web import body as body_reader
from daemon.web.addresses import HOLDS, INVENTORY, POLICIES, RELOAD, SWEEPS, TASKS
from daemon.web.caller import Caller, Scope
from daemon.web.errors import RULES, ApiCode, ApiError
from daemon.web.idempotency import Idempotency
from daemon.web.jobs import JOBS
from daemon.web.lanes import Lanes
from integration.web.installation import NO_DATABASE, Answer, Api, Installation, serving

TASK = "task_20250702_173932"
AT = f"{TASKS}/{TASK}"
SURE = {"confirm": True}
_ID = "0" * 28
_HEAD = f"DELETE {AT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept-Language: {{}}\r\n"


@dataclass
class Stage:
    """What a case can change before its request."""

    installation: Installation
    patch: pytest.MonkeyPatch
    api: Api


@dataclass(frozen=True)
class Case:
    """One request and what it is answered; ``rest``: the body beside success, code, message and error_code."""

    zh: str
    en: str
    method: str = "DELETE"
    path: str = AT
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    stage: Callable[[Stage], Any] = lambda _stage: None
    url: str | None = None
    tokens: tuple[str | TokenEntry, ...] = ()


def raises(owner: type, name: str, error: Exception) -> Callable[[Stage], None]:
    """What ``owner.name`` does in this case."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return lambda stage: stage.patch.setattr(owner, name, fail)


def refused(code: ErrorCode) -> Callable[[Stage], None]:
    return raises(Engine, "delete", TaskRefused("it says why", code=code, details={"task_id": TASK}))


def not_restored(code: ErrorCode) -> Callable[[Stage], None]:
    return raises(Restorer, "restore_task", TaskRefused("it says why", code=code))


def not_swept(code: ErrorCode) -> Callable[[Stage], None]:
    return raises(Sweeper, "sweep", SweepRefused("it says why", code=code))


def not_reloaded(error: SweepdError) -> Callable[[Stage], None]:
    return lambda stage: setattr(stage.installation, "reload_error", error)


def running(stage: Stage) -> None:
    stage.installation.task(TASK, 10, status="in_progress")


def linked(stage: Stage) -> None:
    stage.installation.row(TASK)
    (stage.installation.root / TASK).symlink_to(stage.installation.root)


def unmarked(stage: Stage) -> None:
    stage.installation.task(TASK, 10)
    (stage.installation.root / ".sweepd" / "root.json").unlink()


def not_ready(stage: Stage) -> None:
    stage.api.problems["scheduler"] = "it stopped"


def rolled_back(stage: Stage) -> None:
    stage.api.problems["journal"] = "it has forgotten one"


def starting(stage: Stage) -> None:
    stage.api.problems["recovery"] = "it has not ended"


def reader(stage: Stage) -> None:
    stage.patch.setattr(
        "daemon.web.guard.Caller", lambda name, address, _scopes: Caller(name, address, frozenset({Scope.READ}))
    )


def hurry(stage: Stage) -> None:
    stage.patch.setattr(body_reader, "BODY_TIMEOUT_S", 0.05)


async def held(stage: Stage) -> None:
    stage.installation.task(TASK, 10)
    terms = {"task_id": TASK, "reason": "an audit", "owner": "ann"}
    assert (await stage.api.ask("POST", HOLDS, json=terms)).status == 201


async def used_key(stage: Stage) -> None:
    stage.installation.task(TASK, 10)
    first = {**SURE, "retain": "1d"}
    assert (await stage.api.ask("DELETE", AT, json=first, headers={"Idempotency-Key": "k"})).status == 200


async def stopping(stage: Stage) -> None:
    await stage.api.runner.app.shutdown()


_OVER = "sweepd_over_of_sixteen"
WHY: dict[str, Any] = {"data": {"reason": "it says why"}}
OF_TASK = {"data": {"task_id": TASK, "reason": "it says why"}}
RESTORE: dict[str, Any] = {"method": "POST", "path": f"{AT}/restore"}
SWEEP: dict[str, Any] = {"method": "POST", "path": f"{POLICIES}/old/sweeps", "body": SURE}
CASES: dict[str, Case] = {
    ErrorCode.INVALID_TASK_ID: Case(
        "任务ID无效: 须为1到128个字母、数字、'.'、'_'或'-',且以字母或数字开头",
        "Invalid task id: it has 1 to 128 letters, digits, '.', '_' or '-', and starts with a letter or digit",
        path=f"{TASKS}/.hidden",
        body=SURE,
    ),
    ErrorCode.TASK_NOT_FOUND: Case(
        f"任务不存在: {TASK}",
        f"Task not found: {TASK}",
        body=SURE,
        rest={"data": {"task_id": TASK, "reason": f"there is no task {TASK}"}},
    ),
    ErrorCode.TASK_RUNNING: Case(
        "任务正在运行中,无法删除",
        "The task is running and cannot be deleted",
        body=SURE,
        stage=running,
        rest={"data": {"task_id": TASK, "current_status": "in_progress"}},
    ),
    ErrorCode.TASK_CHANGED: Case(
        "任务状态已改变,未删除",
        "The task has changed in the meantime and was not deleted",
        body=SURE,
        stage=refused(ErrorCode.TASK_CHANGED),
        rest=OF_TASK,
    ),
    ErrorCode.TASK_BUSY: Case(
        "任务正被占用,请稍后重试",
        "The task is in use, try again in a moment",
        body=SURE,
        stage=refused(ErrorCode.TASK_BUSY),
        rest=OF_TASK,
    ),
    ErrorCode.TASK_HELD: Case(
        "任务被保留,不能删除: 保留人 ann,原因: an audit",
        "The task is held and cannot be deleted: by ann, because: an audit",
        body=SURE,
        stage=held,
        rest={"data": {"task_id": TASK, "hold_id": ..., "owner": "ann", "reason": "an audit", "until": None}},
    ),
    ErrorCode.INVALID_HOLD: Case(
        "保留的到期时间须在将来",
        "The hold has to end in the future",
        method="POST",
        path=HOLDS,
        body={"task_id": TASK, "reason": "an audit", "until": "2020-01-01T00:00:00Z"},
        rest={"data": {"reason": ...}},
    ),
    ErrorCode.HOLD_NOT_FOUND: Case(
        "保留记录不存在或已解除",
        "There is no such hold, or it has been released already",
        path=f"{HOLDS}/{_ID}",
        rest={"data": {"reason": f"there is no hold {_ID}; sweepd holds lists those in force"}},
    ),
    ErrorCode.RECORDS_IN_USE: Case(
        "任务记录被其他数据引用,未删除",
        "Other tables refer to the task's records",
        body=SURE,
        stage=refused(ErrorCode.RECORDS_IN_USE),
        rest=OF_TASK,
    ),
    ErrorCode.DELETION_NOT_FOUND: Case(
        "删除记录不存在",
        "There is no such deletion",
        **RESTORE,
        body={"deletion_id": _ID},
        rest={
            "data": {
                "reason": f"there is no deletion {_ID} in the journal; sweepd trash lists those that can be restored"
            }
        },
    ),
    ErrorCode.NOT_RESTORABLE: Case(
        "任务不在回收站中,无法恢复",
        "It does not wait in the trash and cannot be restored",
        **RESTORE,
        stage=not_restored(ErrorCode.NOT_RESTORABLE),
        rest=WHY,
    ),
    ErrorCode.RESTORE_CONFLICT: Case(
        "无法恢复: 名称已被占用或数据已改变",
        "It cannot be restored: its name is taken or its rows do not fit",
        **RESTORE,
        stage=not_restored(ErrorCode.RESTORE_CONFLICT),
        rest=WHY,
    ),
    ErrorCode.UNSAFE_DIRECTORY: Case(
        "任务目录不安全,拒绝删除",
        "The task directory is not safe to delete: a link, a mount or not a directory",
        body=SURE,
        stage=linked,
        rest={
            "data": {
                "task_id": TASK,
                "reason": f"{TASK} in the storage root is a symbolic link; look at it and remove it by hand",
            }
        },
    ),
    ErrorCode.PERMISSION_DENIED: Case(
        "权限不足,无法删除",
        "Permission denied by the file system",
        body=SURE,
        stage=refused(ErrorCode.PERMISSION_DENIED),
        rest=OF_TASK,
    ),
    ErrorCode.DELETION_FAILED: Case(
        "删除操作失败", "The deletion failed", body=SURE, stage=refused(ErrorCode.DELETION_FAILED), rest=OF_TASK
    ),
    ErrorCode.ROOT_UNAVAILABLE: Case(
        "存储根目录不可用", "The storage root is not available", body=SURE, stage=unmarked
    ),
    ErrorCode.CATALOG_UNAVAILABLE: Case(
        "数据库不可用,请稍后重试",
        "The database is not available, try again later",
        method="GET",
        path=TASKS,
        url=NO_DATABASE,
    ),
    ErrorCode.CATALOG_NOT_READY: Case(
        "数据库尚未初始化,请先运行 sweepd init",
        "The database is not prepared, run: sweepd init",
        method="GET",
        path=TASKS,
        url="sqlite://{folder}/empty.sqlite3",
    ),
    ErrorCode.POLICY_NOT_FOUND: Case(
        "策略不存在",
        "There is no such policy",
        method="GET",
        path=f"{POLICIES}/nothing/plan",
        rest={"data": {"known": ["old"]}},
    ),
    ErrorCode.PLAN_NOT_FOUND: Case(
        "计划不存在或已过期",
        "There is no such plan, or it was forgotten",
        **SWEEP,
        stage=not_swept(ErrorCode.PLAN_NOT_FOUND),
        rest=WHY,
    ),
    ErrorCode.PLAN_OUTDATED: Case(
        "策略在计划生成后已改变,未删除",
        "The policy has changed since the plan was made, nothing was deleted",
        **SWEEP,
        stage=not_swept(ErrorCode.PLAN_OUTDATED),
        rest=WHY,
    ),
    ErrorCode.INVALID_DOCUMENT: Case(
        "配置或策略文件有误,一切保持不变",
        "The configuration or a policy file is wrong, everything is as it was",
        method="POST",
        path=RELOAD,
        stage=not_reloaded(DocumentError([Problem("a.yaml", 6, 13, "unknown key `oldr_than`")])),
        rest={
            "data": {
                "problems": [{"file": "a.yaml", "line": 6, "column": 13, "message": "unknown key `oldr_than`"}],
            }
        },
    ),
    ErrorCode.RELOAD_REFUSED: Case(
        "未重新加载,一切保持不变",
        "Nothing was reloaded, everything is as it was",
        method="POST",
        path=RELOAD,
        stage=not_reloaded(
            SweepdError("why", code=ErrorCode.RELOAD_REFUSED, details={"reason": "why", "keys": ["server.port"]})
        ),
        rest={"data": {"reason": "why", "keys": ["server.port"]}},
    ),
    ErrorCode.SWEEP_NOT_FOUND: Case("清理记录不存在", "There is no such sweep", method="GET", path=f"{SWEEPS}/{_ID}"),
    ErrorCode.SWEEP_RUNNING: Case(
        "该策略正在清理中,请稍后重试",
        "The policy is being swept already, try again later",
        **SWEEP,
        stage=not_swept(ErrorCode.SWEEP_RUNNING),
        rest=WHY,
    ),
    ErrorCode.STARTUP_REFUSED: Case(
        "策略的模式不允许删除",
        "The policy's mode does not let it delete",
        **{**SWEEP, "body": {**SURE, "plan": "0" * 8}},
        rest={
            "data": {
                "reason": "policy old is in mode observe, so its plan is not applied; set mode: enforce in it",
            }
        },
    ),
    ErrorCode.CLOCK_UNRELIABLE: Case(
        "时钟不可信,未删除",
        "The clocks cannot be believed, nothing was deleted",
        **SWEEP,
        stage=not_swept(ErrorCode.CLOCK_UNRELIABLE),
        rest=WHY,
    ),
    ErrorCode.CATALOG_EMPTY: Case(
        "任务表为空或大部分记录已消失,已停止清理",
        "The tasks table is empty, or most of its rows are gone: nothing is swept",
        **SWEEP,
        stage=not_swept(ErrorCode.CATALOG_EMPTY),
        rest=WHY,
    ),
    ErrorCode.CATALOG_MISMATCH: Case(
        "数据库与存储根目录不匹配,已停止清理",
        "Database and storage root do not belong together: nothing is swept",
        **SWEEP,
        stage=not_swept(ErrorCode.CATALOG_MISMATCH),
        rest=WHY,
    ),
    ErrorCode.POLICY_SUSPENDED: Case(
        "策略因连续失败已暂停",
        "The policy has suspended itself after failing repeatedly",
        **SWEEP,
        stage=not_swept(ErrorCode.POLICY_SUSPENDED),
        rest=WHY,
    ),
    ApiCode.BAD_REQUEST: Case(
        "请求格式错误", "Malformed request", raw=_HEAD.replace(AT, AT + "#2") + "Connection: close\r\n\r\n"
    ),
    ApiCode.INVALID_BODY: Case(
        "请求体不是有效的JSON对象",
        "The request body is not a valid JSON object",
        body=[True],
        rest={"data": {"reason": "it is not an object"}},
    ),
    ApiCode.MISSING_PARAMETER: Case(
        "缺少必需参数: task_ids, confirm",
        "Missing required parameters: task_ids, confirm",
        path=TASKS,
        body={},
        rest={"missing_params": ["task_ids", "confirm"]},
    ),
    ApiCode.UNKNOWN_PARAMETER: Case(
        "未知参数: dry_run",
        "Unknown parameters: dry_run",
        body={**SURE, "dry_run": True},
        rest={"unknown_params": ["dry_run"]},
    ),
    ApiCode.INVALID_PARAMETER: Case(
        "参数错误: drift 必须为 orphans、missing、returned 或 unnamed",
        "Invalid parameter: drift must be orphans, missing, returned or unnamed",
        method="GET",
        path=f"{INVENTORY}?drift=x",
        rest={"data": {"parameter": "drift"}},
    ),
    ApiCode.UNAUTHORIZED: Case(
        "缺少有效的访问令牌", "A valid bearer token is required", method="GET", path=TASKS, tokens=("t" * 16,)
    ),
    ApiCode.TOKEN_EXPIRED: Case(
        "访问令牌 old 已过期,请用 sweepd token create 生成新令牌",
        "The token old has expired, make a new one: sweepd token create",
        method="GET",
        path=TASKS,
        headers={"Authorization": f"Bearer {_OVER}"},
        tokens=(
            TokenEntry(
                name="old",
                hash=hash_of(_OVER.encode()),
                scopes=tuple(Scope),
                expires=datetime(2025, 1, 1, tzinfo=UTC),
            ),
        ),
    ),
    ApiCode.IDEMPOTENCY_KEY_IN_USE: Case(
        "使用该 Idempotency-Key 的请求仍在处理中,请稍后重试",
        "The first request with this Idempotency-Key is still being worked on, try again later",
        body=SURE,
        headers={"Idempotency-Key": "k"},
        stage=raises(Idempotency, "_once", ApiError(ApiCode.IDEMPOTENCY_KEY_IN_USE)),
    ),
    ApiCode.IDEMPOTENCY_KEY_REUSED: Case(
        "该 Idempotency-Key 已用于另一个请求,请换用新的键",
        "This Idempotency-Key belongs to another request: take a new one",
        body=SURE,
        headers={"Idempotency-Key": "k"},
        stage=used_key,
    ),
    ApiCode.TOO_MANY_REQUESTS: Case(
        "等待处理的删除过多,请稍后重试",
        "Too much is waiting already, try again later",
        body=SURE,
        stage=raises(Lanes, "run", ApiError(ApiCode.TOO_MANY_REQUESTS)),
    ),
    ErrorCode.JOB_NOT_FOUND: Case(
        "作业不存在或已过期", "There is no such job, or it was forgotten", method="GET", path=f"{JOBS}/{'0' * 28}"
    ),
    ErrorCode.JOB_ENDED: Case(
        "作业已结束: finished",
        "The job has ended already: finished",
        path=f"{JOBS}/{'0' * 28}",
        body={},
        stage=raises(Journal, "cancel", SweepdError("over", code=ErrorCode.JOB_ENDED, details={"state": "finished"})),
        rest={"data": {"state": "finished"}},
    ),
    ApiCode.INSUFFICIENT_SCOPE: Case(
        "访问令牌没有 delete 权限",
        "The token does not have the scope delete",
        body=SURE,
        stage=reader,
        rest={"data": {"scope": "delete"}},
    ),
    ApiCode.HOST_NOT_ALLOWED: Case(
        "不允许的主机名,请检查 server.allowed_hosts",
        "This host name is not allowed, see server.allowed_hosts",
        body=SURE,
        headers={"Host": "evil.example"},
    ),
    ApiCode.ORIGIN_NOT_ALLOWED: Case(
        "不允许来自网页的跨站请求",
        "Requests of web pages are not allowed",
        body=SURE,
        headers={"Origin": "http://evil.example"},
    ),
    ApiCode.ROUTE_NOT_FOUND: Case(
        "接口不存在", "There is nothing at this address", method="GET", path="/api/v0/nothing"
    ),
    ApiCode.METHOD_NOT_ALLOWED: Case(
        "不支持的请求方法", "This address does not take that method", method="PUT", path="/livez"
    ),
    ApiCode.BODY_TIMEOUT: Case(
        "接收请求体超时",
        "The request body did not arrive in time",
        raw=_HEAD + "Content-Length: 9\r\n\r\n{{",
        stage=hurry,
    ),
    ApiCode.BODY_TOO_LARGE: Case(
        "请求体过大,最多 1048576 字节",
        "The request body is too large, at most 1048576 bytes",
        body={**SURE, "retain": "x" * body_reader.MAX_BODY},
        headers={"Content-Type": "application/json"},
    ),
    ApiCode.UNSUPPORTED_MEDIA_TYPE: Case(
        "Content-Type 必须为 application/json",
        "The Content-Type must be application/json",
        body=SURE,
        headers={"Content-Type": "text/plain"},
    ),
    ApiCode.EXPECTATION_FAILED: Case(
        "不支持的 Expect 请求头",
        "Unknown expectation in the Expect header",
        raw=_HEAD + "Connection: close\r\nExpect: a miracle\r\n\r\n",
    ),
    ApiCode.INTERNAL_ERROR: Case(
        "服务器内部错误", "Internal server error", body=SURE, stage=raises(Engine, "delete", ValueError("a secret"))
    ),
    ApiCode.NOT_READY: Case(
        "服务未就绪",
        "Not ready",
        method="GET",
        path="/readyz",
        stage=not_ready,
        rest={
            "data": {
                "checks": {
                    "catalog": {"ready": True, "problem": None},
                    "storage_root": {"ready": True, "problem": None},
                    "recovery": {"ready": True, "problem": None},
                    "scheduler": {"ready": False, "problem": "it stopped"},
                }
            }
        },
    ),
    ErrorCode.CATALOG_ROLLED_BACK: Case(
        "数据库缺少已提交的删除记录,可能由旧备份恢复; 已停止一切删除",
        "The database has forgotten deletions, as one put back from a backup does; nothing is deleted",
        body=SURE,
        stage=rolled_back,
        rest={"data": {"component": "journal", "reason": "it has forgotten one"}},
    ),
    ApiCode.STARTING: Case(
        "服务正在恢复未完成的删除,请稍后重试",
        "Unfinished deletions are being settled, try again later",
        body=SURE,
        stage=starting,
        rest={"data": {"component": "recovery", "reason": "it has not ended"}},
    ),
    ApiCode.SHUTTING_DOWN: Case(
        "服务正在关闭,请稍后重试", "The daemon is shutting down, try again later", body=SURE, stage=stopping
    ),
}


def test_the_table_is_complete() -> None:
    assert {str(code) for code in CASES} == {str(code) for code in RULES}


@pytest.mark.parametrize("code", CASES)
@pytest.mark.usefixtures("events")
async def test_the_exact_body(code: str, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[code]
    installation.policies = PolicySet(
        policies=(Policy(name="old", match=Condition(status=("completed",)), action=Action(delete="directory")),)
    )
    given = (SecretStr(token) if isinstance(token, str) else token for token in case.tokens)
    server = ServerConfig(tokens=tuple(given))
    url = None if case.url is None else case.url.format(folder=f"/{installation.root}")
    async with serving(installation, server=server, url=url) as api:
        prepared = case.stage(Stage(installation, monkeypatch, api))
        if prepared is not None:
            await prepared
        for language, message in (("zh-CN", case.zh), ("en", case.en)):
            answer = await send(api, case, language)
            assert answer.status == RULES[code].status
            assert answer.headers["Content-Language"] == language
            assert RULES[code].headers.items() <= dict(answer.headers).items()
            body, rest = answer.bare, dict(case.rest)
            for name in [name for name, value in rest.get("data", {}).items() if value is ...]:
                assert body["data"].pop(name)  # made for this answer
                rest["data"] = {key: value for key, value in rest["data"].items() if key != name}
            assert body == {
                "success": False,
                "code": RULES[code].status,
                "message": message,
                "error_code": code,
                **rest,
            }


async def send(api: Api, case: Case, language: str) -> Answer:
    if case.raw is not None:
        return await api.raw(case.raw.format(language).encode())
    headers = {"Accept-Language": language, **case.headers}
    if "Content-Type" in headers:
        sent = io.BytesIO(json.dumps(case.body).encode())
        return await api.ask(case.method, case.path, data=sent, headers=headers)
    return await api.ask(case.method, case.path, json=case.body, headers=headers)
