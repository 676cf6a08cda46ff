"""What the service adds: the printed dictionary and the entity say the same, for every kind, and as Azure."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, Output, command, dsl
from azure.ai.ml.entities import (
    AmlCompute,
    AzureBlobDatastore,
    AzureDataLakeGen2Datastore,
    BatchEndpoint,
    BuildContext,
    CodeConfiguration,
    ComputeInstance,
    ComputeInstanceSshSettings,
    CronTrigger,
    Data,
    DataCollector,
    DeploymentCollection,
    Environment,
    IdentityConfiguration,
    JobSchedule,
    KubernetesOnlineDeployment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    ModelBatchDeployment,
    ModelBatchDeploymentSettings,
    OnlineRequestSettings,
    PipelineComponentBatchDeployment,
    ProbeSettings,
    Registry,
    ResourceRequirementsSettings,
    ResourceSettings,
    TargetUtilizationScaleSettings,
)
from azure.ai.ml.entities._registry.registry_support_classes import RegistryRegionDetails
from azure.ai.ml.sweep import Uniform
from azure.core.exceptions import ResourceNotFoundError

from amlocal.cli.printing import as_azure_spells, plain
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.names import creation_context
from amlocal.endpoints.store import BATCH, Deployment, Endpoint
from amlocal.jobs.submit import prepare_job
from amlocal.operations import rest
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
    "online deployment, all inline": {"model"},  # azure-ai-ml names it
    "workspace": {"path"},
    "component, a pipeline": {"jobs"},  # as in a pipeline job
    # azure-ai-ml's has more of a region: an account, images.
    "registry": {"creation_context", "description", "display_name", "path", "replication_locations", "resource_group"},
    "pipeline job": {"jobs", "outputs", "tags"},  # azure-ai-ml names an inline component anew each time it reads it
    "schedule": {"create_job", "creation_context", "properties"},
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


Thing = tuple[Any, tuple[str, ...]]  # operations, and what they are asked for with


@dsl.pipeline(default_compute="cpu")
def pipeline() -> None:
    step()(n=1)


@dataclass
class World:
    """Makes one of a kind, and what it needs."""

    client: LocalMLClient
    folder: Path

    def data(self) -> Thing:
        (self.folder / "a.csv").write_text("a\n")
        made = Data(name="d", version="1", path=str(self.folder / "a.csv"), type="uri_file")
        self.client.data.create_or_update(made)
        return self.client.data, ("d", "1")

    def folder_of_data(self) -> Thing:
        path = "azureml://datastores/workspaceblobstore/paths/a"
        made = Data(name="f", version="1", path=path, properties={"a": "b"}, tags={"c": "d"}, description="e")
        self.client.data.create_or_update(made)
        return self.client.data, ("f", "1")

    def code(self) -> Path:
        (self.folder / "code").mkdir(exist_ok=True)
        (self.folder / "code" / "run.py").write_text("def init(): ...\ndef run(batch): return batch\n")
        return self.folder / "code"

    def environment(self) -> Thing:
        self.client.environments.create_or_update(Environment(name="e", version="1", image="python:3.11"))
        return self.client.environments, ("e", "1")

    def context(self) -> Thing:
        made = Environment(name="b", version="1", build=BuildContext(path=self.code()))
        self.client.environments.create_or_update(made)
        return self.client.environments, ("b", "1")

    def conda(self) -> Thing:
        (self.folder / "conda.yml").write_text("name: c\ndependencies: [python=3.11, {pip: [numpy]}]\n")
        made = Environment(name="c", version="1", image="a", conda_file=self.folder / "conda.yml", tags={"a": "b"})
        self.client.environments.create_or_update(made)
        return self.client.environments, ("c", "1")

    def component(self) -> Thing:
        self.environment()
        self.client.components.create_or_update(step().component, version="1")
        return self.client.components, ("step", "1")

    def pipeline_component(self) -> Thing:
        @dsl.pipeline
        def both(times: int) -> None:
            step()(n=times)

        made = self.client.components.create_or_update(both)
        return self.client.components, (made.name, made.version)

    def model(self) -> Thing:
        (self.folder / "model").mkdir(exist_ok=True)
        (self.folder / "model" / "MLmodel").write_text("flavors: {python_function: {loader_module: mine}}\n")
        made = Model(name="m", version="1", path=self.folder / "model", type="mlflow_model")
        self.client.models.create_or_update(made)
        return self.client.models, ("m", "1")

    def cluster(self) -> Thing:
        made = AmlCompute(name="cpu", size="Standard_DS3_v2", identity=IdentityConfiguration(type="SystemAssigned"))
        self.client.compute.begin_create_or_update(made)
        return self.client.compute, ("cpu",)

    def instance(self) -> Thing:
        ssh = ComputeInstanceSshSettings(ssh_key_value="ssh-rsa AAAA")
        made = ComputeInstance(name="mine", size="Standard_DS3_v2", ssh_settings=ssh, ssh_public_access_enabled=True)
        self.client.compute.begin_create_or_update(made)
        return self.client.compute, ("mine",)

    def datastore(self) -> Thing:
        made = AzureBlobDatastore(name="s", account_name="a", container_name="c")
        self.client.datastores.create_or_update(made)
        return self.client.datastores, ("s",)

    def lake(self) -> Thing:
        made = AzureDataLakeGen2Datastore(name="l", account_name="a", filesystem="c", description="d", tags={"a": "b"})
        self.client.datastores.create_or_update(made)
        return self.client.datastores, ("l",)

    def built_in(self) -> Thing:
        return self.client.datastores, ("workspaceblobstore",)

    def file_share(self) -> Thing:
        return self.client.datastores, ("workspacefilestore",)

    def online_endpoint(self) -> Thing:
        endpoint = ManagedOnlineEndpoint(name="letters", description="says letters", tags={"a": "b"})
        kept = Endpoint("letters", 20000, "0", _spec(endpoint, {}, {}), creation_context())
        if not self.client.online_endpoints.store.record("letters").exists():
            self.client.online_endpoints.store.create(kept)
        return self.client.online_endpoints, ("letters",)

    def deployed(self, deployment: Any) -> Thing:
        kept = Deployment(_deployment_spec(deployment), "Succeeded", [])
        store = self.client.online_deployments.store
        store.change("letters", lambda record: record.deployments.update({deployment.name: kept}))
        return self.client.online_deployments, (deployment.name, "letters")

    def online_deployment(self) -> Thing:
        self.online_endpoint()
        deployment = ManagedOnlineDeployment(
            name="blue",
            endpoint_name="letters",
            model="azureml:m:1",
            environment="azureml:e:1",
            code_configuration=CodeConfiguration(code=str(self.code()), scoring_script="run.py"),
            instance_type="Standard_DS3_v2",
            instance_count=1,
        )
        return self.deployed(deployment)

    def rich_deployment(self) -> Thing:
        """One whose assets are written inline, with every setting."""
        self.online_endpoint()
        collected = {"model_inputs": DeploymentCollection(enabled="true")}
        deployment = ManagedOnlineDeployment(
            name="green",
            endpoint_name="letters",
            model=Model(path=str(self.code()), type="custom_model"),
            environment=Environment(image="python:3.11"),
            code_configuration=CodeConfiguration(code=str(self.code()), scoring_script="run.py"),
            instance_count=2,
            environment_variables={"A_B": "c_d"},
            tags={"a_b": "c"},
            request_settings=OnlineRequestSettings(request_timeout_ms=1500, max_queue_wait_ms=700),
            liveness_probe=ProbeSettings(initial_delay=7),
            data_collector=DataCollector(collections=collected, sampling_rate=0.5),
            app_insights_enabled=True,
        )
        return self.deployed(deployment)

    def kubernetes_deployment(self) -> Thing:
        self.online_endpoint()
        scale = TargetUtilizationScaleSettings(min_instances=1, max_instances=3, polling_interval=2)
        needs = ResourceRequirementsSettings(requests=ResourceSettings(cpu="100m", memory="0.5Gi"))
        deployment = KubernetesOnlineDeployment(
            name="red",
            endpoint_name="letters",
            model="azureml:m:1",
            environment="azureml:e:1",
            code_configuration=CodeConfiguration(code=str(self.code()), scoring_script="run.py"),
            instance_count=1,
            scale_settings=scale,
            resources=needs,
        )
        return self.deployed(deployment)

    def batch_endpoint(self) -> Thing:
        spec, store = batch_spec(BatchEndpoint(name="nightly")), self.client.batch_endpoints.store.endpoints
        if not store.record("nightly").exists():
            store.create(Endpoint("nightly", 20001, "0", spec, creation_context(), kind=BATCH))
        return self.client.batch_endpoints, ("nightly",)

    def batch_deployment(self) -> Thing:
        self.batch_endpoint(), self.model(), self.environment()
        deployment = ModelBatchDeployment(
            name="trees",
            endpoint_name="nightly",
            model="azureml:m:1",
            environment="azureml:e:1",
            code_configuration=CodeConfiguration(code=str(self.code()), scoring_script="run.py"),
            settings=ModelBatchDeploymentSettings(instance_count=2, output_action="append_row", mini_batch_size=3),
            tags={"a_b": "c"},
        )
        self.client.batch_deployments.begin_create_or_update(deployment)
        return self.client.batch_deployments, ("trees", "nightly")

    def pipeline_deployment(self) -> Thing:
        self.batch_endpoint(), self.environment()
        deployment = PipelineComponentBatchDeployment(
            name="steps", endpoint_name="nightly", component=pipeline().component, settings={"default_compute": "cpu"}
        )
        self.client.batch_deployments.begin_create_or_update(deployment)
        return self.client.batch_deployments, ("steps", "nightly")

    def command_job(self) -> Thing:
        self.environment()
        return self.client.jobs, (submitted(self.client, step()(n=1)),)

    def sweep_job(self) -> Thing:
        self.environment()
        sweep = step()(n=Uniform(0, 1)).sweep(primary_metric="loss", goal="minimize", sampling_algorithm="random")
        sweep.set_limits(max_total_trials=2)
        return self.client.jobs, (submitted(self.client, sweep),)

    def pipeline_job(self) -> Thing:
        self.environment(), self.cluster()
        return self.client.jobs, (submitted(self.client, pipeline()),)

    def schedule(self) -> Thing:
        self.environment(), self.cluster()
        trigger = CronTrigger(expression="0 3 * * *", time_zone="UTC", start_time="2026-01-01T03:00:00")
        made = JobSchedule(name="nightly", trigger=trigger, create_job=pipeline(), description="d", tags={"a": "b"})
        self.client.schedules.begin_create_or_update(made)
        return self.client.schedules, ("nightly",)

    def workspace(self) -> Thing:
        return self.client.workspaces, ()

    def registry(self) -> Thing:
        region = RegistryRegionDetails(location="westeurope")
        made = Registry(name="shared", location="westeurope", tags={"a": "b"}, replication_locations=[region])
        self.client.registries.begin_create(made)
        return self.client.registries, ("shared",)


KINDS: dict[str, Callable[[World], Thing]] = {
    "data": World.data,
    "data in a datastore": World.folder_of_data,
    "environment": World.environment,
    "environment with a context": World.context,
    "environment with a conda file": World.conda,
    "component": World.component,
    "component, a pipeline": World.pipeline_component,
    "model": World.model,
    "compute": World.cluster,
    "compute, an instance": World.instance,
    "datastore": World.datastore,
    "datastore, a lake": World.lake,
    "datastore, built in": World.built_in,
    "datastore, a file share": World.file_share,
    "online endpoint": World.online_endpoint,
    "online deployment": World.online_deployment,
    "online deployment, all inline": World.rich_deployment,
    "online deployment on Kubernetes": World.kubernetes_deployment,
    "batch endpoint": World.batch_endpoint,
    "batch deployment": World.batch_deployment,
    "batch deployment of a pipeline": World.pipeline_deployment,
    "command job": World.command_job,
    "sweep job": World.sweep_job,
    "pipeline job": World.pipeline_job,
    "schedule": World.schedule,
    "workspace": World.workspace,
    "registry": World.registry,
}


# Kinds of which there is another in `things`, and those that are not of a workspace.
APART = {
    "data in a datastore",
    "environment with a conda file",
    "component, a pipeline",
    "compute, an instance",
    "datastore, a lake",
    "datastore, a file share",
    "online deployment, all inline",
    "online deployment on Kubernetes",
    "batch deployment of a pipeline",
    "registry",
}


@pytest.fixture
def world(client: LocalMLClient, tmp_path: Path) -> World:
    return World(client, tmp_path)


@pytest.fixture
def things(world: World) -> dict[str, Thing]:
    """One of most kinds, in one workspace."""
    return {kind: make(world) for kind, make in KINDS.items() if kind not in APART}


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


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_printed_is_the_entity(kind: str, world: World) -> None:
    """Every key of azure-ai-ml's dictionary is printed with its value."""
    operations, names = KINDS[kind](world)
    printed = dict(leaves(without_nothing(json.loads(json.dumps(operations.describe(*names), default=str)))))
    entity = dict(leaves(without_nothing(plain(operations.get(*names)))))
    left_out = OURS | DIFFERENT.get(kind, set()) | DIFFERENT.get(kind.partition(",")[0], set())
    differing = {
        key: (entity.get(key), printed.get(key))
        for key in entity.keys() | printed.keys()
        if entity.get(key) != printed.get(key) and key.partition(".")[0] not in left_out
    }
    assert differing == {}


