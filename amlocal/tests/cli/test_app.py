"""What a user of `aml` types, sees and gets as exit code; the client behind it is a fake."""

import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from amlocal.cli import app, asset_verbs, main, target
from amlocal.cli.nouns import compute, job
from amlocal.core.errors import NotFound, UserError


class FakeOperations:
    """Answers as a client's operations do and remembers what it was asked."""

    def __init__(self, *entities: dict[str, Any]) -> None:
        self.entities = list(entities)
        self.calls: list[tuple[Any, ...]] = []
        self.stream_ends_with: BaseException | None = None
        self.problems: dict[str, str] = {}

    def get_ready(self) -> None:
        """Nothing has to be started for a fake."""

    def create_or_update(self, entity: Any, **options: Any) -> Any:
        self.calls.append(("create", entity, options))
        self.entities.append({"name": "brave_ant", "version": "1", "status": "Running", "inputs": {"lr": 0.1}})
        return SimpleNamespace(name="brave_ant", version=1)

    def begin_create_or_update(self, entity: Any) -> Any:
        return SimpleNamespace(result=lambda: self.create_or_update(entity))

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        self.calls.append(("describe", name, version, label))
        for entity in self.entities:
            if entity["name"] == name:
                return entity
        raise NotFound(f'job "{name}" was not found in this workspace; see `aml job list`')

    def describe_all(self, **filters: Any) -> list[dict[str, Any]]:
        self.calls.append(("list", filters))
        return self.entities

    def stream(self, name: str) -> None:
        print(f"RunId: {name}")
        if self.stream_ends_with:
            raise self.stream_ends_with

    def begin_cancel(self, name: str) -> Any:
        self.calls.append(("cancel", name))
        return SimpleNamespace(result=lambda: None)

    def download(self, *positional: Any, **options: Any) -> None:
        self.calls.append(("download", positional, options))

    def validate(self, entity: Any) -> Any:
        return SimpleNamespace(passed=not self.problems, error_messages=self.problems)


