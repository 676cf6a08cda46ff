"""The results as a person reads them: a table on the terminal, a JSON file for a checkout, a page for all of them.

python conformance/table.py docs/conformance.md results.json others.json ...
"""

import json
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conformance.case import Result, fingerprint  # noqa: E402
from conformance.cases import Cases  # noqa: E402


def line(result: Result, width: int) -> str:
    verdict = "passed" if result.passed else "FAILED"
    return f"{result.case:<{width}}  {verdict}  {result.seconds:6.1f}  {result.cause}".rstrip()


def summary(results: Iterable[Result], excused: list[tuple[str, str]], unexplained: list[str]) -> str:
    passed = Counter(result.passed for result in results)
    text = f"{passed[True]} cases passed, {passed[False]} failed; {len(excused)} specs not run, each for a cause"
    return text + (f"; {len(unexplained)} specs neither run nor excused" if unexplained else "")


def causes(excused: list[tuple[str, str]], unexplained: list[str]) -> list[tuple[str, list[str]]]:
    """(cause, specs), the most frequent first."""
    by_cause: dict[str, list[str]] = {}
    for spec, cause in [*excused, *((spec, "NO CAUSE IN cases.yml") for spec in unexplained)]:
        by_cause.setdefault(cause, []).append(spec)
    return sorted(by_cause.items(), key=lambda item: -len(item[1]))


def not_run(excused: list[tuple[str, str]], unexplained: list[str], width: int) -> str:
    """The specs that were not run, by cause; a folder's specs on one line."""
    lines = []
    for cause, specs in causes(excused, unexplained):
        for folder, count in sorted(Counter(spec.rpartition("/")[0] for spec in specs).items()):
            lines.append(f"{folder + '/':<{width}}  not run {count:4d}  {cause}")
    return "\n".join(lines)


def as_json(
    known: Cases, commit: str | None, results: list[Result], excused: list[tuple[str, str]], unexplained: list[str]
) -> dict[str, Any]:
    """What is kept of a run, and what `page` is made of. commit: that of the checkout; None if nobody knows."""
    cases = {each.name: each for each in known.cases}
    rows = [
        {
            "name": result.case,
            "passed": result.passed,
            "seconds": round(result.seconds, 1),
            "cause": result.cause,
            "code": result.code,
            "covers": list(cases[result.case].covers),
            "fails": cases[result.case].fails,
        }
        for result in results
    ]
    return {
        "repository": known.repository,
        "commit": commit or f"{known.written_for} (assumed)",
        "machine": f"{platform.system()}, Python {platform.python_version()}",
        "cases": rows,
        "without_result": [name for name in cases if name not in {result.case for result in results}],
        "not_run": [{"spec": spec, "cause": cause} for spec, cause in excused],
        "unexplained": unexplained,
    }


def read_json(path: Path) -> list[Result]:
    """The results in a file of `as_json`."""
    return [
        Result(row["name"], row["passed"], row["seconds"], row["cause"], row.get("code", ""))
        for row in json.loads(path.read_text(encoding="utf-8"))["cases"]
    ]


def page(runs: list[Mapping[str, Any]], code: str) -> str:
    """docs/conformance.md of the files of `as_json`. code: the fingerprint of the amlocal that the page belongs to."""
    rows = [row for run in runs for row in run["cases"]]
    missing = sum(len(run["without_result"]) for run in runs)
    older: dict[str, list[str]] = {}
    for row in rows:
        if row["code"] != code:
            older.setdefault(row["code"], []).append(row["name"])
    told = "\n".join(f"- `{files or 'unknown'}` ({len(names)}): {', '.join(names)}" for files, names in older.items())
    return HEAD.format(
        passed=sum(row["passed"] for row in rows),
        failed=sum(not row["passed"] for row in rows),
        missing=f", {missing} have no result" if missing else "",
        asserted=sum(row["passed"] and bool(row["fails"]) for row in rows),
        skipped=sum(len(run["not_run"]) for run in runs),
        minutes=sum(row["seconds"] for row in rows) / 60,
        machine=" and ".join(sorted({run["machine"] for run in runs})),
        code=code,
        older=OLDER.format(count=sum(map(len, older.values())), told=told) if older else "",
    ) + "\n".join(map(_section, runs))


def _section(run: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| {row['name']} | {'<br>'.join(row['covers'])} | {'passed' if row['passed'] else 'FAILED'} "
        f"| {row['seconds']:.0f} | {(row['cause'] or row['fails']).replace('|', '&#124;')} |"
        for row in run["cases"]
    )
    excused = [(each["spec"], each["cause"]) for each in run["not_run"]]
    skipped = "\n".join(
        f"- **{cause}** ({len(specs)}): " + ", ".join(f"`{spec}`" for spec in specs)
        for cause, specs in causes(excused, run["unexplained"])
    )
    missing = ", ".join(run["without_result"])
    return (
        SECTION.format(repository=run["repository"], commit=run["commit"], rows=rows)
        + (f"\n**No result in this table**: {missing}.\n" if missing else "")
        + (f"\nNot run:\n\n{skipped}\n" if skipped else "")
    )


HEAD = """# Do Microsoft's own examples run here, and other people's repositories?

Generated by `python conformance/table.py docs/conformance.md RESULTS.json ...`; do not edit. What each case asserts
stands in [conformance/cases.yml](../conformance/cases.yml) and [conformance/others/](../conformance/others/), how to
read it in [conformance/README.md](../conformance/README.md).

**{passed} cases pass, {failed} fail{missing}**; in {asserted} of those that pass something fails as the case says it
must; the last column says what, and whose fault it is. {skipped} specs are not run, each for a cause that stands below.
{minutes:.0f} minutes of cases on {machine}; amlocal's files were `{code}`.
{older}
"""
OLDER = """
**Not the table of one run**: {count} of the results are of other files of amlocal than these:

{told}
"""
SECTION = """## {repository}

At commit `{commit}`.

| case | spec | result | seconds | what fails, and why |
|---|---|---|---|---|
{rows}
"""


def main(arguments: list[str]) -> int:
    """Writes the page; 2 for a usage error."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    runs = [json.loads(Path(file).read_text(encoding="utf-8")) for file in arguments[1:]]
    Path(arguments[0]).write_text(page(runs, fingerprint()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
