"""Every verb and flag of `az ml` is supported or answered in one line, as docs/verbs.md says; the supported work."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli import verb_table

from amlocal.cli import main, unemulated
from amlocal.cli.arguments import is_text, scalar
from amlocal.client import LocalMLClient
from amlocal.core.names import creation_context
from amlocal.jobs.record import JobRecord

AZ = verb_table.documented()
THERE = verb_table.table_of_commands()


class Aml:
    """Runs `aml` in this process, on the test's workspace."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, line: str, *more: str) -> tuple[int, str, str]:
        code = main([*line.split(), *more])
        out, err = self._capsys.readouterr()
        return code, out, err

    def json(self, line: str, *more: str) -> Any:
        code, out, err = self(line, *more)
        assert code == 0, err
        return json.loads(out)

    def ok(self, line: str, *more: str) -> str:
        code, out, err = self(line, *more)
        assert code == 0, err
        return out

    def refused(self, line: str, *more: str) -> str:
        code, out, err = self(line, *more)
        assert (code, out, err.count("\n")) == (1, "", 1) and err.startswith("ERROR: "), err
        return err


@pytest.fixture
def aml(
    client: LocalMLClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Aml:
    monkeypatch.setenv("AMLOCAL_HOME", str(client.workspace.root))
    monkeypatch.delenv("AML_TARGET", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("alpha\n")
    return Aml(capsys)


@pytest.fixture
def job(client: LocalMLClient) -> Callable[..., str]:
    """Puts a job on record as one that has ended."""

    def put(name: str, **fields: Any) -> str:
        spec = {"type": "command", "command": "echo hi", "environment": "azureml:e:1", "compute": "azureml:c"}
        defaults = {
            "type": "command",
            "display_name": name,
            "experiment_name": "tests",
            "spec": spec,
            "creation_context": creation_context(),
            "status": "Completed",
        }
        client.jobs.store.create(JobRecord(name=name, **{**defaults, **fields}))
        return name

    return put


@pytest.fixture
def command_job(tmp_path: Path) -> str:
    (tmp_path / "job.yml").write_text("command: echo hi\nenvironment: {image: a}\n")
    return "job.yml"


# The table


def test_the_page_is_the_table_of_the_commands_there_are() -> None:
    page = verb_table.PAGE.read_text(encoding="utf-8")
    _, _, rest = page.partition(verb_table.START)
    remedy = "write it anew: python -m tests.cli.verb_table"
    assert rest.partition(verb_table.END)[0] == verb_table.render(), remedy
    assert verb_table.ASSUMED.keys() <= THERE.keys()


def test_every_documented_command_is_supported_or_answered() -> None:
    assert len(AZ) == 171
    answered = {command for command in AZ if unemulated.command_of(command.split()) == command}
    assert answered | THERE.keys() >= AZ.keys()
    assert not answered & THERE.keys()
    assert unemulated.VERBS.keys() <= AZ.keys(), "nothing is called not emulated that az does not have"


@pytest.mark.parametrize("command", sorted(AZ.keys() & THERE.keys()))
def test_every_documented_flag_is_accepted(command: str) -> None:
    options = {option for flag in verb_table.flags(THERE[command]) for option in flag.split("/")}
    options |= {"--workspace-name", "-w"}
    missing = [option for flag in AZ[command] for option in flag.split("/") if option not in options]
    assert missing == []


@pytest.mark.parametrize("command", sorted(AZ.keys() & THERE.keys()))
def test_nothing_is_required_that_az_does_not_require(command: str) -> None:
    required = {flag.split("/")[0] for flag, (_, needed) in verb_table.flags(THERE[command]).items() if needed}
    assert required <= {flag.split("/")[0] for flag, needed in AZ[command].items() if needed}


@pytest.mark.parametrize("command", sorted(AZ.keys() - THERE.keys()))
def test_what_is_not_emulated_says_so_in_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["--name", "x", "-w", "y"], ["--file", "x.yml", "--set", "a=b"], ["--help"]):
        assert main([*command.split(), *flags]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert err.startswith(f"ERROR: {command}: not emulated on this machine") and f"`az ml {command}`" in err


def test_global_flags_before_the_noun_hide_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--subscription", "x", "feature-store", "list"]) == 1
    assert "feature-store list: not emulated" in capsys.readouterr().err


# Generic update


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--set", "tags.a=1", "b=two words"], {"tags": {"a": "1", "k": "v"}, "b": "two words"}),
        (["--set", "tags.a=1", "--force-string"], {"tags": {"a": "1", "k": "v"}}),
        (
            ["--set", "list[0]=1.10", "description=7", "version=1.10"],
            {"list": [1.1, 2], "description": "7", "version": "1.10"},
        ),
        (["--set", 'b={"c": [1]}'], {"b": {"c": [1]}}),
        (["--set", "new.deep.er=true"], {"new": {"deep": {"er": True}}}),
        (["--set", "list[1]=5"], {"list": [1, 5]}),
        (["--set", 'tags."a.b"=c'], {"tags": {"k": "v", "a.b": "c"}}),
        (["--set", "url=https://x/?a=b"], {"url": "https://x/?a=b"}),
        (["--add", "list", "3"], {"list": [1, 2, 3]}),
        (["--add", "objects", "a=1", "b=x"], {"objects": [{"a": 1, "b": "x"}]}),
        (["--remove", "tags.k"], {"tags": {}}),
        (["--remove", "list", "0"], {"list": [2]}),
        (["--set", "tags.k=w", "--remove", "tags.k", "--set", "tags.z=1"], {"tags": {"z": "1"}}),
    ],
)
def test_generic_update(flags: list[str], expected: dict[str, Any]) -> None:
    import argparse

    from amlocal.cli.updates import Changes, _Change, _ForceString

    parser = argparse.ArgumentParser()
    for flag in ("--set", "--add", "--remove"):
        parser.add_argument(flag, dest=f"_{flag.strip('-')}", action=_Change, nargs="+")
    parser.add_argument("--force-string", dest="_force", action=_ForceString, nargs=0)
    changes: Changes = parser.parse_args(flags).changes
    before = {"tags": {"k": "v"}, "list": [1, 2]}
    assert changes.applied(before) == {**before, **expected}
    assert before == {"tags": {"k": "v"}, "list": [1, 2]}


