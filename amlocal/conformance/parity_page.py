"""docs/parity.md: what was compared with a real answer, what is equal, what is not and why."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recorded import Recording
    from recordings import Tally

HEAD = """# What was compared with answers of the real service?

Made by `conformance/recordings.py`; do not edit. The recordings are those of azure-ai-ml's own tests, against a real
workspace (Azure/azure-sdk-assets, `python/sdk/ml/azure-ai-ml/tests/recordings`, and an older set in
Azure/azure-sdk-for-python); none of them is in this repository.
Compared on {today}, with azure-ai-ml {sdk}: {about}.

    python conformance/recordings.py FOLDER --table docs/parity.md

`keys`: of the keys that `az ml ... show` prints of a recorded answer, those that `aml ... show` prints in the same form
of the same thing, made here from the recorded request; keys that only a cloud has are left out, and listed below.
`statuses`, `leaves`: the recorded answers against those of the double that this project's tests take for Azure. What a
recording only reads is put into the double first, without its nulls; the state of a job is what a test says it is.

| compared | recorded with the API versions | keys | statuses | leaves |
|---|---|---|---|---|
"""


def page(
    tallies: Mapping[str, "Tally"],
    sums: Mapping[str, float],
    recordings: Sequence["Recording"],
    left_out: Sequence[tuple[str, str]],
) -> str:
    """The page for these counts. left_out: (pattern of a key, why) of what the double does not claim."""
    years = sorted({year for each in recordings for year in re.findall(r"\b20\d\d\b", each.told)})
    exchanges = sum(len(each.exchanges) for each in recordings)
    about = f"{len(recordings)} recordings of {years[0]} to {years[-1]} with {exchanges} exchanges" if years else "none"
    lines = [HEAD.format(about=about, today=date.today().isoformat(), sdk=version("azure-ai-ml"))]
    for kind, tally in tallies.items():
        versions = ", ".join(sorted(tally.versions)) or "-"
        keys = f"{tally.equal}/{tally.keys}" if tally.compared else "-"
        statuses = f"{tally.statuses}/{tally.exchanges}" if tally.exchanges else "-"
        leaves = f"{tally.leaves_equal}/{tally.leaves}" if tally.exchanges else "-"
        lines.append(f"| {kind} | {versions} | {keys} | {statuses} | {leaves} |\n")
    total = " | ".join(f"{sums[name]} %" for name in ("keys", "statuses", "leaves"))
    lines.append(f"| all | | {total} |\n")
    lines.append("\n## What differs in what is printed\n\n")
    for kind, tally in tallies.items():
        lines += [f"- {kind}: `{key}`: {_plain(said)}\n" for key, said in tally.different.items()]
    if not any(tally.different for tally in tallies.values()):
        lines.append("Nothing of what was compared.\n")
    on_purpose = [
        f"- {kind}: `{key}`: {_plain(why)}\n" for kind, one in tallies.items() for key, why in one.on_purpose.items()
    ]
    if on_purpose:
        lines += ["\nOn purpose:\n\n", *on_purpose]
    lines.append(
        "\n## What differs in the double's answers\n\nRecordings of different years differ here among themselves.\n\n"
    )
    for kind, tally in tallies.items():
        lines += [f"- {kind}: `{key}`: {_plain(said)}\n" for key, said in tally.answers.items()]
    lines.append("\nNot compared there: " + "; ".join(f"`{key}` ({why})" for key, why in left_out) + ".\n")
    lines.append("\n## What could not be compared\n\n| | recording | why |\n|---|---|---|\n")
    for kind, tally in tallies.items():
        lines += [f"| {kind} | {name} | {_plain(why)} |\n" for name, why in tally.refused.items()]
    lines.append("\n## What only a cloud has\n\n| | key | why |\n|---|---|---|\n")
    for kind, tally in tallies.items():
        lines += [f"| {kind} | `{key}` | {why} |\n" for key, why in tally.cloud.items()]
    return "".join(lines)


def _plain(said: str) -> str:
    return " ".join(said.split()).replace("|", "/")
