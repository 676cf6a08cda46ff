"""Runs the examples of Azure/azureml-examples with `aml` and asserts what comes of each.

    git clone https://github.com/Azure/azureml-examples
    python conformance/run.py azureml-examples                       # all: a table, exit code 0 if no case failed
    python conformance/run.py azureml-examples 'hello-*' train-sh    # some, by name or pattern
    python conformance/run.py azureml-examples --jobs 4 --json results.json --markdown docs/conformance.md
    python conformance/run.py azureml-examples --again results.json  # what failed there; the rest is taken from there

The checkout is only read: each case runs in a temporary copy of what it needs, with a workspace of its own.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
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
    excused, unexplained = (list(known.excused(checkout)), known.unexplained(checkout)) if whole else ([], [])

    started = time.monotonic()
    before = {result.case: result for result in table.read_json(chosen.again) if result.passed} if chosen.again else {}
    due = [one for one in selected if one.name not in before]
    done = before | {result.case: result for result in run_all(due, checkout, chosen.keep, chosen.jobs, width)}
    results = [done[one.name] for one in selected]
    seconds = time.monotonic() - started

    if whole:
        print(table.not_run(excused, unexplained, width))
    print(f"{table.summary(results, excused, unexplained)}; {seconds:.0f} s")
    if chosen.json:
        table.write_json(chosen.json, results, excused, unexplained)
    if chosen.markdown:
        covers = {one.name: one.covers for one in known.cases}
        named = commit(checkout) or f"{known.written_for} (assumed)"
        page = table.markdown(results, covers, excused, named, sum(one.name in before for one in selected))
        chosen.markdown.write_text(page, encoding="utf-8")
    return 0 if not unexplained and all(result.passed for result in results) else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python conformance/run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("checkout", type=Path, help="a checkout of Azure/azureml-examples")
    made.add_argument("case", nargs="*", help="the cases to run, by name or pattern; default: all")
    made.add_argument("--jobs", type=int, default=2, help="cases at a time; default: 2")
    made.add_argument("--again", type=Path, help="a --json file: run only what did not pass in it, keep the rest")
    made.add_argument("--json", type=Path, help="write the results to this file as well")
    made.add_argument("--markdown", type=Path, help="write the page of results to this file")
    made.add_argument("--keep", type=Path, help="run below this folder and leave everything there to look at")
    made.add_argument("--cases", type=Path, default=HERE / "cases.yml", help="the cases; default: the repository's")
    return made


def run_all(selected: list[cases.Case], checkout: Path, keep: Path | None, jobs: int, width: int) -> list[case.Result]:
    """The results in the order of `selected`; each is printed as soon as it is there."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    folder = keep.resolve() if keep else Path(tempfile.mkdtemp(prefix="conformance-")).resolve()
    try:
        data = folder / "data"
        stand_ins.write(data)
        with stand_ins.served(data) as address, ThreadPoolExecutor(jobs) as pool:
            words = {"data": str(data), "server": address}
            # The longest first: none of them should begin when the others are done.
            futures = {
                pool.submit(case.run, one, checkout, words, folder, bool(keep)): one.name
                for one in sorted(selected, key=lambda one: -one.seconds)
            }
            done: dict[str, case.Result] = {}
            for future in as_completed(futures):
                result = done[futures[future]] = future.result()
                print(table.line(result, width), flush=True)
        return [done[one.name] for one in selected]
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
