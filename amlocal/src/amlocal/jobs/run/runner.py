"""Runs one submitted job to its end: `python -m amlocal.jobs.run.runner WORKSPACE [JOB]`, detached from any terminal.

It is the only writer of the job's records while it lives. Without JOB it makes itself ready, and reads the name from
standard input.
"""

import os
import signal
import sys
from pathlib import Path

from amlocal.core import mlflow_store
from amlocal.core.processes import write_process
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import RUNNER, JobStore
from amlocal.jobs.run.context import Context
from amlocal.jobs.run.handlers import HANDLERS
from amlocal.specs.plan import Step


def run(context: Context) -> None:
    """Run the job to its end; whatever happens, the records and MLflow say how it ended."""
    progress, plan = context.progress, context.plan
    try:
        progress.status(context.record, "Preparing")
        progress.open(context.record)
        # a pipeline is no step of its plan
        step = plan.steps.get("") or Step("", type=plan.type)
        context.run_step(step, context.record, {name: context.given(step, name) for name in step.inputs})
    except Exception as error:
        context.stopping.set()
        for child in reversed(context.records):
            if not child.final and child is not context.record:
                child.error = "the job it is a part of failed"
                progress.end(child, "Canceled")
        progress.fail(context.record, error)


def main(root: str, name: str = "") -> None:
    workspace = Workspace.at(Path(root))
    if not name:
        name = _wait_for_job(workspace)
    context = Context(workspace, name, HANDLERS)
    # Asked to end from outside (a shutdown, a kill): that is a cancel.
    signal.signal(signal.SIGTERM, lambda *_: context.store.cancel(context.record))
    write_process(context.store.folder(name) / RUNNER, os.getpid())
    run(context)


def _wait_for_job(workspace: Workspace) -> str:
    """The name of the job that we are given, when all that takes long is imported; exits if there will be none."""
    if workspace.database.exists():
        # the first question to the store is the slow one; where there is no store yet, nothing must be left behind
        mlflow_store.client(workspace).get_experiment("0")
    else:
        mlflow_store.get_ready()
    name = sys.stdin.readline().strip()
    if not name:
        sys.exit()
    log = os.open(JobStore(workspace).folder(name) / "runner.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    return name


if __name__ == "__main__":
    main(*sys.argv[1:])