def test_a_change_that_leads_nowhere_is_one_line(aml: Aml) -> None:
    aml.ok("data create -n letters -v 1 -p letters -t uri_folder")
    assert "--remove tags.x: there is no such thing" in aml.refused("data update -n letters -v 1 --remove tags.x")
    assert "--set tags: is not of the form" in aml.refused("data update -n letters -v 1 --set tags")
    assert "path cannot be changed; what can is description" in aml.refused("data update -n letters --set path=x")
    assert "version cannot be changed" in aml.refused("data update -n letters --set version=2")


# Assets


@pytest.mark.parametrize(
    ("noun", "create"),
    [
        ("data", "data create -n x -v 1 -p letters -t uri_folder"),
        ("model", "model create -n x -v 1 -p letters -t custom_model"),
        ("environment", "environment create -n x -v 1 --image ubuntu"),
        ("component", "component create -f component.yml -n x -v 1"),
    ],
)
def test_an_asset_through_its_life(aml: Aml, tmp_path: Path, noun: str, create: str) -> None:
    (tmp_path / "component.yml").write_text("type: command\nname: c\ncommand: echo\nenvironment: {image: a}\n")
    made = aml.json(create)
    assert (made["name"], made["version"]) == ("x", "1")
    assert aml.json(create) == made, "the same again is no error"
    aml.ok(create.replace("-v 1", "-v 2"))
    changed = aml.json(f"{noun} update -n x -v 1 --set tags.run=1 description=words", "-w", "any")
    assert (changed["tags"], changed["description"]) == ({"run": "1"}, "words")
    assert aml.json(f"{noun} update --name x --version 1 --remove tags.run")["tags"] == {}
    assert aml.json(f"{noun} show -n x -v 1") == aml.json(f"{noun} show --name x --version 1")
    assert aml.ok(f"{noun} show -n x -l latest --query version -o tsv") == "2\n"
    assert "label" in aml.refused(f"{noun} show -n x -l stable")

    versions = f"{noun} list -n x --query [].version -o tsv"
    assert aml.ok(versions).split() == ["2", "1"]
    assert aml.ok(f"{noun} archive -n x -v 2") == ""
    assert aml.ok(versions).split() == ["1"]
    assert aml.ok(f"{versions} --include-archived").split() == ["2", "1"]
    assert aml.ok(f"{versions} --archived-only").split() == ["2"]
    assert aml.json(f"{noun} show -n x -v 2")["version"] == "2", "an archived one can still be used"
    assert aml.ok(f"{noun} show -n x --label latest --query version -o tsv") == "1\n"
    aml.ok(f"{noun} archive -n x")
    assert aml.json(f"{noun} list") == [] and aml.json(f"{noun} list -n x") == []
    assert "archived as a whole" in aml.refused(f"{noun} restore -n x -v 1")
    assert "every version is archived" in aml.refused(f"{noun} show -n x")
    aml.ok(f"{noun} restore -n x")
    assert aml.ok(versions).split() == ["1"], "the version that was archived by itself still is"
    aml.ok(f"{noun} restore -n x -l latest")
    aml.ok(f"{noun} restore -n x -v 2")
    assert aml.ok(versions).split() == ["2", "1"]
    assert aml.ok(f"{noun} list -r 1 --query [].name -o tsv") == "x\n"
    for verb in ("show", "archive", "restore", "update --set description=x"):
        assert '"nothing"' in aml.refused(f"{noun} {verb} -n nothing")


