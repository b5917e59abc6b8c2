"""What to do next after each error, in both languages: the ``hint`` beside its ``message``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from daemon.web.messages import Language, Message

_OF_DATA: Final = ("hold_id", "job_id")

# By error code, one for each. `{names}` are filled from the same values as the message's.
HINTS: Final[Mapping[str, Message]] = {
    "INVALID_TASK_ID": Message(
        "请核对任务ID,例如 task_20250702_173932; 可用 GET /api/v0/data_pipeline/tasks 查询",
        "Check the id, such as task_20250702_173932; GET /api/v0/data_pipeline/tasks lists them",
    ),
    "TASK_NOT_FOUND": Message(
        "请核对任务ID; 若目录存在而数据库没有记录,确认后可用 force: true 删除",
        "Check the id; a directory without a row can be deleted with force: true",
    ),
    "TASK_RUNNING": Message(
        "请等待任务结束后重试; 确认无误时可用 force: true 强制删除",
        "Try again when it has ended; send force: true only if it may be deleted while it runs",
    ),
    "TASK_CHANGED": Message(
        "请重新查询任务,确认仍要删除后再重试", "Look at the task again, and repeat the request if it should still go"
    ),
    "TASK_BUSY": Message("请在 Retry-After 秒后重试", "Repeat the request after the seconds in Retry-After"),
    "TASK_HELD": Message(
        "请联系保留人,或待保留到期、由其解除后重试: DELETE /api/v0/holds/{{hold_id}}",
        "Ask its owner to release it, or wait until it is over: DELETE /api/v0/holds/{{hold_id}} releases it",
    ),
    "INVALID_HOLD": Message(
        "请给出将来的 until,或用 for 给出时长,例如 30d", "Send an until in the future, or a for such as 30d"
    ),
    "HOLD_NOT_FOUND": Message(
        "请用 GET /api/v0/holds?all=true 查看所有保留", "GET /api/v0/holds?all=true lists every hold"
    ),
    "RECORDS_IN_USE": Message(
        "请先处理 data 中引用它的数据,或不带 delete_database_records 只删除目录",
        "Deal with what refers to them first, see data; or delete only the directory, without delete_database_records",
    ),
    "DELETION_NOT_FOUND": Message(
        "请用 GET /api/v0/data_pipeline/trash 查看可恢复的删除",
        "GET /api/v0/data_pipeline/trash lists the deletions that can be restored",
    ),
    "NOT_RESTORABLE": Message(
        "已彻底删除的内容无法恢复; 可恢复的见 GET /api/v0/data_pipeline/trash",
        "What has been purged is gone; GET /api/v0/data_pipeline/trash lists what can be restored",
    ),
    "RESTORE_CONFLICT": Message(
        "请按 data.reason 移开占用的目录或修正记录,然后重试",
        "Move away what is in its place, or mend the rows that data.reason names, and try again",
    ),
    "UNSAFE_DIRECTORY": Message(
        "请管理员检查 data.reason 所指的目录,移除链接或卸载后重试",
        "Somebody has to look at what data.reason names, and remove the link or unmount it by hand",
    ),
    "PERMISSION_DENIED": Message(
        "请管理员修正 data 中路径的权限或属性(如 chattr -i),剩余部分会自动重试",
        "Mend permissions or attributes of the path in data (chattr -i, say); the rest is tried again by itself",
    ),
    "DELETION_FAILED": Message(
        "请按 data 排除故障后重试; 重复删除是安全的",
        "Mend what data names and repeat the request; repeating a deletion is safe",
    ),
    "ROOT_UNAVAILABLE": Message(
        "请管理员检查存储根目录的挂载与标记(见 /readyz),恢复后重试",
        "Somebody has to check that the storage root is mounted and marked, see /readyz; then try again",
    ),
    "CATALOG_UNAVAILABLE": Message(
        "请在 Retry-After 秒后重试; 持续出现时请检查数据库,见 /readyz",
        "Repeat the request after the seconds in Retry-After; if it stays so, check the database, see /readyz",
    ),
    "CATALOG_ROLLED_BACK": Message(
        "请管理员换回正确的数据库,或按 docs/operations.md 核对后运行 sweepd accept-database",
        "Somebody has to bring the right database back, or to accept this one: see docs/operations.md",
    ),
    "CATALOG_NOT_READY": Message(
        "请管理员运行 sweepd init,然后重试", "Somebody has to run sweepd init; then try again"
    ),
    "POLICY_NOT_FOUND": Message(
        "请从 data.known 中选择,或用 GET /api/v0/policies 查看",
        "Take one of data.known, or see GET /api/v0/policies",
    ),
    "PLAN_NOT_FOUND": Message(
        "请重新生成计划: POST /api/v0/policies/{{name}}/plans",
        "Make a new plan: POST /api/v0/policies/{{name}}/plans",
    ),
    "PLAN_OUTDATED": Message(
        "请重新生成并审阅计划: POST /api/v0/policies/{{name}}/plans",
        "Make a new plan and review it: POST /api/v0/policies/{{name}}/plans",
    ),
    "SWEEP_NOT_FOUND": Message("请用 GET /api/v0/sweeps 查看清理记录", "GET /api/v0/sweeps lists the sweeps"),
    "JOB_NOT_FOUND": Message("请用 GET /api/v0/jobs 查看所有作业", "GET /api/v0/jobs lists the jobs"),
    "JOB_ENDED": Message(
        "无需取消; 结果见 GET /api/v0/jobs/{{job_id}}",
        "There is nothing left to cancel; GET /api/v0/jobs/{{job_id}} has its result",
    ),
    "IDEMPOTENCY_KEY_IN_USE": Message(
        "请在 Retry-After 秒后用同一 Idempotency-Key 重试",
        "Repeat the request with the same Idempotency-Key after the seconds in Retry-After",
    ),
    "IDEMPOTENCY_KEY_REUSED": Message(
        "请为内容不同的请求使用新的 Idempotency-Key", "Use a new Idempotency-Key for a request that is another one"
    ),
    "TOO_MANY_REQUESTS": Message(
        "请在 Retry-After 秒后重试; 大批量删除可用 async: true",
        "Repeat the request after the seconds in Retry-After; send large work with async: true",
    ),
    "SWEEP_RUNNING": Message(
        "请等待其结束后重试; 进度见 GET /api/v0/data_pipeline/purges",
        "Try again when it has ended; GET /api/v0/data_pipeline/purges shows how far it is",
    ),
    "STARTUP_REFUSED": Message(
        "请在策略文件中把 mode 改为 enforce 并重新加载", "Set the policy's mode to enforce in its file, and reload"
    ),
    "RELOAD_REFUSED": Message(
        "请按 data.reason 改回原值,或重启守护进程", "Put back what data.reason names, or restart the daemon"
    ),
    "INVALID_DOCUMENT": Message(
        "请修正 data.problems 所列各处(sweepd check 会列出同样内容),然后重新加载",
        "Correct what data.problems lists, as sweepd check does, and reload again",
    ),
    "CLOCK_UNRELIABLE": Message(
        "请校准主机与数据库的时钟(NTP),然后重试", "Set the clocks of host and database right (NTP), and try again"
    ),
    "CATALOG_EMPTY": Message(
        "请确认 catalog.url 指向正确的数据库,且任务记录完整",
        "Check that catalog.url names the right database, and that its rows are all there",
    ),
    "CATALOG_MISMATCH": Message(
        "请确认 catalog.url 与 storage.root 属于同一套环境,且任务 ID 写法一致",
        "Check that catalog.url and storage.root name the same installation, and that both write task ids alike",
    ),
    "POLICY_SUSPENDED": Message(
        "请排除失败原因后运行 sweepd resume", "Mend what made it fail, then run sweepd resume with its name"
    ),
    "STARTING": Message(
        "请在 Retry-After 秒后重试; 进度见 /readyz",
        "Repeat the request after the seconds in Retry-After; /readyz says what it waits for",
    ),
    "NOT_READY": Message("请查看 data.checks 中的 problem", "See the problem of each component in data.checks"),
    "SHUTTING_DOWN": Message(
        "请在服务重启后重试,此请求未删除任何内容", "Repeat the request when the daemon is back; it has deleted nothing"
    ),
    "INTERNAL_ERROR": Message(
        "请把 request_id 告知管理员,日志中有同一编号的详情",
        "Tell the operator the request_id: the log has the details under it",
    ),
    "BAD_REQUEST": Message("请检查请求行、请求头与路径", "Check the request line, the headers and the path"),
    "INVALID_BODY": Message(
        '请发送一个JSON对象,例如 {{"confirm": true}}; 原因见 data.reason',
        'Send one JSON object such as {{"confirm": true}}; data.reason says what is wrong',
    ),
    "BODY_TOO_LARGE": Message("请分成较小的批次发送", "Send smaller batches"),
    "BODY_TIMEOUT": Message("请检查网络后重试", "Check the network, and try again"),
    "UNSUPPORTED_MEDIA_TYPE": Message(
        "请带上请求头 Content-Type: application/json,且不要压缩",
        "Send the header Content-Type: application/json, and no compression",
    ),
    "MISSING_PARAMETER": Message("请在JSON请求体中补上 {parameters}", "Add to the JSON body: {parameters}"),
    "UNKNOWN_PARAMETER": Message(
        "请去掉 {parameters} 或更正其拼写; 未知参数从不被忽略",
        "Leave out or correct: {parameters}. Nothing unknown is ever ignored",
    ),
    "INVALID_PARAMETER": Message("请更正 {parameter} 后重试", "Correct {parameter}, and try again"),
    "ROUTE_NOT_FOUND": Message(
        "请检查路径; 所有接口都在 /api/v0 之下", "Check the path; everything of the API is below /api/v0"
    ),
    "METHOD_NOT_ALLOWED": Message("请改用 Allow 响应头中的方法", "Use one of the methods in the answer's Allow header"),
    "EXPECTATION_FAILED": Message("请去掉 Expect 请求头", "Leave out the Expect header"),
    "HOST_NOT_ALLOWED": Message(
        "请用允许的主机名访问,或由管理员加入 server.allowed_hosts",
        "Use a host name that is allowed, or have it added to server.allowed_hosts",
    ),
    "ORIGIN_NOT_ALLOWED": Message(
        "请从命令行或脚本发送请求,不要从其他网页发送", "Send the request from a script or a shell, not from a web page"
    ),
    "UNAUTHORIZED": Message(
        "请带上请求头 Authorization: Bearer TOKEN,令牌向管理员索取",
        "Send the header Authorization: Bearer TOKEN; the operator hands out tokens",
    ),
    "TOKEN_EXPIRED": Message(
        "请向管理员索取新令牌 (sweepd token create)", "Ask the operator for a new one: sweepd token create makes it"
    ),
    "INSUFFICIENT_SCOPE": Message(
        "请向管理员索取有 {scope} 权限的令牌", "Ask the operator for a token with the scope {scope}"
    ),
}


def hint(code: str, language: Language, values: Mapping[str, object], data: Mapping[str, object]) -> str:
    """What to do next after ``code``: a ``{name}`` in a path is that of ``data``, where it is there.

    Raises KeyError for a code without a hint.
    """
    said = HINTS[code].fill(language, values)
    for name in _OF_DATA:
        if name in data:
            said = said.replace(f"{{{name}}}", str(data[name]))
    return said
