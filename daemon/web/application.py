"""The routes, put together."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from daemon.errors import ErrorCode
from daemon.web import answers
from daemon.web.audit import Audit
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
from daemon.web.bodies import BatchBody, HoldBody, NoBody, RestoreBody, SingleBody, SweepBody
from daemon.web.body import MAX_BODY
from daemon.web.caller import Scope
from daemon.web.context import ApiContext
from daemon.web.deletions import Deletions
from daemon.web.documentation import Documentation
from daemon.web.envelope import envelope
from daemon.web.errors import CATALOG, DELETION, RESTORE, ROOT, STARTED, SWEEP, ApiCode
from daemon.web.guard import make_guard
from daemon.web.health import Health
from daemon.web.holds import Holds
from daemon.web.inventory import Inventory
from daemon.web.keyring import Keyring
from daemon.web.list_queries import DeletionsQuery, TasksQuery
from daemon.web.listing import Listing
from daemon.web.operations import Operation
from daemon.web.policies import Policies
from daemon.web.queries import AtQuery, HoldsQuery, InventoryQuery, PlanQuery, SweepsQuery
from daemon.web.refusals import RefusalLog, Refusals
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

OPERATIONS: Final = web.AppKey("operations", list[Operation])
"""Every address there is."""
DESCRIPTION: Final = "/api/v0/openapi.json"
DOCUMENTATION: Final = "/api/v0/docs"


_CONNECTION: Final = {
    "auto_decompress": False,  # nothing is taken compressed, so nothing can be a bomb
    "keepalive_timeout": 30.0,  # seconds; also ends a connection whose request head does not arrive
    "lingering_time": 5.0,  # seconds to drain a refused body, so that its client can read the answer
    "max_line_size": 32_768,  # bytes; an absurdly long id is answered like any other wrong one
}


def make_application(context: ApiContext) -> web.Application:
    """The API over ``context``. Run it with ``daemon.web.server.ApiRunner``.

    Its start raises DocumentError if there is a token file that cannot be read.
    """
    workers = Workers(context.deletions, context.reads)
    keyring, refusals = Keyring(context.server), RefusalLog(context.catalog, context.metrics)
    operations = _operations(context, workers, refusals)
    operations += _documentation(Documentation(operations, workers))
    application = web.Application(
        middlewares=[envelope, make_guard(context.server, operations, keyring, refusals)],
        client_max_size=MAX_BODY,
        handler_args=_CONNECTION,
    )
    application[OPERATIONS] = operations
    application.add_routes([operation.route() for operation in operations])
    application.cleanup_ctx.extend((keyring.running, refusals.running))
    application.on_response_prepare.append(answers.complete_prepared)

    async def stop(_application: web.Application) -> None:
        workers.stopping.set()

    application.on_shutdown.append(stop)
    return application


def _operations(context: ApiContext, workers: Workers, refusals: RefusalLog) -> list[Operation]:
    deletions, health, trash = Deletions(context, workers), Health(context), Trash(context, workers)
    holds, policies, sweeps = Holds(context, workers), Policies(context, workers), Sweeps(context, workers)
    # Everything below, slashes and decoded newlines included: the engine's check refuses it by name.
    any_task = TASKS + r"/{task_id:[\s\S]*}"
    task = TASKS + r"/{task_id:(?![\s\S]*/(?:restore|explain)\Z)[\s\S]*}"  # or `DELETE …/restore` were a deletion
    read, delete, admin = Scope.READ, Scope.DELETE, Scope.ADMIN
    policy = (ErrorCode.POLICY_NOT_FOUND,)
    return [
        Operation(
            "DELETE",
            TASKS,
            deletions.many,
            delete,
            body=BatchBody,
            answers={200: BatchResult},
            errors=(*STARTED, *ROOT),
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
            answers={200: DeletedTask},
            errors=DELETION,
            links={"trash_restore": {"task_id": "task_id"}},
        ),
        Operation(
            "POST",
            any_task + "/restore",
            trash.restore,
            admin,
            body=RestoreBody,
            body_optional=True,
            answers={200: RestoredTask},
            errors=RESTORE,
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
            errors=(*CATALOG, *policy),
        ),
        Operation(
            "POST",
            POLICIES + "/{name}/plans",
            policies.store,
            delete,
            body=NoBody,
            body_optional=True,
            answers={200: KeptPlan},
            errors=(*CATALOG, *policy),
            links={"policies_sweep": {"name": "policy"}},
        ),
        Operation(
            "POST",
            POLICIES + "/{name}/sweeps",
            policies.sweep,
            delete,
            body=SweepBody,
            answers={200: ShownReport},
            errors=(*policy, *SWEEP),
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
        Operation("GET", task, Task(context, workers).show, read),  # after those that end in a word
        Operation("GET", DELETIONS, Audit(context, workers).listed, read, query=DeletionsQuery),
        Operation("GET", STORAGE, Storage(context, workers).show, read),
        Operation("GET", REFUSALS, Refusals(context.catalog, refusals, workers).listed, admin),
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
