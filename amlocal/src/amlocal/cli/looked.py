"""What `aml validate` and `aml job validate` print: the same lines, the same exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knack.commands import CLICommand

LISTED = 10


def told(
    cmd: CLICommand,
    paths: Sequence[str],
    kind: str | None = None,
    overrides: Sequence[dict[str, Any]] = (),
    strict: bool = False,
) -> dict[str, Any]:
    """Validate specs, print what is found on stderr, and set the exit code: 1 if there is an error.

    strict: a note is an error too. The result has the lines as well when an output format was asked for.
    """
    from amlocal.cli.target import workspace
    from amlocal.validate import validate

    report = validate([Path(path) for path in paths], workspace(), kind, overrides)
    errors = [*report.errors, *report.notes] if strict else report.errors
    notes = [] if strict else report.notes
    for line in errors:
        print(f"ERROR: {line}", file=sys.stderr)
    if not cmd.cli_ctx.only_show_errors:
        for line in notes:
            print(f"NOTE: {line}", file=sys.stderr)
        if report.left_out:
            print(f"NOTE: {_left_out(report.left_out)}", file=sys.stderr)
    cmd.cli_ctx.invocation.data["exit_code"] = 1 if errors else 0
    result: dict[str, Any] = {"result": "Failed" if errors else "Succeeded", "files": report.files}
    if cmd.cli_ctx.invocation.data["output_asked_for"]:
        left_out = [{"path": str(path), "reason": reason} for path, reason in report.left_out]
        return result | {"errors": errors, "notes": notes, "left_out": left_out}
    return result | {"errors": len(errors), "notes": len(notes), "left_out": len(report.left_out)}


def _left_out(files: Sequence[tuple[Path, str]]) -> str:
    """One line for what was not looked at."""
    from amlocal.core.files import relative

    each = [f"{relative(path)} ({reason})" for path, reason in files[:LISTED]]
    more = f" and {len(files) - LISTED} more (-o json lists all)" if len(files) > LISTED else ""
    return f"{len(files)} left out: {', '.join(each)}{more}"
