"""A batch whose client waits for it."""

from __future__ import annotations

from daemon.catalog.catalog import Catalog
from daemon.jobs.batch import Batch, BatchReport, finish
from daemon.web.errors import ApiCode, ApiError
from daemon.web.lanes import Lane
from daemon.web.work import Workers


async def run_batch(batch: Batch, catalog: Catalog, workers: Workers) -> BatchReport:
    """Delete all of it, each group when it is its turn; when the server stops, the rest is left alone.

    Raises ApiError if nothing was begun: TOO_MANY_REQUESTS or SHUTTING_DOWN. Afterwards nothing: once the first task
    is gone, the answer has to say so.
    """
    begun = False
    while not batch.ended:
        if begun and workers.stopping.is_set():
            batch.give_up()
            break
        try:
            await workers.delete(batch.step, Lane.BATCH, further=begun)
        except ApiError as error:
            if not begun or error.code is not ApiCode.SHUTTING_DOWN:
                raise
            batch.give_up()
        begun = True
    return await workers.read(lambda: finish(batch.report, catalog))