@pytest.mark.parametrize("noun", ["model", "data", "environment", "component"])
def test_every_verb_of_an_asset_takes_a_registry(aml: Aml, noun: str) -> None:
    for verb in ("show", "archive", "restore", "update --set description=x", "list"):
        assert aml.refused(f"{noun} {verb} -n x --registry-name mine") == (
            'ERROR: registry "mine" was not found; see `aml registry create -n mine`\n'
        )
        if noun != "environment":
            assert "only the environments are known here" in aml.refused(f"{noun} {verb} -n x --registry-name azureml")


def test_the_registry_of_curated_environments_can_be_read(aml: Aml) -> None:
    shown = aml.json("environment show -n sklearn-1.5 -l latest --registry-name azureml")
    assert shown["name"] == "sklearn-1.5" and shown["image"].startswith(
        "mcr.microsoft.com/azureml/curated/sklearn-1.5:"
    )
    assert shown["id"] == f"azureml://registries/azureml/environments/sklearn-1.5/versions/{shown['version']}"
    assert shown in aml.json("environment list --registry-name azureml")
    assert aml.json("environment list -n sklearn-1.5 --registry-name azureml") == [shown]
    assert "is not known to be in the registry" in aml.refused("environment show -n x -v 1 --registry-name azureml")
    # the workspace resolves those that begin with AzureML-, and names the registry for the others
    assert aml.json("environment show -n AzureML-sklearn-1.5 -v 3")["version"] == "3"
    assert "azureml://registries/azureml/environments/sklearn-1.5/" in aml.refused(
        "environment show -n sklearn-1.5 -v 3"
    )
    assert aml.json("environment list") == []


def test_a_model_has_a_stage_and_any_version(aml: Aml) -> None:
    aml.ok("model create -n m -v 2024-01 -p letters --stage Staging --tags a=b")
    assert aml.ok("model show -n m -v 2024-01 --query stage -o tsv") == "Staging\n"
    aml.ok("model update -n m -v 2024-01 -s Production")
    assert aml.ok("model list -n m -s Production --query [].version -o tsv") == "2024-01\n"
    assert aml.json("model list -n m --stage None") == []
    aml.ok("model download -n m -v 2024-01 -p got")
    assert Path("got/m/letters/a.txt").read_text() == "alpha\n"


# Jobs


