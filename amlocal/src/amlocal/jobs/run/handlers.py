"""How each kind of job is run. A new kind is a file beside this one and a line here; see `specs.kinds`, too."""

from amlocal.jobs.run import command, parallel, pipeline, sweep
from amlocal.jobs.run.context import Handler

HANDLERS: dict[str, Handler] = {
    "command": command.run,
    "parallel": parallel.run,
    "pipeline": pipeline.run,
    "sweep": sweep.run,
}
