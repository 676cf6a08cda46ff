"""What the tests of `monitor` share: verdicts as drift.monitor writes them, and a repository that is told of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.workflows.conftest import ROOT

SCRIPT = ROOT / ".github" / "scripts" / "drift_issue.py"


def change(first, last, ended=False, **more):
    """A change from one day to another; `accuracy` once its digits have labels."""
    found = {"first": 41, "seen": 43, "last": 60, "first_date": first, "seen_date": first, "last_date": last}
    found |= {"ended": ended, "labelled": 40, "score": "knn", "evidence": 120_000.0}
    found |= {"words": ["thinner", "harder to read"]}
    return found | more


def verdict(*changes, accuracy=None):
    """A verdict with these changes; drifted and standing follow from them."""
    standing = any(not one["ended"] for one in changes)
    return {
        "run": "digits",
        "ticks": 1000,
        "requests": 1200,
        "drifted": bool(changes),
        "standing": standing,
        "headline": "Other digits came and stayed" if standing else "Other digits came and went" if changes else "Calm",
        "advice": "Label some of what was collected." if changes else "There is nothing to do.",
        "accuracy": accuracy,
        "changes": list(changes),
        "most_unlike": ["digits-7", "digits-9"],
        "problems": [],
    }


class Repository:
    """A repository on GitHub. `look` is what the workflow does with a verdict; the command `broken` of gh fails."""

    def __init__(self, folder):
        self.folder = folder
        self.broken = "nothing"
        gh = folder / "gh-cli" / "gh"
        gh.parent.mkdir(exist_ok=True)
        fake = f'exec "{sys.executable}" "{Path(__file__).with_name("gh_fake.py")}" "{folder}" "$@"'
        gh.write_text(f'#!/bin/sh\n[ "$1 $2" != "$BROKEN" ] || exit 1\n{fake}\n')
        gh.chmod(0o755)

    def look(self, seen, job="monitor-1", webhook=""):
        handed_on = json.dumps(seen | {"job": job, "place": f"https://ml.azure.com/runs/{job}"}) if seen else ""
        surroundings = {"PATH": f"{self.folder / 'gh-cli'}{os.pathsep}{os.environ['PATH']}", "BROKEN": self.broken}
        surroundings |= {"GH_TOKEN": "", "GH_REPO": "somebody/digits", "GITHUB_REF_NAME": "main", "VERDICT": handed_on}
        surroundings |= {"DRIFT_WEBHOOK": webhook}
        return subprocess.run(
            [sys.executable, SCRIPT], env=os.environ | surroundings, capture_output=True, text=True, check=False
        )

    @property
    def issues(self):
        file = self.folder / "issues.json"
        return json.loads(file.read_text()) if file.exists() else []

    @property
    def asked(self):
        file = self.folder / "gh"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def started(self):
        return [line for line in self.asked if line.startswith("workflow run")]

    @property
    def written(self):
        return [line for line in self.asked if not line.startswith("issue list")]

    @property
    def heard(self):
        """What somebody gets a message of: not the edits, in which the script notes what it has told."""
        return [line for line in self.written if not line.startswith("issue edit")]