def test_a_job_is_changed_archived_and_restored(aml: Aml, job: Callable[..., str]) -> None:
    job("first", tags={"old": "1"})
    changed = aml.json("job update -n first --set tags.a=b display_name=Shown description=words properties.p=q")
    assert (changed["tags"], changed["display_name"]) == ({"old": "1", "a": "b"}, "Shown")
    assert (changed["description"], changed["properties"]["p"]) == ("words", "q")
    assert aml.json("job update -n first --remove tags.old --set experiment_name=other")["tags"] == {"a": "b"}
    shown = aml.json("job show -n first")
    assert (shown["experiment_name"], shown["tags"]) == ("other", {"a": "b"})
    assert "command cannot be changed" in aml.refused("job update -n first --set command=x")
    assert "is the job's own" in aml.refused("job update -n first --remove properties.StartTimeUtc")

    job("second")
    names = "job list --query [].name -o tsv"
    assert aml.ok(names).split() == ["second", "first"]
    assert aml.ok("job archive --name first") == ""
    assert aml.ok(names).split() == ["second"]
    assert aml.ok(f"{names} --archived-only").split() == ["first"]
    assert aml.ok(f"{names} --include-archived -r 1").split() == ["second"]
    aml.ok("job restore -n first")
    assert aml.ok(f"{names} --all-results true").split() == ["second", "first"]
    for verb in ("archive", "restore", "update --set tags.a=b", "show-services", "show", "cancel", "download"):
        assert 'job "nothing" was not found in this workspace' in aml.refused(f"job {verb} -n nothing")


def test_what_runs_cannot_be_archived(aml: Aml, client: LocalMLClient, job: Callable[..., str]) -> None:
    job("running", status="Running")
    assert "it can be archived when it has ended" in aml.refused("job archive -n running")


def test_the_run_in_mlflow_reads_like_the_job(aml: Aml, client: LocalMLClient, job: Callable[..., str]) -> None:
    from amlocal.core.mlflow_store import client as mlflow_client

    store = mlflow_client(client.workspace)
    run = store.create_run("0", tags={"old": "1"})
    job("tracked", run_id=run.info.run_id, experiment_id="0", tags={"old": "1"})
    aml.ok("job update -n tracked --set tags.a=b display_name=Shown --remove tags.old")
    tags = store.get_run(run.info.run_id).data.tags
    assert (tags["a"], tags["mlflow.runName"], "old" in tags) == ("b", "Shown", False)


def test_services_are_told_not_started(aml: Aml, job: Callable[..., str]) -> None:
    job("served", spec={"type": "command", "command": "x", "services": {"lab": {"type": "jupyter_lab", "port": 1}}})
    told = aml.json("job show-services -n served -i 0")
    assert told["lab"]["type"] == "jupyter_lab" and told["lab"]["status"] == "NotStarted"
    assert aml.json("job show -n served")["services"].keys() == {"lab", "Studio", "Tracking"}


def test_jobs_as_entities(client: LocalMLClient, job: Callable[..., str]) -> None:
    job("alone", tags={"a": "b"})
    got = client.jobs.get("alone")
    assert (got.status, got.tags, got.type) == ("Completed", {"a": "b"}, "command")
    assert got.studio_url.startswith("http://127.0.0.1")
    got.display_name, got.tags["c"] = "Shown", "d"
    assert client.jobs.create_or_update(got).display_name == "Shown", "one that is there is changed, not run again"
    assert client.jobs.update("alone", tags={"e": "f"}).tags == {"a": "b", "c": "d", "e": "f"}
    for kind in ("sweep", "parallel", "pipeline", "command"):
        job(f"alone_{kind}", type=kind, parent="alone", step=kind, spec={"compute": "azureml:c"})
    children = {child.name: child for child in client.jobs.list(parent_job_name="alone")}
    assert {child.type for child in children.values()} == {"sweep", "parallel", "pipeline", "command"}
    assert children["alone_sweep"].status == "Completed"
    client.jobs.archive("alone_sweep")
    assert [child.type for child in client.jobs.list(parent_job_name="alone", list_view_type="ArchivedOnly")] == [
        "sweep"
    ]


# Datastores, compute, workspaces


