"""The parts of compute, put together. `app` gives them what they ask of dispatch (see `ports`)."""

from typing import Protocol

from services.scheduler.compute.completion.completions import Completions
from services.scheduler.compute.completion.failures import Failures
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.completion.reports import Reports
from services.scheduler.compute.lists.states import StatePages
from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.removal.steps import RemovalSteps
from services.scheduler.compute.results.deletions import Deletions
from services.scheduler.compute.results.handlers import Results
from services.scheduler.compute.results.imports import Imports, prefixes
from services.scheduler.compute.results.orphaned_objects import OrphanedObjects
from services.scheduler.compute.results.waits import Waits
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.sessions.closing import Closing
from services.scheduler.compute.sessions.handlers import Sessions
from services.scheduler.compute.submissions.handlers import Submissions
from services.scheduler.compute.submissions.input_lists import InputLists
from services.scheduler.compute.subtasks.handlers import Subtasks
from services.scheduler.compute.sweep import Sweep
from services.scheduler.compute.tasks.cancels import Cancels
from services.scheduler.compute.tasks.handlers import Tasks
from services.scheduler.compute.tasks.log_handlers import Logs
from services.scheduler.compute.tasks.queries import Queries
from services.scheduler.compute.tasks.rerun import Reruns
from services.scheduler.heavy_reads import HeavyReads
from services.scheduler.pools import Pools
from services.scheduler.ports import Dispatch, Partitions, Waiting, Workers
from services.scheduler.settings import Settings
from shared.chain.operations import Operations
from shared.chain.runner import Runner
from shared.objects.port import Objects
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop
from shared.service.bootstrap import ServiceBase
from shared.service.service import Service


class Endpoints(Protocol):
    """Handlers of some endpoints."""

    def register(self, service: Service) -> None:
        """Registers the handlers."""


class Parts:
    """Those of one process. `failures` is what dispatch asks of compute (`ports.Attempts`).

    endpoints    each registers its handlers with the service
    background   coroutines that run until they are cancelled
    reports      takes the reports of workers, until it is stopped
    chains       runs the chains that purge and delete sessions, from its `start` to its `stop`
    waits, operations, cleanup   have something under way when the process ends: to be stopped
    """

    def __init__(
        self,
        base: ServiceBase,
        pools: Pools,
        objects: Objects,
        clock: Clock,
        settings: Settings,
        heavy: HeavyReads,
        *,
        partitions: Partitions,
        dispatch: Dispatch,
        workers: Workers,
        waiting: Waiting,
    ) -> None:
        bus, pool, units = base.bus, base.pool, base.units
        closing = Closing(units)
        release = Release(dispatch, base.relay, closing)
        self.failures = failures = Failures(pools.completer, units, dispatch, closing)
        completions = Completions(pools.completer, dispatch, release, failures)
        self.reports = Reports(bus, pools.completer, units, dispatch, completions, failures)
        self.cleanup = cleanup = Cleanup(units, dispatch, workers)
        removal = Removal(bus, units, RemovalSteps(units, dispatch, workers, cleanup, objects), clock)
        self.chains = Runner(bus, removal.chains)
        orphans = OrphanedObjects(pool, objects)
        self.waits, self.operations = Waits(bus, pool), Operations(removal.chains)
        lists = InputLists(pool, objects)
        self.endpoints: list[Endpoints] = [
            self.operations,
            Sessions(pool, partitions, dispatch, waiting, cleanup, removal, heavy),
            Submissions(units, partitions, dispatch, release, failures, lists),
            Subtasks(partitions, lists),
            Results(pool, release, failures, heavy),
            Imports(pool, release, objects, prefixes(settings.imports.import_prefixes)),
            Deletions(failures, orphans),
            self.waits,
            Tasks(pool, waiting),
            Queries(pool, heavy),
            Cancels(dispatch, workers),
            Reruns(dispatch, release),
            Logs(pool),
            StatePages(pool),
        ]
        self.background = [
            orphans.run,
            Loop("closing", 0.5, closing.run_once).run,
            Loop("sweep", 10.0, Sweep(pool, units, cleanup, removal).run_once).run,
        ]
