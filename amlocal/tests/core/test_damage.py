"""Damaged state is told as damaged state, with the file and what to do; never as a fault of the program."""

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.records import as_record
from amlocal.core.workspace import Workspace
from amlocal.endpoints.store import ServingPlan
from amlocal.jobs import submit
from amlocal.operations.common import entity
from amlocal.specs import load

READS = (
    "job list",
    "job show -n j",
    "data list",
    "data show -n d -v 1",
    "environment list",
    "environment show -n e -v 1",
    "component list",
    "component show -n c -v 1",
    "compute list",
    "compute show -n k",
    "datastore list",
    "datastore show -n s",
    "schedule list",
    "schedule show -n t",
    "model list",
    "model show -n m -v 1",
    "online-endpoint list",
    "online-endpoint show -n door",
    "workspace show",
    "job update -n j --set tags.a=b",
    "data create -n d2 -t uri_file --path azureml://jobs/j/outputs/default/paths/x",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that has one of everything; nothing runs."""
    folder = tmp_path_factory.mktemp("whole")
    workspace = Workspace(folder / ".amlocal")
    (folder / "a.txt").write_text("a")
    client = LocalMLClient(workspace.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMLOCAL_HOME", str(workspace.root))
        patch.setattr(submit, "_start", lambda *_: None)
        patch.setattr("amlocal.endpoints.supervisor.ensure", lambda workspace: None)
        patch.setattr("amlocal.operations.online_endpoints.wait_for_gateway", lambda store, name: None)
        job = "name: {}\ncommand: echo\nenvironment: {{image: a}}\n"
        (folder / "j.yml").write_text(job.format("j"))
        (folder / "p.yml").write_text(
            "name: p\ntype: pipeline\njobs: {a: {type: command, command: echo, environment: {image: a}}}\n"
        )
        (folder / "t.yml").write_text(
            "name: t\ntrigger: {type: recurrence, frequency: day, interval: 1}\ncreate_job: ./p.yml\n"
        )
        for name in ("j", "p"):
            client.jobs.create_or_update(load("job", folder / f"{name}.yml"))
        client.schedules.begin_create_or_update(load("schedule", folder / "t.yml"))
        client.data.create_or_update(
            entity("data", {"name": "d", "version": "1", "type": "uri_file", "path": str(folder / "a.txt")})
        )
        client.environments.create_or_update(entity("environment", {"name": "e", "version": "1", "image": "a"}))
        component = {"name": "c", "version": "1", "type": "command", "command": "ls", "environment": {"image": "a"}}
        client.components.create_or_update(entity("component", component))
        client.compute.begin_create_or_update(entity("compute", {"name": "k", "type": "amlcompute", "size": "x"}))
        store = {"name": "s", "type": "azure_blob", "account_name": "a", "container_name": "b"}
        client.datastores.create_or_update(entity("datastore", store))
        client.models.create_or_update(
            entity("model", {"name": "m", "version": "1", "type": "custom_model", "path": str(folder / "a.txt")})
        )
        client.online_endpoints.begin_create_or_update(entity("online-endpoint", {"name": "door", "auth_mode": "key"}))
        for words in ("job update -n j --set tags.x=y", "workspace create -n mine", "data archive -n d -v 1"):
            assert main(words.split()) == 0, words
        assert main(["data", "restore", "-n", "d", "-v", "1"]) == 0
    return workspace.root


@pytest.fixture
def root(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be damaged."""
    root = tmp_path / ".amlocal"
    shutil.copytree(whole, root)
    monkeypatch.setenv("AMLOCAL_HOME", str(root))
    return root


def records(root: Path) -> list[Path]:
    """Every JSON file in it, relative to it."""
    return sorted(path.relative_to(root) for path in root.rglob("*.json"))


def damages(value: Any) -> Iterator[str]:
    """Texts that are not what was written: torn, of another shape, without each field, with each as something else."""
    text = json.dumps(value)
    yield from ("", text[: len(text) // 2], "[]", "null", "{}", "\x00" * 50)
    others = itertools.cycle((None, 7, [1], {"a": {"b": [1]}}))
    for key, other in zip(value, others, strict=False):
        yield json.dumps({name: each for name, each in value.items() if name != key})
        yield json.dumps(value | {key: other})


MORE = {"keys.json": ["online-endpoint get-credentials -n door"], "t.json": ["schedule run"]}
OF_FOLDERS = {"jobs": "job", "schedules": "schedule", "endpoints": "online-endpoint"}
NOUNS = ("component", "compute", "data", "datastore", "environment", "job", "online-endpoint", "schedule", "workspace")


def noun_of(record: Path) -> str:
    """Whose commands read a record."""
    return record.parts[1] if record.parts[0] == "assets" else OF_FOLDERS.get(record.parts[0], "workspace")


def reads_of(record: Path) -> list[str]:
    """The commands that read a record: those of its noun; of a job also what names its output."""
    noun = noun_of(record)
    reads = [read for read in READS if read.startswith(f"{noun} ") or (noun == "job" and "azureml://jobs" in read)]
    return [*reads, *MORE.get(record.name, ())]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_record_damaged_in_every_way(
    noun: str, whole: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults: dict[str, str] = {}
    there = [record for record in records(whole) if record.parts[0] != "artifacts"]
    assert {noun_of(record) for record in there} == set(NOUNS)
    for record in (each for each in there if noun_of(each) == noun):
        sound = (root / record).read_text()
        for damage in damages(json.loads(sound)):
            (root / record).write_text(damage)
            for command in reads_of(record):
                code = main(command.split())
                told = capsys.readouterr().err
                if "fault in aml itself" in told or "Traceback" in told:
                    faults.setdefault(f"{record}: {command}: {told.strip()}", damage[:200])
                assert code in (0, 1)
        (root / record).write_text(sound)
    assert not faults, "\n".join(f"{fault}\n    {damage}" for fault, damage in list(faults.items())[:40])


@pytest.mark.parametrize("damage", [b"", b"not a database" * 100, None], ids=["empty", "other", "torn"])
@pytest.mark.parametrize("command", ["model list", "model show -n m -v 1", "model archive -n m -v 1"])
def test_a_damaged_database_is_named(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    damage: bytes | None,
    command: str,
) -> None:
    database = root / "mlflow.db"
    sound = database.read_bytes()
    database.write_bytes(sound[:4096] + b"\xff" * (len(sound) - 4096) if damage is None else damage)
    assert main(command.split()) == 1
    told = capsys.readouterr().err
    assert f"{database}: damaged" in told and "fault in aml itself" not in told and "Traceback" not in told


def test_what_a_later_version_has_added_is_left_out(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for record in records(root):
        value = json.loads((root / record).read_text())
        if record.parts[0] in ("jobs", "schedules", "endpoints") and record.name != "keys.json":
            (root / record).write_text(json.dumps(value | {"added_in_2027": {"a": 1}}, indent=1))
    for line in ("job list", "job show -n j", "schedule show -n t", "online-endpoint show -n door"):
        assert main(line.split()) == 0, capsys.readouterr().err


def test_what_a_user_has_removed_breaks_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "update", "-n", "j", "--remove", "display_name"]) == 0, capsys.readouterr().err
    assert main(["job", "list"]) == main(["job", "show", "-n", "j"]) == 0, capsys.readouterr().err


def test_a_whole_number_may_be_written_as_another() -> None:
    """azure-ai-ml takes 90e3 for a time in milliseconds, and JSON keeps it so."""
    plan = {"revision": 1, "python": "p", "folder": "f", "entry_script": "s", "instances": 1.0, "max_concurrent": 1}
    plan |= {"timeout_ms": 90e3, "variables": {}, "collections": {}}
    read = as_record(plan, ServingPlan, Path("endpoint.json"))
    assert (read.timeout_ms, read.instances) == (90_000, 1)
    with pytest.raises(UserError, match=r"timeout_ms is 0\.5, not a whole number"):
        as_record(plan | {"timeout_ms": 0.5}, ServingPlan, Path("endpoint.json"))