def test_a_datastore_is_a_folder(aml: Aml, client: LocalMLClient, tmp_path: Path) -> None:
    (tmp_path / "store.yml").write_text(
        "type: azure_blob\nname: mine\naccount_name: acc\ncontainer_name: con\ncredentials: {account_key: secret}\n"
    )
    made = aml.json("datastore create --file store.yml")
    assert (made["name"], made["account_name"], made["credentials"]) == ("mine", "acc", {})
    assert client.workspace.datastore("mine").is_dir()
    names = aml.ok("datastore list --query [].name -o tsv").split()
    assert names == [
        "workspaceblobstore",
        "workspacefilestore",
        "workspaceworkingdirectory",
        "workspaceartifactstore",
        "mine",
    ]
    assert aml.json("datastore list -r 1")[0]["name"] == "workspaceblobstore"
    assert aml.json("datastore show -n workspacefilestore")["type"] == "azure_file"
    assert aml.json("datastore update -n mine --set description=words tags.a=b")["tags"] == {"a": "b"}
    assert aml.json("datastore update -f store.yml")["name"] == "mine"
    assert "cannot be changed" in aml.refused("datastore update -n mine --set type=azure_file")
    assert client.datastores.get("mine").container_name == "con"
    assert client.datastores.get_default().name == "workspaceblobstore"
    (client.workspace.datastore("mine") / "kept.txt").write_text("kept")
    aml.ok("datastore delete -n mine")
    assert (client.workspace.datastore("mine") / "kept.txt").exists(), "as the files of an account stay"
    assert 'datastore "mine" was not found in this workspace' in aml.refused("datastore show -n mine")
    assert "belongs to the workspace" in aml.refused("datastore delete -n workspaceblobstore")


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "amlcompute", "size": "Standard_DS3_v2", "ssh_public_access_enabled": True},
        {"type": "virtualmachine", "resource_id": "/subscriptions/a/resourceGroups/b/providers/c/virtualMachines/d"},
    ],
    ids=lambda spec: spec["type"],
)
def test_a_password_is_neither_kept_nor_told(
    aml: Aml, client: LocalMLClient, tmp_path: Path, spec: dict[str, Any]
) -> None:
    """Azure answers null."""
    spec |= {"name": "vm", "ssh_settings": {"admin_username": "me", "admin_password": "hunter2"}}
    (tmp_path / "vm.yml").write_text(json.dumps(spec))
    told = aml.ok(f"compute create -f {tmp_path / 'vm.yml'}") + aml.ok("compute show -n vm") + aml.ok("compute list")
    told += aml.ok("compute update -n vm --set tags.a=b")
    assert "hunter2" not in told and json.loads(aml.ok("compute show -n vm"))["ssh_settings"]["admin_password"] is None
    assert client.compute.get("vm").ssh_settings.admin_password is None
    kept = b"".join(path.read_bytes() for path in client.workspace.root.rglob("*") if path.is_file())
    assert b"hunter2" not in kept


def test_tags_that_speak_of_passwords_are_kept(aml: Aml) -> None:
    aml.ok("compute create -n vm --type AmlCompute --size x --tags password_rotation=30d")
    assert aml.ok("compute show -n vm --query tags.password_rotation -o tsv") == "30d\n"


def test_compute_through_its_life(aml: Aml, client: LocalMLClient) -> None:
    aml.ok("compute create -n cluster -t AmlCompute --size Standard_DS3_v2 --max-instances 2 --tags a=b")
    aml.ok("compute create --name vm --type ComputeInstance")
    assert aml.ok("compute list --type computeinstance --query [].name -o tsv") == "vm\n"
    assert aml.ok("compute show -n vm --query state -o tsv") == "Running\n"
    aml.ok("compute stop -n vm")
    assert aml.ok("compute show -n vm --query state -o tsv") == "Stopped\n"
    aml.ok("compute start -n vm --no-wait")
    aml.ok("compute restart -n vm")
    assert aml.ok("compute show -n vm --query state -o tsv") == "Running\n"
    assert "only a computeinstance is started and stopped" in aml.refused("compute stop -n cluster")
    changed = aml.json("compute update -n cluster --max-instances 8 -d 60 --set tags.c=d")
    assert (changed["max_instances"], changed["idle_time_before_scale_down"]) == (8, 60)
    assert changed["tags"] == {"a": "b", "c": "d"}
    assert client.compute.get("cluster").max_instances == 8
    assert "size cannot be changed" in aml.refused("compute update -n cluster --set size=x")
    assert len(aml.json("compute list-nodes -n cluster")) == 1
    assert aml.json("compute list-sizes -l westeurope -t AmlCompute")[0]["v_cp_us"] >= 1
    aml.ok("compute delete -n vm --yes")
    for verb in ("show", "stop", "list-nodes", "delete --yes", "update --set tags.a=b"):
        assert 'compute "vm" was not found in this workspace' in aml.refused(f"compute {verb} -n vm")


