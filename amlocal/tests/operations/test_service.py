"""What the service adds: the printed dictionary and the entity say the same, for every kind, and as Azure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, Output, command, dsl
from azure.ai.ml.entities import (
    AmlCompute,
    AzureBlobDatastore,
    BatchEndpoint,
    BuildContext,
    CodeConfiguration,
    CronTrigger,
    Data,
    Environment,
    JobSchedule,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
)
from azure.ai.ml.sweep import Uniform
from azure.core.exceptions import ResourceNotFoundError

from amlocal.cli.printing import as_azure_spells, plain
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.names import creation_context
from amlocal.endpoints.store import BATCH, Deployment, Endpoint
from amlocal.jobs.submit import prepare_job
from amlocal.operations.batch_endpoints import _spec as batch_spec
from amlocal.operations.online_deployments import _deployment_spec
from amlocal.operations.online_endpoints import _spec

HERE = "azureml:e:1"
SCOPE = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local"
# What only this machine knows, and what azure-ai-ml's entity has no place for.
OURS = {"health", "next_run", "error", "parent_job_name"}
DIFFERENT = {
    "compute": {"creation_context"},
    "datastore": {"creation_context"},
    "batch endpoint": {"creation_context"},
    "online endpoint": {"creation_context"},
    "workspace": {"path"},
    "pipeline job": {"jobs", "outputs", "tags"},  # azure-ai-ml names an inline component anew each time it reads it
    "schedule": {"create_job", "creation_context", "properties", "tags", "trigger"},
}


def without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nothing(inner) for key, inner in value.items() if inner is not None}
    return [without_nothing(inner) for inner in value] if isinstance(value, list) else value


def step(**more: Any) -> Any:
    return command(
        name="step",
        command="echo ${{inputs.n}} > ${{outputs.out}}/n",
        inputs={"n": Input(type="number", default=1), **more},
        outputs={"out": Output(type="uri_folder")},
        environment=HERE,
    )


def submitted(client: LocalMLClient, job: Any) -> str:
    """A job on record, which nothing runs."""
    record, _ = prepare_job(job, client.workspace)
    client.jobs.store.create(record)
    return record.name


@pytest.fixture
def things(client: LocalMLClient, tmp_path: Path) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """One of every kind: its operations and what it is asked for with."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "run.py").write_text("print(1)\n")
    (tmp_path / "a.csv").write_text("a\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {python_function: {loader_module: mine}}\n")
    client.data.create_or_update(Data(name="d", version="1", path=str(tmp_path / "a.csv"), type="uri_file"))
    client.environments.create_or_update(Environment(name="e", version="1", image="python:3.11"))
    client.environments.create_or_update(Environment(name="b", version="1", build=BuildContext(path=tmp_path / "code")))
    client.components.create_or_update(step().component, version="1")
    client.models.create_or_update(Model(name="m", version="1", path=tmp_path / "model", type="mlflow_model"))
    client.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_DS3_v2"))
    client.datastores.create_or_update(AzureBlobDatastore(name="s", account_name="a", container_name="c"))
    endpoint = ManagedOnlineEndpoint(name="letters", description="says letters", tags={"a": "b"})
    kept = Endpoint("letters", 20000, "0", _spec(endpoint, {}, {}), creation_context())
    client.online_endpoints.store.create(kept)
    deployment = ManagedOnlineDeployment(
        name="blue",
        endpoint_name="letters",
        model="azureml:m:1",
        environment="azureml:e:1",
        code_configuration=CodeConfiguration(code=str(tmp_path / "code"), scoring_script="run.py"),
        instance_type="Standard_DS3_v2",
        instance_count=1,
    )
    blue = Deployment(_deployment_spec(deployment), "Succeeded", [])
    client.online_deployments.store.change("letters", lambda record: record.deployments.update({"blue": blue}))

    @dsl.pipeline(default_compute="cpu")
    def pipeline() -> None:
        step()(n=1)

    batch = Endpoint("nightly", 20001, "0", batch_spec(BatchEndpoint(name="nightly")), creation_context(), kind=BATCH)
    client.batch_endpoints.store.endpoints.create(batch)
    trigger = CronTrigger(expression="0 3 * * *", time_zone="UTC", start_time="2026-01-01 03:00:00")
    client.schedules.begin_create_or_update(JobSchedule(name="nightly", trigger=trigger, create_job=pipeline()))
    sweep = step()(n=Uniform(0, 1)).sweep(primary_metric="loss", goal="minimize", sampling_algorithm="random")
    sweep.set_limits(max_total_trials=2)
    return {
        "data": (client.data, ("d", "1")),
        "environment": (client.environments, ("e", "1")),
        "environment with a context": (client.environments, ("b", "1")),
        "component": (client.components, ("step", "1")),
        "model": (client.models, ("m", "1")),
        "compute": (client.compute, ("cpu",)),
        "datastore": (client.datastores, ("s",)),
        "built-in datastore": (client.datastores, ("workspaceblobstore",)),
        "online endpoint": (client.online_endpoints, ("letters",)),
        "online deployment": (client.online_deployments, ("blue", "letters")),
        "batch endpoint": (client.batch_endpoints, ("nightly",)),
        "command job": (client.jobs, (submitted(client, step()(n=1)),)),
        "sweep job": (client.jobs, (submitted(client, sweep),)),
        "pipeline job": (client.jobs, (submitted(client, pipeline()),)),
        "schedule": (client.schedules, ("nightly",)),
        "workspace": (client.workspaces, ()),
    }


