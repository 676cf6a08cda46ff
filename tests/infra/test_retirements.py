"""Nothing is relied on past its announced end, or without anybody having looked up whether there is one."""

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.infra.conftest import ROOT

SCRIPTS = ROOT / ".github" / "scripts"
sys.path.insert(0, str(SCRIPTS))

import retirements  # noqa: E402

# What has an end sooner or later: sizes of machines, Azure ML's images, Spark, Python, GitHub's runners.
PERISHABLE = re.compile(
    r"\bstandard_[a-z]+\d+\w*|mcr\.microsoft\.com/[\w./:-]+|runtime_version: \S+|python=\d\S*|python-version: \S+"
    r"|runs-on: \S+",
    re.IGNORECASE,
)
CHOSEN_ELSEWHERE = re.compile(r"[{<*\\]")


def named() -> list[tuple[str, str]]:
    """What specs, Bicep files and workflows name of these: (where, what)."""
    found = [(place, one) for place, text in retirements.lines(ROOT) for one in PERISHABLE.findall(text)]
    return [pair for pair in found if not CHOSEN_ELSEWHERE.search(pair[1])]


def faults(today: date, root: Path = ROOT) -> list[str]:
    """What is named and has ended."""
    past = [entry for entry in retirements.entries(root) if entry.until and entry.until < today]
    return [
        f"{place}: {entry.what} ended on {entry.until}" for entry in past for place in retirements.places(entry, root)
    ]


def test_nothing_that_is_named_has_ended():
    assert faults(datetime.now(UTC).date()) == []


def test_whatever_is_named_was_looked_up_once():
    entries = retirements.entries()
    counted = {(place, one): sum(one in entry for entry in entries) for place, one in named()}
    assert len(counted) > 40, "the search finds nothing"
    assert {pair: count for pair, count in counted.items() if count != 1} == {}, "add it to infra/retirements.toml"


