"""LocalMLClient where a program has MLClient: the same arguments, attributes and methods; jobs built in Python."""

import inspect
import io
import re
from pathlib import Path

import pytest
from azure.ai.ml import Input, MLClient, Output, command, dsl, load_component, load_job, operations
from azure.ai.ml.entities import (
    AmlCompute,
    CronTrigger,
    Data,
    Environment,
    JobSchedule,
    ManagedOnlineEndpoint,
    Model,
)
from azure.ai.ml.sweep import Choice
from azure.core.exceptions import ResourceNotFoundError

from amlocal import client as local
from amlocal.client import LocalMLClient
from amlocal.core.errors import NotEmulated, UserError

OPERATIONS = {
    "compute": "ComputeOperations",
    "components": "ComponentOperations",
    "data": "DataOperations",
    "datastores": "DatastoreOperations",
    "environments": "EnvironmentOperations",
    "jobs": "JobOperations",
    "models": "ModelOperations",
    "online_deployments": "OnlineDeploymentOperations",
    "online_endpoints": "OnlineEndpointOperations",
    "schedules": "ScheduleOperations",
    "workspaces": "WorkspaceOperations",
}
HERE = Environment(name="here", image="a")


# ---- the client itself


@pytest.mark.parametrize(
    "make",
    [
        lambda: LocalMLClient(),
        lambda: LocalMLClient("credential", "s", "g", "w") and LocalMLClient(object(), "s", "g", "w"),
        lambda: LocalMLClient(credential=object(), subscription_id="s", resource_group_name="g", workspace_name="w"),
        lambda: LocalMLClient(object(), "s", "g", "w", enable_telemetry=False, show_progress=False, cloud="AzureCloud"),
        lambda: LocalMLClient.from_config(object()),
        lambda: LocalMLClient.from_config(credential=object(), path="/none/such", file_name="config.json", cloud="x"),
    ],
)
def test_it_is_made_as_mlclient_is(make, client, monkeypatch):
    monkeypatch.setenv("AMLOCAL_HOME", str(client.workspace.root))
    assert make().workspace.root == client.workspace.root


