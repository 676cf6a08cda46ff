"""What a command does not do is said on stderr, unless the user asked for errors only."""

import sys

ONLY_ERRORS = "--only-show-errors"


def note(text: str) -> None:
    if ONLY_ERRORS not in sys.argv:
        print(f"local target: {text}", file=sys.stderr)


def without_effect(why: str, _: object) -> None:
    """Answers a command that only says why it does nothing."""
    note(why)
