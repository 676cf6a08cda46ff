"""What `get`, `show` and `list` give is taken wherever that kind of thing is: each kind, form and place."""

import io
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.ai.ml import Input, Output, command, dsl, load_job
from azure.ai.ml.entities import (
    AmlCompute,
    BuildContext,
    Component,
    Data,
    Environment,
    ManagedOnlineDeployment,
    Model,
    Registry,
)

from amlocal import environments
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.mlflow_store import client as mlflow_client
from amlocal.endpoints.plan import resolve_model
from amlocal.jobs.check import checked_plan
from amlocal.jobs.stream import stream
from amlocal.specs.load import load
from amlocal.specs.planner import plan
from amlocal.validate import validate

SCOPE = "subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
SHORT_SCOPE = "subscriptions/s/resourcegroups/g/workspaces/w"
VERSIONED = {
    "name:version": "{name}:{version}",
    "azureml:name:version": "azureml:{name}:{version}",
    "azureml:name@latest": "azureml:{name}@latest",
    "ARM id": f"/{SCOPE}/{{kind}}/{{name}}/versions/{{version}}",
    "ARM id with azureml:": f"azureml:/{SCOPE}/{{kind}}/{{name}}/versions/{{version}}",
    "asset id": f"azureml://{SHORT_SCOPE}/{{kind}}/{{name}}/versions/{{version}}",
    "asset id of a location": "azureml://locations/l/workspaces/w/{kind}/{name}/versions/{version}",
    "short asset id": "azureml://{kind}/{name}/versions/{version}",
}
IN_REGISTRY = {
    "registry": "azureml://registries/shared/{kind}/{name}/versions/{version}",
    "registry, latest": "azureml://registries/Shared/{kind}/{name}/labels/latest",
    "registry, without azureml:": "//registries/shared/{kind}/{name}/versions/{version}",
}
NOT_IN_FILES = ("name:version", "ARM id", "registry, without azureml:")  # as environment or component
OUTPUT = {
    "job's output": "azureml://jobs/{job}/outputs/out",
    "job's output with paths": "azureml://jobs/{job}/outputs/out/paths/",
    "job's output in full": f"azureml://{SHORT_SCOPE}/jobs/{{job}}/outputs/out/paths/",
    "datastore": "azureml://datastores/workspaceblobstore/paths/azureml/{job}/out/",
    "datastore and all below": "azureml://datastores/workspaceblobstore/paths/azureml/{job}/out/**",
    "datastore in full": f"azureml://{SHORT_SCOPE}/datastores/workspaceblobstore/paths/azureml/{{job}}/out",
}


@dataclass
class World:
    """A workspace with something of every kind in it."""

    client: LocalMLClient
    root: Path
    job: str = ""
    entities: dict[str, Any] = field(default_factory=dict)

    def forms(self, name: str) -> Iterator[tuple[str, Any]]:
        """Every way to say which asset is meant, and the asset itself."""
        entity = self.entities[name]
        yield "entity", entity
        yield "id", entity._to_dict()["id"]  # as it is printed: files have `azureml:` before some, with azure-ai-ml
        kind = {Data: "data", Model: "models", Environment: "environments"}.get(type(entity), "components")
        for form, text in (VERSIONED | IN_REGISTRY).items():
            yield form, text.format(name=entity.name, version=entity.version, kind=kind)
        if isinstance(entity, (Data, Model)):
            yield "path", entity.path
            if not str(entity.path).startswith("models:"):
                yield "file URI", Path(entity.path).as_uri()

    def file(self, content: dict[str, Any]) -> Path:
        path = self.root / "spec.yml"
        path.write_text(yaml.safe_dump(content))
        return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[World]:
    root = tmp_path_factory.mktemp("my world")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.chdir(root)
        yield _made(root, empty_store)


