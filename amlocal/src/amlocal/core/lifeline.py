"""Runs one command and dies with whoever started it: the process between the runner and a job's bash.

    python lifeline.py COMMAND [ARGUMENT...]

Standard input is the line to the runner. When it closes, however the runner ended (kill -9 included), the command and
everything it has started are killed. When the command ends, what it left running in the background has a moment to
finish, is asked to end and then killed: Azure takes a container away, but not before it has uploaded the logs. Standard
library only, and no import of this package: it starts for every step.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

LIFELINE = Path(__file__)  # where others find this script
GRACE_SECONDS = 3.0  # between asking to end and killing
FINISH_SECONDS = 2.0  # for what runs in the background, after the command


def signal_group(process: subprocess.Popen[bytes], name: str) -> None:
    """Signal everything the command has started; on Windows, which has no signals, end the tree below it."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], check=False, capture_output=True)
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, getattr(signal, name))


def watch(process: subprocess.Popen[bytes]) -> None:
    """Wait for the line to close, then end the command: politely, and after a grace for good."""
    while os.read(sys.stdin.fileno(), 4096):  # unbuffered: a thread inside a buffer would hold up our own exit
        pass
    signal_group(process, "SIGTERM")
    time.sleep(GRACE_SECONDS)
    signal_group(process, "SIGKILL")


def end_background(process: subprocess.Popen[bytes]) -> None:
    """End what a command has left in its process group; until then its last lines reach the log."""
    for name, seconds in (("", FINISH_SECONDS), ("SIGTERM", GRACE_SECONDS), ("SIGKILL", 0.0)):
        if name:
            signal_group(process, name)
        deadline = time.monotonic() + seconds
        while _runs(process.pid):
            if time.monotonic() >= deadline:
                break
            time.sleep(0.02)
        else:
            return


def _runs(group: int) -> bool:
    """Whether a process of the group is left; Windows has no groups, and what is in the background there goes on."""
    if os.name == "nt":
        return False
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS says the second of a group of zombies
        return False
    return True


def main(command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=watch, args=(process,), daemon=True).start()
    code = process.wait()
    end_background(process)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
