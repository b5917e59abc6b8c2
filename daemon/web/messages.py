"""Every sentence the API says, in Chinese (the contract's own, and the default) and in English."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Language(StrEnum):
    """The values are what ``Content-Language`` says."""

    CHINESE = "zh-CN"
    ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence in each language, with the same ``{names}`` to fill in."""

    zh: str
    en: str

    def fill(self, language: Language, values: Mapping[str, object]) -> str:
        """The sentence; raises KeyError if it names a value that ``values`` lacks."""
        return (self.en if language is Language.ENGLISH else self.zh).format_map(values)


# Errors are listed under their error code. The contract's strings are letter for letter, ASCII punctuation included.
MESSAGES: Final[Mapping[str, Message]] = {
    "TASK_DELETED": Message("任务目录删除成功", "Task directory deleted"),
    "BATCH_COMPLETE": Message("批量删除完成", "Batch deletion completed"),
    "BATCH_PARTIAL": Message("批量删除部分完成", "Batch deletion partially completed"),
    "TASKS_LISTED": Message("获取任务列表成功", "Tasks listed"),
    "ALIVE": Message("服务存活", "Alive"),
    "READY": Message("服务就绪", "Ready"),
    "NOT_READY": Message("服务未就绪", "Not ready"),
    "INVALID_TASK_ID": Message(
        "任务ID无效: 须为1到128个字母、数字、'.'、'_'或'-',且以字母或数字开头",
        "Invalid task id: it has 1 to 128 letters, digits, '.', '_' or '-', and starts with a letter or digit",
    ),
    "TASK_NOT_FOUND": Message("任务不存在: {task_id}", "Task not found: {task_id}"),
    "TASK_RUNNING": Message("任务正在运行中,无法删除", "The task is running and cannot be deleted"),
    "TASK_CHANGED": Message("任务状态已改变,未删除", "The task has changed in the meantime and was not deleted"),
    "TASK_BUSY": Message("任务正被占用,请稍后重试", "The task is in use, try again in a moment"),
    "TASK_HELD": Message("任务被保留,不能删除: {rule}", "The task is held and cannot be deleted: {rule}"),
    "HELD_BY": Message("保留人 {owner},原因: {reason}", "by {owner}, because: {reason}"),
    "HOLDS_NOT_LOOKED_UP": Message("无法查询保留记录", "the holds could not be looked up"),
    "HOLD_PLACED": Message("保留成功", "Hold placed"),
    "HOLD_PLACED_ON_NOTHING": Message("保留成功,但目前没有匹配的任务", "Hold placed, but no task matches now"),
    "HOLD_PLACED_TOO_LATE": Message(
        "保留成功,但匹配的任务目录均已删除", "Hold placed, but the directories of all matching tasks are gone already"
    ),
    "HOLDS_LISTED": Message("获取保留列表成功", "Holds listed"),
    "HOLD_RELEASED": Message("保留已解除", "Hold released"),
    "INVALID_HOLD": Message("保留的到期时间须在将来", "The hold has to end in the future"),
    "HOLD_NOT_FOUND": Message("保留记录不存在或已解除", "There is no such hold, or it has been released already"),
    "RECORDS_IN_USE": Message("任务记录被其他数据引用,未删除", "Other tables refer to the task's records"),
    "DELETION_NOT_FOUND": Message("删除记录不存在", "There is no such deletion"),
    "NOT_RESTORABLE": Message("任务不在回收站中,无法恢复", "It does not wait in the trash and cannot be restored"),
    "RESTORE_CONFLICT": Message(
        "无法恢复: 名称已被占用或数据已改变",
        "It cannot be restored: its name is taken or its rows do not fit",
    ),
    "TASK_RESTORED": Message("任务恢复成功", "Task restored"),
    "TRASH_LISTED": Message("获取回收站列表成功", "Trash listed"),
    "PURGES_LISTED": Message("获取删除进度成功", "Purges under way listed"),
    "INVENTORY_LISTED": Message("获取存储清单成功", "Inventory listed"),
    "UNSAFE_DIRECTORY": Message(
        "任务目录不安全,拒绝删除", "The task directory is not safe to delete: a link, a mount or not a directory"
    ),
    "PERMISSION_DENIED": Message("权限不足,无法删除", "Permission denied by the file system"),
    "DELETION_FAILED": Message("删除操作失败", "The deletion failed"),
    "ROOT_UNAVAILABLE": Message("存储根目录不可用", "The storage root is not available"),
    "CATALOG_UNAVAILABLE": Message("数据库不可用,请稍后重试", "The database is not available, try again later"),
    "CATALOG_ROLLED_BACK": Message(
        "数据库缺少已提交的删除记录,可能由旧备份恢复; 已停止一切删除",
        "The database has forgotten deletions, as one put back from a backup does; nothing is deleted",
    ),
    "CATALOG_NOT_READY": Message(
        "数据库尚未初始化,请先运行 sweepd init", "The database is not prepared, run: sweepd init"
    ),
    "JOB_ACCEPTED": Message("任务已受理,正在后台执行", "Accepted: it runs in the background"),
    "JOBS_LISTED": Message("获取作业列表成功", "Jobs listed"),
    "JOB_SHOWN": Message("获取作业成功", "Job found"),
    "JOB_CANCELLED": Message("作业已取消", "Job cancelled"),
    "JOB_CANCELLING": Message("作业将在当前一组完成后停止", "The job ends after the deletions in hand"),
    "JOB_NOT_FOUND": Message("作业不存在或已过期", "There is no such job, or it was forgotten"),
    "JOB_ENDED": Message("作业已结束: {state}", "The job has ended already: {state}"),
    "IDEMPOTENCY_KEY_IN_USE": Message(
        "使用该 Idempotency-Key 的请求仍在处理中,请稍后重试",
        "The first request with this Idempotency-Key is still being worked on, try again later",
    ),
    "IDEMPOTENCY_KEY_REUSED": Message(
        "该 Idempotency-Key 已用于另一个请求,请换用新的键",
        "This Idempotency-Key belongs to another request: take a new one",
    ),
    "TOO_MANY_REQUESTS": Message("等待处理的删除过多,请稍后重试", "Too much is waiting already, try again later"),
    "POLICIES_LISTED": Message("获取策略列表成功", "Policies listed"),
    "PLAN_MADE": Message("生成计划成功,未删除任何内容", "Plan made, nothing was deleted"),
    "PLAN_STORED": Message("计划已保存", "Plan stored"),
    "SWEEP_COMPLETE": Message("清理完成", "Sweep completed"),
    "SWEEP_INCOMPLETE": Message("清理未全部完成", "Sweep ended without deleting everything that was selected"),
    "SWEEPS_LISTED": Message("获取清理记录列表成功", "Sweeps listed"),
    "SWEEP_SHOWN": Message("获取清理记录成功", "Sweep found"),
    "TASK_SHOWN": Message("获取任务成功", "Task found"),
    "DELETIONS_LISTED": Message("获取删除记录列表成功", "Deletions listed"),
    "STORAGE_SHOWN": Message("获取存储使用情况成功", "Storage usage found"),
    "TASK_EXPLAINED": Message("任务说明生成成功", "Task explained"),
    "POLICY_NOT_FOUND": Message("策略不存在", "There is no such policy"),
    "PLAN_NOT_FOUND": Message("计划不存在或已过期", "There is no such plan, or it was forgotten"),
    "PLAN_OUTDATED": Message(
        "策略在计划生成后已改变,未删除", "The policy has changed since the plan was made, nothing was deleted"
    ),
    "SWEEP_NOT_FOUND": Message("清理记录不存在", "There is no such sweep"),
    "SWEEP_RUNNING": Message("该策略正在清理中,请稍后重试", "The policy is being swept already, try again later"),
    "STARTUP_REFUSED": Message("策略的模式不允许删除", "The policy's mode does not let it delete"),
    "RELOADED": Message("配置与策略已重新加载", "Configuration and policies were reloaded"),
    "RELOAD_REFUSED": Message("未重新加载,一切保持不变", "Nothing was reloaded, everything is as it was"),
    "INVALID_DOCUMENT": Message(
        "配置或策略文件有误,一切保持不变", "The configuration or a policy file is wrong, everything is as it was"
    ),
    "CLOCK_UNRELIABLE": Message("时钟不可信,未删除", "The clocks cannot be believed, nothing was deleted"),
    "CATALOG_EMPTY": Message(
        "任务表为空或大部分记录已消失,已停止清理",
        "The tasks table is empty, or most of its rows are gone: nothing is swept",
    ),
    "POLICY_SUSPENDED": Message("策略因连续失败已暂停", "The policy has suspended itself after failing repeatedly"),
    "STARTING": Message(
        "服务正在恢复未完成的删除,请稍后重试", "Unfinished deletions are being settled, try again later"
    ),
    "SHUTTING_DOWN": Message("服务正在关闭,请稍后重试", "The daemon is shutting down, try again later"),
    "INTERNAL_ERROR": Message("服务器内部错误", "Internal server error"),
    "BAD_REQUEST": Message("请求格式错误", "Malformed request"),
    "INVALID_BODY": Message("请求体不是有效的JSON对象", "The request body is not a valid JSON object"),
    "BODY_TOO_LARGE": Message("请求体过大,最多 {limit} 字节", "The request body is too large, at most {limit} bytes"),
    "BODY_TIMEOUT": Message("接收请求体超时", "The request body did not arrive in time"),
    "UNSUPPORTED_MEDIA_TYPE": Message(
        "Content-Type 必须为 application/json", "The Content-Type must be application/json"
    ),
    "MISSING_PARAMETER": Message("缺少必需参数: {parameters}", "Missing required parameters: {parameters}"),
    "UNKNOWN_PARAMETER": Message("未知参数: {parameters}", "Unknown parameters: {parameters}"),
    "INVALID_PARAMETER": Message("参数错误: {parameter} {rule}", "Invalid parameter: {parameter} {rule}"),
    "MUST_BE_TRUE": Message("必须为 true", "must be true"),
    "MUST_BE_BOOLEAN": Message("必须为布尔值 true 或 false", "must be one of the booleans true and false"),
    "MUST_BE_DURATION": Message(
        "必须为带单位的时长,例如 7d、12h 或 1d12h", "must be a duration with a unit, such as 7d, 12h or 1d12h"
    ),
    "MUST_BE_TEXT": Message("必须为字符串", "must be text"),
    "MUST_BE_PATTERN": Message(
        "必须为任务ID或由任务ID字符与 '*'、'?' 组成的模式",
        "must be a task id, or a pattern of its characters with '*' and '?'",
    ),
    "MUST_NOT_BE_EVERYTHING": Message(
        "匹配所有任务,须同时给出 all_tasks: true", "matches every task, which takes all_tasks: true as well"
    ),
    "MUST_BE_ALONE": Message("不能与 {other} 同时给出", "cannot be given together with {other}"),
    "MUST_BE_LINE": Message("必须为1到500个可打印字符的单行文本", "must be 1 to 500 printable characters in one line"),
    "MUST_BE_DATE": Message(
        "必须为日期,例如 2026-12-31 或 2026-12-31T18:00:00+08:00",
        "must be a date such as 2026-12-31 or 2026-12-31T18:00:00+08:00",
    ),
    "MUST_BE_IDS": Message("必须为非空的字符串数组", "must be a non-empty list of strings"),
    "MUST_BE_FEWER": Message("最多包含 {limit} 个任务", "must name at most {limit} tasks"),
    "MUST_BE_BETWEEN": Message("必须为 {least} 到 {most} 之间的整数", "must be a whole number from {least} to {most}"),
    "MUST_BE_STATUS": Message("必须为任务状态,多个以逗号分隔", "must be task statuses, with a comma between them"),
    "MUST_BE_SORT": Message(
        "必须为 {words} 之一,前面加 '-' 表示降序", "must be one of {words}, with '-' before it for the other direction"
    ),
    "MUST_BE_CURSOR": Message(
        "必须为上一页的 next_cursor,且 sort 不变", "must be the next_cursor of the page before, with the same sort"
    ),
    "MUST_BE_ONE_OF": Message("必须为 {words} 之一", "must be one of {words}"),
    "MUST_BE_POLICY": Message("必须为一个策略名", "must be the name of a policy"),
    "MUST_BE_DRIFT": Message("必须为 orphans、missing 或 returned", "must be orphans, missing or returned"),
    "MUST_BE_KEY": Message(
        "必须为1到255个可见ASCII字符,且只出现一次", "must be 1 to 255 visible ASCII characters, given once"
    ),
    "ROUTE_NOT_FOUND": Message("接口不存在", "There is nothing at this address"),
    "METHOD_NOT_ALLOWED": Message("不支持的请求方法", "This address does not take that method"),
    "EXPECTATION_FAILED": Message("不支持的 Expect 请求头", "Unknown expectation in the Expect header"),
    "HOST_NOT_ALLOWED": Message(
        "不允许的主机名,请检查 server.allowed_hosts", "This host name is not allowed, see server.allowed_hosts"
    ),
    "ORIGIN_NOT_ALLOWED": Message("不允许来自网页的跨站请求", "Requests of web pages are not allowed"),
    "UNAUTHORIZED": Message("缺少有效的访问令牌", "A valid bearer token is required"),
    "TOKEN_EXPIRED": Message(
        "访问令牌 {token} 已过期,请用 sweepd token create 生成新令牌",
        "The token {token} has expired, make a new one: sweepd token create",
    ),
    "REFUSALS_LISTED": Message("获取拒绝记录成功", "Refused requests listed"),
    "INSUFFICIENT_SCOPE": Message("访问令牌没有 {scope} 权限", "The token does not have the scope {scope}"),
}

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


def text(key: str, language: Language, **values: object) -> str:
    """The message ``key`` with its values filled in. Raises KeyError for an unknown key or a missing value."""
    return MESSAGES[key].fill(language, values)


def preferred(accept_language: str) -> Language:
    """English if the header ranks it above Chinese; Chinese otherwise, for lack of any wish as well."""
    weights: dict[str, float] = {}
    for item in accept_language.split(","):
        tag, *parameters = (part.strip() for part in item.split(";"))
        weight = _weight(parameters)
        if weight is not None:
            primary = tag.lower().partition("-")[0]
            weights[primary] = max(weight, weights.get(primary, 0.0))
    others = weights.get("*", 0.0)
    return Language.ENGLISH if weights.get("en", others) > weights.get("zh", others) else Language.CHINESE


def _weight(parameters: list[str]) -> float | None:
    if not parameters:
        return 1.0
    found = _WEIGHT.fullmatch(parameters[0])
    return float(found[1]) if found else None
