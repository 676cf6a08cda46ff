"""A batch endpoint with a deployment, without its server."""

import pytest

from amlocal.operations.common import entity

SCRIPT = """
import os
import pathlib


def init():
    global factor
    factor = int(pathlib.Path(os.environ["AZUREML_MODEL_DIR"], "model", "factor.txt").read_text())


def run(mini_batch):
    return [f"{os.path.basename(name)} {factor * int(open(name).read())}" for name in mini_batch]
"""


@pytest.fixture
def no_server(monkeypatch):
    monkeypatch.setattr("amlocal.endpoints.supervisor.ensure", lambda workspace: None)
    for place in ("online_endpoints", "batch_endpoints"):
        monkeypatch.setattr(f"amlocal.operations.{place}.wait_for_gateway", lambda store, name: None)


@pytest.fixture
def numbers(tmp_path):
    """Seven files with a number each."""
    folder = tmp_path / "numbers"
    folder.mkdir()
    for number in range(1, 8):
        (folder / f"{number}.txt").write_text(str(number))
    return folder


@pytest.fixture
def files(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCRIPT)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "factor.txt").write_text("10")
    return tmp_path


@pytest.fixture
def deployment(files):
    """azure-ai-ml's entity of a deployment of endpoint `tens`; the arguments are its file's fields, None for none."""

    def make(**fields):
        spec = {
            "name": "first",
            "endpoint_name": "tens",
            "type": "model",
            "model": {"path": str(files / "model")},
            "code_configuration": {"code": str(files / "code"), "scoring_script": "score.py"},
            "environment": {"image": "a"},
            "compute": "azureml:cpu-cluster",
            **fields,
        }
        return entity("model-batch-deployment", {key: value for key, value in spec.items() if value is not None})

    return make


@pytest.fixture
def deploy(client, no_server, files, deployment):
    """Makes a deployment of endpoint `tens`; the arguments are its file's fields."""
    client.batch_endpoints.begin_create_or_update(entity("batch-endpoint", {"name": "tens"})).result()

    def make(script=None, default=True, **fields):
        if script is not None:
            (files / "code" / "score.py").write_text(script)
        made = client.batch_deployments.begin_create_or_update(deployment(**fields)).result()
        if default:
            endpoint = client.batch_endpoints.get("tens")
            endpoint.defaults.deployment_name = made.name
            client.batch_endpoints.begin_create_or_update(endpoint).result()
        return made

    return make


@pytest.fixture
def invoke(client, finish):
    """Invokes endpoint `tens` and waits; returns the job's record."""

    def start(folder, kind="uri_folder", **more):
        from azure.ai.ml import Input

        data = Input(type=kind, path=str(folder)) if folder else None
        job = client.batch_endpoints.invoke(endpoint_name="tens", input=data, **more)
        return finish(job.name)

    return start
