"""The job that a monitor becomes: `python -m amlocal.monitors monitor.json FOLDER`, run by the workspace itself.

monitor.json is what amlocal.monitors.job has written; FOLDER gets the results. Drift is no failure: the job ends
well, and says what it found. It fails when a signal that is computed here could not be.
"""

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace
from amlocal.monitors import compute, places, results, tables
from amlocal.specs import monitor as definition

# A collection and a reference serve several signals.
Read = dict[tuple[Path, Any], tables.Table]


def main(argv: list[str] | None = None) -> int:
    file, folder = argv or sys.argv[1:]
    told = json.loads(Path(file).read_text(encoding="utf-8"))
    try:
        return run(told, Path(folder), Workspace.find())
    except UserError as error:
        print(f"ERROR: {error}", flush=True)
        return 1


def run(told: dict[str, Any], folder: Path, workspace: Workspace) -> int:
    """Compute a monitor, print, write and log what it says; returns the exit code.

    told: {"monitor", "time", "definition", "trigger"}. Raises UserError for a definition that means nothing.
    """
    moment = datetime.fromisoformat(told["time"])
    asked = definition.signals(told["definition"], told["trigger"])
    target = definition.deployment(told["definition"])
    print(f"Monitor {told['monitor']}, {moment:%Y-%m-%d %H:%M:%S} UTC", flush=True)
    found: list[compute.Outcome] = []
    refused: list[definition.Refused] = []
    failed = 0
    seen: Read = {}
    for signal in asked:
        if isinstance(signal, definition.Refused):
            refused.append(signal)
            print(f"\nNOTE: {signal.name} ({signal.type}): {signal.reason}", flush=True)
            continue
        try:
            production = _table(workspace, signal.production, target, moment, seen)
            reference = _table(workspace, signal.reference, target, moment, seen)
            outcome = compute.outcome(signal, production, reference)
        except (UserError, ArithmeticError, ValueError, OSError) as error:
            # Odd data of one signal does not take what the others say along.
            failed += 1
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            reason = kind + " ".join(str(error).splitlines())
            refused.append(definition.Refused(signal.name, signal.type, reason))
            print(f"\nERROR: {signal.name} ({signal.type}): {reason}", flush=True)
            continue
        found.append(outcome)
        print("", *results.lines(outcome), "", *results.table(outcome.measures), sep="\n", flush=True)
    if results.tags(found) and (emails := _emails(told["definition"])):
        print(f"\nNOTE: on Azure a mail goes to {emails}; from here nobody is written to", flush=True)
    results.write(folder, {"monitor": told["monitor"], "time": moment.isoformat()}, found, refused)
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        results.log(run_id, found)
    if not found:
        print("\nERROR: none of its signals was computed", flush=True)
    return 1 if failed or not found else 0


def _table(
    workspace: Workspace,
    source: definition.Source,
    target: tuple[str, str] | None,
    moment: datetime,
    seen: Read,
) -> tables.Table:
    place = places.find(workspace, source, target)
    span = source.window.at(moment) if source.window else None
    if (place, span) not in seen:
        table = tables.read(place, span)
        if source.preprocessed:
            told = "pre_processing_component: not run here; the data is read as it was collected"
            table = tables.Table(table.columns, table.rows, (*table.notices, told))
        seen[place, span] = table
    return seen[place, span]


def _emails(monitor: dict[str, Any]) -> str:
    notification = monitor.get("alert_notification")
    return ", ".join(notification.get("emails") or []) if isinstance(notification, dict) else ""


if __name__ == "__main__":
    sys.exit(main())