@pytest.fixture
def copy(tmp_path):
    """A small repository that names things, with our list."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "aml").mkdir()
    (tmp_path / "infra" / "retirements.toml").write_text((ROOT / "infra" / "retirements.toml").read_text())
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line", "last"),
    [
        ("aml/x.yml", "instance_type: Standard_DS1_v2", "2028-05-01"),
        ("aml/x.yml", "size: STANDARD_D11", "2028-05-01"),
        ("aml/x.yml", "size: Standard_F4s_v2", "2028-11-15"),
        ("infra/x.bicep", "param vmSize string = 'Standard_B2ms'", "2028-11-15"),
        ("aml/x.yml", "tier: low_priority", "2026-03-31"),
        ("infra/x.bicep", "  vmPriority: 'LowPriority'", "2026-03-31"),
        ("aml/x.yml", "image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest", "2027-06-30"),
        ("aml/x.yml", 'runtime_version: "3.4"', "2026-03-31"),
        ("aml/x.yml", "runtime_version: '3.4'", "2026-03-31"),
        ("aml/x.yml", "  - python=3.11", "2027-10-31"),
        # elsewhere than in specs
        (".devcontainer/x.json", '  "image": "mcr.microsoft.com/devcontainers/python:3.11",', "2027-10-31"),
        (".github/workflows/x.yml", "        run: az ml compute create --size Standard_F2s_v2", "2028-11-15"),
        (".github/workflows/x.yml", "    runs-on: ubuntu-22.04", "2027-04-17"),
        (
            "infra/x.bicepparam",
            "param vmSize = readEnvironmentVariable('AZURE_VM_SIZE', 'Standard_DS2_v2')",
            "2028-05-01",
        ),
        ("docs/x.md", "    export AZURE_VM_SIZE=Standard_F4s_v2", "2028-11-15"),
        ("docs/x.md", "Take another: `--set instance_type=Standard_DS1_v2`.", "2028-05-01"),
        (
            "docs/x.md",
            "or `aml environment create --image mcr.microsoft.com/azureml/minimal-ubuntu22.04-py39-cpu`",
            "2027-06-30",
        ),
        ("amlocal/docs/x.md", '    runtime_version: "3.4"', "2026-03-31"),
        ("notebooks/x.ipynb", '  "size: Standard_D2_v2\\n",', "2028-05-01"),
        ("amlocal/src/amlocal/cli/x.py", "      aml compute create --size Standard_DS3_v2", "2028-05-01"),
    ],
)
def test_what_has_ended_is_found(copy, file, line, last):
    (copy / file).parent.mkdir(parents=True, exist_ok=True)
    (copy / file).write_text(f"# a comment may speak of it\n{line}\n")
    end = date.fromisoformat(last)
    assert faults(end, copy) == []
    [fault] = faults(end + timedelta(days=1), copy)
    assert fault.startswith(f"{file}:2: ") and fault.endswith(f"ended on {last}")


@pytest.mark.parametrize(
    "line", ["size: Standard_D2as_v4", "size: Standard_F4s_v25", "# size: Standard_F4s_v2", 'runtime_version: "13.4"']
)
def test_what_only_looks_like_it_is_not(copy, line):
    (copy / "aml" / "x.yml").write_text(line + "\n")
    assert faults(date(2100, 1, 1), copy) == []


def test_a_page_may_speak_of_what_has_ended(copy):
    (copy / "docs").mkdir()
    (copy / "docs" / "x.md").write_text("`tier: low_priority` ended, as `Standard_F4s_v2` will.\n| Standard_D1 | 1 |\n")
    assert faults(date(2100, 1, 1), copy) == []
    (copy / "docs" / "x.md").write_text("```yaml\ntier: low_priority\n```\nand no more\n")
    assert [fault.partition(": ")[0] for fault in faults(date(2100, 1, 1), copy)] == ["docs/x.md:2"]


def test_dates_and_sources_are_there():
    for entry in retirements.entries():
        assert isinstance(entry.looked_up, date) and (entry.until is None or isinstance(entry.until, date)), entry.what
        assert entry.source.startswith("https://") and entry.then.endswith((".", "`")), entry.what


def test_the_page_shows_the_file():
    page = (ROOT / "docs" / "retirements.md").read_text(encoding="utf-8")
    hint = "`.github/scripts/retirements.py page` prints the table anew"
    assert retirements.page() in page, hint


@pytest.fixture
def repository(tmp_path):
    """Runs the script with a `gh` that keeps issues."""
    fake = ROOT / "tests" / "workflows" / "gh_fake.py"
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake}" "{tmp_path}" "$@"\n')
    gh.chmod(0o755)

    def tell(today):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GH_REPO": "somebody/digits", "GH_TOKEN": "x"}
        command = [sys.executable, str(SCRIPTS / "retirements.py"), "tell", "--today", today]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        kept = tmp_path / "issues.json"
        return done.stdout, json.loads(kept.read_text()) if kept.exists() else []

    return tell


def test_half_a_year_before_there_is_an_issue_and_only_one(repository):
    assert repository("2026-12-01")[1] == []
    said, [issue] = repository("2027-05-01")
    assert issue["title"] in said
    assert issue["title"] == "Python 3.11: jobs, endpoints, workflows: the end is announced for 2027-10-31"
    assert issue["labels"] == [{"name": "retirement"}]
    assert "https://devguide.python.org/versions/" in issue["body"]
    assert re.search(r"- `aml/environments/training/conda\.yml:\d+`\n", issue["body"])
    said, issues = repository("2027-06-01")
    assert len(issues) == 1 and "Nothing ends" in said
    titles = {issue["title"].partition(": ")[0] for issue in repository("2028-06-01")[1][1:]}
    assert titles == {"D, Ds, Dv2 and DSv2 machines", "Serverless Spark 3.5, for Azure's own monitor"}
