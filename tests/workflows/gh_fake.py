"""A small GitHub CLI with a repository in a folder: the commands that this repository's workflows use, and no others.

    gh_fake.py FOLDER issue list --label drift --json number

Flags, JSON fields and what is printed are those of https://cli.github.com/manual; what it does not know ends with exit
code 2, so that a workflow cannot lean on what nobody has tried. act itself asks it for a token, and is given none.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
ADDRESS = f"https://github.com/{os.environ.get('GH_REPO')}/issues"
FIELDS = (
    *("assignees", "author", "body", "closed", "closedAt", "closedByPullRequestsReferences", "comments", "createdAt"),
    *("id", "isPinned", "labels", "milestone", "number", "projectCards", "projectItems", "reactionGroups", "state"),
    *("stateReason", "title", "updatedAt", "url"),
)


def kept(name):
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def keep(name, content):
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def body(given):
    return sys.stdin.read() if given.body_file == "-" else Path(given.body_file).read_text(encoding="utf-8")


def change(number, **changes):
    """One issue, changed; its address is printed, as gh does."""
    issues = kept("issues")
    issue = next((one for one in issues if str(one["number"]) == number), None)
    if issue is None:
        sys.exit(f"GraphQL: Could not resolve to an issue or pull request with the number of {number}.")
    issue |= changes | {"comments": issue["comments"] + changes.get("comments", [])}
    keep("issues", issues)
    print(f"{ADDRESS}/{number}")


def list_issues(given):
    wanted = given.json.split(",")
    if unknown := set(wanted) - set(FIELDS):
        sys.exit(f'Unknown JSON field: "{unknown.pop()}"')
    found = [
        one
        for one in reversed(kept("issues"))  # the newest first
        if given.state in ("all", one["state"].lower())
        and given.label in (None, *(label["name"] for label in one["labels"]))
        and given.app in (None, one["author"]["login"].removeprefix("app/"))
    ]
    print(json.dumps([{field: one[field] for field in wanted} for one in found[: int(given.limit)]]))


def create_issue(given):
    if given.label not in kept("labels"):
        sys.exit(f"could not add label: '{given.label}' not found")
    if len(given.title) > 256:
        sys.exit("GraphQL: Title is too long (maximum is 256 characters) (createIssue)")
    issues = kept("issues")
    number = len(issues) + 1
    made = {"number": number, "title": given.title, "body": body(given), "state": "OPEN", "stateReason": ""}
    made |= {
        "labels": [{"name": given.label}],
        "comments": [],
        "author": {"is_bot": True, "login": "app/github-actions"},
    }
    keep("issues", [*issues, made])
    print(f"{ADDRESS}/{number}")


def create_label(given):
    if given.name in kept("labels") and not given.force:
        sys.exit(f'label with name "{given.name}" already exists; use `--force` to update its color and description')
    keep("labels", sorted({*kept("labels"), given.name}))


def close_issue(given):
    if given.reason not in (None, "completed", "not planned"):
        sys.exit(f'invalid argument "{given.reason}" for "-r, --reason" flag')
    change(given.number, state="CLOSED", stateReason=(given.reason or "completed").upper().replace(" ", "_"))


# command: (what it does, its arguments; a flag ending in ! has no value)
COMMANDS = {
    "workflow run": (lambda _: None, "workflow --ref --raw-field"),
    "label create": (create_label, "name --force! --description --color"),
    "issue list": (list_issues, "--label --app --state --limit --json"),
    "issue create": (create_issue, "--title --label --body-file"),
    "issue comment": (lambda given: change(given.number, comments=[{"body": body(given)}]), "number --body-file"),
    "issue edit": (lambda given: change(given.number, body=body(given)), "number --body-file"),
    "issue close": (close_issue, "number --reason"),
}


def api(words):
    """`gh api PATH --jq EXPRESSION`, for the one question that a workflow asks; None: it is another command."""
    if words[0] != "api":
        return None
    expected = ["--jq", '[.branch_policies[].name] | join(" ")']
    if (
        not re.fullmatch(r"repos/[\w-]+/[\w-]+/environments/(infra|production)/deployment-branch-policies", words[1])
        or words[2:] != expected
    ):
        sys.exit(2)
    branches = kept("branches")
    if not branches:
        sys.exit("gh: Not Found (HTTP 404)")
    return " ".join(branches)


def main(words):
    if (answer := api(words)) is not None:
        print(answer)
        return
    command = " ".join(words[:2])
    if command not in COMMANDS:
        sys.exit(2)
    function, arguments = COMMANDS[command]
    parser = argparse.ArgumentParser(prog=f"gh {command}", allow_abbrev=False)
    for name in arguments.split():
        parser.add_argument(name.rstrip("!"), **({"action": "store_true"} if name[-1] == "!" else {}))
    if command == "issue list":
        parser.set_defaults(state="open", limit="30")
    given = parser.parse_args(words[2:])
    if "GH_REPO" not in os.environ or "GH_TOKEN" not in os.environ:
        sys.exit("gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.")
    with (FOLDER / "gh").open("a", encoding="utf-8") as file:
        file.write(" ".join(words) + "\n")
    function(given)


if __name__ == "__main__":
    main(sys.argv[2:])