def _made(root: Path, store: Path) -> World:
    client = LocalMLClient(root / ".amlocal")
    client.workspace.create()
    shutil.copy(store, client.workspace.database)
    for name, text in {
        "folder/a.csv": "a\n1\n",
        "table/MLTable": "paths:\n  - file: ./a.csv\n",
        "table/a.csv": "a\n",
        "mlflow/MLmodel": "flavors: {}\n",
        "model.pkl": "x",
        "context/Dockerfile": "FROM python:3.11\n",
        "code/run.py": "print(1)\n",
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    for data in (
        Data(name="folder", path="folder", type="uri_folder"),
        Data(name="file", path="folder/a.csv", type="uri_file"),
        Data(name="table", path="table", type="mltable"),
    ):
        client.data.create_or_update(data)
    client.models.create_or_update(Model(name="model-folder", path="mlflow", type="mlflow_model"))
    client.models.create_or_update(
        Model(name="model-file", path="model.pkl", type="custom_model", version="18.04:2022")
    )
    client.environments.create_or_update(Environment(name="image", image="python:3.11", version="18.04:2022"))
    client.environments.create_or_update(Environment(name="context", build=BuildContext(path="context")))
    step = command(
        name="step",
        inputs={"data": Input(type="uri_folder")},
        outputs={"out": Output(type="uri_folder")},
        command="cp ${{inputs.data}}/* ${{outputs.out}}",
        environment="azureml:image@latest",
        code="code",
    )
    client.components.create_or_update(step.component)
    client.compute.begin_create_or_update(AmlCompute(name="cpu", size="any"))
    client.registries.begin_create(Registry(name="shared", location="l", replication_locations=[]))
    there = LocalMLClient(root / ".amlocal", registry_name="shared")
    shutil.copy(store, there.models.workspace.database)
    for home in ("data", "models", "environments"):
        for found in list(getattr(client, home).list()):
            version = next(iter(getattr(client, home).list(name=found.name))).version
            to = {"share_with_name": found.name, "share_with_version": version, "registry_name": "shared"}
            getattr(client, home).share(found.name, version, **to)
    step.component.environment = "azureml://registries/shared/environments/image/labels/latest"
    there.components.create_or_update(step.component)
    step.component.environment = "azureml:image@latest"
    world = World(client, root)
    world.job = client.jobs.create_or_update(step(data=Input(type="uri_folder", path="azureml:folder:1"))).name
    stream(client.jobs.store, world.job, client.jobs.web_view, io.StringIO())
    for operations in (client.data, client.models, client.environments, client.components):
        for found in operations.list():
            world.entities[found.name] = operations.get(found.name, version=found.version)
    return world


# ---- the places


def _environment() -> str:
    return "azureml:image@latest"


def command_input(world: World, kind: str, form: Any) -> None:
    path = form.path if hasattr(form, "id") else form
    job = command(command="ls ${{inputs.x}}", inputs={"x": Input(type=kind, path=path)}, environment=_environment())
    checked_plan(job, world.client.workspace)


def pipeline_input(world: World, kind: str, form: Any) -> None:
    step = _step(kind)

    @dsl.pipeline
    def whole(x):
        step(x=x)

    checked_plan(whole(x=_given(kind, form)), world.client.workspace)


def node_input(world: World, kind: str, form: Any) -> None:
    step = _step(kind)

    @dsl.pipeline
    def whole() -> None:
        step(x=_given(kind, form))

    checked_plan(whole(), world.client.workspace)


def _step(kind: str) -> Any:
    return command(
        name="s", command="ls ${{inputs.x}}", inputs={"x": Input(type=kind)}, environment=_environment()
    ).component


def _given(kind: str, form: Any) -> Any:
    return form if hasattr(form, "id") else Input(type=kind, path=form)


def input_of_a_file(world: World, kind: str, form: Any) -> None:
    inputs = {"x": {"type": kind, "path": str(form)}}
    job = {"type": "command", "command": "ls ${{inputs.x}}", "environment": _environment(), "inputs": inputs}
    checked_plan(load_job(world.file(job)), world.client.workspace)


def input_of_a_step_in_a_file(world: World, kind: str, form: Any) -> None:
    inputs = {"x": {"type": kind, "path": str(form)}}
    step = {"type": "command", "command": "ls ${{inputs.x}}", "environment": _environment(), "inputs": inputs}
    checked_plan(load_job(world.file({"type": "pipeline", "jobs": {"s": step}})), world.client.workspace)


def new_data(world: World, kind: str, form: Any) -> None:
    world.client.data.create_or_update(Data(name="again", path=form, type=kind))


def new_data_of_a_file(world: World, kind: str, form: Any) -> None:
    world.client.data.create_or_update(load("data", world.file({"name": "again", "path": str(form), "type": kind})))


def new_model(world: World, kind: str, form: Any) -> None:
    world.client.models.create_or_update(Model(name="again", path=form, type=kind))


def new_model_of_a_file(world: World, kind: str, form: Any) -> None:
    world.client.models.create_or_update(load("model", world.file({"name": "again", "path": str(form), "type": kind})))


def deployment(world: World, kind: str, form: Any) -> None:
    made = ManagedOnlineDeployment(name="blue", endpoint_name="end", model=form)
    assert resolve_model(made, world.root, world.client.workspace)


def deployment_of_a_file(world: World, kind: str, form: Any) -> None:
    named = str(form).startswith("azureml:") and "/outputs/" not in str(form) and "/datastores/" not in str(form)
    model = str(form) if named else {"name": "m", "version": "1", "type": kind, "path": str(form)}
    spec = {"name": "blue", "endpoint_name": "end", "instance_type": "any", "instance_count": 1, "model": model}
    made = load("online-deployment", world.file(spec))
    assert resolve_model(made, world.root, world.client.workspace)


INPUTS = (command_input, pipeline_input, node_input, input_of_a_file, input_of_a_step_in_a_file)
PLACES: dict[str, tuple[Callable[[World, str, Any], None], ...]] = {
    "data": (*INPUTS, new_data, new_data_of_a_file),
    "model": (*INPUTS, new_model, new_model_of_a_file, deployment, deployment_of_a_file),
}


CELLS = [(name, place) for name in ("folder", "file", "table") for place in PLACES["data"]]
CELLS += [(name, place) for name in ("model-folder", "model-file") for place in PLACES["model"]]


@pytest.mark.parametrize(("name", "place"), CELLS, ids=[f"{name} as {place.__name__}" for name, place in CELLS])
def test_data_and_models(world: World, name: str, place: Callable[[World, str, Any], None]) -> None:
    entity = world.entities[name]
    for form, given in world.forms(name):
        if form == "entity" and place not in (*INPUTS[:3], deployment):
            continue
        if place is deployment and form == "file URI":
            continue  # azure-ai-ml hashes a model that has no name where it is made
        if place is deployment and form == "path":
            given = Model(path=given, type=entity.type)
        with _saying(form):
            place(world, entity.type, given)


@pytest.mark.parametrize("place", dict.fromkeys((*PLACES["data"], *PLACES["model"][5:7])), ids=lambda p: p.__name__)
def test_outputs_of_a_job(world: World, place: Callable[[World, str, Any], None]) -> None:
    job = world.client.jobs.get(world.job)
    kind = "custom_model" if "model" in place.__name__ else "uri_folder"
    forms = {form: text.format(job=world.job) for form, text in OUTPUT.items()}
    for form, given in {"entity": job.outputs["out"].path, **forms}.items():
        with _saying(form):
            place(world, kind, given)


@pytest.mark.parametrize("name", ["image", "context"])
def test_environments(world: World, name: str) -> None:
    for form, given in world.forms(name):
        jobs = [partial(command, command="ls", environment=given)]
        if form not in ("entity", *NOT_IN_FILES):  # which azure-ai-ml's schema takes for no reference
            document = {"type": "command", "command": "ls", "environment": given}
            jobs.append(lambda document=document: load_job(world.file(document)))
        for job in jobs:
            with _saying(form):
                [step] = plan(job(), world.client.workspace).steps.values()
                kept = {"reference": f"{name}:{world.entities[name].version}"}
                assert step.environment == kept or "@" in str(given) or "/registries/" in str(given)
                assert environments.problem(step.environment, world.client.workspace) is None


def test_components(world: World) -> None:
    inputs = {"data": {"type": "uri_folder", "path": "azureml:folder:1"}}
    for form, given in [*world.forms("step"), ("default", "azureml:step@default")]:
        with _saying(form):
            if isinstance(given, Component):

                @dsl.pipeline
                def whole():
                    world.entities["step"](data=Input(type="uri_folder", path="azureml:folder:1"))

                job = whole()
            elif form in NOT_IN_FILES:  # which azure-ai-ml's schema takes for no reference
                continue
            else:
                step = {"type": "command", "component": given, "inputs": inputs}
                job = load_job(world.file({"type": "pipeline", "jobs": {"s": step}}))
            checked_plan(job, world.client.workspace)


def test_the_code_of_a_job_and_of_a_component(world: World) -> None:
    for code in (world.client.jobs.get(world.job).component.code, world.entities["step"].code):
        job = command(command="python run.py", code=code, environment=_environment())
        checked_plan(job, world.client.workspace)


@pytest.mark.parametrize("home", ["data", "models", "environments", "components"])
def test_an_asset_is_changed_and_given_back(world: World, home: str) -> None:
    operations = getattr(world.client, home)
    for found in list(operations.list()):
        got = operations.get(found.name, version=found.version)
        versions = len(list(operations.list(name=found.name)))
        got.tags, got.description = {"owner": "me"}, "Changed"
        operations.create_or_update(got)
        got = operations.get(found.name, version=found.version)
        assert (got.tags, got.description) == ({"owner": "me"}, "Changed")
        got.tags = {}
        assert operations.create_or_update(got).tags == {}, "as a whole: what is gone from them is gone"
        assert len(list(operations.list(name=found.name))) == versions


def test_an_asset_under_another_version_is_a_new_one(world: World) -> None:
    for operations, name in ((world.client.data, "folder"), (world.client.models, "model-folder")):
        got = operations.get(name, version="1")
        got.version = "7"
        assert operations.create_or_update(got).version == "7"


def test_compute_and_jobs_are_changed_and_given_back(world: World) -> None:
    compute = world.client.compute.get("cpu")
    compute.tags = {"owner": "me"}
    assert world.client.compute.begin_create_or_update(compute).result().tags == {"owner": "me"}
    job = world.client.jobs.get(world.job)
    job.tags = {"owner": "me"}
    assert world.client.jobs.create_or_update(job).tags == {"owner": "me"}


# ---- what MLflow has registered, what is not there, and what is elsewhere


def test_what_mlflow_calls_a_model_is_one(world: World) -> None:
    registry = mlflow_client(world.client.workspace)
    registry.create_registered_model("registered")
    registry.create_model_version("registered", (world.root / "mlflow").as_uri())
    for place in (command_input, input_of_a_file, deployment_of_a_file, new_model, new_model_of_a_file):
        place(world, "mlflow_model", "models:/registered/1")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("azureml://registries/azureml/{}/x/versions/1", 'of the registry "azureml" only the environments are known'),
        ("azureml://feeds/f/{}/x/versions/1", 'registry "f" was not found; there is "shared"'),
        ("azureml://registries/shared/{}/gone/versions/1", '"gone" was not found in registry "shared"'),
        (
            "azureml://registries/shared/{}/x",
            "not understood; use azureml://registries/NAME/KIND/NAME/versions/VERSION",
        ),
    ],
)
def test_what_a_registry_does_not_have(world: World, reference: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        command_input(world, "uri_folder", reference.format("data"))
    with pytest.raises(UserError, match=said):
        deployment(world, "custom_model", reference.format("models"))
    step = {"type": "command", "component": reference.format("components")}
    with pytest.raises(UserError, match=said):
        plan(load_job(world.file({"type": "pipeline", "jobs": {"s": step}})), world.client.workspace)
    if "/azureml/" not in reference and "/x" not in reference[-2:]:
        job = command(command="ls", environment=reference.format("environments"))
        assert re.search(said, str(environments.problem({"reference": job.environment}, world.client.workspace)))


def test_a_registry_has_no_data_among_its_environments(world: World) -> None:
    with pytest.raises(UserError, match="one of the registry's environments, not data or a model"):
        command_input(world, "uri_folder", "azureml://registries/shared/environments/image/labels/latest")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("Running", 'job "j" is Running; its output "out" can be used when it has completed'),
        ("Failed", 'job "j" ended as Failed, without its output "out"'),
    ],
)
def test_the_output_of_a_job_that_has_not_written_it(
    client: LocalMLClient, tmp_path: Path, status: str, said: str
) -> None:
    from amlocal.assets import uris
    from amlocal.core.files import write_json

    folder = client.workspace.jobs / "j"
    folder.mkdir(parents=True)
    write_json(folder / "job.json", {"outputs": {}, "status": status, "spec": {"outputs": {"out": {}}}})
    with pytest.raises(UserError, match=said):
        uris.resolve(client.workspace, "azureml://jobs/j/outputs/out", tmp_path)
    with pytest.raises(UserError, match='job "j" has no output "other"; it has out'):
        uris.resolve(client.workspace, "azureml://jobs/j/outputs/other", tmp_path)


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        ("uri_folder", "folder/a.csv", "File path does not match asset type uri_folder: "),
        ("uri_file", "folder", "File path does not match asset type uri_file: "),
        ("mltable", "folder", "an mltable needs a file called MLTable"),
        ("mltable", "folder/a.csv", "an mltable is a folder"),
    ],
)
def test_data_of_another_type_than_its_path(world: World, kind: str, path: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        world.client.data.create_or_update(Data(name="misfit", path=path, type=kind))


def test_a_file_of_data_is_validated_like_that(world: World) -> None:
    schema = "https://azuremlschemas.azureedge.net/latest/data.schema.json"
    path = world.file({"$schema": schema, "name": "misfit", "type": "uri_file", "path": "folder"})
    [fault] = validate([path], world.client.workspace).errors
    assert "path: File path does not match asset type uri_file" in fault


def test_an_old_input_of_type_path_is_a_file_or_a_folder(world: World) -> None:
    component = {"type": "command", "name": "old", "version": 1, "inputs": {"x": {"type": "path"}}}
    step = load("component", world.file({**component, "command": "ls ${{inputs.x}}", "environment": _environment()}))
    for path in ("folder", "folder/a.csv", "azureml:file:1"):
        job = step(x=Input(path=path, type="uri_file" if path != "folder" else "uri_folder"))
        checked_plan(job, world.client.workspace)


class _saying:
    """Names the form that failed."""

    def __init__(self, form: str) -> None:
        self.form = form

    def __enter__(self) -> None: ...

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, Exception):
            error.add_note(f"form: {self.form}")