def test_the_page_of_a_job_that_has_not_begun_is_known(client: LocalMLClient) -> None:
    """MLflow's page leads from #/runs/ID to the run's experiment. Nothing runs: whoever waited for it would not end."""
    client.environments.create_or_update(Environment(name="e", version="1", image="python:3.11"))
    name = submitted(client, step()(n=1))
    job = client.jobs.get(name)
    assert job.studio_url.endswith(f"/#/runs/{name}") and name in job._repr_html_() and name in str(job)


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def test_what_is_printed_is_the_entity(things: dict[str, tuple[Any, tuple[str, ...]]]) -> None:
    """Every key of azure-ai-ml's dictionary is printed with its value."""
    wrong = {}
    for kind, (operations, names) in things.items():
        printed = dict(leaves(without_nothing(operations.describe(*names))))
        entity = dict(leaves(without_nothing(plain(operations.get(*names)))))
        differing = {
            key: (entity.get(key), printed.get(key))
            for key in entity.keys() | printed.keys()
            if entity.get(key) != printed.get(key) and key.partition(".")[0] not in OURS | DIFFERENT.get(kind, set())
        }
        if differing:
            wrong[kind] = differing
    assert wrong == {}


def test_ids_are_arm_ids(client: LocalMLClient, things: dict[str, tuple[Any, tuple[str, ...]]]) -> None:
    for kind, (operations, names) in things.items():
        id = operations.get(*names).id
        assert id.startswith(f"{SCOPE}/providers/Microsoft.MachineLearningServices/workspaces/"), kind
        assert operations.describe(*names)["id"].removeprefix("azureml:") == id, kind


def test_what_azure_fills_in(things: dict[str, tuple[Any, tuple[str, ...]]]) -> None:
    shown = {kind: operations.describe(*names) for kind, (operations, names) in things.items()}
    deployment = shown["online deployment"]
    assert deployment["request_settings"] == {
        "max_concurrent_requests_per_instance": 1,
        "max_queue_wait_ms": 0,
        "request_timeout_ms": 5000,
    }
    assert deployment["liveness_probe"] == deployment["readiness_probe"]
    assert deployment["liveness_probe"]["failure_threshold"] == 30
    assert deployment["scale_settings"] == {"type": "default"}
    for kind in ("command job", "sweep job"):
        job = shown[kind]
        assert (job["resources"], job["queue_settings"]) == (
            {"instance_count": 1, "properties": {}, "shm_size": "2g"},
            {"job_tier": "null"},
        )
        assert job["outputs"]["default"] == {
            "mode": "rw_mount",
            "path": f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{job['name']}",
            "type": "uri_folder",
        }
        assert job["outputs"]["out"]["mode"] == "rw_mount"
    assert "default" not in shown["pipeline job"]["outputs"]
    assert shown["environment"]["os_type"] == "linux"
    assert shown["component"]["resources"] == {"instance_count": 1}
    assert shown["model"]["flavors"] == {"python_function": {"loader_module": "mine"}}
    assert shown["data"]["creation_context"]["last_modified_at"]
    assert shown["schedule"]["create_job"]["status"] == "NotStarted"


def test_a_pipeline_component_as_azure_shows_it(client: LocalMLClient) -> None:
    @dsl.pipeline
    def both(times: int) -> None:
        step()(n=times)

    component = client.components.create_or_update(both)
    told = client.components.describe(component.name, component.version)
    assert told["is_deterministic"] is False
    assert told["inputs"]["times"]["optional"] is False


def test_a_name_without_a_version_is_a_container(client: LocalMLClient, things: Any) -> None:
    client.data.create_or_update(Data(name="d", version="2", path="azureml://datastores/workspaceblobstore/paths/a"))
    for operations, kind in ((client.data, "data"), (client.models, "model"), (client.environments, "environment")):
        printed, entities = operations.describe_all(), list(operations.list())
        assert [without_nothing(plain(each)) for each in entities] == [without_nothing(each) for each in printed], kind
        assert all("version" not in each and "path" not in each and each["latest_version"] for each in printed), kind
    assert [each["name"] for each in client.environments.describe_all()] == ["e", "b"], "the oldest first"
    assert client.data.describe_all()[0]["latest_version"] == "2"
    with pytest.raises(ResourceNotFoundError, match="was not found"):
        list(client.models.list(name="none"))