class Aml:
    """Runs `aml` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.operations = FakeOperations()
        self.loaded: list[tuple[str, str | None, list[dict[str, Any]]]] = []
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = self._capsys.readouterr()
        return code, out, err

    def load(self, kind: str, file: str | None, overrides: list[dict[str, Any]]) -> str:
        self.loaded.append((kind, file, overrides))
        return f"the {kind}"


@pytest.fixture
def aml(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Aml:
    aml = Aml(capsys)
    nouns = ("jobs", "models", "data", "environments", "components", "compute", "workspaces")
    client = SimpleNamespace(**dict.fromkeys(nouns, aml.operations))
    monkeypatch.setattr(target, "client", lambda: client)
    for module in (job, asset_verbs, compute):
        monkeypatch.setattr(module, "load", aml.load)
    return aml


# Creating


def test_create_prints_the_job_as_json(aml: Aml) -> None:
    code, out, err = aml("job", "create", "--file", "job.yml")
    assert (code, err) == (0, "")
    assert json.loads(out)["status"] == "Running"


def test_name_for_a_script(aml: Aml) -> None:
    assert aml("job", "create", "-f", "job.yml", "--query", "name", "-o", "tsv") == (0, "brave_ant\n", "")


def test_set_takes_several_values_and_reads_them_as_yaml_does(aml: Aml) -> None:
    code, *_ = aml(
        *("job", "create", "-f", "job.yml", "--set", "inputs.lr=0.1", "inputs.epochs=3", "tags.who=me"),
        *("--set", "inputs.deep=true", "compute=azureml:cpu-cluster", "command=echo a=b", "description=", "-n", "mine"),
    )
    assert code == 0
    assert aml.loaded == [
        (
            "job",
            "job.yml",
            [
                {"inputs.lr": 0.1},
                {"inputs.epochs": 3},
                {"tags.who": "me"},
                {"inputs.deep": True},
                {"compute": "azureml:cpu-cluster"},
                {"command": "echo a=b"},
                {"description": ""},
                {"name": "mine"},
            ],
        )
    ]


@pytest.mark.parametrize("text", ["a: b", "[1]", "2026-01-01", "null", "{", "${{inputs.x}}"])
def test_set_leaves_what_is_no_plain_number_as_typed(aml: Aml, text: str) -> None:
    aml("job", "create", "-f", "job.yml", "--set", f"inputs.x={text}")
    assert aml.loaded[0][2] == [{"inputs.x": text}]


def test_set_without_a_value_is_a_usage_error(aml: Aml) -> None:
    code, out, err = aml("job", "create", "-f", "job.yml", "--set", "inputs.lr")
    assert (code, out) == (2, "")
    assert err.startswith("ERROR: ") and "inputs.lr" in err and err.count("\n") == 1


def test_save_as_writes_the_state_as_yaml(aml: Aml, tmp_path: Any) -> None:
    aml("job", "create", "-f", "job.yml", "-a", str(tmp_path / "state.yml"))
    assert "status: Running" in (tmp_path / "state.yml").read_text()


def test_skip_validation_reaches_the_client(aml: Aml) -> None:
    aml("job", "create", "-f", "job.yml", "--skip-validation")
    assert aml.operations.calls[0][2] == {"skip_validation": True}


def test_an_asset_from_flags_alone(aml: Aml) -> None:
    code, *_ = aml(
        *("model", "create", "-n", "digits", "-v", "2", "-t", "mlflow_model", "--tags", "a=1", "b=x"),
        *("-p", "azureml://jobs/j/outputs/artifacts/paths/model"),
    )
    assert code == 0
    assert aml.loaded == [
        (
            "model",
            None,
            [
                {"name": "digits"},
                {"version": "2"},
                {"path": "azureml://jobs/j/outputs/artifacts/paths/model"},
                {"type": "mlflow_model"},
                {"tags": {"a": "1", "b": "x"}},
            ],
        )
    ]


def test_compute_from_flags(aml: Aml) -> None:
    code, *_ = aml(
        *("compute", "create", "--name", "cpu", "--type", "AmlCompute", "--size", "Standard_F4s_v2"),
        *("--min-instances", "0", "--max-instances", "1", "-d", "180", "--ssh-public-access-enabled", "true"),
    )
    assert code == 0
    assert {"type": "amlcompute"} in aml.loaded[0][2] and {"min_instances": 0} in aml.loaded[0][2]


# Streaming


def test_stream_prints_the_log_and_no_json(aml: Aml) -> None:
    assert aml("job", "create", "-f", "job.yml", "--stream") == (0, "RunId: brave_ant\n", "")


def test_stream_with_a_query_keeps_stdout_for_the_data(aml: Aml) -> None:
    code, out, err = aml("job", "create", "-f", "job.yml", "-s", "--query", "status", "-o", "tsv")
    assert (code, out, err) == (0, "Running\n", "RunId: brave_ant\n")


def test_ctrl_c_while_streaming_cancels_the_job(aml: Aml) -> None:
    aml.operations.stream_ends_with = KeyboardInterrupt()
    code, _, err = aml("job", "create", "-f", "job.yml", "--stream")
    assert code == 130
    assert ("cancel", "brave_ant") in aml.operations.calls
    assert "brave_ant" in err and err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there a kill leaves no time for anything")
def test_a_polite_kill_while_streaming_cancels_the_job_too(aml: Aml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aml.operations, "stream", lambda name: os.kill(os.getpid(), signal.SIGTERM))
    assert aml("job", "create", "-f", "job.yml", "--stream")[0] == 130
    assert ("cancel", "brave_ant") in aml.operations.calls


def test_a_reader_that_leaves_does_not_end_the_job(aml: Aml) -> None:
    aml.operations.stream_ends_with = BrokenPipeError()
    code, _, err = aml("job", "create", "-f", "job.yml", "--stream")
    assert code == 0 and "aml job cancel -n brave_ant" in err
    assert ("cancel", "brave_ant") not in aml.operations.calls


def test_ctrl_c_while_watching_leaves_the_job_alone(aml: Aml) -> None:
    aml.operations.stream_ends_with = KeyboardInterrupt()
    code, _, err = aml("job", "stream", "-n", "other")
    assert (code, err) == (130, "")
    assert aml.operations.calls == []


def test_a_failed_job_fails_the_command(aml: Aml) -> None:
    aml.operations.stream_ends_with = UserError("job brave_ant failed: exit code 3")
    code, _, err = aml("job", "create", "-f", "job.yml", "--stream")
    assert (code, err) == (1, "ERROR: job brave_ant failed: exit code 3\n")


# Looking


def test_status_for_a_script(aml: Aml) -> None:
    aml.operations.entities = [{"name": "j", "status": "Completed"}]
    assert aml("job", "show", "-n", "j", "--query", "status", "-o", "tsv") == (0, "Completed\n", "")


def test_list_as_a_table_has_the_columns_that_matter(aml: Aml) -> None:
    aml.operations.entities = [
        {
            "name": "j",
            "display_name": "my job",
            "experiment_name": "digits",
            "type": "pipeline",
            "status": "Failed",
            "creation_context": {"created_at": "2026-01-02T03:04:05"},
            "jobs": {"a": {}},
        }
    ]
    code, out, _ = aml("job", "list", "-o", "table")
    header, _, row = out.splitlines()
    assert code == 0
    assert header.split() == ["Name", "DisplayName", "Experiment", "Type", "Status", "Created"]
    assert row.split() == ["j", "my", "job", "digits", "pipeline", "Failed", "2026-01-02T03:04:05"]


def test_table_with_a_query_of_ones_own(aml: Aml) -> None:
    aml.operations.entities = [{"name": "j", "status": "Failed"}]
    _, out, _ = aml("job", "list", "--query", "[].{Jobstatus:status,Name:name}", "--output", "table")
    assert out.splitlines()[0].split() == ["Jobstatus", "Name"]


def test_list_stops_at_fifty_unless_told_otherwise(aml: Aml) -> None:
    aml.operations.entities = [{"name": str(number)} for number in range(60)]
    count = ("--query", "length(@)", "-o", "tsv")
    assert aml("job", "list", *count)[1] == "50\n"
    assert aml("job", "list", "-r", "2", *count)[1] == "2\n"
    assert aml("job", "list", "--all-results", *count)[1] == "60\n"
    assert aml("job", "list", "--all-results", "true", *count)[1] == "60\n"


def test_steps_of_a_pipeline(aml: Aml) -> None:
    aml("job", "list", "-p", "parent")
    assert aml.operations.calls == [("list", {"parent_job_name": "parent"})]


def test_the_archive_is_asked_for_in_azure_s_words(aml: Aml) -> None:
    aml.operations.entities = [{"name": "j"}]
    aml("model", "list", "--archived-only")
    aml("job", "list", "--include-archived")
    aml("data", "list")
    assert [filters for _, filters in aml.operations.calls] == [
        {"list_view_type": "ArchivedOnly"},
        {"list_view_type": "All"},
        {},
    ]


@pytest.mark.parametrize("noun", ["model", "data", "environment", "component"])
def test_show_by_version_and_by_label(aml: Aml, noun: str) -> None:
    aml.operations.entities = [{"name": "a"}]
    aml(noun, "show", "-n", "a", "-v", "2")
    aml(noun, "show", "-n", "a", "-l", "latest")
    assert aml.operations.calls == [("describe", "a", "2", None), ("describe", "a", None, "latest")]


def test_models_of_one_stage(aml: Aml) -> None:
    aml.operations.entities = [{"name": "a", "stage": "Production"}, {"name": "b", "stage": "Development"}]
    assert aml("model", "list", "-s", "Production", "--query", "[].name", "-o", "tsv")[1] == "a\n"


def test_a_client_that_only_has_entities_is_printed_too(aml: Aml, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLClient itself has no `describe`."""

    class Entity(SimpleNamespace):
        def _to_dict(self) -> dict[str, Any]:
            return dict(vars(self))

    operations = SimpleNamespace(
        get=lambda name: Entity(name=name, status="Completed"),
        list=lambda **filters: iter([Entity(name="a"), Entity(name="b")]),
        create_or_update=lambda job: Entity(name="c"),
        get_ready=lambda: None,
    )
    monkeypatch.setattr(target, "client", lambda: SimpleNamespace(jobs=operations))
    assert json.loads(aml("job", "show", "-n", "x")[1]) == {"name": "x", "status": "Completed"}
    assert json.loads(aml("job", "list", "-r", "1")[1]) == [{"name": "a"}]
    assert json.loads(aml("job", "create", "-f", "x.yml")[1]) == {"name": "c"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"download_path": ".", "all": False}),
        (["-p", "d", "--all"], {"download_path": "d", "all": True}),
        (["--output-name", "model"], {"download_path": ".", "all": False, "output_name": "model"}),
    ],
)
def test_download(aml: Aml, flags: list[str], expected: dict[str, Any]) -> None:
    code, out, err = aml("job", "download", "-n", "j", *flags)
    assert (code, out) == (0, "")
    assert aml.operations.calls == [("download", ("j",), expected)]
    assert "Downloaded" in err
    assert aml("job", "download", "-n", "j", *flags, "--only-show-errors") == (0, "", "")


