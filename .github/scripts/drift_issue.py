#!/usr/bin/env python3
"""What follows from a look at the endpoint's data, on GitHub:    VERDICT=... drift_issue.py

A drift that nobody was told of becomes an issue, or a comment where one is open; where somebody has labelled its
digits a retraining is started, once; when it is over the issue is closed. What was told stands in the issue itself, in
a comment that browsers do not show, so that the same drift is not told every day. A drift and its end are posted to
DRIFT_WEBHOOK as well, if that is set. Only the Python and the `gh` of a GitHub runner are needed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from drift.monitor import webhook  # needs no package, and nothing else of ours

LABEL = "drift"
WORKFLOW = "train.yml"  # what retrains
NOTE = re.compile(r"\n*<!-- monitor: (\[.*\]) -->\s*$")
MOST = 20  # changes that are told of, the latest: an issue holds 65,536 characters, a variable twice as many
MOST_TOLD = 200  # changes that an issue remembers, the latest
LONGEST_TITLE = 250  # characters, of the 256 that GitHub takes
NEEDED = ("headline", "advice", "requests", "standing", "accuracy")
OF_CHANGES = ("first_date", "seen_date", "last_date", "ended", "words", "score", "evidence", "accuracy", "labelled")
ENOUGH = 40  # labelled digits of a change: drift.gather takes 30 at least, when those that come twice are left out

Change = dict[str, Any]


@dataclass
class Issue:
    """An issue of ours: `told` are the changes it speaks of, as {first, last, ended, retrained}."""

    number: str
    is_open: bool
    text: str
    told: list[Change]

    @property
    def body(self) -> str:
        # ASCII only, and no ">": nothing in it can end the comment.
        latest = sorted(self.told, key=lambda one: one["last"])[-MOST_TOLD:]
        note = json.dumps(latest).replace(">", "\\u003e")
        return f"{self.text}\n\n<!-- monitor: {note} -->\n"


# ---- what it says


def essence(verdict: Change) -> Change:
    """As much of a verdict.json as this script reads, for one job of a workflow to hand to another."""
    changes = [{key: one[key] for key in OF_CHANGES if key in one} for one in verdict["changes"][-MOST:]]
    unlike = verdict.get("most_unlike", [])[:10]
    return {key: verdict[key] for key in NEEDED} | {"changes": changes, "most_unlike": unlike}


def figures(verdict: Change) -> list[str]:
    """The verdict as Markdown, for the summary of a workflow run and for an issue."""
    lines = [f"**{plain(verdict['headline'])}.** {plain(verdict['advice'])}", ""]
    if changes := verdict["changes"][-MOST:]:
        head = ["since", "noticed", "until", "what", "most in", "normal digits would look like this"]
        lines += [row(head), row(["---"] * len(head)), *(row(cells(change)) for change in changes), ""]
    told = f"{verdict['requests']:,} requests were looked at"
    if verdict["accuracy"] is None:
        return [*lines, f"{told}. Nobody has labelled any, so there is no accuracy.", ""]
    return [*lines, f"{told}; of those with a label {verdict['accuracy']:.2%} were read right.", ""]


def cells(change: Change) -> list[str]:
    """A change as a row of the table."""
    until = change["last_date"] if change["ended"] else f"it stands ({change['last_date']})"
    words = ", ".join(change["words"])
    return [change["first_date"], change["seen_date"], until, words, f"`{change['score']}`", seldom(change["evidence"])]


def seldom(evidence: float | None) -> str:
    """How often normal digits alone would give such an alarm."""
    if evidence is None:
        return ""
    return f"once in {evidence:,.0f} requests" if evidence < 1e9 else "less than once in 1,000,000,000 requests"


def row(texts: list[str]) -> str:
    return f"| {' | '.join(plain(text) for text in texts)} |"


def plain(text: Any) -> str:
    """Without what Markdown, or GitHub, would make more of than text: names in it may come from a file of labels."""
    return re.sub(r"[<>|@\[\]\s]+", " ", str(text)).strip()


def page(verdict: Change, new: list[Change]) -> str:
    """An issue, or a comment, on the changes `new`."""
    where = f"[Job `{verdict['job']}`]({verdict['place']})" if verdict["place"] else f"Job `{verdict['job']}`"
    fetch = f"az ml job download --name {verdict['job']} --output-name monitoring --download-path ."
    lines = [*figures(verdict), f"{where}; its `report.html` shows the digits:", "", f"    {fetch}", ""]
    if all(labelled(change, verdict) for change in new):
        return "\n".join([*lines, "They have labels, so a retraining is started (`train`); the gate judges it."])
    odd = [name for name in verdict["most_unlike"] if re.fullmatch(r"[\w.-]+", name)]
    return "\n".join(
        [
            *lines,
            "### What to do: label some of them",
            "",
            f"Nothing can be learnt from digits that nobody has read. It takes {ENOUGH} at least, better some hundred.",
            "",
            "1. Look at them in `report.html`."
            + (f" Most unlike the normal ones: {', '.join(f'`{name}`' for name in odd)}." if odd else ""),
            '2. Write `labels.jsonl`, one line for each that you can read: `{"id": "...", "label": 7}`.'
            " Lines of earlier labels stay.",
            "3. `az ml data create --name digits-labels --type uri_file --path labels.jsonl`",
            "",
            "The next look finds them, and starts the retraining: tomorrow, or now with `gh workflow run monitor.yml`.",
        ]
    )


def why_clear(verdict: Change) -> str:
    """Why a drift is over."""
    ended = [change["last_date"] for change in verdict["changes"] if change["ended"]]
    calm = "nothing in what was collected differs from what the latest model was tested on"
    return f"the last odd digits came on {max(ended)}" if ended else calm


def all_clear(verdict: Change) -> str:
    """The comment with which an issue is closed."""
    return f"**All clear**: {plain(why_clear(verdict))}.\n\n" + "\n".join(figures(verdict))


# ---- what there is to say


def same(one: Change, told: Change) -> bool:
    """Whether two looks saw one change. Where it began may be estimated anew, so it is enough that they overlap; but
    one that was told to be over, and is not, is news."""
    overlap = one["first_date"] <= told["last"] and told["first"] <= one["last_date"]
    return bool(overlap and (one["ended"] or not told["ended"]))


def labelled(change: Change, verdict: Change) -> bool:
    """Whether somebody has said what the digits of a change are, and of enough of them."""
    return change.get("accuracy", verdict["accuracy"]) is not None and change.get("labelled", ENOUGH) >= ENOUGH


def follow_up(verdict: Change, issues: list[Issue]) -> list[str]:
    """Do all that there is to do; what was done, in words."""
    told = [one for issue in issues for one in issue.told]
    new = [change for change in verdict["changes"] if not any(same(change, one) for one in told)]
    for one in issues:
        if go_on(one, verdict):
            keep(one)
    labels_came = [one for one in issues if unlearnt(one, verdict)]
    issue = next((one for one in issues if one.is_open), None)
    did = []
    if new and issue:
        tell(issue, verdict, new)
        did.append(f"told of it in issue #{issue.number}")
    elif new:
        issue = create(verdict, new)
        issues = [issue, *issues]
        did.append(f"opened issue #{issue.number}")
    if new and issue:
        post("alarm", issue, f"{verdict['headline']}. {verdict['advice']}")
    if learning := [one for one in issues if unlearnt(one, verdict)]:
        # Before it is noted: where this fails, the next look tries again.
        gh(
            "workflow",
            "run",
            WORKFLOW,
            "--ref",
            os.environ["GITHUB_REF_NAME"],
            "--raw-field",
            f"drift={verdict['job']}",
        )
        did.append("started a retraining")
        for one in learning:
            if one in labels_came:
                comment(one, "The labels are there: a retraining is started (`train`); the gate judges it.")
            for change in unlearnt(one, verdict):
                change["retrained"] = True
            keep(one)
    if issue and not verdict["standing"]:
        comment(issue, all_clear(verdict))
        issue.told = [one | {"ended": True} for one in issue.told]
        keep(issue)
        gh("issue", "close", issue.number, "--reason", "completed")
        did.append(f"closed issue #{issue.number}")
        post("all clear", issue, why_clear(verdict))
    return did


def go_on(issue: Issue, verdict: Change) -> bool:
    """Note until when the changes that an issue told have lasted by now, for where one began may be estimated anew,
    later than all that was known when it was told. Whether there is anything to note."""
    before = [one["last"] for one in issue.told]
    for one in issue.told:
        one["last"] = max([one["last"], *(seen["last_date"] for seen in verdict["changes"] if same(seen, one))])
    return before != [one["last"] for one in issue.told]


def unlearnt(issue: Issue, verdict: Change) -> list[Change]:
    """Of what an issue told, the changes that have labels and that no retraining was started for."""
    learnable = [change for change in verdict["changes"] if labelled(change, verdict)]
    return [one for one in issue.told if not one["retrained"] and any(same(change, one) for change in learnable)]


def notes(changes: list[Change]) -> list[Change]:
    """What an issue remembers of changes."""
    return [
        {"first": one["first_date"], "last": one["last_date"], "ended": one["ended"], "retrained": False}
        for one in changes
    ]


# ---- gh


def gh(*words: str, text: str = "") -> str:
    """What `gh` prints. Raises CalledProcessError; gh has then said why."""
    return subprocess.run(["gh", *words], check=True, stdout=subprocess.PIPE, text=True, input=text).stdout


def ours() -> list[Issue]:
    """The issues this script has opened. Their text cannot be changed by those who may only comment."""
    query = ["--label", LABEL, "--app", "github-actions", "--state", "all", "--limit", "100"]
    found = json.loads(gh("issue", "list", *query, "--json", "number,state,body"))
    return [
        Issue(str(one["number"]), one["state"] == "OPEN", one["body"][: note.start()], json.loads(note[1]))
        for one in found
        if (note := NOTE.search(one["body"]))
    ]


def create(verdict: Change, new: list[Change]) -> Issue:
    look = ["--description", "What the endpoint is asked has changed", "--color", "d93f0b"]
    gh("label", "create", LABEL, "--force", *look)
    issue = Issue("", True, page(verdict, new), notes(new))
    title = f"Drift: {plain(verdict['headline'])}"[:LONGEST_TITLE]
    address = gh("issue", "create", "--title", title, "--label", LABEL, "--body-file", "-", text=issue.body)
    issue.number = address.strip().rpartition("/")[2]
    return issue


def tell(issue: Issue, verdict: Change, new: list[Change]) -> None:
    comment(issue, page(verdict, new))
    issue.told += notes(new)
    keep(issue)


def comment(issue: Issue, text: str) -> None:
    gh("issue", "comment", issue.number, "--body-file", "-", text=text)


def keep(issue: Issue) -> None:
    gh("issue", "edit", issue.number, "--body-file", "-", text=issue.body)


def post(event: str, issue: Issue, text: str) -> None:
    """Tell the webhook, if there is one. What does not arrive is a warning: the issue has it."""
    url = os.environ.get("DRIFT_WEBHOOK")
    if not url:
        return
    try:
        webhook.address(url)
    except argparse.ArgumentTypeError:
        print("::warning title=Webhook::the secret DRIFT_WEBHOOK is no http:// or https:// address")
        return
    place = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ.get('GH_REPO')}"
    address = f"{place}/issues/{issue.number}"
    webhook.send(url, event, f"Drift, {event}: {plain(text)} {address}", issue=address)


def main() -> int:
    try:
        verdict = json.loads(os.environ.get("VERDICT", ""))
    except ValueError:
        print("::error title=No verdict::the look at the data handed on no verdict; its summary says what it saw")
        return 1
    try:
        did = follow_up(verdict, ours())
    except subprocess.CalledProcessError as error:
        print(f"::error title=Not told::{' '.join(error.cmd[:3])} failed; what it said is above")
        return 1
    print("; ".join(did).capitalize() if did else "Nothing to tell, or nothing that is not told already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
