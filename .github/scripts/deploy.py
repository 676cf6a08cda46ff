#!/usr/bin/env python3
"""Put a registered model behind the endpoint, beside the one that serves, and let it take over:

    deploy.py create [VERSION]     the colour that does not serve, at 0 % of the traffic, and its smoke test;
                                   --registry NAME: the model comes from a registry
    deploy.py switch COLOUR        traffic to it in steps (docs/rollout.md); back to the former if it is worse, or does
                                   not know its digits once it has all traffic
    deploy.py withdraw COLOUR      it was not wanted: its log, and it is gone
    deploy.py back COLOUR          `switch` was broken off: its traffic to the former, if that is still there, and it is
                                   gone; nothing if it has taken over for good

Which colour serves is asked of the endpoint. Where Azure has no quota `create` deploys on this machine, tests it there
and takes it down. Every step is an `aml` command that the log shows as it can be typed. Run it with the project's own
Python, in the repository's root.
"""

import argparse
import contextlib
import io
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from amlocal.cli import main as run

ENDPOINT = os.environ.get("AZURE_ENDPOINT") or "digits"  # names of endpoints are unique in a region
COLOURS = ("blue", "green")
SPECS = "aml/endpoints/digits"
STEP_SECONDS = os.environ.get("STEP_SECONDS", "60")  # how long each step of the rollout lasts
TRIES, PAUSE_SECONDS = 20, 10.0  # for a change of the traffic that is still on its way in Azure


class Failed(Exception):
    """Why this ends red, in words that everybody may read."""


def aml(line: str, target: str = "azure") -> tuple[int, str]:
    """Run an `aml` command in this process, where the SDK is imported once; its exit code and what it prints."""
    words = [*shlex.split(line), "--target", target]
    print(f"\n$ aml {shlex.join(words)}", flush=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run(words)
    return code, printed.getvalue()


def ask(line: str, target: str = "azure") -> Any:
    """The JSON that an `aml` command answers. Raises Failed; the command has then said why."""
    code, answer = aml(f"{line} --output json", target)
    if code:
        raise Failed(f"`aml {line}` ended with exit code {code}; the log says why")
    return json.loads(answer or "null")


def tell(text: str) -> None:
    """A line for the log and for the summary of the workflow run."""
    print(text, flush=True)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def serving(endpoint: dict[str, Any]) -> str | None:
    """The colour that has all the traffic; None if nothing has any. Raises Failed for what is neither."""
    shares = {name: share for name, share in endpoint["traffic"].items() if share}
    if not shares:
        return None
    if len(shares) > 1 or not shares.keys() <= set(COLOURS):
        raise Failed(f"the traffic goes to {shares}; give all of it to blue or to green, then deploy again")
    return next(iter(shares))


def smoke(target: str, colour: str | None = None) -> str:
    """Have a deployment, or the endpoint as its users ask it, read digits; what came of it. Raises Failed."""
    digits, labels = typical_digits()
    asked = f"online-endpoint invoke --name {ENDPOINT}" + (f" --deployment-name {colour}" if colour else "")
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder, "request.json")
        request.write_text(json.dumps({"input_data": digits}), encoding="utf-8")
        answer = ask(f"{asked} --request-file {shlex.quote(str(request))}", target)
    try:
        read = json.loads(answer)["predictions"]
    except (TypeError, ValueError, KeyError):
        raise Failed("smoke test failed: the answer has no predictions") from None
    if read != labels:
        raise Failed(f"smoke test failed: shown the digits {labels}, it read {read}")
    return f"read {len(labels)} of {len(labels)} test digits right"