def test_validate_in_azure_tells_every_error_and_fails(aml: Aml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "is_azure", lambda: True)
    assert json.loads(aml("job", "validate", "-f", "p.yml")[1]) == {"result": "Succeeded"}
    aml.operations.problems = {"jobs.train.compute": "not found", "inputs.lr": "inputs.lr: not a\nnumber"}
    code, out, err = aml("job", "validate", "-f", "p.yml")
    assert code == 1
    assert json.loads(out)["result"] == "Failed"
    assert err.splitlines() == ["ERROR: jobs.train.compute: not found", "ERROR: inputs.lr: not a number"]


# Mistakes


def test_a_users_mistake_is_one_line(aml: Aml) -> None:
    code, out, err = aml("job", "show", "-n", "nosuch")
    assert (code, out) == (1, "")
    assert err == 'ERROR: job "nosuch" was not found in this workspace; see `aml job list`\n'


def test_azure_ai_mls_report_of_a_specification_is_one_line() -> None:
    error = type("ValidationException", (Exception,), {"__module__": "azure.ai.ml.exceptions"})
    report = {"result": "Failed", "errors": [{"message": "Compute not set", "path": "jobs.a.compute", "value": None}]}
    assert app.error_line(error(json.dumps(report, indent=2))) == "jobs.a.compute: Compute not set"


