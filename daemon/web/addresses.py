"""Every address of the API: its handler, who may use it, what it takes and what it answers."""

from __future__ import annotations

from typing import Final

from daemon.errors import ErrorCode
from daemon.jobs.journal import Journal
from daemon.web.answer_models import (
    BatchResult,
    DeletedTask,
    HoldList,
    InventoryShown,
    Nothing,
    PlacedHold,
    PurgeList,
    Readiness,
    RestoredTask,
    ShownHold,
    TaskPage,
    TasksBeside,
    TrashList,
)
from daemon.web.audit import Audit
from daemon.web.bodies import BatchBody, HoldBody, NoBody, RestoreBody, SingleBody, SweepBody
from daemon.web.caller import Scope
from daemon.web.context import ApiContext
from daemon.web.deletions import Deletions
from daemon.web.documentation import Documentation
from daemon.web.errors import CATALOG, CHANGING, DELETION, ONCE, RESTORE, ROOT, STARTED, SWEEP, ApiCode
from daemon.web.events import Events
from daemon.web.health import Health
from daemon.web.holds import Holds
from daemon.web.idempotency import Idempotency
from daemon.web.inventory import Inventory
from daemon.web.job_models import JobPage, ShownJob
from daemon.web.job_runner import JobRunner
from daemon.web.jobs import JOBS, Jobs
from daemon.web.list_queries import DeletionsQuery, JobsQuery, RefusalsQuery, TasksQuery
from daemon.web.listing import Listing
from daemon.web.operations import Operation
from daemon.web.policies import Policies
from daemon.web.queries import AtQuery, HoldsQuery, InventoryQuery, PlanQuery, SweepsQuery
from daemon.web.reading_models import AuditPage, KnownTask, RefusalList, StorageUse
from daemon.web.refusals import RefusalLog, Refusals
from daemon.web.reload import Reload, ReloadResult
from daemon.web.storage import Storage
from daemon.web.sweep_models import (
    KeptPlan,
    PolicyList,
    ShownPlan,
    ShownReport,
    ShownSweep,
    SweepList,
    TaskExplanation,
)
from daemon.web.sweeps import Sweeps
from daemon.web.task import Task
from daemon.web.trash import Trash
from daemon.web.work import Workers

TASKS: Final = "/api/v0/data_pipeline/tasks"
TRASH: Final = "/api/v0/data_pipeline/trash"
PURGES: Final = "/api/v0/data_pipeline/purges"
DELETIONS: Final = "/api/v0/deletions"
STORAGE: Final = "/api/v0/storage"
INVENTORY: Final = "/api/v0/inventory"
HOLDS: Final = "/api/v0/holds"
POLICIES: Final = "/api/v0/policies"
SWEEPS: Final = "/api/v0/sweeps"
REFUSALS: Final = "/api/v0/refusals"
RELOAD: Final = "/api/v0/reload"
DESCRIPTION: Final = "/api/v0/openapi.json"
DOCUMENTATION: Final = "/api/v0/docs"


def operations(
    context: ApiContext, workers: Workers, journal: Journal, runner: JobRunner, refusals: RefusalLog
) -> list[Operation]:
    """All of them, those that describe the others included."""
    addresses = _described(context, workers, journal, runner, refusals)
    addresses += _documentation(Documentation(addresses, workers))
    return addresses


