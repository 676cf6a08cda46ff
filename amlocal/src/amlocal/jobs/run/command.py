"""A command's run: what it reads is fetched, its environment made, its processes started and waited for."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from amlocal import environments
from amlocal.assets import remote, uris
from amlocal.assets.named_outputs import register_output
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors
from amlocal.core.mlflow_store import artifact_root
from amlocal.core.processes import inherited
from amlocal.core.workspace import DEFAULT_DATASTORE, NOBODY
from amlocal.environments import debugger
from amlocal.jobs.record import LOG, JobRecord, kill_leftovers
from amlocal.jobs.reuse import fingerprint
from amlocal.jobs.run.context import Context, Value
from amlocal.jobs.run.process import Process, wait
from amlocal.jobs.run.tracking import context_tags
from amlocal.specs import distribution as distributed
from amlocal.specs.expressions import Reference, render
from amlocal.specs.plan import FILE_TYPES, Step


def run(context: Context, step: Step, record: JobRecord, values: dict[str, Value]) -> None:
    """Run a command as soon as a core is free."""
    with context.slot(record):
        CommandRun(context, step, record, values).run()


class CommandRun:
    """A step's run as the job `record`. Kinds of jobs that end in a command override what differs.

    values: its inputs by name: literals, paths, or None. sampled: what the sweep that it is a trial of has drawn.
    """

    def __init__(
        self,
        context: Context,
        step: Step,
        record: JobRecord,
        values: Mapping[str, Value],
        sampled: Mapping[str, str] | None = None,
    ) -> None:
        self.context, self.step, self.record = context, step, record
        self.workspace, self.progress = context.workspace, context.progress
        self.values, self.sampled = dict(values), dict(sampled or {})
        self.folder = context.store.folder(record.name)
        self.log = self.folder / LOG
        self.outputs: dict[str, Path] = {}
        self.debugger = context.debugger(step)

    def run(self) -> None:
        """To the end, whatever it is: the record tells."""
        if self._asked_to_end():
            self.record.error = "not started: the job was ended before"
            self.progress.end(self.record, "Canceled")
            return
        self.progress.open(self.record, self.context.parent(self.record))
        self.progress.status(self.record, "Preparing")
        with disk_errors(self.folder):
            self._fetch()
            if self._reusable():
                self.record.fingerprint = fingerprint(self.step, self.values)
                if not self.context.plan.force_rerun and self._reuse():
                    return
            self._place_outputs()
            for notice in self.step.notices:
                self.say(notice)
            try:
                runtime = environments.prepare(
                    self.environment(), self.workspace, self.log, self.folder, self.step.command, self._asked_to_end
                )
            except UserError:
                if not self._asked_to_end():
                    raise
                self.progress.end(self.record, "Canceled", self.folder)
                return
            try:
                if self.debugger:
                    prefix = Path(runtime.variables["VIRTUAL_ENV"])
                    debugger.install(prefix, self.folder, self.debugger, self.step.sources, self.log)
                if self.step.code:
                    shutil.copytree(self.step.code, self.folder / "code")
                for name in ("", "outputs", "logs"):  # which Azure makes too
                    (self.folder / "code" / name).mkdir(exist_ok=True)
                ending = self._run_processes(self.command(runtime.python), runtime)
            finally:
                environments.release(runtime)
        if ending == "Completed":
            self._register_outputs()
        self.progress.end(self.record, ending, self.folder)
        if ending == "Completed" and self.record.fingerprint:
            self.context.reuse.add(self.record.fingerprint, self.record)

    # -- before

    def _fetch(self) -> None:
        """Bring here what an input names by an address."""
        for name, binding in self.step.inputs.items():
            value = self.values.get(name)
            if binding.path and isinstance(value, str):
                self.values[name] = remote.fetch(self.workspace, value, self.say)

    def _reusable(self) -> bool:
        """As on Azure, a job by itself always runs; so does what writes where the next run may write over it."""
        placed = any(output.path or output.name for output in self.step.outputs.values())
        pipeline = self.context.plan.type == "pipeline"
        return self.step.deterministic and pipeline and not placed and not self.debugger

    def _reuse(self) -> bool:
        assert self.record.fingerprint
        earlier = self.context.reuse.find(self.record.fingerprint)
        if not earlier:
            return False
        self.record.reused_from = earlier.name
        self.record.outputs = earlier.outputs
        self.progress.end(self.record, "Completed")
        return True

    def _place_outputs(self) -> None:
        """Decide where every output is written; the folder (of a file: its parent) is made."""
        for name, output in self.step.outputs.items():
            if name == "artifacts" and not output.path:
                self.outputs[name] = uris.output_path(self.workspace, self.record.outputs[name]["path"])
                continue  # the run's own, whoever declares them
            if output.path:
                meanings = {"name": self.record.name, "output_name": name, "default_datastore": DEFAULT_DATASTORE}
                path = render(output.path, partial(_template, meanings))
                stored = uris.DatastorePath.parse(path)
                assert stored, "the plan has checked it"
                place = stored.place(self.workspace)
            else:
                place = self.workspace.datastore() / "azureml" / self.record.name / name
            (place.parent if output.type in FILE_TYPES else place).mkdir(parents=True, exist_ok=True)
            self.record.outputs[name] = {"type": output.type, "path": str(place)}
            self.outputs[name] = place

    def environment(self) -> dict[str, Any] | None:
        """What the step asks to run in."""
        return self.step.environment

    # -- running

    def command(self, python: Path) -> str:
        """What bash is given. python: of the step's environment."""
        return render(self.step.command, self.value)

    def value(self, reference: Reference) -> Value:
        """What an expression stands for."""
        group, name = reference.parts[0], ".".join(reference.parts[1:])
        if group == "outputs":
            return self.outputs[name]
        if name in self.sampled:
            return self.sampled[name]
        return self.values[name]

    def _run_processes(self, command: str, runtime: environments.Runtime) -> str:
        """Run the command, or its copies of a distributed job; returns the status it has ended with."""
        common = self._variables(runtime)
        if self.step.distribution:
            spread = self.step.distribution
            each = distributed.processes(spread.kind, spread.spec, spread.instances)
            logs = [self.log.with_name(f"std_log_process_{number}.txt") for number in range(len(each))]
        else:
            each, logs = [{}], [self.log]
        processes = [
            Process(command, self.folder / "code", common | own, log) for own, log in zip(each, logs, strict=True)
        ]
        self.progress.status(self.record, "Running")
        servers = [process for process, own in zip(processes, each, strict=True) if _serves(own)]
        codes = wait(processes, self._stopped(), servers)
        self.progress.status(self.record, "Finalizing")
        # what has made a session of its own, or has lost its lifeline; a container would take it along
        kill_leftovers({self.record.name}, self.workspace, patient=codes is not None)
        if codes is None:
            return "Canceled"
        failed = next(((code, log) for code, log in zip(codes, logs, strict=True) if code), None)
        if failed is None:
            return "Completed"
        code, log = failed
        self.record.error = f"exit code {code if code > 0 else 128 - code}; its log is {log}"
        return "Failed"

    def _asked_to_end(self) -> bool:
        return self.context.asked_to_end(self.record)

    def _stopped(self) -> Callable[[], bool]:
        """Whether to end before the command does: asked to, or out of the time that begins now."""
        timeout = None if self.debugger else self.step.timeout
        deadline = time.monotonic() + timeout if timeout else None

        def stopped() -> bool:
            if deadline and time.monotonic() > deadline:
                self.record.error = f"canceled: it ran longer than its limits.timeout of {timeout:.0f} s"
                self.say(self.record.error)
                return True
            return self._asked_to_end()

        return stopped

    def _variables(self, runtime: environments.Runtime) -> dict[str, str]:
        record = self.record
        assert record.run_id and record.experiment_id
        return {
            **inherited("MLFLOW_", "AZUREML_", "PYTHONPATH"),
            # A log is read while it is written, and by programs that write UTF-8, also where Windows would not.
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "AMLOCAL_HOME": str(self.workspace.root),
            "MLFLOW_TRACKING_URI": self.workspace.tracking_uri,
            "MLFLOW_RUN_ID": record.run_id,
            "MLFLOW_EXPERIMENT_ID": record.experiment_id,
            "MLFLOW_EXPERIMENT_NAME": record.experiment_name,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **context_tags(record),
            **artifact_root(self.workspace),
            "AZUREML_RUN_ID": record.name,
            "AZUREML_ROOT_RUN_ID": self.context.record.name,
            "AZUREML_ARM_SUBSCRIPTION": NOBODY,
            "AZUREML_ARM_RESOURCEGROUP": "local",
            "AZUREML_ARM_WORKSPACE_NAME": self.workspace.name,
            "AZUREML_ARM_PROJECT_NAME": record.experiment_name,
            **{f"AZUREML_SWEEP_{name}": value for name, value in self.sampled.items()},
            **runtime.variables,
            **self.step.environment_variables,
        }

    # -- after

    def _register_outputs(self) -> None:
        """What the job's file gives a name becomes a data asset, or a model."""
        for name, output in self.step.outputs.items():
            if output.name:
                place = self.outputs[name]
                register_output(
                    self.workspace,
                    output.name,
                    output.version,
                    output.type,
                    place,
                    self.record.name,
                    self.record.run_id,
                )

    def say(self, line: str) -> None:
        """Write a line into the job's log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")


def _template(meanings: Mapping[str, str], reference: Reference) -> str:
    return meanings[".".join(reference.parts)]


def _serves(variables: Mapping[str, str]) -> bool:
    """Whether these are the variables of a parameter server."""
    with suppress(KeyError, ValueError):
        return json.loads(variables["TF_CONFIG"])["task"]["type"] == "ps"
    return False
