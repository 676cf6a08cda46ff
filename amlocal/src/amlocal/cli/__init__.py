"""The command `aml`: `az ml` without Azure. One file per noun; this one only opens the door."""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one `aml` command and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C."""
    from amlocal.cli.app import run

    return run(arguments)
