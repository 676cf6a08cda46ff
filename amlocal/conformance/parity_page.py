"""docs/parity.md: what was compared with a real answer, what is equal, what is not and why."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recordings import Tally

HEAD = """# What was compared with answers of the real service?

Made by `conformance/recordings.py`; do not edit. The recordings are those of azure-ai-ml's own tests, against a real
workspace (Azure/azure-sdk-assets, `python/sdk/ml/azure-ai-ml/tests/recordings`); none of them is in this repository.

    python conformance/recordings.py FOLDER --table docs/parity.md

`keys`: of the keys that `az ml ... show` prints of a recorded answer, those that `aml ... show` prints in the same form
of the same thing, made here from the recorded request; keys that only a cloud has are left out, and listed below.
`statuses`, `leaves`: the recorded answers against those of the double that this project's tests take for Azure. What a
recording only reads is put into the double first, without its nulls; the state of a job is what a test says it is.

| compared | recorded with the API versions | keys | statuses | leaves |
|---|---|---|---|---|
"""


def page(tallies: Mapping[str, "Tally"], sums: Mapping[str, float]) -> str:
    """The page for these counts."""
    lines = [HEAD]
    for kind, tally in tallies.items():
        versions = ", ".join(sorted(tally.versions)) or "-"
        keys = f"{tally.equal}/{tally.keys}" if tally.compared else "-"
        statuses = f"{tally.statuses}/{tally.exchanges}" if tally.exchanges else "-"
        leaves = f"{tally.leaves_equal}/{tally.leaves}" if tally.exchanges else "-"
        lines.append(f"| {kind} | {versions} | {keys} | {statuses} | {leaves} |\n")
    total = " | ".join(f"{sums[name]} %" for name in ("keys", "statuses", "leaves"))
    lines.append(f"| all | | {total} |\n")
    lines.append("\n## What differs\n\n")
    for kind, tally in tallies.items():
        lines += [f"- {kind}: `{key}`: {_plain(said)}\n" for key, said in tally.different.items()]
    if not any(tally.different for tally in tallies.values()):
        lines.append("In what is printed, nothing of what was compared.\n")
    lines.append("\n## What only a cloud has\n\n| | key | why |\n|---|---|---|\n")
    for kind, tally in tallies.items():
        lines += [f"| {kind} | `{key}` | {why} |\n" for key, why in tally.cloud.items()]
    return "".join(lines)


def _plain(said: str) -> str:
    return " ".join(said.split()).replace("|", "/")
