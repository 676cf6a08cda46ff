"""A monitor that is due becomes a command job of the workspace: its record and its plan, made without azure-ai-ml."""

import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amlocal.assets.snapshots import snapshot
from amlocal.core.files import write_json
from amlocal.core.names import creation_context
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord
from amlocal.specs import monitor as definition
from amlocal.specs.plan import Output, Plan, Step

FILE, OUTPUT = "monitor.json", "signals"
COMMAND = f"python -m amlocal.monitors {FILE} ${{{{outputs.{OUTPUT}}}}}"


def prepare_run(
    schedule: str, name: str, monitor: dict[str, Any], trigger: dict[str, Any], due: datetime, workspace: Workspace
) -> tuple[JobRecord, Plan]:
    """The job called `name` that computes a schedule's monitor as of `due`. Raises UserError for a bad definition."""
    definition.signals(monitor, trigger)
    told = {"monitor": schedule, "time": due.astimezone(UTC).isoformat(), "definition": monitor, "trigger": trigger}
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder, FILE), told)
        code = str(snapshot(workspace, folder))
    spec = {
        "type": "command",
        "command": COMMAND,
        "code": code,
        "environment": {"image": f"python:{platform.python_version()}"},
        "outputs": {OUTPUT: {"type": "uri_folder"}},
        "inputs": {},
    }
    record = JobRecord(
        name=name,
        type="command",
        display_name=name,
        experiment_name=schedule,
        spec=spec,
        creation_context=creation_context(),
        status="Starting",
        tags={"azureml.monitor_name": schedule},
    )
    # Without an environment it is this Python, which has what computes.
    step = Step("", COMMAND, code, None, outputs={OUTPUT: Output("uri_folder")})
    return record, Plan("command", {"": step})
