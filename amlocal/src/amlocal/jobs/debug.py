"""A step under a debugger: in a job that is about to start, or once more, alone, of a job that has ended."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.core.errors import UserError
from amlocal.core.files import read_json
from amlocal.core.names import creation_context
from amlocal.core.workspace import Workspace
from amlocal.environments.debugger import DEBUGGERS
from amlocal.jobs.record import JobRecord, JobStore
from amlocal.specs.plan import Binding, Debug, Output, Plan, Step, read_plan

TAG = "debugged_job"  # of the job that is made here: which one its step is of


def debugged(plan: Plan, step: str, debugger: str) -> Plan:
    """The plan with one step that waits for a debugger. step: "" for the only one. Raises UserError."""
    if debugger not in DEBUGGERS:
        raise UserError(f"--debugger {debugger}: none of {', '.join(DEBUGGERS)}")
    return replace(plan, debug=Debug(_chosen(plan.steps, step), debugger))


def _chosen(steps: Mapping[str, Step], step: str) -> str:
    """The name of the step that is meant. Raises UserError naming those there are."""
    if not step and len(steps) == 1:
        return next(iter(steps))
    if step not in steps or not step:
        said = f'there is no step "{step}"' if step else "say which step"
        raise UserError(f"{said}; there is {', '.join(name for name in steps if name) or 'only the job itself'}")
    return step


def again(workspace: Workspace, name: str, step: str, debugger: str) -> tuple[JobRecord, Plan, list[str]]:
    """A new job that runs a step of a job as it ran: what `submit.start` needs, and what the user should know.

    name: a job that has ended, or a step of one. step: its name in the pipeline; "": the only one, or the one that
    failed. Raises UserError.
    """
    store = JobStore(workspace)
    record = store.get(name)
    line = [record]
    while line[0].parent:
        line.insert(0, store.get(line[0].parent))
    root = line[0]
    kept = store.folder(root.name) / "plan.json"
    if not kept.exists():
        raise UserError(f'job "{name}": it has no plan any more, so no step of it can run again')
    plan = read_plan(read_json(kept), kept)
    records = _records(store, root)
    if not record.final:
        raise UserError(f'job "{name}" is {record.status}; a step of it can be debugged when it has ended')
    inside = _place(line)
    members = {name: each for name, each in plan.steps.items() if _within(name, inside)}
    if step or len(members) != 1:
        full = ".".join(filter(None, (inside, step)))
        failed = [name for name in members if name in records and records[name].status == "Failed"]
        chosen = failed[0] if not step and len(failed) == 1 else _chosen(members, full)
    else:
        chosen = next(iter(members))
    original = records[chosen]
    sampled = line[-1].properties if line[-1] is not original and line[-1].parent == original.name else {}
    bare = _alone(plan.steps[chosen], records, workspace, sampled)
    made = JobRecord(
        name=f"{original.name}_debug_{secrets.token_hex(3)}",
        type="command",
        display_name=f"{original.display_name} (debug)",
        experiment_name=original.experiment_name,
        spec=_spec(bare),
        creation_context=creation_context(),
        status="Starting",
        tags={TAG: original.name},
    )
    return made, debugged(Plan("command", {"": bare}), "", debugger), [*_changed(bare)]


def _spec(step: Step) -> dict[str, Any]:
    """The step as a command job, as `show` prints it."""
    environment = {key: each for key, each in (step.environment or {}).items() if each and key != "source"}
    inputs = {
        name: {"type": each.type, "path": each.path} if each.path else each.literal
        for name, each in step.inputs.items()
        if not each.absent
    }
    return {
        "type": "command",
        "command": step.command or f"{step.type} step",
        "code": step.code,
        "environment": f"azureml:{environment['reference']}" if "reference" in environment else environment,
        "inputs": inputs,
        "outputs": {name: {"type": output.type} for name, output in step.outputs.items()},
        "environment_variables": dict(step.environment_variables),
    }


def _place(line: list[JobRecord]) -> str:
    """Where in the plan a record is, given with all that it is a part of; of a sweep's trial: where the sweep is."""
    steps = [str(record.step) for record, outer in zip(line[1:], line, strict=False) if outer.type != "sweep"]
    return ".".join(steps)


def _within(name: str, inside: str) -> bool:
    return not inside or name == inside or name.startswith(f"{inside}.")


def _records(store: JobStore, root: JobRecord) -> dict[str, JobRecord]:
    """The job and its steps by their names in the plan."""
    found, names = {"": root}, {root.name: ""}
    for record in store.steps(root):
        if record.parent in names:
            names[record.name] = f"{names[record.parent]}.{record.step}".lstrip(".")
            found[names[record.name]] = record
    return found


def _alone(step: Step, records: Mapping[str, JobRecord], workspace: Workspace, sampled: Mapping[str, str]) -> Step:
    """The step with what it read as paths, and outputs that nobody else has."""
    inputs = dict(step.inputs)
    for name, binding in step.inputs.items():
        if binding.step is None or binding.output is None:
            continue
        writer = records[binding.step]
        written = writer.outputs.get(binding.output)
        if not written or not uris.output_path(workspace, written["path"]).exists():
            raise UserError(
                f'step "{step.name}": inputs.{name}: step "{binding.step}" has not written it ({writer.status}),'
                " or it is deleted"
            )
        inputs[name] = Binding(binding.type, path=str(uris.output_path(workspace, written["path"])))
    inputs |= {name: Binding("string", literal=value) for name, value in sampled.items()}
    outputs = {name: Output(output.type) for name, output in step.outputs.items() if name != "artifacts"}
    if sampled:
        step = replace(step, type="command", settings={})
    return replace(step, name="", inputs=inputs, outputs=outputs, deterministic=False)


def _changed(step: Step) -> Iterator[str]:
    """A line on the files that are no longer as the job had them: breakpoints would be off."""
    changed = []
    for copy in sorted(Path(step.code).rglob("*")) if step.code else ():
        inside = copy.relative_to(str(step.code))
        place = next((place for place in sorted(step.sources, reverse=True) if _holds(place, inside)), None)
        if copy.is_dir() or place is None:
            continue
        source = Path(step.sources[place], inside.relative_to(place))
        if source.is_file() and source.read_bytes() != copy.read_bytes():
            changed.append(inside.as_posix())
    if changed:
        told = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        yield f"Changed since the job ran: {told}. The step runs as it was, and the editor shows other lines."


def _holds(place: str, inside: Path) -> bool:
    return not place or inside.is_relative_to(place)
