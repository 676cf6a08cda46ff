"""A checked job becomes a record and a detached runner."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.assets.snapshots import snapshot
from amlocal.assets.store import Assets
from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import write_json
from amlocal.core.names import NAME, creation_context, texts
from amlocal.core.processes import spawn
from amlocal.core.workspace import Workspace
from amlocal.environments.debugger import DEBUGPY, sources
from amlocal.jobs.check import checked_plan
from amlocal.jobs.debug import debugged
from amlocal.jobs.record import RUNNER, JobRecord, JobStore
from amlocal.specs.dictionary import dictionary
from amlocal.specs.kinds import NODE_KINDS
from amlocal.specs.plan import Plan

START_SECONDS = 300.0  # a machine may be so busy that importing MLflow takes minutes
TELL_SECONDS = 10.0
# What belongs to the job that a job was got from, and is submitted again as.
OF_ANOTHER, SERVICES = ("creation_context", "id", "status"), ("Studio", "Tracking")


Runner = subprocess.Popen[bytes]


def submit(
    job: Any,
    workspace: Workspace,
    runner: Runner | None = None,
    debug_step: str | None = None,
    debugger: str = DEBUGPY,
) -> JobRecord:
    """Check, snapshot and start a job of azure-ai-ml's.

    runner: one that `get_ready` has started. debug_step: the step that waits for a debugger; "" is the only one.
    Returns when the runner has taken over. Raises UserError, having left
    nothing behind, when the job is not sound.
    """
    record, plan = prepare_job(job, workspace)
    if debug_step is not None:
        plan = debugged(plan, debug_step, debugger)
    return start(record, plan, workspace, runner)


def get_ready(workspace: Workspace) -> Runner:
    """Start a runner that does not know its job yet: it imports MLflow while we import azure-ai-ml.

    It ends by itself when nobody gives it a job.
    """
    return _spawn(workspace, [], Path(os.devnull), subprocess.PIPE)


def prepare_job(job: Any, workspace: Workspace) -> tuple[JobRecord, Plan]:
    """A job checked and its code kept: all that `start` needs, today or when a schedule says so. Raises UserError."""
    checked = checked_plan(job, workspace, strict=False)
    for notice in (*checked.notices, *_refused_there(job)):
        logging.getLogger(__name__).warning("WARNING: %s", notice)
    workspace.create()
    workspace.require_space()
    frozen = _freeze(checked, workspace)
    return _record(job, frozen), frozen


def _refused_there(job: Any) -> Iterator[str]:
    """What Azure's newest interface (2025-01-01-preview) refuses, though its documentation shows it."""
    if job.type != "command":
        return
    for name, output in (job.outputs or {}).items():
        data = getattr(output, "_data", output)
        if getattr(data, "version", None) is not None:
            yield (
                f"outputs.{name}.version: Azure refuses a version of a command job's output (400, Could not find member"
                " 'assetVersion'); leave it out there, and it gets the next one"
            )


def start(record: JobRecord, frozen: Plan, workspace: Workspace, runner: Runner | None = None) -> JobRecord:
    """Put a prepared job on record and have a runner take it over. Raises UserError, for a name that is taken too."""
    store = JobStore(workspace)
    store.create(record)
    folder = store.folder(record.name)
    try:
        write_json(folder / "plan.json", frozen.to_json())
        _start(workspace, record, folder, runner)
    except UserError as error:
        store.cancel(record)  # whatever has begun at the last moment goes no further
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
        # what Azure answers to `job create`; scripts that wait know these, and NotStarted not always
        status="Preparing" if job.type == "pipeline" else "Starting",
        description=job.description,
        tags=texts(job.tags),
    )


