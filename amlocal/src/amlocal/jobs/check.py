"""All that can be known to be wrong with a job before it runs: what `validate` and `create` both look at."""

from dataclasses import replace
from typing import Any

from amlocal import environments
from amlocal.core.workspace import Workspace
from amlocal.specs.load import ignored_fields, read_document
from amlocal.specs.placed import BUILT_IN_PYTHON, source_of
from amlocal.specs.plan import Plan
from amlocal.specs.planner import plan


def checked_plan(job: Any, workspace: Workspace, strict: bool = True) -> Plan:
    """As `specs.planner.plan`, the environment of every step looked at too. Raises Problems."""
    made = plan(job, workspace, strict, lambda environment: environments.problem(environment, workspace))
    source = source_of(job)
    if strict or source == BUILT_IN_PYTHON or not source.is_file():
        return made
    return replace(made, notices=(*made.notices, *ignored_fields("job", source, read_document(source, warn=False))))