def test_the_workspace_is_described(aml: Aml) -> None:
    aml.ok("workspace create -n ours -l westeurope --tags a=b --public-network-access Enabled")
    told = aml.json("workspace update -n ours --display-name", "Our own", "--set", "tags.c=d", "description=words")
    assert (told["name"], told["display_name"], told["description"]) == ("ours", "Our own", "words")
    assert told["tags"] == {"a": "b", "c": "d"}
    assert aml.json("workspace show") == told
    assert aml.json("workspace list --filtered-kinds default")[0] == told
    assert aml.ok("workspace sync-keys -n ours") == ""
    assert "location cannot be changed" in aml.refused("workspace update -n ours --set location=x")
    assert "was not found; the one of this folder" in aml.refused("workspace sync-keys -n theirs")


# Output


@pytest.mark.parametrize("noun", ["data", "compute", "datastore", "workspace", "job"])
def test_every_output_format(aml: Aml, job: Callable[..., str], noun: str) -> None:
    job("first")
    aml.ok("data create -n letters -p letters -t uri_folder")
    aml.ok("compute create -n cluster -t amlcompute --size s")
    whole = aml.json(f"{noun} list")
    assert whole
    assert yaml.safe_load(aml.ok(f"{noun} list -o yaml")) == whole
    assert json.loads(aml.ok(f"{noun} list --output jsonc").replace("\x1b[0m", "")) == whole
    names = aml.ok(f"{noun} list --query [].name -o tsv").split("\n")[:-1]
    assert names == [one["name"] for one in whole]
    rows = list(csv.reader(io.StringIO(aml.ok(f"{noun} list --query [].[name,tags] -o tsv")), delimiter="\t"))
    assert [row[0] for row in rows] == names
    table = aml.ok(f"{noun} list -o table").splitlines()
    assert table[0].startswith("Name") and len(table) == 2 + len(whole)
    assert aml.ok(f"{noun} list -o none") == ""
    assert aml(f"{noun} list --query [")[0] != 0
    assert aml(f"{noun} list --nonsense")[0] == 2


def test_what_is_printed_is_azure_ai_mls_own_dictionary(aml: Aml, client: LocalMLClient, tmp_path: Path) -> None:
    from azure.ai.ml import entities

    (tmp_path / "store.yml").write_text("type: azure_blob\nname: s\naccount_name: a\ncontainer_name: c\n")
    told = {
        "data": aml.json("data create -n d -p letters -t uri_folder -d words"),
        "environment": aml.json("environment create -n e --image ubuntu"),
        "model": aml.json("model create -n m -p letters"),
        "compute": aml.json("compute create -n c -t amlcompute --size s"),
        "datastore": aml.json("datastore create -f store.yml"),
    }
    made = {
        "data": entities.Data(name="d", version="1", path=".", type="uri_folder", description="words"),
        "environment": entities.Environment(name="e", version="1", image="ubuntu"),
        "model": entities.Model(name="m", version="1", path=".", type="custom_model"),
        "compute": entities.AmlCompute(name="c", size="s"),
        "datastore": entities.AzureBlobDatastore(name="s", account_name="a", container_name="c"),
    }
    # What the service adds once it knows of it, and azure-ai-ml then shows.
    added = {"creation_context", "id", "provisioning_state", "location", "job_name", "stage", "flavors", "description"}
    added |= {"os_type", "tags", "created_on", "credentials"}
    for kind, entity in made.items():
        wanted = entity._to_dict().keys() - {"$schema", "credentials", "created_on"}
        assert wanted <= told[kind].keys(), kind
        assert told[kind].keys() - wanted <= added, kind