def test_every_kind_has_a_row(world: World) -> None:
    """A kind that the client shows, or REST has, is compared above."""
    shown = {name for name in LocalMLClient.__annotations__ if hasattr(getattr(world.client, name), "describe")}
    made = {type(KINDS[kind](World(world.client, world.folder))[0]) for kind in KINDS}
    assert {type(getattr(world.client, name)) for name in shown} == made
    assert rest.SHAPES.keys() <= KINDS.keys()


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
    assert shown["schedule"]["trigger"]["start_time"] == "2026-01-01 03:00:00"


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
    assert client.components.describe_all()[0]["latest_version"] is None, "as Azure, which does not say"


def test_environments_and_data_are_counted(client: LocalMLClient) -> None:
    for image in ("python:3.11", "python:3.12"):
        made = client.environments.create_or_update(Environment(name="counted", image=image))
    assert made.version == "2"
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


def test_names_that_differ_only_in_case_are_refused_as_azure_ai_ml_does(client: LocalMLClient, spec: Any) -> None:
    from amlocal.specs import load

    path = spec(
        """
        type: command
        name: two
        command: echo ${{inputs.A}} ${{inputs.a}}
        environment: azureml:e:1
        inputs:
          A: {type: string}
          a: {type: string}
        """
    )
    made = load("component", path)
    said = r"job\.yml:\d+: inputs\.a: Invalid component input names 'a' and 'A', which are equal ignore case"
    with pytest.raises(UserError, match=said):
        client.components.create_or_update(made)
    client.components.create_or_update(made, skip_validation=True)


@pytest.mark.parametrize("name", ["again", None])
def test_a_job_that_get_gave_is_submitted_anew_under_another_name(
    name: str | None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Azure a name that no job has is a new job's; under its own name a job is only brought up to date."""
    jobs, (first,) = world.pipeline_job()
    got = jobs.get(first)
    got.name = name
    monkeypatch.setattr("amlocal.jobs.submit.submit", lambda job, workspace, *_: prepare_job(job, workspace)[0])
    again = jobs.create_or_update(got)
    assert again.name not in (first, None) and again.name == (name or again.name)
    got = jobs.get(first)
    got.display_name = "other"
    assert jobs.create_or_update(got).name == first
