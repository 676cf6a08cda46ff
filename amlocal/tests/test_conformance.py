"""conformance/: its cases are whole, its checks can fail, and it tells passed from failed on a checkout made here."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from conformance import cases, run, table  # noqa: E402
from conformance.outcome import command_faults, file_faults, job_faults, listed, value_faults  # noqa: E402

CASES = cases.read(ROOT / "conformance" / "cases.yml")
OTHERS = [cases.read(path) for path in sorted((ROOT / "conformance" / "others").glob("*.yml"))]
EVERY = [case for known in (CASES, *OTHERS) for case in known.cases]


# ---- cases.yml -------------------------------------------------------------------------------------------------------


def expectations(case: cases.Case) -> Iterator[tuple[str, Any]]:
    """(kind, what) of everything a case expects, that of steps included."""

    def inner(expect: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for kind, what in expect.items():
            yield kind, what
            for step in what.values() if kind == "steps" else ():
                yield from inner(step or {})

    for step in case.steps:
        yield from inner(step.expect)


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_every_case_expects_more_than_an_exit_code(case: cases.Case) -> None:
    assert {kind for kind, _ in expectations(case)} - {"exit", "status", "never"}


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_every_pattern_is_one(case: cases.Case) -> None:
    for kind, what in expectations(case):
        patterns: list[Any] = listed(what) if kind in ("prints", "never", "log", "error") else []
        if kind in ("files", "params", "metrics", "tags", "fields"):
            patterns = [value for value in what.values() if isinstance(value, str)]
        for pattern in patterns:
            re.compile(pattern)


def test_nothing_is_covered_and_excused_at_once() -> None:
    covered = {path for case in CASES.cases for path in case.covers if "*" not in path and "{" not in path}
    excused = {path for entry in CASES.not_run for path in entry.paths}
    assert covered & excused == set()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("specs: []\ncases: {a: {job: x.yml, prinst: b}}", "a: unknown: prinst"),
        ("specs: []\ncases: {a: {log: b}}", "a: it needs one of job, notebook and run"),
        ("specs: []\ncases: {a: {run: [ls]}}", "a: in: the folder that its commands run in is missing"),
        ("specs: []\ncases: {a: {in: ., run: [{do: ls, log: b}]}}", "a: log can be expected of a job only"),
        ("specs: []\ncases: {a: {in: ., run: [{look: j, prinst: b}]}}", "unknown: prinst"),
        ("specs: []\ncases: {}\nnotrun: []", "unknown: notrun"),
        ("specs: [", "while parsing"),
    ],
)
def test_a_mistake_in_the_cases_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "cases.yml").write_text(text)
    with pytest.raises(cases.CaseError, match=re.escape(complaint)):
        cases.read(tmp_path / "cases.yml")


# ---- every check, with an outcome that is right and one that is wrong ------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "code", "printed", "fault"),
    [
        ({}, 0, "", None),
        ({}, 1, "", "exit code 1, not 0"),
        ({"exit": 3}, 3, "", None),
        ({"exit": 3}, 0, "", "exit code 0, not 3"),
        ({"exit": "not 0"}, 2, "", None),
        ({"exit": "not 0"}, 0, "", "should have failed"),
        ({"prints": "^b$"}, 0, "a\nb\n", None),
        ({"prints": "^b$"}, 0, "ab\n", "not printed: ^b$ (last: ab)"),
        ({"prints": ["a", "b"]}, 0, "a b", None),
        ({"prints": ["b", "a"]}, 0, "a b", "not printed in this place: a"),
        ({"never": "Traceback"}, 0, "fine", None),
        ({"never": "Traceback"}, 0, "Traceback (most recent call last)", "should not be: Traceback"),
    ],
)
def test_checks_of_a_command(expected: dict[str, Any], code: int, printed: str, fault: str | None) -> None:
    told(command_faults(expected, code, printed), fault)


@pytest.mark.parametrize(
    ("path", "content", "fault"),
    [
        ("named-outputs/out/a.txt", "^hello$", None),
        ("named-outputs/out/a.txt", "bye", "does not hold bye"),
        ("named-outputs/*/a.txt", "hello", None),
        ("named-outputs/out/b.txt", True, "no file named-outputs/out/b.txt; there are named-outputs/out/a.txt"),
        ("named-outputs/out/a.txt", True, None),
        ("named-outputs/out/a.txt", False, "should not be"),
        ("named-outputs/out/b.txt", False, None),
    ],
)
def test_checks_of_files(tmp_path: Path, path: str, content: str | bool, fault: str | None) -> None:
    file = tmp_path / "named-outputs" / "out" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_text("hello\n")
    told(file_faults(tmp_path, path, content), fault)


@pytest.mark.parametrize(
    ("wanted", "value", "fault"),
    [
        ("wor.d", "world", None),
        ("wor", "world", "x is world, not wor"),
        (0.5, "0.5", None),
        (0.5, 0.6, "x is 0.6, not 0.5"),
        ([0, 1], 0.3, None),
        ([0, 1], 1.3, "x is 1.3, not [0, 1]"),
        (True, "anything", None),
        (True, None, "no x"),
    ],
)
def test_checks_of_parameters_metrics_tags_and_fields(wanted: Any, value: Any, fault: str | None) -> None:
    told(value_faults("metrics", {"x": wanted}, {"x": value}), fault)


@dataclass
class Played:
    """A job that never ran."""

    shown: dict[str, Any]
    said: str = ""
    folder: Path = Path()
    logged: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, "Played"] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        return self.shown

    def log(self) -> str:
        return self.said

    def files(self) -> Path:
        return self.folder

    def run(self) -> dict[str, dict[str, Any]]:
        return self.logged

    def children(self) -> dict[str, "Played"]:
        return self.steps


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        ({}, None),
        ({"status": "Failed"}, "Completed, not Failed"),
        ({"log": "^hello$"}, None),
        ({"log": "^bye$"}, "not in the log: ^bye$"),
        ({"metrics": {"loss": [0, 1]}}, None),
        ({"metrics": {"loss": [2, 3]}}, "metrics: loss is 0.5"),
        ({"tags": {"a": "b"}}, "tags: no a"),
        ({"fields": {"tags.hello": "world"}}, None),
        ({"fields": {"tags.hello": "moon"}}, "job show: tags.hello is world, not moon"),
        ({"error": "exit code 3"}, "failed for another reason: None"),
        ({"trials": 1}, None),
        ({"trials": 4}, "1 trials, not 4"),
        ({"steps": {"a": None}}, "a: Failed, not Completed: exit code 3"),
        ({"steps": {"a": {"status": "Failed", "error": "code 3"}}}, None),
        ({"steps": {"b": {}}}, "no step b; there are a"),
    ],
)
def test_checks_of_a_job(tmp_path: Path, expected: dict[str, Any], fault: str | None) -> None:
    step = Played({"status": "Failed", "error": "exit code 3"})
    job = Played(
        {"status": "Completed", "tags": {"hello": "world"}},
        said="hello\n",
        folder=tmp_path,
        logged={"params": {}, "metrics": {"loss": 0.5}, "tags": {}},
        steps={"a": step},
    )
    told(job_faults(expected, job), fault)


def told(faults: Iterator[str], fault: str | None) -> None:
    found = "; ".join(faults)
    assert found == "" if fault is None else fault in found


# ---- which specs are accounted for -----------------------------------------------------------------------------------


def test_what_is_neither_run_nor_excused_is_found(tmp_path: Path) -> None:
    (tmp_path / "cases.yml").write_text(
        "specs: ['cli/**/*.yml']\nparts: ['cli/**/part*.yml']\n"
        "cases: {one: {job: cli/one/job.yml, log: a}}\n"
        "not_run: [{cause: GPU, paths: ['cli/{gpu,cuda}/**', 'cli/gone/*']}]\n"
    )
    for spec in ("one/job.yml", "one/part1.yml", "gpu/a/b.yml", "cuda/c.yml", "other/job.yml"):
        (tmp_path / "cli" / spec).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cli" / spec).touch()
    read = cases.read(tmp_path / "cases.yml")
    assert read.unexplained(tmp_path) == ["cli/other/job.yml"]
    assert list(read.excused(tmp_path)) == [("cli/cuda/c.yml", "GPU"), ("cli/gpu/a/b.yml", "GPU")]
    assert list(read.idle(tmp_path)) == ["cli/gone/*"]


# ---- the whole, on a checkout of four files --------------------------------------------------------------------------

CHECKOUT = {
    "cli/jobs/hello.yml": "command: cat src/said.txt ${{inputs.data}} > ./outputs/said.txt && cat outputs/said.txt\n"
    "code: .\ninputs: {data: {type: uri_file, path: 'wasbs://far@away/data.csv'}}\nenvironment: {image: python}\n",
    "cli/jobs/src/said.txt": "hello\n",
    "cli/hello.sh": "name=$(az ml job create -f jobs/hello.yml --query name -o tsv --stream | tail -1)\necho done\n",
    "cli/jobs/gpu.yml": "command: nvidia-smi\n",
}
FAKE_CASES = """
repository: somebody/something
written_for: abc
specs: ["cli/**/*.yml", "cli/*.sh"]
cases:
  hello:
    job: cli/jobs/hello.yml
    set: {inputs.data.path: "{data}/iris.csv"}
    log: ["^hello$", "Iris-setosa"]
    files: {artifacts/outputs/said.txt: ^hello$}
  hello-wrong:
    job: cli/jobs/hello.yml
    set: {inputs.data.path: "{data}/iris.csv"}
    log: ^bye$
    covers: []
  script:
    in: cli
    needs: [cli]
    replace: {cli/jobs/*.yml: {"wasbs://far@away/data.csv": "{data}/iris.csv"}}
    covers: [cli/hello.sh]
    fails: "theirs: it says hello to nobody"
    run:
      - {do: bash hello.sh, prints: ^done$}
  slow:
    in: cli
    covers: []
    seconds: 0.1
    run: [sleep 60]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in CHECKOUT.items():
        file = tmp_path / "azureml-examples" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "azureml-examples"


def test_a_run_tells_passed_from_failed_and_leaves_the_checkout_alone(checkout, tmp_path, capfd) -> None:
    (tmp_path / "cases.yml").write_text(FAKE_CASES)
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    before = {file: file.read_bytes() for file in checkout.rglob("*") if file.is_file()}
    options = ["--cases", str(tmp_path / "cases.yml"), "--json", str(results)]

    assert run.main([str(checkout), *options]) == 1
    found = json.loads(results.read_text())
    outcome = {row["name"]: (row["passed"], row["cause"]) for row in found["cases"]}
    assert outcome["hello"] == (True, "")
    assert outcome["script"] == (True, "")
    passed, cause = outcome["hello-wrong"]
    assert not passed
    assert "not in the log: ^bye$" in cause
    passed, cause = outcome["slow"]
    assert not passed
    assert "not over after" in cause
    assert found["unexplained"] == ["cli/jobs/gpu.yml"]
    printed = capfd.readouterr().out
    assert re.search(r"^hello +passed +\d", printed, re.MULTILINE)
    assert re.search(r"^hello-wrong +FAILED", printed, re.MULTILINE)
    assert "2 cases passed, 2 failed" in printed
    assert table.main([str(page), str(results)]) == 0
    assert "**2 cases pass, 2 fail**; in 1 of those that pass" in page.read_text()
    assert "| script | cli/hello.sh | passed | " in page.read_text()
    assert "## somebody/something\n\nAt commit `abc (assumed)`." in page.read_text()
    assert "theirs: it says hello to nobody |" in page.read_text()
    assert "Not the table of one run" not in page.read_text()
    assert {file: file.read_bytes() for file in checkout.rglob("*") if file.is_file()} == before


def test_again_runs_what_failed_and_keeps_the_rest(checkout, tmp_path, capfd) -> None:
    (tmp_path / "cases.yml").write_text(FAKE_CASES)
    passed = {"passed": True, "seconds": 7.0, "cause": ""}
    failed = {"name": "slow", "passed": False, "seconds": 1.0, "cause": "too slow"}
    rows = [*({"name": name, **passed} for name in ("hello", "hello-wrong", "script")), failed]
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"cases": rows, "not_run": [], "unexplained": []}))

    options = ["--cases", str(tmp_path / "cases.yml"), "--again", str(results), "--json", str(results)]
    page = tmp_path / "page.md"
    assert run.main([str(checkout), *options]) == 1
    assert re.findall(r"^\S+(?= +(?:passed|FAILED))", capfd.readouterr().out, re.MULTILINE) == ["slow"]
    told = {row["name"]: row["cause"] for row in json.loads(results.read_text())["cases"]}
    assert list(told) == ["hello", "hello-wrong", "script", "slow"]
    assert "not over after" in told["slow"]
    assert table.main([str(page), str(results)]) == 0
    assert "**Not the table of one run**: 3 of the results" in page.read_text()
    assert "- `unknown` (3): hello, hello-wrong, script\n" in page.read_text()

    run.main([str(checkout), "hello", *options])  # what is not asked for is kept too, and what nobody runs is told
    content = json.loads(results.read_text())
    assert {row["name"] for row in content["cases"]} == set(told)
    assert content["unexplained"] == ["cli/jobs/gpu.yml"]


def test_the_page_of_some_cases_says_that_the_others_have_no_result(checkout, tmp_path) -> None:
    (tmp_path / "cases.yml").write_text(FAKE_CASES)
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    run.main([str(checkout), "slow", "--cases", str(tmp_path / "cases.yml"), "--json", str(results)])
    assert table.main([str(page), str(results)]) == 0
    assert "**0 cases pass, 1 fail, 3 have no result**" in page.read_text()
    assert "**No result in this table**: hello, hello-wrong, script.\n" in page.read_text()


def test_a_case_that_is_not_there_is_a_usage_error(checkout, capsys) -> None:
    assert run.main([str(checkout), "no-such-case"]) == 2
    assert "no case no-such-case; there are hello-world, " in capsys.readouterr().err
    assert run.main([str(checkout / "elsewhere")]) == 2
    assert "clone https://github.com/Azure/azureml-examples" in capsys.readouterr().err


# ---- specs.py, fuzz_specs.py -----------------------------------------------------------------------------------------


def test_verdicts_on_specs_are_compared_and_counted(tmp_path, capsys):
    from conformance import specs

    environment = "environment: {image: a}\n"
    (tmp_path / "good.yml").write_text(f"command: ls\n{environment}")
    (tmp_path / "bad.yml").write_text(f"command: ls\n{environment}limits: {{timeot: 1}}\n")
    (tmp_path / "stricter.yml").write_text(f"command: ls ${{{{inputs.x}}}}\n{environment}")
    (tmp_path / "other.yml").write_text("services: {}\n")
    assert specs.main([str(tmp_path)]) == 0
    told = capsys.readouterr().out
    counts = json.loads(told.splitlines()[-1])
    assert {name: counts[name] for name in ("specs", "accepted", "refused", "stricter", "wrong")} == {
        "specs": 3,
        "accepted": 1,
        "refused": 1,
        "stricter": 1,
        "wrong": 0,
    }
    assert "bad.yml:3: limits.timeot: unknown field" in told


def test_a_message_that_does_not_name_the_broken_field_is_nonsense():
    from conformance.fuzz_specs import Mutation, sense

    mutation = Mutation("misspelt key", ("jobs", "a", "limits", "timeout"), {}, ("timeot",))
    assert sense(mutation, ['job.yml:3: jobs.a.limits.timeot: unknown field; did you mean "timeout"?']) is None
    assert sense(mutation, ["job.yml:3: jobs.a.component: required, and not there"]) == "names something else"
    assert sense(mutation, ["job.yml: 'list' object has no attribute 'items'"]) == "not in the words of the file"


def test_mutations_are_the_same_for_the_same_seed(tmp_path, capsys):
    from conformance import fuzz_specs

    (tmp_path / "job.yml").write_text("command: ls\nenvironment: {image: a}\nlimits: {timeout: 1}\n")
    told = []
    for _ in range(2):
        assert fuzz_specs.main([str(tmp_path), "--count", "8", "--seed", "3"]) == 0
        told.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert told[0] == told[1] and told[0]["mutations"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["job.yml"]