def _described(
    context: ApiContext, workers: Workers, journal: Journal, runner: JobRunner, refusals: RefusalLog
) -> list[Operation]:
    idempotency, jobs = Idempotency(context.catalog, workers), Jobs(context, workers, journal, runner)
    deletions, trash = Deletions(context, workers, idempotency, jobs), Trash(context, workers, idempotency)
    health, events = Health(context), Events(context, workers, journal, runner)
    holds, policies, sweeps = Holds(context, workers), Policies(context, workers), Sweeps(context, workers)
    # Everything below, slashes and decoded newlines included: the engine's check refuses it by name.
    any_task = TASKS + r"/{task_id:[\s\S]*}"
    task = TASKS + r"/{task_id:(?![\s\S]*/(?:restore|explain)\Z)[\s\S]*}"  # or `DELETE …/restore` were a deletion
    read, delete, admin = Scope.READ, Scope.DELETE, Scope.ADMIN
    policy = (ErrorCode.POLICY_NOT_FOUND,)
    job = (*CATALOG, ErrorCode.JOB_NOT_FOUND)
    return [
        Operation(
            "DELETE",
            TASKS,
            deletions.many,
            delete,
            body=BatchBody,
            headers=("Idempotency-Key", "Prefer"),
            answers={200: BatchResult, 202: ShownJob},
            errors=(*CHANGING, *ROOT, *ONCE),
        ),
        Operation(
            "GET",
            TASKS,
            Listing(context, workers).tasks,
            read,
            query=TasksQuery,
            answers={200: TaskPage},
            beside=TasksBeside,
            errors=(*STARTED, ApiCode.INVALID_PARAMETER),
            links={
                "deletions_one": {"task_id": "tasks/0/task_id"},
                "policies_explain": {"task_id": "tasks/0/task_id"},
            },
        ),
        Operation(
            "DELETE",
            task,
            deletions.one,
            delete,
            body=SingleBody,
            headers=("Idempotency-Key", "Prefer"),
            answers={200: DeletedTask, 202: ShownJob},
            errors=(*DELETION, *ONCE),
            links={"trash_restore": {"task_id": "task_id"}},
        ),
        Operation(
            "POST",
            any_task + "/restore",
            trash.restore,
            admin,
            body=RestoreBody,
            headers=("Idempotency-Key",),
            body_optional=True,
            answers={200: RestoredTask},
            errors=(*RESTORE, *ONCE),
        ),
        Operation(
            "GET",
            any_task + "/explain",
            policies.explain,
            read,
            query=AtQuery,
            answers={200: TaskExplanation},
            errors=(*CATALOG, ErrorCode.INVALID_TASK_ID, ErrorCode.TASK_NOT_FOUND),
        ),
        Operation(
            "GET",
            POLICIES,
            policies.listed,
            read,
            answers={200: PolicyList},
            links={"policies_plan": {"name": "policies/0/name"}, "policies_store": {"name": "policies/0/name"}},
        ),
        Operation(
            "GET",
            POLICIES + "/{name}/plan",
            policies.plan,
            read,
            query=PlanQuery,
            answers={200: ShownPlan},
            errors=(*CATALOG, *policy, ApiCode.TOO_MANY_REQUESTS),
        ),
        Operation(
            "POST",
            POLICIES + "/{name}/plans",
            policies.store,
            delete,
            body=NoBody,
            body_optional=True,
            answers={200: KeptPlan},
            errors=(*CATALOG, *policy, ApiCode.TOO_MANY_REQUESTS),
            links={"policies_sweep": {"name": "policy"}},
        ),
        Operation(
            "POST",
            POLICIES + "/{name}/sweeps",
            policies.sweep,
            delete,
            body=SweepBody,
            answers={200: ShownReport},
            errors=(*policy, *SWEEP, ApiCode.TOO_MANY_REQUESTS),
            links={"sweeps_one": {"sweep_id": "sweep_id"}},
        ),
        Operation(
            "GET",
            SWEEPS,
            sweeps.listed,
            read,
            query=SweepsQuery,
            answers={200: SweepList},
            errors=CATALOG,
            links={"sweeps_one": {"sweep_id": "sweeps/0/sweep_id"}},
        ),
        Operation(
            "GET",
            SWEEPS + "/{sweep_id}",
            sweeps.one,
            read,
            answers={200: ShownSweep},
            errors=(*CATALOG, ErrorCode.SWEEP_NOT_FOUND),
        ),
        Operation(
            "GET",
            TRASH,
            trash.waiting,
            read,
            answers={200: TrashList},
            errors=CATALOG,
            links={"trash_restore": {"task_id": "deletions/0/task_id"}},
        ),
        Operation("GET", PURGES, trash.purges, read, answers={200: PurgeList}),
        Operation(
            "GET",
            INVENTORY,
            Inventory(context, workers).show,
            read,
            query=InventoryQuery,
            answers={200: InventoryShown},
            errors=CATALOG,
        ),
        Operation(
            "GET",
            HOLDS,
            holds.listed,
            read,
            query=HoldsQuery,
            answers={200: HoldList},
            errors=CATALOG,
            links={"holds_release": {"hold_id": "holds/0/hold_id"}},
        ),
        Operation(
            "POST",
            HOLDS,
            holds.place,
            admin,
            body=HoldBody,
            answers={201: PlacedHold},
            errors=(*CATALOG, ErrorCode.INVALID_TASK_ID, ErrorCode.INVALID_HOLD, ErrorCode.TASK_BUSY),
            links={"holds_release": {"hold_id": "hold_id"}},
        ),
        Operation(
            "DELETE",
            HOLDS + "/{hold_id}",
            holds.release,
            admin,
            body=NoBody,
            body_optional=True,
            answers={200: ShownHold},
            errors=(*CATALOG, ErrorCode.HOLD_NOT_FOUND),
        ),
        Operation(
            "GET",
            task,  # after those that end in a word
            Task(context, workers).show,
            read,
            answers={200: KnownTask},
            errors=(*STARTED, ErrorCode.INVALID_TASK_ID, ErrorCode.TASK_NOT_FOUND),
        ),
        Operation(
            "GET",
            DELETIONS,
            Audit(context, workers).listed,
            read,
            query=DeletionsQuery,
            answers={200: AuditPage},
            media=("text/csv", "application/x-ndjson"),
            errors=CATALOG,
            links={"task_show": {"task_id": "deletions/0/task_id"}},
        ),
        Operation(
            "GET",
            JOBS,
            jobs.listed,
            read,
            query=JobsQuery,
            answers={200: JobPage},
            errors=CATALOG,
            links={"jobs_one": {"job_id": "jobs/0/job_id"}, "jobs_cancel": {"job_id": "jobs/0/job_id"}},
        ),
        Operation("GET", JOBS + "/{job_id}", jobs.one, read, answers={200: ShownJob}, errors=job),
        Operation(
            "GET",
            JOBS + "/{job_id}/events",
            events.stream,
            read,
            headers=("Last-Event-ID",),
            answers={204: None},
            media=("text/event-stream",),
            errors=(*job, ApiCode.TOO_MANY_REQUESTS),
        ),
        Operation(
            "DELETE",
            JOBS + "/{job_id}",
            jobs.cancel,
            delete,
            body=NoBody,
            body_optional=True,
            answers={200: ShownJob},
            errors=(*job, *CHANGING, ErrorCode.JOB_ENDED),
        ),
        Operation("GET", STORAGE, Storage(context, workers).show, read, answers={200: StorageUse}, errors=CATALOG),
        Operation(
            "GET",
            REFUSALS,
            Refusals(context.catalog, refusals, workers).listed,
            admin,
            query=RefusalsQuery,
            answers={200: RefusalList},
            errors=CATALOG,
        ),
        Operation(
            "POST",
            RELOAD,
            Reload(context, workers).reload,
            admin,
            body=NoBody,
            body_optional=True,
            answers={200: ReloadResult},
            errors=(*CATALOG, ErrorCode.INVALID_DOCUMENT, ErrorCode.RELOAD_REFUSED),
        ),
        Operation("GET", "/livez", health.live, None, answers={200: Nothing}),
        Operation("GET", "/readyz", health.ready, None, answers={200: Readiness}, errors=(ApiCode.NOT_READY,)),
        Operation("GET", "/metrics", health.metrics, read, media=("text/plain",)),
    ]


def _documentation(documentation: Documentation) -> list[Operation]:
    # Open: it holds nothing of the installation, and a browser that shows it sends no token.
    shutting_down = (ApiCode.SHUTTING_DOWN,)
    return [
        Operation(
            "GET", DESCRIPTION, documentation.description, None, media=("application/json",), errors=shutting_down
        ),
        Operation("GET", DOCUMENTATION, documentation.page, None, media=("text/html",), errors=shutting_down),
    ]
