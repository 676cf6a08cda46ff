"""`aml down` and `aml up`: end everything of a workspace that runs, and start its endpoints again."""

import time
from collections.abc import Iterator

import psutil

from amlocal.core.processes import end, marked
from amlocal.core.workspace import Workspace
from amlocal.endpoints import supervisor
from amlocal.endpoints.health import process_state, wait_for_gateway, wait_for_process
from amlocal.endpoints.store import EndpointStore
from amlocal.jobs.record import JobStore

PATIENCE_SECONDS = 15.0


def down(workspace: Workspace) -> list[str]:
    """End the workspace's running jobs, its endpoints' processes and their supervisor; returns what was ended.

    The endpoints stay as they are on disk, and `up` starts them again.
    """
    store = EndpointStore(workspace, None)
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
    store = EndpointStore(workspace, None)
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
                    wait_for_process(store, name, process)
    return names


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
