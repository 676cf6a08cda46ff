"""One run of a step: what it reads is fetched, its environment made, its processes started and waited for."""

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlocal import environments
from amlocal.assets import remote, uris
from amlocal.assets.outputs import register_output
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, write_json
from amlocal.core.mlflow_store import artifact_root
from amlocal.core.workspace import DEFAULT_DATASTORE, NOBODY
from amlocal.jobs.parallel.packages import relieved
from amlocal.jobs.record import LOG, JobRecord, kill_leftovers
from amlocal.jobs.reuse import fingerprint
from amlocal.jobs.run.process import Process, wait
from amlocal.specs import distribution as distributed
from amlocal.specs.expressions import Reference, render, words
from amlocal.specs.plan import FILE_TYPES, Step

if TYPE_CHECKING:
    from amlocal.jobs.run.runner import Runner

Value = str | Path | None
PARALLEL = Path(__file__).parents[1] / "parallel" / "driver.py"


class StepRun:
    """A step's run as the job `record`.

    values: its inputs by name: literals, paths, or None. sampled: what the sweep that it is a trial of has drawn.
    """

    def __init__(
        self,
        runner: "Runner",
        step: Step,
        record: JobRecord,
        values: Mapping[str, Value],
        sampled: Mapping[str, str] | None = None,
    ) -> None:
        self.runner, self.step, self.record = runner, step, record
        self.workspace, self.journal = runner.workspace, runner.journal
        self.values, self.sampled = dict(values), dict(sampled or {})
        self.folder = runner.store.folder(record.name)
        self.log = self.folder / LOG
        self.outputs: dict[str, Path] = {}

    def run(self) -> None:
        """To the end, whatever it is: the record tells."""
        if self._asked_to_end():
            self.record.error = "not started: the job was ended before"
            self.journal.end(self.record, "Canceled")
            return
        self.journal.open(self.record, self.runner.parent(self.record))
        self.journal.status(self.record, "Preparing")
        with disk_errors(self.folder):
            self._fetch()
            if self._reusable():
                self.record.fingerprint = fingerprint(self.step, self.values)
                if not self.runner.plan.force_rerun and self._reuse():
                    return
            self._place_outputs()
            for notice in self.step.notices:
                self._say(notice)
            try:
                runtime = environments.prepare(
                    self._environment(), self.workspace, self.log, self.folder, self.step.command, self._asked_to_end
                )
            except UserError:
                if not self._asked_to_end():
                    raise
                self.journal.end(self.record, "Canceled", self.folder)
                return
            try:
                if self.step.code:
                    shutil.copytree(self.step.code, self.folder / "code")
                for name in ("", "outputs", "logs"):  # which Azure makes too
                    (self.folder / "code" / name).mkdir(exist_ok=True)
                ending = self._run_processes(self._rendered(runtime.python), runtime)
            finally:
                environments.release(runtime)
        if ending == "Completed":
            self._register_outputs()
        self.journal.end(self.record, ending, self.folder)
        if ending == "Completed" and self.record.fingerprint:
            self.runner.reuse.add(self.record.fingerprint, self.record)

    # -- before

    def _fetch(self) -> None:
        """Bring here what an input names by an address."""
        for name, binding in self.step.inputs.items():
            value = self.values.get(name)
            if binding.path and isinstance(value, str):
                self.values[name] = remote.fetch(self.workspace, value, self._say)

    def _reusable(self) -> bool:
        """As on Azure, a job by itself always runs; so does what writes where the next run may write over it."""
        placed = any(output.path or output.name for output in self.step.outputs.values())
        pipeline = self.runner.plan.type == "pipeline" and not self.step.sweep
        return self.step.deterministic and pipeline and not placed

    def _reuse(self) -> bool:
        assert self.record.fingerprint
        earlier = self.runner.reuse.find(self.record.fingerprint)
        if not earlier:
            return False
        self.record.reused_from = earlier.name
        self.record.outputs = earlier.outputs
        self.journal.end(self.record, "Completed")
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
                match = uris.DATASTORE.fullmatch(path)
                assert match, "the plan has checked it"
                place = uris.below(self.workspace.datastore(match["store"]), match["path"], path)
            else:
                place = self.workspace.datastore() / "azureml" / self.record.name / name
            (place.parent if output.type in FILE_TYPES else place).mkdir(parents=True, exist_ok=True)
            self.record.outputs[name] = {"type": output.type, "path": str(place)}
            self.outputs[name] = place

    def _environment(self) -> dict[str, Any] | None:
        if not self.step.parallel:
            return self.step.environment
        environment, gone = relieved(self.step.environment, Path(self.step.code) if self.step.code else None)
        if gone:
            self._say(f"Environment: {', '.join(gone)}: for Azure's parallel engine, not needed here")
        return environment

    # -- running

    def _rendered(self, python: Path) -> str:
        """What bash is given."""
        parallel = self.step.parallel
        if parallel is None:
            return render(self.step.command, self._value)
        source = self.values[parallel.input]
        config = {
            **parallel.settings,
            "python": str(python),
            "code": str(self.folder / "code"),
            "entry_script": parallel.entry_script,
            "arguments": words(parallel.arguments, self._value),
            "input": {"path": str(source), "type": self.step.inputs[parallel.input].type},
            "append_row_to": str(self.outputs[parallel.append_row_to]) if parallel.append_row_to else None,
        }
        write_json(self.folder / "parallel.json", config)
        return shlex.join(
            [Path(sys.executable).as_posix(), PARALLEL.as_posix(), (self.folder / "parallel.json").as_posix()]
        )

    def _value(self, reference: Reference) -> Value:
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
        self.journal.status(self.record, "Running")
        servers = [process for process, own in zip(processes, each, strict=True) if _serves(own)]
        codes = wait(processes, self._stopped(), servers)
        self.journal.status(self.record, "Finalizing")
        # what has made a session of its own, or has lost its lifeline; a container would take it along
        kill_leftovers({self.record.name}, self.workspace)
        if codes is None:
            return "Canceled"
        failed = next(((code, log) for code, log in zip(codes, logs, strict=True) if code), None)
        if failed is None:
            return "Completed"
        code, log = failed
        self.record.error = f"exit code {code if code > 0 else 128 - code}; its log is {log}"
        return "Failed"

    def _asked_to_end(self) -> bool:
        return self.runner.stopping.is_set() or self.runner.store.canceled(self.record)

    def _stopped(self) -> Callable[[], bool]:
        """Whether to end before the command does: asked to, or out of the time that begins now."""
        deadline = time.monotonic() + self.step.timeout if self.step.timeout else None

        def stopped() -> bool:
            if deadline and time.monotonic() > deadline:
                self.record.error = f"canceled: it ran longer than its limits.timeout of {self.step.timeout:.0f} s"
                self._say(self.record.error)
                return True
            return self._asked_to_end()

        return stopped

    def _variables(self, runtime: environments.Runtime) -> dict[str, str]:
        record = self.record
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "AZUREML_", "PYTHONPATH"))
        }
        assert record.run_id and record.experiment_id
        return {
            **inherited,
            # A log is read while it is written, and by programs that write UTF-8, also where Windows would not.
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "AMLOCAL_HOME": str(self.workspace.root),
            "MLFLOW_TRACKING_URI": self.workspace.tracking_uri,
            "MLFLOW_RUN_ID": record.run_id,
            "MLFLOW_EXPERIMENT_ID": record.experiment_id,
            "MLFLOW_EXPERIMENT_NAME": record.experiment_name,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **artifact_root(self.workspace),
            "AZUREML_RUN_ID": record.name,
            "AZUREML_ROOT_RUN_ID": self.runner.record.name,
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

    def _say(self, line: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")


def _template(meanings: Mapping[str, str], reference: Reference) -> str:
    return meanings[".".join(reference.parts)]


def _serves(variables: Mapping[str, str]) -> bool:
    """Whether these are the variables of a parameter server."""
    with suppress(KeyError, ValueError):
        return json.loads(variables["TF_CONFIG"])["task"]["type"] == "ps"
    return False