def test_with_json_what_is_missing_has_azures_code(aml: Aml) -> None:
    assert aml("job", "show", "-n", "nosuch", "-o", "json")[2].startswith(
        'ERROR: (UserError) job "nosuch" was not found'
    )


def test_debug_shows_the_traceback(aml: Aml) -> None:
    code, _, err = aml("job", "show", "-n", "nosuch", "--debug")
    assert code == 1 and "Traceback" in err and err.splitlines()[-1].startswith("ERROR: ")


def test_azures_own_exceptions_are_told_by_their_message(aml: Aml, monkeypatch: pytest.MonkeyPatch) -> None:
    class ResourceNotFoundError(Exception):
        message = "(UserError) Run j\n  was not found"

    ResourceNotFoundError.__module__ = "azure.core.exceptions"

    def describe(name: str) -> None:
        raise ResourceNotFoundError

    monkeypatch.setattr(aml.operations, "describe", describe)
    assert aml("job", "show", "-n", "j") == (1, "", "ERROR: (UserError) Run j was not found\n")


def test_a_fault_of_ours_says_that_it_is(aml: Aml, monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(name: str) -> None:
        raise KeyError("x")

    monkeypatch.setattr(aml.operations, "describe", describe)
    code, _, err = aml("job", "show", "-n", "j")
    assert code == 1 and err.startswith("ERROR: KeyError: 'x'") and "--debug" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jobs", "list"], "\tjob"),
        (["job", "steam", "-n", "x"], "stream"),
        (["job", "show"], "--name/-n"),
        (["job", "create", "-f", "x", "--stremn"], "--stream"),
        (["job", "list", "-r", "0"], "positive"),
        (["model", "create", "-n", "x", "--type", "pickle"], "mlflow_model"),
        (["job", "list", "-o", "tabel"], "table"),
        (["job", "list", "--query", "[].{"], "--query"),
    ],
)
def test_wrong_usage_is_exit_code_two_and_says_what_is_right(aml: Aml, arguments: list[str], said: str) -> None:
    code, out, err = aml(*arguments)
    assert (code, out) == (2, "")
    assert said in err and "Traceback" not in err
    assert aml.operations.calls == []


def test_flags_of_the_cloud_are_accepted_and_ignored(aml: Aml) -> None:
    aml.operations.entities = [{"name": "j", "status": "Running"}]
    cloud = ("-g", "group", "-w", "workspace", "--subscription", "s", "--change-reference", "c")
    assert aml("job", "show", "-n", "j", *cloud, "--query", "status", "-o", "tsv") == (0, "Running\n", "")
    assert aml("data", "create", "-f", "d.yml", "--datastore", "blob", "--no-wait", "--skip-validation")[0] == 0
    assert aml.loaded == [("data", "d.yml", [])]


def test_output_that_stdout_cannot_hold_is_still_valid_json(monkeypatch: pytest.MonkeyPatch, aml: Aml) -> None:
    import io

    aml.operations.entities = [{"name": "j", "description": "数字 é 😀"}]
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert main(["job", "show", "-n", "j"]) == 0
    narrow.flush()
    text = narrow.buffer.getvalue().decode("cp1252")  # type: ignore[attr-defined]
    assert json.loads(text)["description"] == "数字 é 😀"


def test_default_output_from_the_environment(aml: Aml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AML_CORE_OUTPUT", "tsv")
    aml.operations.entities = [{"name": "j"}]
    assert aml("job", "list", "--query", "[].name")[1] == "j\n"
    assert aml("job", "create", "-f", "job.yml", "--stream")[1] == "RunId: brave_ant\n"


def test_every_noun_of_the_list_is_a_module() -> None:
    assert all(hasattr(sys.modules[f"amlocal.cli.nouns.{noun}"], "commands") for noun in app.NOUNS)


def test_a_choice_is_taken_in_any_case(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    flags = ["--type", "AmlCompute", "--size", "Standard_D2_v2", "--tier"]
    for tier in ("LowPriority", "low-priority", "LOW_PRIORITY"):
        assert main(["compute", "create", "-n", "c1", *flags, tier, "--query", "tier", "-o", "tsv"]) == 0
        assert capsys.readouterr().out.strip() == "low_priority"
    assert main(["compute", "create", "-n", "c1", *flags, "lowest"]) == 2
