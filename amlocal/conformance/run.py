"""Runs the examples of Azure/azureml-examples with `aml` and asserts what comes of each.

    git clone https://github.com/Azure/azureml-examples
    python conformance/run.py azureml-examples                       # all: a table, exit code 0 if no case failed
    python conformance/run.py azureml-examples 'hello-*' train-sh    # some, by name or pattern
    python conformance/run.py azureml-examples --jobs 4 --json results.json
    python conformance/run.py azureml-examples --again results.json  # what is missing or failed there; the rest is kept
    python conformance/table.py docs/conformance.md results.json     # the page of the results

The checkout is only read: each case runs in a temporary copy of what it needs, with a workspace of its own.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatch
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conformance import case, cases, stand_ins, table  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """0 when every case passed and every other spec has its cause, 1 when not, 2 for a usage error."""
    chosen = parser().parse_args(arguments)
    checkout = chosen.checkout.resolve()
    try:
        known = cases.read(chosen.cases)
    except cases.CaseError as error:
        print(error, file=sys.stderr)
        return 2
    if not checkout.is_dir():
        print(f"{checkout}: no such folder; clone https://github.com/Azure/azureml-examples", file=sys.stderr)
        return 2
    selected = [one for one in known.cases if not chosen.case or any(fnmatch(one.name, name) for name in chosen.case)]
    if not selected:
        print(
            f"no case {' '.join(chosen.case)}; there are {', '.join(one.name for one in known.cases)}", file=sys.stderr
        )
        return 2
    width = max(len(one.name) for one in selected)
    whole = not chosen.case
    excused, unexplained = list(known.excused(checkout)), known.unexplained(checkout)

    started = time.monotonic()
    found = {result.case: result for result in table.read_json(chosen.again)} if chosen.again else {}
    due = [one for one in selected if one.name not in found or not found[one.name].passed]

    case.fingerprint()  # of what is about to run, not of what it may have become by the end

    def write() -> None:  # after each case, so that a run that is cut short can go on with --again
        if chosen.json:
            so_far = [found[one.name] for one in known.cases if one.name in found]
            content = table.as_json(known, commit(checkout), so_far, excused, unexplained)
            chosen.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def told(result: case.Result) -> None:
        print(table.line(result, width), flush=True)
        found[result.case] = result
        write()

    write()
    run_all(due, checkout, chosen.keep, chosen.jobs, told)
    results = [found[one.name] for one in selected]
    seconds = time.monotonic() - started

    if whole:
        print(table.not_run(excused, unexplained, width))
    print(f"{table.summary(results, excused if whole else [], unexplained if whole else [])}; {seconds:.0f} s")
    return 0 if not (whole and unexplained) and all(result.passed for result in results) else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python conformance/run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("checkout", type=Path, help="a checkout of Azure/azureml-examples")
    made.add_argument("case", nargs="*", help="the cases to run, by name or pattern; default: all")
    made.add_argument("--jobs", type=int, default=2, help="cases at a time; default: 2")
    made.add_argument("--again", type=Path, help="a --json file: keep its results but those that failed and are due")
    made.add_argument("--json", type=Path, help="write the results to this file as well, after each case")
    made.add_argument("--keep", type=Path, help="run below this folder and leave everything there to look at")
    made.add_argument("--cases", type=Path, default=HERE / "cases.yml", help="the cases; default: the repository's")
    return made


def run_all(
    selected: list[cases.Case], checkout: Path, keep: Path | None, jobs: int, told: Callable[[case.Result], None]
) -> None:
    """Run the cases; `told` gets each result as soon as it is there."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    folder = keep.resolve() if keep else Path(tempfile.mkdtemp(prefix="conformance-")).resolve()
    try:
        data = folder / "data"
        stand_ins.write(data)
        with stand_ins.served(data) as address, ThreadPoolExecutor(jobs) as pool:
            words = {"data": str(data), "server": address}
            # The longest first: none of them should begin when the others are done.
            futures = [
                pool.submit(case.run, one, checkout, words, folder, bool(keep))
                for one in sorted(selected, key=lambda one: -one.seconds)
            ]
            for future in as_completed(futures):
                told(future.result())
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def commit(checkout: Path) -> str | None:
    """The commit that is checked out, if it is a repository."""
    asked = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
