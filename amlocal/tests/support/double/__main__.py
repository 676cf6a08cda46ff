"""Run a double for other processes, until it is ended.

    python -m double --folder F --env FILE [--job-script Queued,Running,Failed] [--refuse quota]

FILE appears, whole, when it listens: KEY=VALUE lines, as `$GITHUB_ENV` takes them.
"""

import argparse
import signal
import threading
from pathlib import Path

from . import Double


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m double", description="A double of Azure on 127.0.0.1.")
    parser.add_argument("--folder", type=Path, required=True, help="where the certificate lies")
    parser.add_argument("--env", type=Path, required=True, help="the file to write the environment to")
    parser.add_argument("--job-script", default="", metavar="STATUS,...", help="what a job goes through, in this order")
    parser.add_argument("--refuse", default="", metavar="KIND", help="how deployments are refused, e.g. quota")
    arguments = parser.parse_args()

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Double(arguments.folder) as double:
        if arguments.job_script:
            double.jobs.script = arguments.job_script.split(",")
        if arguments.refuse:
            double.endpoints.refuse(arguments.refuse)
        lines = [f"{name}={value}" for name, value in double.environment.items()]
        beside = arguments.env.with_name(arguments.env.name + ".part")
        beside.write_text("\n".join([*lines, f"DOUBLE_URL={double.url}"]) + "\n", encoding="utf-8")
        beside.replace(arguments.env)
        ended.wait()


if __name__ == "__main__":
    main()
