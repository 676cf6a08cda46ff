"""Assets: what a name, a version or an address means, what a version keeps, and that nothing is lost or torn."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import load_component
from azure.ai.ml.entities import Data, Environment, Model
from azure.core.exceptions import ResourceNotFoundError

from amlocal.assets import models, uris
from amlocal.assets import store as assets
from amlocal.assets.named_outputs import register_output
from amlocal.assets.store import Assets
from amlocal.client import LocalMLClient
from amlocal.core.errors import NotFound, UserError
from amlocal.core.mlflow_store import client as mlflow_client
from amlocal.core.names import creation_context, version_key
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord

PLACE = "subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha\n")
    return folder


def ended(client: LocalMLClient, name: str, **fields: Any) -> JobRecord:
    record = JobRecord(
        name=name,
        type="command",
        display_name=name,
        experiment_name="tests",
        spec={"type": "command", "command": "echo"},
        creation_context=creation_context(),
        status="Completed",
        **fields,
    )
    client.jobs.store.create(record)
    return record


# Versions


def test_numbers_compare_as_numbers_and_below_words() -> None:
    assert sorted(["10", "9", "b", "1.2", "2", "010"], key=version_key) == ["2", "9", "010", "10", "1.2", "b"]


def test_the_next_version_is_one_more_than_the_highest_number(client: LocalMLClient, letters: Path) -> None:
    for version in ("9", "10", "2024-01", None, None):
        client.data.create_or_update(Data(name="x", version=version, path=str(letters)))
    assert [one.version for one in client.data.list("x")] == ["12", "11", "2024-01", "10", "9"]


def test_latest_is_the_one_created_last(client: LocalMLClient, letters: Path) -> None:
    for version in ("5", "1"):
        client.data.create_or_update(Data(name="x", version=version, path=str(letters)))
        client.models.create_or_update(Model(name="x", version=version, path=str(letters)))
    assert client.data.get("x", label="latest").version == "1"
    assert client.models.get("x", label="latest").version == "1"
    with pytest.raises(ResourceNotFoundError, match='label "stable" is not known; only "latest" is'):
        client.data.get("x", label="stable")


def test_a_version_keeps_what_it_was_given(client: LocalMLClient, letters: Path, tmp_path: Path) -> None:
    first = client.data.create_or_update(Data(name="x", version="1", path=str(letters)))
    (letters / "a.txt").write_text("changed\n")
    assert (Path(first.path) / "a.txt").read_text() == "alpha\n"
    with pytest.raises(UserError, match='field "path" is immutable, try specifying a new version'):
        client.data.create_or_update(Data(name="x", version="1", path=str(letters)))
    second = client.data.create_or_update(Data(name="x", path=str(letters)))
    assert (Path(second.path) / "a.txt").read_text() == "changed\n"
    single = client.data.create_or_update(Data(name="y", path=str(letters / "a.txt"), type="uri_file"))
    assert Path(single.path).read_text() == "changed\n"


def test_the_workspace_is_not_copied_into_itself(client: LocalMLClient) -> None:
    home = client.workspace.root.parent
    (home / "notes.txt").write_text("hi")
    (home / ".amlignore").write_text("big/\n.amlignore\n")
    (home / "big").mkdir()
    (home / "big" / "x").write_text("x")
    made = client.data.create_or_update(Data(name="x", path=str(home)))
    assert [path.name for path in Path(made.path).rglob("*")] == ["notes.txt"]
    inside = client.workspace.datastore() / "here"
    inside.mkdir(parents=True)
    assert Path(client.data.create_or_update(Data(name="y", path=str(inside))).path) == inside


def test_an_empty_folder_is_no_asset(client: LocalMLClient, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="an empty folder"):
        client.data.create_or_update(Data(name="x", path=str(tmp_path / "empty")))


def test_description_and_tags_are_brought_up_to_date(client: LocalMLClient, letters: Path) -> None:
    for kind, operations in ((Data, client.data), (Model, client.models)):
        operations.create_or_update(kind(name="x", version="1", path=str(letters), tags={"a": "b"}))
        operations.create_or_update(kind(name="x", version="1", path=str(letters), description="words"))
        got = operations.get("x", "1")
        assert (got.description, got.tags) == ("words", {"a": "b"})
        got.tags = {"c": "d"}
        assert operations.create_or_update(got).tags == {"c": "d"}


# Addresses


@pytest.mark.parametrize(
    "uri",
    [
        "azureml:x:1",
        "azureml:x@latest",
        f"azureml:/{PLACE}/data/x/versions/1",
        f"/{PLACE}/data/x/versions/1",
        f"azureml:/{PLACE}/data/x/labels/latest",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/data/x/versions/1",
        "azureml://locations/westeurope/workspaces/0000/data/x/versions/1",
    ],
)
def test_every_way_to_name_a_data_asset(client: LocalMLClient, letters: Path, uri: str) -> None:
    client.data.create_or_update(Data(name="x", version="1", path=str(letters)))
    assert (uris.resolve(client.workspace, uri, letters) / "a.txt").read_text() == "alpha\n"


@pytest.mark.parametrize(
    "uri",
    [
        "azureml://datastores/workspaceblobstore/paths/a/b.txt",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/workspaceblobstore/paths/a/b.txt",
        f"azureml://{PLACE}/datastores/workspaceblobstore/paths/a/b.txt",
    ],
)
def test_a_file_in_a_datastore(client: LocalMLClient, tmp_path: Path, uri: str) -> None:
    (client.workspace.datastore() / "a").mkdir(parents=True)
    (client.workspace.datastore() / "a" / "b.txt").write_text("beta")
    assert uris.resolve(client.workspace, uri, tmp_path, "uri_file").read_text() == "beta"
    made = client.data.create_or_update(Data(name="x", version="1", path=uri, type="uri_file"))
    assert made.path == uri, "what lies in a datastore stays where it is"
    assert uris.resolve(client.workspace, "azureml:x:1", tmp_path, "uri_file").read_text() == "beta"


def test_what_is_to_lie_in_a_datastore_may_come_later(client: LocalMLClient, tmp_path: Path) -> None:
    uri = "azureml://datastores/workspaceblobstore/paths/later/b.txt"
    client.data.create_or_update(Data(name="x", version="1", path=uri, type="uri_file"))
    with pytest.raises(NotFound, match="no such file or folder"):
        uris.resolve(client.workspace, "azureml:x:1", tmp_path, "uri_file")
    with pytest.raises(NotFound, match='datastore "gone" was not found in this workspace'):
        client.data.create_or_update(Data(name="y", path="azureml://datastores/gone/paths/x"))


@pytest.mark.parametrize("name", ["my data", "100%", "a%20b", "%2e%2e", "a..b"])
@pytest.mark.parametrize("start", ["azureml://", f"azureml://{PLACE}/"])
def test_a_path_in_a_datastore_means_what_it_says(client: LocalMLClient, tmp_path: Path, name: str, start: str) -> None:
    """Whoever writes there and whoever reads there reads the path alike: azure-ai-ml unquotes nothing."""
    uri = f"{start}datastores/workspaceblobstore/paths/{name}/x"
    stored = uris.DatastorePath.parse(uri)
    assert stored and stored.place(client.workspace) == client.workspace.datastore().resolve() / name / "x"
    stored.place(client.workspace).parent.mkdir(parents=True)
    stored.place(client.workspace).write_text("here")
    client.data.create_or_update(Data(name="x", version="1", path=uri, type="uri_file"))
    assert uris.resolve(client.workspace, "azureml:x:1", tmp_path, "uri_file").read_text() == "here"


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc/passwd", "a/..//../x", "./../x", "a\0b"])
@pytest.mark.parametrize("start", ["azureml://", f"azureml://{PLACE}/"])
def test_a_path_that_leads_out_of_its_datastore_is_refused(client: LocalMLClient, start: str, path: str) -> None:
    uri = f"{start}datastores/workspaceblobstore/paths/{path}"
    told = 'leads out of datastore "workspaceblobstore"; write a path below it'
    with pytest.raises(UserError, match=told):
        uris.DatastorePath.parse(uri)
    with pytest.raises(UserError, match=f'data "x": path: .*{told}'):
        client.data.create_or_update(Data(name="x", version="1", path=uri, type="uri_file"))
    with pytest.raises(UserError, match=f'model "x": path: .*{told}'):
        client.models.create_or_update(Model(name="x", path=uri))


def test_a_link_out_of_a_datastore_is_not_followed(client: LocalMLClient, tmp_path: Path) -> None:
    client.workspace.datastore().mkdir(parents=True, exist_ok=True)
    (client.workspace.datastore() / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="leads out of"):
        uris.locate(client.workspace, "azureml://datastores/workspaceblobstore/paths/link/x", tmp_path)


def test_the_whole_of_a_datastore(client: LocalMLClient, tmp_path: Path) -> None:
    client.workspace.datastore().mkdir(parents=True, exist_ok=True)
    for uri in ("azureml://datastores/workspaceblobstore", "azureml://datastores/workspaceblobstore/paths/"):
        assert uris.resolve(client.workspace, uri, tmp_path) == client.workspace.datastore().resolve()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (
            "azureml://datastores/gone/paths/x",
            'datastore "gone" was not found in this workspace; see `aml datastore create',
        ),
        (
            "azureml://registries/azureml/models/x/versions/1",
            "only the environments are known here",
        ),
        ("azureml:x:1:2", 'data "x" was not found in this workspace'),
        ("azureml:x@stable", 'label "stable" is not known; only "latest" is'),
        ("runs:/nothing/model", "not to be had from MLflow"),
    ],
)
def test_an_address_that_means_nothing_here(client: LocalMLClient, tmp_path: Path, uri: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        uris.resolve(client.workspace, uri, tmp_path)


@pytest.mark.parametrize("by", ["run id", "job name"])
def test_a_model_of_a_run_named_by_its_job_or_its_id(client: LocalMLClient, letters: Path, by: str) -> None:
    store = mlflow_client(client.workspace)
    experiment = store.create_experiment("e", artifact_location=client.workspace.artifacts.as_uri())
    run = store.create_run(experiment, tags={"azureml.jobName": "brave_ant"}).info.run_id
    store.log_artifacts(run, str(letters), "model")
    ended(client, "brave_ant", run_id=run)
    name = run if by == "run id" else "brave_ant"
    made = client.models.create_or_update(
        Model(name="m", version="3", path=f"runs:/{name}/model/", type="custom_model")
    )
    assert (made.version, client.models.describe("m", "3")["job_name"]) == ("3", "brave_ant")
    client.models.download("m", "3", letters.parent / "got")
    assert (letters.parent / "got" / "m" / "model" / "a.txt").read_text() == "alpha\n"


# Models and MLflow


def test_versions_asked_for_and_versions_that_mlflow_counts(client: LocalMLClient, letters: Path) -> None:
    for version in ("7", "2024-01", None, "2"):
        client.models.create_or_update(Model(name="m", version=version, path=str(letters)))
    store = mlflow_client(client.workspace)
    store.create_model_version("m", letters.as_uri())  # MLflow's fifth, as a script would register it
    assert sorted(one["version"] for one in client.models.describe_all("m")) == ["2", "2024-01", "5", "7", "8"]
    assert client.models.get("m", label="latest").version == "5"
    assert uris.resolve(client.workspace, "azureml:m:2024-01", letters, "custom_model").is_dir()
    with pytest.raises(ResourceNotFoundError, match="version 1 was not found; there is"):
        client.models.get("m", "1")
    assert client.models.create_or_update(Model(name="m", path=str(letters))).version == "9"


def test_mlflows_number_that_was_asked_for_already(client: LocalMLClient, letters: Path) -> None:
    client.models.create_or_update(Model(name="m", version="2", path=str(letters), tags={"by": "hand"}))
    mlflow_client(client.workspace).create_model_version("m", letters.as_uri())  # MLflow calls it 2, too
    assert client.models.get("m", "2").tags == {"by": "hand"}
    assert sorted(one["version"] for one in client.models.describe_all("m")) == ["2", "3"]


# MLTable

TABLE = "type: mltable\npaths:\n  - {file: ./a.txt}\n  - {pattern: ./*.txt}\n  - {folder: .}\ntransformations: []\n"


def test_a_table_is_checked_and_kept(client: LocalMLClient, letters: Path) -> None:
    (letters / "MLTable").write_text(TABLE + "# https too\n")
    made = client.data.create_or_update(Data(name="t", version="1", path=str(letters), type="mltable"))
    assert (Path(made.path) / "MLTable").exists() and made.type == "mltable"
    assert uris.resolve(client.workspace, "azureml:t:1", letters, "mltable") == Path(made.path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "an mltable needs a file called MLTable in its folder"),
        ("paths: [", r"MLTable:\d: not valid YAML"),
        ("type: mltable", "paths: required, a list of"),
        ("paths: [{files: a.txt}]", "each is one of file, folder, pattern"),
        ("paths: [{file: ./gone.csv}]", "paths: file: ./gone.csv: no such file or folder beside it"),
        ("paths: [{pattern: ./*.csv}]", r"paths: pattern: ./\*.csv: no such file"),
    ],
)
def test_a_table_that_is_none(client: LocalMLClient, letters: Path, table: str | None, said: str) -> None:
    if table is not None:
        (letters / "MLTable").write_text(table)
    with pytest.raises(UserError, match=said):
        client.data.create_or_update(Data(name="t", path=str(letters), type="mltable"))


def test_a_table_may_be_of_addresses(client: LocalMLClient, letters: Path) -> None:
    (letters / "MLTable").write_text(
        "paths:\n  - file: https://a.b/c.csv\n  - folder: azureml://datastores/x/paths/y\n"
    )
    client.data.create_or_update(Data(name="t", path=str(letters), type="mltable"))


def test_a_job_may_be_given_any_folder_as_a_table(client: LocalMLClient, letters: Path) -> None:
    """As Azure does: it is mounted, and only what reads it as a table needs the file."""
    assert uris.resolve(client.workspace, str(letters), letters, "mltable") == letters


# Components and environments


def test_the_code_of_a_component_is_kept(client: LocalMLClient, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "hello.py").write_text("print('hello')")
    inner = "type: command\nname: inner\ncode: src\ncommand: python hello.py\nenvironment: {image: a}\n"
    (tmp_path / "inner.yml").write_text(inner)
    (tmp_path / "outer.yml").write_text(
        "type: pipeline\nname: outer\nversion: 1\njobs:\n  a: {type: command, component: inner.yml}\n"
    )
    client.components.create_or_update(load_component(tmp_path / "inner.yml"))
    client.components.create_or_update(load_component(tmp_path / "outer.yml"))
    (tmp_path / "src" / "hello.py").unlink()
    codes = [client.components.describe("inner")["code"]]
    codes.append(client.components.describe("outer", "1")["jobs"]["a"]["component"]["code"])
    assert all((Path(code) / "hello.py").read_text() == "print('hello')" for code in codes)
    assert client.components.get("outer").jobs["a"].component.command == "python hello.py"


@pytest.mark.parametrize("inside", [False, True])
def test_additional_includes_are_part_of_the_code(client: LocalMLClient, tmp_path: Path, inside: bool) -> None:
    for folder in ("src", "common"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.py").write_text("")
    (tmp_path / "inner.yml").write_text(
        "type: command\nname: inner\nversion: 1\ncode: src\nadditional_includes: [common]\n"
        "command: python src.py\nenvironment: {image: a}\n"
    )
    (tmp_path / "outer.yml").write_text(
        "type: pipeline\nname: outer\nversion: 1\njobs:\n  a: {type: command, component: inner.yml}\n"
    )
    name = "outer" if inside else "inner"
    client.components.create_or_update(load_component(tmp_path / f"{name}.yml"))
    told = client.components.describe(name, "1")
    code = Path((told["jobs"]["a"]["component"] if inside else told)["code"])
    assert sorted(path.relative_to(code).as_posix() for path in code.rglob("*.py")) == ["common/common.py", "src.py"]
    assert client.components.get(name, "1").name == name


def test_the_build_context_of_an_environment_is_kept(client: LocalMLClient, letters: Path) -> None:
    from azure.ai.ml.entities import BuildContext

    (letters / "Dockerfile").write_text("FROM ubuntu\n")
    environment = Environment(name="e", version="1", build=BuildContext(path=str(letters)))
    client.environments.create_or_update(environment)
    kept = Path(client.environments.describe("e", "1")["build"]["path"])
    assert kept.is_relative_to(client.workspace.root) and (kept / "Dockerfile").exists()


# Outputs of jobs


def test_an_output_of_a_job_becomes_an_asset(client: LocalMLClient, letters: Path) -> None:
    record = ended(client, "brave_ant")
    first = register_output(client.workspace, "out", None, "uri_folder", letters, record.name, record.run_id)
    assert (first["version"], first["path"], first["type"]) == ("1", str(letters), "uri_folder")
    assert client.data.get("out", "1").properties["jobName"] == "brave_ant"
    made = register_output(client.workspace, "net", "5", "custom_model", letters, record.name, record.run_id)
    assert (made["version"], client.models.get("net", "5").type) == ("5", "custom_model")
    with pytest.raises(UserError, match="exists with another content"):
        register_output(client.workspace, "out", "1", "uri_folder", letters.parent, record.name, record.run_id)


# Many at once, and kill -9

CREATE = """
import sys
from pathlib import Path
from amlocal.assets.store import Assets
from amlocal.core.workspace import Workspace
assets = Assets(Workspace(Path(sys.argv[1])), "data")
for n in range(int(sys.argv[2])):
    assets.create({"name": "many", "path": sys.argv[3], "type": "uri_folder"})
    assets.archive("many", str(n + 1), archived=n % 2 == 0)