def _spec(job: Any, frozen: Plan) -> dict[str, Any]:
    """The job as `show` prints it: azure-ai-ml's own dictionary, with the paths that it leaves relative made whole."""
    told = dictionary(job._to_job() if hasattr(job, "_to_job") else job)
    spec: dict[str, Any] = {key: value for key, value in told.items() if key not in OF_ANOTHER}
    services = {name: each for name, each in (spec.pop("services", None) or {}).items() if name not in SERVICES}
    spec |= {"services": services} if services else {}
    outputs = spec.get("outputs") or {}
    for name in [name for name, each in outputs.items() if isinstance(each, dict)]:
        if uris.ARTIFACTS.fullmatch(str(outputs[name].get("path"))):
            del outputs[name]  # the default output of another job, as `get` gave it
    if job.type == "pipeline":
        _complete_nodes(spec, frozen)
    else:
        NODE_KINDS[job.type].complete(spec, frozen.steps[""], as_job=True)
    for name, value in (spec.get("inputs") or {}).items():
        binding = frozen.inputs.get(name)
        if isinstance(value, dict) and binding and binding.path and not str(value.get("path")).startswith("azureml://"):
            value["path"] = binding.path
    return spec


def _complete_nodes(spec: dict[str, Any], frozen: Plan, outer: str = "") -> None:
    """Correct what azure-ai-ml's dictionary of a pipeline gets wrong about its nodes."""
    for name, node in (spec.get("jobs") or {}).items():
        if node.get("type") in NODE_KINDS:
            NODE_KINDS[node["type"]].complete(node, frozen.steps[outer + name], as_job=False)
        elif isinstance(node.get("component"), dict):
            _complete_nodes(node["component"], frozen, f"{outer}{name}.")


def _freeze(checked: Plan, workspace: Workspace) -> Plan:
    """The plan with every code folder replaced by a kept copy of it."""
    folders = {(step.code, step.includes) for step in checked.steps.values()}
    copies = {
        (code, includes): str(snapshot(workspace, code, includes)) if code or includes else None
        for code, includes in folders
    }
    steps = {
        name: replace(
            step,
            code=copies[step.code, step.includes],
            includes=(),
            sources=sources(step.code, step.includes),
            environment=pinned(step.environment, workspace),
        )
        for name, step in checked.steps.items()
    }
    return replace(checked, steps=steps)


def pinned(environment: dict[str, Any] | None, workspace: Workspace) -> dict[str, Any] | None:
    """An environment of the workspace by its version: what is called latest may be another when the job runs."""
    named = uris.named(f"azureml:{environment['reference']}") if environment and "reference" in environment else None
    if named is None or named.version:
        return environment
    try:
        owner = named.owner(workspace)
        found = Assets(owner, "environment").get(named.name, None, named.label)
    except NotFound:
        return environment  # Azure's own: curated, without a version of ours
    if named.registry:
        id = owner.asset_id("environments", named.name, "versions", found["version"])
        return {"reference": id.removeprefix("azureml:")}
    return {"reference": f"{named.name}:{found['version']}"}


def _start(workspace: Workspace, record: JobRecord, folder: Path, runner: Runner | None) -> None:
    log = folder / "runner.log"
    process = runner if runner and _told(runner, record.name) else _spawn(workspace, [record.name], log)
    started = time.monotonic()
    told = False
    while not (folder / RUNNER).exists():
        if process is runner and process.poll() is not None:
            process = _spawn(workspace, [record.name], log)  # this one says in the log what is wrong
        waited = time.monotonic() - started
        if process.poll() is not None or waited > START_SECONDS:
            _end(process)
            raise UserError(f"job {record.name}: its runner did not start, and it will not run; see {log}")
        if waited > TELL_SECONDS and not told:
            told = True
            logging.getLogger(__name__).warning("Waiting for the job's runner to start; the machine is busy")
        time.sleep(0.01)
    process.returncode = 0  # not ours to wait for


def _end(runner: Runner) -> None:
    """See to it that a runner that is given up does not run the job after all."""
    runner.kill()
    runner.wait()


def _told(runner: Runner, name: str) -> bool:
    """Give a waiting runner its job; False when it has died."""
    assert runner.stdin
    try:
        runner.stdin.write(f"{name}\n".encode())
        runner.stdin.close()
    except OSError:
        return False
    return runner.poll() is None


def _spawn(workspace: Workspace, arguments: list[str], log: Path, stdin: int = subprocess.DEVNULL) -> Runner:
    command = [sys.executable, "-m", "amlocal.jobs.run.runner", str(workspace.root), *arguments]
    # Out of this terminal's reach: Ctrl-C here must not end the job there; `aml job cancel` does.
    return spawn(command, log, Path.cwd(), os.environ, stdin)
