"""Become another program, as a shell's `exec` does."""

import os
import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn


def become(program: str, command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by `program`; not for Windows, which cannot. Raises OSError.

    Python ignores SIGPIPE, and a program inherits what is ignored: `cat /dev/urandom | head -n 1` would never end.
    """
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):  # those that subprocess restores, too
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(program, list(command), dict(environment))  # noqa: S606 (no shell is wanted)