"""


def start(workspace: Workspace, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, str(workspace.root), *arguments], stderr=subprocess.PIPE)


def test_many_processes_lose_no_version(client: LocalMLClient) -> None:
    processes = [start(client.workspace, CREATE, "10", f"/{number}") for number in range(6)]
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err.decode()
    specs = list(Assets(client.workspace, "data").versions("many", assets.ALL))
    assert sorted(int(spec["version"]) for spec in specs) == list(range(1, 61))
    assert all(sum(spec["path"] == f"/{number}" for spec in specs) == 10 for number in range(6))


def test_killed_at_any_moment_what_is_registered_is_whole(client: LocalMLClient, tmp_path: Path) -> None:
    for number in range(12):
        process = start(client.workspace, CREATE, "1000", "/x")
        deadline = time.monotonic() + 30
        seen = len(list(Assets(client.workspace, "data").folder.glob("many/[!.]*.json")))
        while len(list(Assets(client.workspace, "data").folder.glob("many/[!.]*.json"))) <= seen:
            assert time.monotonic() < deadline
        time.sleep(number / 500)  # another moment each time
        os.kill(process.pid, signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        process.communicate()
    specs = list(Assets(client.workspace, "data").versions("many", assets.ALL))
    assert sorted(int(spec["version"]) for spec in specs) == list(range(1, len(specs) + 1))
    made = Assets(client.workspace, "data").create({"name": "many", "path": "/y", "type": "uri_folder"})
    assert int(made["version"]) == len(specs) + 1


def test_a_model_whose_registration_was_cut_off_leaves_no_half_of_it(
    client: LocalMLClient, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(source: Path, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "half").write_text("h")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(models, "copy_into", cut)
        models.create(client.workspace, {"name": "m", "type": "custom_model"}, letters, None)
    assert client.models.describe_all() == []
    client.models.create_or_update(Model(name="m", path=str(letters)))
    path = models.local_path(client.workspace, "m", "1", None)
    assert path.name == "letters" and [file.name for file in path.iterdir()] == ["a.txt"]


def test_an_upload_that_was_cut_off_is_not_taken_for_one(
    client: LocalMLClient, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "copy2", cut)
        client.data.create_or_update(Data(name="x", path=str(letters)))
    with pytest.raises(NotFound):
        client.data.describe("x")
    made = client.data.create_or_update(Data(name="x", path=str(letters)))
    assert (Path(made.path) / "a.txt").read_text() == "alpha\n"


def test_versions_written_before_there_were_archives_are_read(client: LocalMLClient) -> None:
    folder = client.workspace.assets / "data" / "old"
    folder.mkdir(parents=True)
    spec = {"name": "old", "version": "1", "path": "/x", "creation_context": creation_context()}
    (folder / "1.json").write_text(json.dumps(spec))
    assert client.data.describe("old")["path"] == "/x"


@pytest.mark.parametrize("name", ["../../../evil", "..", "", "a/b"])
def test_a_name_does_not_lead_out_of_the_workspace(client: LocalMLClient, letters: Path, name: str) -> None:
    with pytest.raises(UserError, match="model name"):
        models.create(client.workspace, {"name": name, "version": "1"}, letters, None)
    client.data.create_or_update(Data(name="x", path=str(letters)))
    for bad in (name, "../data/x", None):
        with pytest.raises(ResourceNotFoundError):
            client.data.get(bad)
        with pytest.raises(ResourceNotFoundError):
            client.compute.begin_delete(bad)
    assert client.data.get("x", "1").version == "1"
    assert not (client.workspace.root / "models").exists()


def test_a_datastore_of_no_name_is_none(client: LocalMLClient, tmp_path: Path) -> None:
    (client.workspace.assets / "datastore" / "mine").mkdir(parents=True)
    with pytest.raises(NotFound, match="datastore"):
        uris.resolve(client.workspace, "azureml://datastores/../paths/assets", tmp_path)


def test_a_model_may_not_have_tags_of_ours(client: LocalMLClient, letters: Path) -> None:
    for key in models.OURS:
        with pytest.raises(UserError, match="kept by aml itself"):
            client.models.create_or_update(Model(name="m", path=str(letters), tags={key: "9"}))
    assert models.names(client.workspace) == [] and not (client.workspace.root / "models").exists()


def test_more_models_than_mlflow_gives_at_once(client: LocalMLClient, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = mlflow_client(client.workspace)
    for number in range(5):
        registry.create_registered_model(f"m{number}")
    whole = type(registry).search_registered_models
    monkeypatch.setattr(
        type(registry), "search_registered_models", lambda *given, **more: whole(*given, max_results=2, **more)
    )
    assert models.names(client.workspace) == [f"m{number}" for number in range(5)]
