"""A checked job becomes a record and a detached runner."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from amlocal.assets import NAME, creation_context
from amlocal.errors import UserError
from amlocal.jobs.record import RUNNER, JobRecord, JobStore
from amlocal.jobs.snapshot import snapshot
from amlocal.processes import spawn
from amlocal.specs.plan import Plan, plan
from amlocal.workspace import Workspace, write_json

START_SECONDS = 30.0


def submit(job: Any, workspace: Workspace) -> JobRecord:
    """Check, snapshot and start a command or pipeline job of azure-ai-ml's.

    Returns when the runner has taken over. Raises UserError, having left nothing behind, when the job is not sound.
    """
    checked = plan(job, workspace)
    workspace.create()
    workspace.require_space()
    frozen = _freeze(checked, workspace)
    store = JobStore(workspace)
    record = _record(job, frozen)
    store.create(record)
    folder = store.folder(record.name)
    try:
        write_json(folder / "plan.json", frozen.to_json())
        _start(workspace, record, folder)
    except UserError as error:
        record.status, record.error = "Failed", str(error)
        store.write(record)
        raise
    except BaseException:
        store.cancel(record)  # interrupted: whoever asked does not know its name, and could not cancel it
        raise
    return store.read(record.name)


def _record(job: Any, frozen: Plan) -> JobRecord:
    from azure.ai.ml.entities._job.job_name_generator import generate_job_name

    name = job.name or generate_job_name()
    if not NAME.fullmatch(name):
        raise UserError(f'job name "{name}": use letters, digits, "-", "_" and ".", beginning with a letter or digit')
    return JobRecord(
        name=name,
        type=job.type,
        display_name=job.display_name or name,
        # az takes the name of the folder it is called from
        experiment_name=job.experiment_name or Path.cwd().name or "Default",
        spec=_spec(job, frozen),
        creation_context=creation_context(),
        description=job.description,
        tags={key: str(value) for key, value in (job.tags or {}).items()},
    )


def _spec(job: Any, frozen: Plan) -> dict[str, Any]:
    """The job as `show` prints it: azure-ai-ml's own dictionary, with the paths that it leaves relative made whole."""
    single = job.type == "command"
    spec: dict[str, Any] = (job._to_job() if single and hasattr(job, "_to_job") else job)._to_dict()
    if single and spec.get("code"):
        spec["code"] = frozen.steps[""].code
    for name, value in (spec.get("inputs") or {}).items():
        binding = frozen.inputs.get(name)
        if isinstance(value, dict) and binding and binding.path:
            value["path"] = binding.path
    return spec


def _freeze(checked: Plan, workspace: Workspace) -> Plan:
    """The plan with every code folder replaced by a kept copy of it."""
    copies = {
        code: str(snapshot(workspace, Path(code)))
        for code in {step.code for step in checked.steps.values()}
        if code is not None
    }
    steps = {name: replace(step, code=copies[step.code]) if step.code else step for name, step in checked.steps.items()}
    return replace(checked, steps=steps)


def _start(workspace: Workspace, record: JobRecord, folder: Path) -> None:
    command = [sys.executable, "-m", "amlocal.jobs.runner", str(workspace.root), record.name]
    # Out of this terminal's reach: Ctrl-C here must not end the job there; `aml job cancel` does.
    process = spawn(command, folder / "runner.log", Path.cwd(), os.environ)
    deadline = time.monotonic() + START_SECONDS
    while not (folder / RUNNER).exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise UserError(f"job {record.name}: its runner did not start; see {folder / 'runner.log'}")
        time.sleep(0.02)
    process.returncode = 0  # not ours to wait for
