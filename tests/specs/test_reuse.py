"""Which steps of the training pipeline are run again after which change: nothing but the network retrains it."""

import io
import shutil
from pathlib import Path

import pytest
import yaml

from amlocal.client import LocalMLClient
from amlocal.jobs.stream import stream
from amlocal.specs import load

ROOT = Path(__file__).parents[2]
STEPS = ("prepare", "train", "evaluate")  # the verdict of `register` depends on who is champion, so it is always run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of aml/ and src/ whose components are sent what they are sent, but only write a file."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "aml", project / "aml")
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "amlocal"))
    for step in (*STEPS, "register"):
        file = project / "aml" / "components" / f"{step}.yml"
        component = yaml.safe_load(file.read_text())
        [output] = component["outputs"]
        component["command"] = f"python -c \"open(r'${{{{outputs.{output}}}}}/made', 'w')\""
        file.write_text(yaml.safe_dump(component))
    return project


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalMLClient:
    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    client = LocalMLClient(tmp_path / ".amlocal")
    client.workspace.create()
    return client


def reused(client: LocalMLClient, project: Path) -> set[str]:
    """Runs the training pipeline; its steps that were not run again."""
    job = client.jobs.create_or_update(load("job", project / "aml" / "pipelines" / "training.yml", []))
    log = io.StringIO()
    stream(client.jobs.store, job.name, client.jobs.web_view, log)
    assert client.jobs.describe(job.name)["status"] == "Completed", log.getvalue()
    steps = list(client.jobs.store.steps(client.jobs.store.read(job.name)))
    assert {step.step for step in steps} == {*STEPS, "register"}
    return {step.step for step in steps if step.reused_from}


def edit(project: Path, file: str, old: str, new: str) -> None:
    path = project / "src" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_report_the_scenarios_and_the_page_retrain_nothing_and_the_network_does(client, project) -> None:
    assert reused(client, project) == set()
    edit(project, "drift/report/report.html", "For comparison", "To compare")
    edit(project, "drift/traffic/scenarios/seasonal.yml", "description: ", "description: Again: ")
    edit(project, "pages/draw.html", "<title>", "<title>A page to ")
    assert reused(client, project) == set(STEPS)
    edit(project, "digits/network/model.py", "width: int = 24", "width: int = 25")
    assert reused(client, project) == set()
