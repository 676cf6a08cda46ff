#!/usr/bin/env python3
"""Tell what became of a job, in the summary of the workflow run:

    report.py NAME verdict       of a training
    report.py NAME monitoring    of a look at what the endpoint collected

The second word is the output that holds the verdict; what later jobs need of it is put among the step's outputs. A job
that nobody follows any more (the workflow was canceled, or ran out of time) is canceled too, but never one that could
only not be asked (LOST=true): it may be healthy. Only the Python and the
`az` of a GitHub runner are needed.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from drift_issue import essence, figures

KINDS = {"verdict": "Training", "monitoring": "Monitoring"}
OVER = ("Completed", "Failed", "Canceled", "CancelRequested", "NotResponding")


def az(*words: str) -> str:
    """What `az ml job ...` prints. Raises CalledProcessError; az has then said why."""
    return subprocess.run(["az", "ml", "job", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def verdict_of(name: str, output: str) -> dict[str, Any]:
    """What the pipeline's last step wrote: what came of it, and why."""
    with tempfile.TemporaryDirectory() as folder:
        az("download", "--name", name, "--output-name", output, "--download-path", folder)
        found = next(Path(folder).rglob("verdict.json"))
        return dict(json.loads(found.read_text(encoding="utf-8")))


def told(verdict: dict[str, Any]) -> list[str]:
    """The verdict on a model as Markdown."""
    model = f"{verdict['model_name']}:{verdict['version']}"
    rows = [("accuracy", verdict["accuracy"]), ("champion's accuracy", verdict["champion_accuracy"])]
    new = [("accuracy on the new hand", "accuracy_new"), ("champion's on it", "champion_accuracy_new")]
    rows += [(name, verdict.get(key)) for name, key in new]  # of a retraining
    return [
        f"**{'Registered as `' + model + '`' if verdict['registered'] else 'Not registered'}**: {verdict['reason']}",
        "",
        "| measured on the test digits | |",
        "|---|---|",
        *(f"| {name} | {value:.2%} |" for name, value in rows if value is not None),
        *([f"| McNemar's p | {verdict['mcnemar_p']:.3g} |"] if verdict["mcnemar_p"] is not None else []),
    ]


def hand_on(name: str, value: Any) -> None:
    """For the jobs that follow."""
    if outputs := os.environ.get("GITHUB_OUTPUT"):
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"{name}={value}\n")


def report(name: str, output: str) -> list[str]:
    """Lines of Markdown; the version that was registered, or the verdict on the data, among the step's outputs."""
    job = json.loads(az("show", "--name", name, "--output", "json"))
    lines = [f"### {KINDS[output]}: {job['status']}", ""]
    # What stands behind the question mark holds the subscription's id; the studio knows which workspace was open last.
    place = ((job.get("services") or {}).get("Studio") or {}).get("endpoint", "").partition("?")[0]
    if job["status"] not in OVER and os.environ.get("LOST") == "true":
        lines += [
            "It could not be asked for a while, so nobody followed it; it goes on, and nothing is deployed of it.",
            "",
        ]
    elif job["status"] not in OVER:
        az("cancel", "--name", name, "--output", "none")
        lines += ["Nobody followed it any more, so it was canceled.", ""]
    if job["status"] == "Completed":
        verdict = verdict_of(name, output)
        if output == "monitoring":
            seen = essence(verdict) | {"job": name, "place": place}
            lines += figures(seen)
            hand_on("verdict", json.dumps(seen))
        else:
            lines += [*told(verdict), ""]
            if verdict["registered"]:
                hand_on("version", verdict["version"])
    links = [f"[Job `{name}`]({place})" if place else f"Job `{name}`"]
    if {"GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA"} <= os.environ.keys():
        commit = os.environ["GITHUB_SHA"]
        address = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}/commit/{commit}"
        links.append(f"[commit `{commit[:12]}`]({address})")
    return [*lines, ", ".join(links), ""]


def main() -> int:
    try:
        text = "\n".join(report(*sys.argv[1:3]))
    except subprocess.CalledProcessError as error:
        print(f"::error title=No report::{' '.join(error.cmd)} failed; what it said is above")
        return 1
    print(text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