def test_a_workspace_is_deleted_and_another_folder_is_not(
    aml: Aml, client: LocalMLClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("...")
    monkeypatch.setenv("AMLOCAL_HOME", str(mine))
    assert "chapter.txt, which no workspace writes" in aml.refused("workspace delete -y -n", tmp_path.name)
    aml.ok("compute create -n c -t amlcompute --size STANDARD_D2")
    aml.refused("workspace delete -y -n", tmp_path.name)
    assert (mine / "chapter.txt").exists()
    monkeypatch.setenv("AMLOCAL_HOME", str(client.workspace.root))
    aml.ok("data create -n letters -v 1 --type uri_folder --path letters")
    aml.ok("compute create -n c -t amlcompute --size STANDARD_D2")
    aml.ok("workspace delete -y -n", client.workspace.name)
    assert not client.workspace.root.exists()


def test_a_workspace_does_not_show_a_password(aml: Aml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hidden@host/")
    assert "hidden" not in aml.ok("workspace show")


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("tags.a", "1", "1"),
        ("tags.a.b", "true", "true"),
        ("jobs.train.tags.a", "1", "1"),
        ('tags["a"]', "1", "1"),
        ("version", "1.10", "1.10"),
        ("description", "7", "7"),
        ("inputs.version", "7", 7),
        ("inputs.lr", "0.1", 0.1),
        ("inputs.zip", "00501", "00501"),
        ("inputs.release", "1.10", "1.10"),
        ("inputs.answer", "yes", "yes"),
        ("inputs.time", "1:30", "1:30"),
        ("inputs.flag", "true", True),
        ("limits.timeout", "60", 60),
    ],
)
def test_set_changes_no_value_by_itself(path: str, text: str, value: Any) -> None:
    found = text if is_text(path) else scalar(text)
    assert found == value and type(found) is type(value)


def test_a_text_that_looks_a_number_is_a_text_to_the_schema(aml: Aml, command_job: str) -> None:
    made = aml.json("compute create -n c -t amlcompute --size STANDARD_D2 --set tags.a=1 description=7")
    assert (made["tags"], made["description"]) == ({"a": "1"}, "7")
    aml.ok("compute update -n c --set tags.b=2 description=8 min_instances=1")
    made = aml.json("compute show -n c")
    assert (made["tags"], made["description"], made["min_instances"]) == ({"a": "1", "b": "2"}, "8", 1)
    aml.ok(f"job validate -f {command_job} --set tags.a=1 description=7")


def test_update_writes_nothing_that_no_schema_allows(aml: Aml, command_job: str, tmp_path: Path) -> None:
    aml.ok("compute create -n c -t amlcompute --size STANDARD_D2")
    aml.ok("data create -n letters -v 1 --type uri_folder --path letters")
    (tmp_path / "schedule.yml").write_text(
        yaml.safe_dump(
            {
                "name": "s",
                "trigger": {"type": "cron", "expression": "0 1 * * *"},
                "create_job": "./pipeline.yml",
            }
        )
    )
    step = {"type": "command", "command": "echo", "environment": {"image": "a"}}
    (tmp_path / "pipeline.yml").write_text(yaml.safe_dump({"type": "pipeline", "jobs": {"one": step}}))
    aml.ok("schedule create -f schedule.yml")
    for noun, changes in {
        "compute update -n c": ("tags=5", "min_instances=abc", "colour=red"),
        "data update -n letters -v 1": ("tags=5", "properties=x"),
        "schedule update -n s": ("tags=5", "trigger=5", "trigger.type=never", "is_enabled=foo"),
        "workspace update": ("tags=5",),
    }.items():
        show = noun.replace("update", "show")
        before = aml.json(show)
        for change in changes:
            assert change.partition("=")[0].partition(".")[0] in aml.refused(f"{noun} --set {change}")
            assert aml.json(show) == before


def test_what_is_wrong_with_the_flags_is_told_without_json(aml: Aml) -> None:
    said = aml.refused("environment create -n e --build-context nope")
    assert "build.path" in said and "{" not in said and " a environment" not in said
    assert "name" in aml.refused("model create -n", "", "--path", "letters")
