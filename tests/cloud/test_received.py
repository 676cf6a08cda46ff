"""What Azure would receive of every spec under aml/: sent by the real MLClient, kept in tests/cloud/received/.

A change of a spec, or of the client, shows there in review. Write the files anew with

    UPDATE_RECEIVED=1 python -m pytest tests/cloud/test_received.py
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure_client import client_of, started
from double import Double, Request

# One worker sends everything once.

ROOT = Path(__file__).resolve().parents[2]
RECEIVED = Path(__file__).parent / "received"
# The name of a spec's schema -> how it is loaded and sent, in the order in which one needs the other.
KINDS = {
    "amlCompute": ("load_compute", "compute"),
    "environment": ("load_environment", "environments"),
    "data": ("load_data", "data"),
    "commandComponent": ("load_component", "components"),
    "parallelComponent": ("load_component", "components"),
    "pipelineComponent": ("load_component", "components"),
    "commandJob": ("load_job", "jobs"),
    "pipelineJob": ("load_job", "jobs"),
    "managedOnlineEndpoint": ("load_online_endpoint", "online_endpoints"),
    "managedOnlineDeployment": ("load_online_deployment", "online_deployments"),
    "batchEndpoint": ("load_batch_endpoint", "batch_endpoints"),
    "modelBatchDeployment": ("load_model_batch_deployment", "batch_deployments"),
    "schedule": ("load_schedule", "schedules"),
    "monitorSchedule": ("load_schedule", "schedules"),
}


def kind_of(spec: Path) -> str:
    schema = re.search(r"^\$schema: .*/(\w+)\.schema\.json$", spec.read_text(encoding="utf-8"), re.MULTILINE)
    return schema[1] if schema else ""


SPECS = {path.relative_to(ROOT / "aml").as_posix(): kind_of(path) for path in sorted((ROOT / "aml").rglob("*.yml"))}
SPECS = {name: kind for name, kind in SPECS.items() if not name.endswith("/conda.yml")}


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Every spec of a copy of the project, sent to one double: for each what came, or why it could not be sent.

    And, as `code`, the names of the files that were uploaded as code.
    """
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "aml", project / "aml")
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "src" / "digits" / "data" / "__pycache__").mkdir()
    (project / "src" / "digits" / "data" / "__pycache__" / "sets.cpython-311.pyc").write_bytes(b"left by Python")
    for name in ("mnist", "devanagari", "japanese", "batch"):
        (project / "data" / name).mkdir(parents=True)
        (project / "data" / name / f"{name}.npz").write_bytes(b"digits")
    (project / "data" / "labels.jsonl").write_bytes(b'{"id": "winter-7", "label": 3}')
    reference = project / "data" / "digits" / "model" / "reference"
    reference.mkdir(parents=True)
    (reference / "reference.csv").write_text("ink,prediction\n34.5,7\n")
    (reference / "MLTable").write_text(
        "paths:\n  - file: ./reference.csv\ntransformations:\n  - read_delimited: {delimiter: ',', encoding: utf8}\n"
    )
    with started(tmp_path_factory.mktemp("double")) as double:
        double.resources.usage["standardDASv4Family"] = (0, 8)  # blue and green
        yield send_all(project, double)


def send_all(project: Path, double: Double) -> dict[str, Any]:
    from azure.ai.ml.entities import Model

    client = client_of(double)
    (project / "model").mkdir()
    (project / "model" / "MLmodel").write_text("flavors: {}\n")
    client.models.create_or_update(Model(name="digits", path=str(project / "model"), type="mlflow_model"))
    outcome: dict[str, Any] = {}
    for name, kind in sorted(SPECS.items(), key=lambda one: list(KINDS).index(one[1]) if one[1] in KINDS else 0):
        double.requests.clear()
        try:
            send(client, project / "aml" / name, kind)
        except Exception as error:
            outcome[name] = error
        else:
            sent = [one for one in double.requests if one.method == "PUT" and one.service == ""]
            # Code goes with whichever spec comes first; it has a test of its own.
            outcome[name] = [readable(one) for one in sent if "/codes/" not in one.path]
    snapshots = [blobs for (_, container), blobs in double.blobs.containers.items() if len(container) == 36]
    outcome["code"] = {name for blobs in snapshots for name in blobs}
    return outcome