def test_an_archived_model_is_of_that_stage(client: LocalMLClient, things: Any) -> None:
    client.models.archive("m", "1")
    assert client.models.get("m", "1").stage == client.models.describe("m", "1")["stage"] == "Archived"
    client.models.restore("m", "1")
    assert client.models.describe("m", "1")["stage"] == "Development"


def test_what_get_gives_is_put_back_unchanged(client: LocalMLClient, things: Any) -> None:
    for operations, names in (things["component"], things["environment"], things["data"]):
        before = operations.describe(*names)
        got = operations.get(*names)
        got.description = "another"
        operations.create_or_update(got)
        after = operations.describe(*names)
        assert without_nothing(after) == without_nothing({**before, "description": "another"})


def test_a_component_without_a_version_gets_the_moment_the_second_time(client: LocalMLClient) -> None:
    first = client.components.create_or_update(step().component)
    other = step()
    other.component.command = "echo other"
    second = client.components.create_or_update(other.component)
    assert first.version == "1" and second.version.startswith("20") and len(second.version) == 27
    assert client.components.get("step", label="latest").version == second.version


def test_so_does_an_environment_and_data_is_counted(client: LocalMLClient) -> None:
    for image in ("python:3.11", "python:3.12"):
        made = client.environments.create_or_update(Environment(name="counted", image=image))
    assert made.version.startswith("20") and len(made.version) == 27
    path = "azureml://datastores/workspaceblobstore/paths/a"
    for each in ("a", "b"):
        data = client.data.create_or_update(Data(name="counted", path=path + each))
    assert data.version == "2"


def test_a_workspace_keeps_what_it_was_given(client: LocalMLClient) -> None:
    from azure.ai.ml.entities import Workspace

    client.workspaces.begin_create(Workspace(name="w", image_build_compute="cpu", public_network_access="Disabled"))
    told, got = client.workspaces.describe(), client.workspaces.get()
    assert (told["image_build_compute"], told["public_network_access"]) == ("cpu", "Disabled")
    assert (got.image_build_compute, got.public_network_access) == ("cpu", "Disabled")


def test_another_content_under_a_version_is_refused_in_azures_words(client: LocalMLClient) -> None:
    client.components.create_or_update(step().component, version="1")
    other = step()
    other.component.command = "echo other"
    with pytest.raises(UserError, match='field "command" is immutable, try specifying a new version'):
        client.components.create_or_update(other.component, version="1")


def test_deleting_an_endpoint_that_is_not_there_is_quiet(bare_client: LocalMLClient) -> None:
    assert bare_client.online_endpoints.begin_delete("none").result() is None
    assert bare_client.online_deployments.begin_delete("blue", "none").result() is None


def test_an_empty_path_is_refused_as_azure_ai_ml_does(bare_client: LocalMLClient) -> None:
    job = command(command="ls ${{inputs.x}}", inputs={"x": Input(type="uri_folder", path="")}, environment=HERE)
    with pytest.raises(UserError, match=r"inputs\.x: Input path can't be empty for jobs"):
        prepare_job(job, bare_client.workspace)


def test_a_version_of_a_commands_output_is_warned_of(client: LocalMLClient, caplog: Any) -> None:
    job = command(
        command="echo > ${{outputs.o}}/a",
        outputs={"o": Output(type="uri_folder", name="kept", version="3")},
        environment=Environment(name="here", image="a"),
    )
    prepare_job(job, client.workspace)
    assert "outputs.o.version: Azure refuses a version" in caplog.text


def test_an_output_that_no_step_writes_is_told_of_and_taken(client: LocalMLClient, caplog: Any, spec: Any) -> None:
    from amlocal.specs import load

    path = spec(
        """
        type: pipeline
        outputs: {nobody: {type: uri_folder}}
        jobs: {a: {type: command, command: echo, environment: {image: a}}}
        """
    )
    prepare_job(load("job", path), client.workspace)
    assert "outputs.nobody: no step's output is bound to it" in caplog.text


@pytest.mark.parametrize(
    ("written", "spelt"),
    [
        ({"create_job": {"status": "JobStatus.NOT_STARTED"}}, {"create_job": {"status": "NotStarted"}}),
        ({"acls": [{"default_action": "DefaultActionType.ALLOW"}]}, {"acls": [{"default_action": "Allow"}]}),
        ({"tags": {"a": "JobStatus.NOT_STARTED"}}, {"tags": {"a": "JobStatus.NOT_STARTED"}}),
        ({"size": "Other.NO_SUCH"}, {"size": "Other.NO_SUCH"}),
    ],
)
def test_azures_words_are_spelt_as_azure_does_at_every_depth(written: Any, spelt: Any) -> None:
    assert as_azure_spells(written) == spelt
