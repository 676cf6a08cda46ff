"""A parallel step's run: a command that starts the driver of `jobs.parallel`."""

import shlex
import sys
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.files import write_json
from amlocal.environments import Runtime
from amlocal.jobs.parallel.packages import relieved
from amlocal.jobs.record import JobRecord
from amlocal.jobs.run.command import CommandRun
from amlocal.jobs.run.context import Context, Value
from amlocal.specs.expressions import words
from amlocal.specs.parallel import Parallel
from amlocal.specs.plan import Step

DRIVER = Path(__file__).parents[1] / "parallel" / "driver.py"


def run(context: Context, step: Step, record: JobRecord, values: dict[str, Value]) -> None:
    """Run a parallel step as soon as a core is free."""
    with context.slot(record):
        ParallelRun(context, step, record, values).run()


class ParallelRun(CommandRun):
    """A parallel step's run as the job `record`."""

    def environment(self) -> dict[str, Any] | None:
        environment, gone = relieved(self.step.environment, Path(self.step.code) if self.step.code else None)
        if gone:
            self.say(f"Environment: {', '.join(gone)}: for Azure's parallel engine, not needed here")
        return environment

    def command(self, python: Path) -> str:
        parallel = Parallel(**self.step.settings)
        source = self.values[parallel.input]
        rows = self._rows(parallel)
        config = {
            **parallel.settings,
            "python": str(python),
            "code": str(self.folder / "code"),
            "entry_script": parallel.entry_script,
            "arguments": words(parallel.arguments, self.value),
            "input": {"path": str(source), "type": self.step.inputs[parallel.input].type},
            "append_row_to": str(rows) if rows else None,
        }
        write_json(self.folder / "parallel.json", config)
        return shlex.join(
            [Path(sys.executable).as_posix(), DRIVER.as_posix(), (self.folder / "parallel.json").as_posix()]
        )

    def _rows(self, parallel: Parallel) -> Path | None:
        """Where the rows go. Raises UserError for a file that must not be there yet."""
        if not parallel.append_row_to:
            return None
        place = self.outputs[parallel.append_row_to]
        if parallel.row_file:
            place = place / parallel.row_file
        if parallel.fresh and place.is_file():
            raise UserError(f"the output file exists already: {place}; give another output path or file name")
        return place

    def _variables(self, runtime: Runtime) -> dict[str, str]:
        named = Parallel(**self.step.settings).output_variables
        places = {
            name: self.outputs[output] if self.outputs[output].is_dir() else self.outputs[output].parent
            for name, output in named.items()
        }
        return super()._variables(runtime) | {name: str(place) for name, place in places.items()}
