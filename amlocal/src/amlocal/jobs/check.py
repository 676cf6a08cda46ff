"""All that can be known to be wrong with a job before it runs: what `validate` and `create` both look at."""

from typing import Any

from amlocal import environments
from amlocal.core.workspace import Workspace
from amlocal.specs.plan import Plan
from amlocal.specs.planner import plan


def checked_plan(job: Any, workspace: Workspace, strict: bool = True) -> Plan:
    """As `specs.planner.plan`, the environment of every step looked at too. Raises Problems."""
    return plan(job, workspace, strict, lambda environment: environments.problem(environment, workspace))