def typical_digits() -> tuple[list[list[int]], list[int]]:
    """Of each class the test digit that is most like all the others, which every usable model knows; with labels."""
    import numpy as np

    from digits.data import sets

    test = sets.embedded("mnist", "test")
    pixels = test.images.reshape(len(test), -1).astype(float)
    chosen = []
    for label in range(10):
        mine = np.flatnonzero(test.labels == label)
        chosen.append(mine[np.linalg.norm(pixels[mine] - pixels[mine].mean(axis=0), axis=1).argmin()])
    return test.images[chosen].reshape(10, -1).tolist(), test.labels[chosen].tolist()


def create(version: str, registry: str = "") -> None:
    endpoint = next((each for each in ask("online-endpoint list") if each["name"] == ENDPOINT), None)
    former = serving(endpoint) if endpoint else None
    colour = "green" if former == "blue" else "blue"
    spec = f"{SPECS}/{colour}.yml"
    tell(f"### Deployment of `{colour}`{f' beside `{former}`' if former else ''}\n")
    _, quota = aml(f"quota check --file {spec}")  # does it fit? Whatever the answer, Azure has the last word
    for line in quota.splitlines() or ["The quota could not be looked up."]:
        tell(f"- {line}")
    if endpoint is None:
        ask(f"online-endpoint create --file {SPECS}/endpoint.yml --name {ENDPOINT}", "auto")
    else:
        # So that `teardown` sees that somebody works with it, though nobody asks it yet.
        ask(f"online-endpoint update --name {ENDPOINT} --set tags.deployed={int(time.time())}")
    if endpoint and any(each["name"] == colour for each in ask(f"online-deployment list --endpoint-name {ENDPOINT}")):
        delete(colour)  # left by a run that came to no end
    if registry:
        model = f"azureml://registries/{registry}/models/digits/{f'versions/{version}' if version else 'labels/latest'}"
    else:
        model = f"azureml:digits:{version}" if version else "azureml:digits@latest"
    named = f"--file {spec} --endpoint-name {ENDPOINT}"
    made = ask(f"online-deployment create {named} --set {shlex.quote(f'model={model}')}", "auto")
    output("colour", colour)
    if made["target"] == "local":
        try_here(colour, made["fallback_reason"], former)
        return
    try:
        tell(f"- `{colour}` is up, with no traffic: it {smoke('azure', colour)}")
    except Failed:
        withdraw(colour)
        raise


def try_here(colour: str, reason: str, former: str | None) -> None:
    """The smoke test of a deployment that Azure had no quota for and that this machine has."""
    try:
        result = smoke("local", colour)
    finally:
        aml("down", "local")
    print(f"::warning title=No quota in Azure::{reason}. Deployed and tested on the runner instead.")
    tell(f"- **Azure has no quota**: {reason}")
    tell(f"- Deployed on the runner instead, from the same file: it {result}")
    tell(f"- In Azure {f'`{former}` serves on' if former else 'nothing serves'}. What to do: docs/quota.md\n")


def switch(colour: str) -> None:
    former = serving(ask(f"online-endpoint show --name {ENDPOINT}"))
    if former == colour:
        tell(f"`{colour}` has all traffic already.\n")
        return
    tell(f"### Traffic to `{colour}`\n")
    roll_out(colour)
    try:
        tell(f"- `{colour}` has all traffic: it {smoke('azure')}")
    except Failed:
        traffic(former, colour)
        tell(f"- Back: {f'`{former}` has all traffic' if former else 'nothing has traffic'}")
        withdraw(colour)
        raise
    if former:
        delete(former)  # it would be paid for on and on, and hold the quota of the next one
        tell(f"- `{former}` is deleted; to go back, deploy the version of the model that it had\n")