def test_it_gives_back_what_it_was_made_with(tmp_path, monkeypatch):
    monkeypatch.delenv("AMLOCAL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    client = LocalMLClient(object(), "s", "g", "w")
    assert (client.subscription_id, client.resource_group_name, client.workspace_name) == ("s", "g", "w")
    client = LocalMLClient()
    assert (client.subscription_id, client.resource_group_name) == (local.NOBODY, "local")
    assert client.workspace_name == tmp_path.name
    assert not (tmp_path / ".amlocal").exists(), "asking makes nothing"


def test_a_folder_may_stand_where_the_credential_does(tmp_path):
    for client in (
        LocalMLClient(tmp_path / "w"),
        LocalMLClient(str(tmp_path / "w")),
        LocalMLClient(workspace=tmp_path / "w"),
    ):
        assert client.workspace.root == tmp_path / "w"


def test_every_attribute_of_mlclient_is_there_or_said_to_be_missing(client):
    public = {name for name, member in inspect.getmembers(MLClient) if not name.startswith("_") and name not in "RT"}
    missing = {name for name in public if not hasattr(client, name)}
    assert missing == set(local.AZURE_ONLY)
    with pytest.raises(NotEmulated, match=r"client\.feature_stores: not emulated on this machine"):
        getattr(client, "feature_stores")  # noqa: B009 (what is tested)
    with pytest.raises(AttributeError, match="has no attribute jbos"):
        getattr(client, "jbos")  # noqa: B009
    with pytest.raises(ResourceNotFoundError, match='registry "mine" was not found'):
        LocalMLClient(object(), registry_name="mine")


@pytest.mark.parametrize("name", OPERATIONS)
def test_methods_take_what_mlclients_take(client, name):
    ours = getattr(client, name)
    for method, theirs in inspect.getmembers(getattr(operations, OPERATIONS[name]), inspect.isfunction):
        if method.startswith("_"):
            continue
        if not hasattr(ours, method):
            with pytest.raises(NotEmulated, match=f"{method} is not emulated on this machine"):
                getattr(ours, method)
            continue
        wanted = [each for each in inspect.signature(theirs).parameters.values() if each.name != "self"]
        taken = inspect.signature(getattr(ours, method)).parameters
        open_ended = any(each.kind is each.VAR_KEYWORD for each in taken.values())
        positional = [each.name for each in wanted if each.kind is each.POSITIONAL_OR_KEYWORD]
        assert [each.name for each in taken.values() if each.kind is each.POSITIONAL_OR_KEYWORD][
            : len(positional)
        ] == positional, method
        lacking = [each.name for each in wanted if each.kind is each.KEYWORD_ONLY and each.name not in taken]
        assert open_ended or not lacking, f"{method} lacks {lacking}"


# ---- create_or_update on the client


def test_a_workspace_has_an_id_to_take_apart(client):
    found = client.workspaces.get("whatever-it-is-called-in-azure")
    assert found.id.split("/")[2] == local.NOBODY
    assert found.mlflow_tracking_uri.startswith("sqlite:")


def test_it_finds_the_operations_by_the_entity(client, tmp_path):
    (tmp_path / "f.txt").write_text("1")
    assert client.create_or_update(Data(name="d", path=str(tmp_path / "f.txt"), type="uri_file")).version == "1"
    assert client.create_or_update(Environment(name="e", image="a")).name == "e"
    assert client.create_or_update(Model(name="m", path=str(tmp_path / "f.txt"))).version == "1"
    assert client.begin_create_or_update(AmlCompute(name="cpu", size="x")).result().name == "cpu"
    trigger = CronTrigger(expression="0 3 * * *")
    job = load_job(io.StringIO("type: pipeline\njobs: {a: {type: command, command: echo, environment: {image: a}}}\n"))
    schedule = JobSchedule(name="s", trigger=trigger, create_job=job)
    assert client.begin_create_or_update(schedule).result().is_enabled


@pytest.mark.parametrize("entity", [AmlCompute(name="cpu", size="x"), "text"])
def test_what_it_does_not_create_at_once(client, entity):
    with pytest.raises(TypeError, match="create_or_update takes a Job, Model, Data"):
        client.create_or_update(entity)


@pytest.mark.parametrize("entity", [HERE, None])
def test_what_does_not_take_long(client, entity):
    with pytest.raises(TypeError, match="begin_create_or_update takes a Compute, OnlineEndpoint"):
        client.begin_create_or_update(entity)


def test_endpoints_are_created_by_the_client_too(client, monkeypatch):
    made = []
    monkeypatch.setattr(
        type(client.online_endpoints), "begin_create_or_update", lambda _, entity, **__: made.append(entity)
    )
    client.begin_create_or_update(ManagedOnlineEndpoint(name="e", auth_mode="key"))
    assert [entity.name for entity in made] == ["e"]


# ---- jobs built in Python


def log_of(client, name):
    return (client.jobs.store.folder(name) / "user_logs" / "std_log.txt").read_text()


def test_a_command_and_what_a_notebook_looks_at(client, finish, tmp_path):
    (tmp_path / "words.txt").write_text("hello there")
    job = client.create_or_update(
        command(
            command="cat ${{inputs.words}} | tee ${{outputs.said}}/said.txt",
            inputs={"words": Input(type="uri_file", path=str(tmp_path / "words.txt"))},
            outputs={"said": Output(type="uri_folder")},
            environment=HERE,
            display_name="say it",
            experiment_name="talk",
            tags={"a": "b"},
        )
    )
    assert job.status in ("NotStarted", "Preparing", "Running", "Completed", "Queued", "Starting")
    assert finish(job.name).status == "Completed"
    job = client.jobs.get(job.name)
    assert (job.status, job.display_name, job.experiment_name, job.tags["a"]) == ("Completed", "say it", "talk", "b")
    assert re.fullmatch(r"http://127.0.0.1:\d+/#/experiments/\w+/runs/\w+", job.studio_url)
    assert job.services["Studio"].endpoint == job.studio_url
    assert job.creation_context.created_at
    client.jobs.download(name=job.name, download_path=tmp_path / "got", output_name="said")
    assert (tmp_path / "got" / "named-outputs" / "said" / "said.txt").read_text() == "hello there"
    assert [each.name for each in client.jobs.list()] == [job.name]


def test_a_pipeline_of_functions_components_and_pipelines(client, finish, spec, tmp_path):
    spec(
        """
        type: command
        name: shout
        version: 1
        inputs: {text: {type: uri_folder}}
        outputs: {loud: {type: uri_folder}}
        environment: {image: a}
        command: tr a-z A-Z < ${{inputs.text}}/text.txt > ${{outputs.loud}}/text.txt
        """,
        "shout.yml",
    )
    client.components.create_or_update(load_component(tmp_path / "shout.yml"))
    shout = client.components.get("shout", version="1")
    write = command(
        command="echo ${{inputs.word}} > ${{outputs.text}}/text.txt",
        inputs={"word": Input(type="string")},
        outputs={"text": Output(type="uri_folder")},
        environment=HERE,
    )
    show = command(command="cat ${{inputs.text}}/text.txt", inputs={"text": Input(type="uri_folder")}, environment=HERE)

    @dsl.pipeline()
    def loudly(word):
        written = write(word=word)
        return {"loud": shout(text=written.outputs.text).outputs.loud}

    @dsl.pipeline(default_compute="cpu-cluster")
    def conversation(word="hello"):
        shown = show(text=loudly(word=word).outputs.loud)
        shown.name = "show"

    job = client.jobs.create_or_update(conversation(word="good morning"), experiment_name="talk", tags={"a": "b"})
    assert finish(job.name).status == "Completed", client.jobs.store.get(job.name).error
    assert "GOOD MORNING" in log_of(client, f"{job.name}_show")
    job = client.jobs.get(job.name)
    assert (job.experiment_name, job.tags["a"]) == ("talk", "b")
    children = {child.name: child.status for child in client.jobs.list(parent_job_name=job.name)}
    assert children[f"{job.name}_show"] == "Completed"
    assert client.jobs.get(f"{job.name}_show").status == "Completed"


def test_a_function_becomes_a_component(client):
    once = command(command="echo ${{inputs.n}}", inputs={"n": Input(type="integer")}, environment=HERE)

    @dsl.pipeline(name="counting", version="3")
    def counting(n: Input(type="integer")):
        once(n=n)

    made = client.components.create_or_update(counting)
    assert (made.name, made.version, made.type) == ("counting", "3", "pipeline")
    assert client.components.get("counting", label="latest").version == "3"
    assert client.components.create_or_update(counting, version="4").version == "4"


def test_a_sweep_finds_its_best(client, finish, tmp_path):
    (tmp_path / "try.py").write_text("import mlflow, sys\nmlflow.log_metric('score', float(sys.argv[1]))\n")
    trial = command(
        code=str(tmp_path / "try.py"), command="python try.py ${{inputs.x}}", inputs={"x": 0.0}, environment=HERE
    )
    sweep = trial(x=Choice([1.0, 3.0])).sweep(sampling_algorithm="grid", primary_metric="score", goal="maximize")
    sweep.set_limits(max_total_trials=2, max_concurrent_trials=2, timeout=600)
    job = client.create_or_update(sweep)
    assert finish(job.name).status == "Completed", client.jobs.store.get(job.name).error
    best = client.jobs.get(job.name).properties["best_child_run_id"]
    assert client.jobs.get(best).status == "Completed"
    assert len(list(client.jobs.list(parent_job_name=job.name))) == 2


def test_an_unsound_job_is_refused_with_one_line(client):
    job = command(command="cat ${{inputs.n}}", inputs={"n": Input(type="uri_file", path="./gone")}, environment=HERE)
    with pytest.raises(UserError, match="no such file"):
        client.jobs.create_or_update(job)
    result = client.jobs.validate(job)
    assert not result.passed and "no such file" in result.error_messages["inputs.n"]
    with pytest.raises(UserError, match="no such file"):
        client.jobs.validate(job, raise_on_failure=True)
    assert Path(client.workspace.jobs).exists() is False or not list(client.jobs.list())


def test_what_azure_may_have_is_a_warning_of_validate(client):
    """azure-ai-ml's own `validate` asks nobody for it, and passes."""
    job = command(command="ls", environment="azureml:elsewhere:1")
    result = client.jobs.validate(job, raise_on_failure=True)
    assert result.passed and result.error_messages == {}
    (warning,) = result._to_dict()["warnings"]
    assert warning["path"] == "environment" and 'environment "elsewhere" was not found' in warning["message"]