def send(client: Any, spec: Path, kind: str) -> None:
    from azure.ai import ml
    from azure.ai.ml.entities import _load_functions

    loader, noun = KINDS[kind]
    entity = (getattr(ml, loader, None) or getattr(_load_functions, loader))(spec)
    operations = getattr(client, noun)
    if hasattr(operations, "begin_create_or_update"):
        operations.begin_create_or_update(entity).result()
    else:
        operations.create_or_update(entity)


# What is different each time, or where: (expression, what stands for it).
VARIES = [
    (
        r"/subscriptions/[0-9a-f-]{36}/resource[gG]roups/[\w-]+/providers/Microsoft.MachineLearningServices/workspaces/[\w-]+",
        "",
    ),
    (r"azureml://subscriptions/[0-9a-f-]{36}/resourcegroups/[\w-]+/workspaces/[\w-]+/", "azureml://"),
    (r"https://\w+\.blob\.core\.localhost:\d+/[0-9a-f-]{36}", "https://STORAGE/CONTAINER"),
    (r"(?<=/codes/)[0-9a-f-]{36}", "CODE"),
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r"(?<=/jobs/)\w+", "JOB"),
    (r"(?<=/versions/)[0-9a-f-]{36}\b", "VERSION"),
]
# Where the repository stands, not what it says.
LEFT_OUT = re.compile(r"mlflow\.source\.git|azureml\.git|client_component_hash")


def readable(request: Request) -> dict[str, Any]:
    return {"put": stable(request.path), "body": tidy(request.body)}


def stable(text: str) -> str:
    for expression, name in VARIES:
        text = re.sub(expression, name, text)
    return text


def tidy(body: Any) -> Any:
    if isinstance(body, dict):
        return {key: tidy(value) for key, value in sorted(body.items()) if not LEFT_OUT.match(key)}
    if isinstance(body, list):
        return [tidy(one) for one in body]
    return stable(body) if isinstance(body, str) else body


class Text(yaml.SafeDumper):
    """Long texts (a conda file) as blocks, line by line."""


def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Text.add_representer(str, represent)


def test_there_are_specs() -> None:
    assert "pipelines/training.yml" in SPECS


@pytest.mark.parametrize("name", SPECS)
def test_azure_receives_what_is_kept(received: dict[str, Any], name: str) -> None:
    outcome = received[name]
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome, f"aml/{name} was sent, and nothing came"
    text = yaml.dump(outcome, Dumper=Text, sort_keys=False, width=160, allow_unicode=True)
    kept = RECEIVED / name
    if os.environ.get("UPDATE_RECEIVED"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(text, encoding="utf-8")
    assert kept.is_file(), f"{kept} is missing; UPDATE_RECEIVED=1 writes it"
    hint = "Azure would receive something else than is kept; if that is meant, UPDATE_RECEIVED=1 writes it anew"
    assert kept.read_text(encoding="utf-8") == text, hint


def test_the_code_is_what_is_named(received: dict[str, Any]) -> None:
    """The packages that components include, and of src/ what an endpoint needs; nothing that Python left there."""
    code = received["code"]
    included = "code_with_additional_includes"
    assert {f"{included}/digits/jobs/train.py", f"{included}/drift/monitor/core.py"} <= code
    assert {"src/digits/serving/score.py", "src/pages/draw.html"} <= code
    folders = {"/".join(name.split("/")[:2]) for name in code}
    assert folders == {f"{included}/digits", f"{included}/drift", "src/digits", "src/pages", "src/.amlignore"}
    assert not [name for name in code if "__pycache__" in name]


def test_nothing_is_kept_of_specs_that_are_gone() -> None:
    kept = {path.relative_to(RECEIVED).as_posix() for path in RECEIVED.rglob("*.yml")}
    assert kept == set(SPECS)