def roll_out(colour: str) -> None:
    """Shift the traffic step by step. Raises Failed; the colour is gone then, unless somebody has given it traffic.

    Every usable model knows these digits, so each answer counts.
    """
    digits, _ = typical_digits()
    with tempfile.TemporaryDirectory() as folder:
        for name, images in (("all", digits), *((str(label), [image]) for label, image in enumerate(digits))):
            Path(folder, f"{name}.json").write_text(json.dumps({"input_data": images}), encoding="utf-8")
        line = f"online-endpoint rollout --name {ENDPOINT} --to {colour} --request-file {shlex.quote(folder)}"
        code, answer = aml(f"{line} --max-disagreement 0 --step-seconds {STEP_SECONDS} --output json")
    result = json.loads(answer or "null")
    if result is None:
        if not ask(f"online-endpoint show --name {ENDPOINT}")["traffic"].get(colour):
            withdraw(colour)  # else a person has to look: somebody else has set it, or it could not be put back
        raise Failed(f"the rollout ended with exit code {code}; the log says why")
    for step in result["steps"]:
        failed, times = step["errors"], step["median_ms"]
        shown = "; ".join(f"`{name}` failed {failed[name]}, median {times[name]} ms" for name in failed)
        tell(f"- {step['step']}: {step['probes']} requests to each; {shown}")
    if code:
        back = " ".join(f"{name}={share}" for name, share in result["traffic"].items())
        tell(f"- Back: the traffic is {back}")
        withdraw(colour)
        raise Failed(result["reason"])


def traffic(to: str | None, away: str | None) -> None:
    """All traffic to one colour, or to none."""
    shares = {away: 0} | {to: 100}
    text = " ".join(f"{name}={share}" for name, share in shares.items() if name)
    ask(f"online-endpoint update --name {ENDPOINT} --traffic {shlex.quote(text)}")


def back(colour: str) -> None:
    """After a rollout that was killed, wherever it was; also before its first step and after its last."""
    for _ in range(TRIES):
        endpoint = ask(f"online-endpoint show --name {ENDPOINT}")
        if endpoint["provisioning_state"] == "Succeeded":
            break
        time.sleep(PAUSE_SECONDS)
    former = "blue" if colour == "green" else "green"
    deployments = ask(f"online-deployment list --endpoint-name {ENDPOINT}")
    there = {each["name"]: each["provisioning_state"] for each in deployments}
    if colour not in there:
        return
    if endpoint["traffic"].get(colour):
        if there.get(former) != "Succeeded":  # it is gone, or goes
            tell(f"`{colour}` has the traffic, and nothing else is there to take it\n")
            return
        traffic(former, colour)
        tell(f"- Back: `{former}` has all traffic")
    withdraw(colour)


def withdraw(colour: str) -> None:
    """Remove what is not wanted, after showing its log: nobody can look at it later."""
    _, log = aml(f"online-deployment get-logs --name {colour} --endpoint-name {ENDPOINT} --lines 200")
    print(log)
    delete(colour)
    tell(f"- `{colour}` is deleted; the log above has its last lines\n")


def delete(colour: str) -> None:
    """Of a rollout that was killed a mirror may be left, and what has one cannot be deleted."""
    if (ask(f"online-endpoint show --name {ENDPOINT}").get("mirror_traffic") or {}).get(colour):
        ask(f"online-endpoint update --name {ENDPOINT} --mirror-traffic {colour}=0")
    ask(f"online-deployment delete --name {colour} --endpoint-name {ENDPOINT} --yes")


def output(name: str, value: str) -> None:
    """For the jobs that follow."""
    if outputs := os.environ.get("GITHUB_OUTPUT"):
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"{name}={value}\n")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="deploy.py")
    verbs = parser.add_subparsers(dest="verb", required=True)
    creation = verbs.add_parser("create")
    creation.add_argument("version", nargs="?", default="")
    creation.add_argument("--registry", default="")
    chosen = {"switch": switch, "withdraw": withdraw, "back": back}
    for verb in chosen:
        verbs.add_parser(verb).add_argument("colour", choices=COLOURS)
    given = parser.parse_args(argv)
    try:
        if given.verb == "create":
            create(given.version, given.registry)
        else:
            chosen[given.verb](given.colour)
    except Failed as error:
        print(f"::error title=Not deployed::{error}")
        tell(f"\n**Not deployed**: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
