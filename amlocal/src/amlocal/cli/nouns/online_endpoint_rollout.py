"""`aml online-endpoint rollout`: traffic to another deployment in steps, and back if it is worse. An addition."""

import argparse
import os
import shlex
import sys
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import positive
from amlocal.cli.interrupt import termination_as_interrupt
from amlocal.core.errors import UserError

# A step in Azure also has to be long enough for the traffic to arrive.
LOCAL_SECONDS, AZURE_SECONDS = 5.0, 60.0


def rollout(
    cmd: CLICommand,
    name: str,
    to: str,
    request_file: list[str] | None = None,
    steps: list[str] | None = None,
    probes: int = 100,
    step_seconds: float | None = None,
    max_errors: int = 0,
    max_slowdown: float = 1.5,
    max_disagreement: float = 0.05,
    compare: str | None = None,
) -> dict[str, Any] | None:
    from amlocal.rollout import probes as asked
    from amlocal.rollout.compare import Limits
    from amlocal.rollout.run import Options, Rollout
    from amlocal.rollout.steps import DEFAULT_STEPS, parse_steps

    data = cmd.cli_ctx.invocation.data
    stream = sys.stderr if data["output_asked_for"] else sys.stdout

    def say(text: str) -> None:
        if not cmd.cli_ctx.only_show_errors:
            print(text, file=stream, flush=True)

    options = Options(
        steps=parse_steps(steps) if steps else DEFAULT_STEPS,
        probes=probes,
        seconds=(AZURE_SECONDS if target.is_azure() else LOCAL_SECONDS) if step_seconds is None else step_seconds,
        limits=Limits(max_errors, max_slowdown, max_disagreement),
        expression=compare,
    )
    requests = asked.from_files(request_file) if request_file else []
    client = target.client()
    with termination_as_interrupt():
        wanted = Rollout(client, name, to, options, say, _flags())
        if wanted.done_already:
            say(f"{name}: {wanted.names.new} has all the traffic already; nothing to do.")
            return wanted.nothing_to_do() if data["output_asked_for"] else None
        requests = requests or asked.recorded(client, name, wanted.names.now)
        if not requests:
            raise UserError(_no_requests(name))
        result = wanted.run(requests)
    if result["verdict"] == "succeeded":
        for text in wanted.what_next():
            say(text)
    else:
        data["exit_code"] = 1
        before, now = wanted.traffic.before, wanted.traffic.now
        to_what = f"{now}" if now == before else f"{now} (it began with {before})"
        print(f"ERROR: {name} went back to {to_what}: {result['reason']}", file=sys.stderr)
    return result if data["output_asked_for"] else None


def _flags() -> str:
    """What a command needs at its end, in this shell, to mean the same endpoint; with a space before it, or nothing."""
    if not target.is_azure():
        return " --target local" if (os.environ.get(target.VARIABLE) or "local") != "local" else ""
    place = target.place_flags()
    given = {"-w": place.workspace, "-g": place.resource_group, "--subscription": place.subscription}
    words = ["--target", "azure", *(word for flag, value in given.items() if value for word in (flag, value))]
    return f" {shlex.join(words)}"


def _no_requests(endpoint: str) -> str:
    give = "--request-file: give JSON requests to ask both deployments, files or a folder of them"
    if target.is_azure():
        return give
    return f"{give}; endpoint {endpoint} has recorded none (data_collector of its deployments, collection request)"


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "online-endpoint", "amlocal.cli.nouns.online_endpoint_rollout#{}") as group:
        group.command("rollout", "rollout")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "online-endpoint rollout") as c:
        c.argument("to", help="Name of the deployment that is to take over.")
        c.argument(
            "request_file",
            options_list=["--request-file", "-r"],
            nargs="+",
            action="extend",
            metavar="PATH",
            help="JSON requests to ask both deployments: files, or folders of *.json; takes several, may be repeated. "
            "Default, on this machine: the last 200 different ones that the endpoint has recorded.",
        )
        c.argument(
            "steps",
            nargs="+",
            metavar="STEP",
            help="Percentages of the live traffic; first perhaps mirror or mirror=N, a copy of N percent (10 to begin "
            "with, at most 50). Default: mirror 10 50 100. With `--steps mirror` it is a rehearsal.",
        )
        c.argument("probes", type=positive, help="Requests in each step, each to both deployments.")
        c.argument(
            "step_seconds",
            type=not_negative,
            help="How long a step lasts at least, its requests spread over it. Default: 5, in Azure 60.",
        )
        c.argument(
            "max_errors",
            type=whole,
            help="How many requests it may fail that the other answers, before it goes back.",
        )
        c.argument(
            "max_slowdown",
            type=not_negative,
            help="How many times the other's median and 95th percentile it may take; 5 ms more are always allowed.",
        )
        c.argument(
            "max_disagreement",
            type=share,
            help="The share of requests, 0 to 1, that it may answer otherwise; a bit more can be chance.",
        )
        c.argument(
            "compare",
            metavar="JMESPATH",
            help="What of an answer is compared, e.g. predictions. Default: all of it; probabilities by their largest, "
            "numbers within a tenth.",
        )


def not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number


def share(text: str) -> float:
    number = not_negative(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1; 5 % is 0.05")
    return number


def whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


helps["online-endpoint rollout"] = """
type: command
short-summary: Shift traffic to a deployment in steps, and back by itself if it is worse (an addition to `az ml`).
long-summary: >
  In each step both deployments are asked the same requests, by name, and compared on errors, times and answers.
  Exit code 0 when it has the traffic, 1 when the traffic went back to what it was. Ctrl-C puts it back, too.
examples:
  - name: Let green take over, asked what users have asked lately
    text: aml online-endpoint rollout --name my-online-endpoint --to green
  - name: In Azure, with requests from a folder; only the predictions have to agree
    text: >
      aml online-endpoint rollout --target azure --name my-online-endpoint --to green --request-file requests
      --compare predictions
  - name: Rehearse it, mirrored requests only, and show the figures
    text: aml online-endpoint rollout --name my-online-endpoint --to green --steps mirror -o json
"""
