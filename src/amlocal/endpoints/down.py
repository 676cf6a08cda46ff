"""`aml down` and `aml up`: end everything of a workspace that runs, and start its endpoints again."""

import time
from collections.abc import Iterator

import psutil

from amlocal.endpoints import supervisor
from amlocal.endpoints.health import failure, process_state
from amlocal.endpoints.store import EndpointStore
from amlocal.errors import UserError
from amlocal.jobs.record import JobStore
from amlocal.processes import end, marked
from amlocal.workspace import Workspace

PATIENCE_SECONDS = 15.0
START_SECONDS = 60.0


def down(workspace: Workspace) -> list[str]:
    """End the workspace's running jobs, its endpoints' processes and their supervisor; returns what was ended.

    The endpoints stay as they are on disk, and `up` starts them again.
    """
    store = EndpointStore(workspace)
    ended = [f"job {name}" for name in _cancel_jobs(workspace)]
    if store.root.is_dir():
        serving = [each.name for each in store.all() if process_state(store.run(each.name), "gateway") != "not running"]
        guardian = supervisor.running(workspace)  # it is on record no more once it has seen the file
        store.stop.touch()
        if guardian:
            psutil.wait_procs([guardian], timeout=PATIENCE_SECONDS)
        end([*marked(workspace.root, "AMLOCAL_ENDPOINT"), *filter(None, [guardian])])
        ended += [f"endpoint {name}" for name in serving]
    end(marked(workspace.root, "AZUREML_RUN_ID"))
    return ended


def up(workspace: Workspace) -> list[str]:
    """Start the workspace's endpoints; returns their names when their gateways serve."""
    store = EndpointStore(workspace)
    names = [endpoint.name for endpoint in store.all()]
    if names:
        if not supervisor.running(workspace):
            for name in names:
                for stale in store.run(name).glob("*.failed"):  # why something could not start the last time
                    stale.unlink(missing_ok=True)
        supervisor.ensure(workspace)
    for name in names:
        wait_for_gateway(store, name)
        for deployment, each in store.get(name).deployments.items():
            for plan in each.plans[-1:]:
                for process in plan.processes(deployment):
                    _wait(store, name, process)
    return names


def wait_for_gateway(store: EndpointStore, name: str) -> None:
    """Return when the endpoint's gateway serves. Raises UserError with its reason when it cannot."""
    _wait(store, name, "gateway")


def _wait(store: EndpointStore, name: str, process: str) -> None:
    run = store.run(name)
    deadline = time.monotonic() + START_SECONDS
    while process_state(run, process) != "running":
        if reason := failure(run, process):
            raise UserError(f"endpoint {name}: {reason}")
        if time.monotonic() > deadline:
            raise UserError(
                f"endpoint {name}: {process} did not start in {START_SECONDS:.0f} s; see {run.parent / 'logs'}"
            )
        time.sleep(0.02)


def _cancel_jobs(workspace: Workspace) -> Iterator[str]:
    """Cancel what is not final, and wait for it; jobs go on to their end by themselves."""
    jobs = JobStore(workspace)
    running = [record for record in jobs.all() if not record.final] if workspace.jobs.is_dir() else []
    for record in running:
        jobs.cancel(record)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for record in running:
        while not jobs.get(record.name).final and time.monotonic() < deadline:
            time.sleep(0.05)
        yield record.name
