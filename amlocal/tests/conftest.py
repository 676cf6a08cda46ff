"""A workspace per test, and short ways to write specs and run them."""

import io
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures import (  # noqa: F401 (fixtures)
    _same_environment_afterwards,
    arrange,
    chromium,
    chromium_path,
    forks,
    pytest_addoption,
)

from amlocal.client import LocalMLClient
from amlocal.core.mlflow_store import client as mlflow_client
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord
from amlocal.jobs.stream import stream
from amlocal.specs import load

COMPONENT = """
type: command
name: writer
version: 1
inputs:
  data: {type: uri_folder, optional: true}
  rate: {type: number, default: 0.5, min: 0, max: 1}
  mode: {type: string, enum: [fast, slow], default: fast}
  text: {type: string}
outputs:
  out: {type: uri_folder}
environment: {image: "python:3.11"}
command: >-
  echo "${{inputs.text}} ${{inputs.rate}} ${{inputs.mode}} $[[from ${{inputs.data}}]]" > ${{outputs.out}}/said.txt
"""


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's store as it is made; copied into each workspace, since making one takes seconds."""
    workspace = Workspace(tmp_path_factory.mktemp("store") / ".amlocal")
    mlflow_client(workspace)
    return workspace.database


@pytest.fixture
def bare_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalMLClient:
    """A client on a workspace that is not there yet; its path has a space in it, as paths on laptops have."""
    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return LocalMLClient(tmp_path / "my work" / ".amlocal")


@pytest.fixture
def client(bare_client: LocalMLClient, empty_store: Path) -> LocalMLClient:
    """A client on an empty workspace."""
    bare_client.workspace.create()
    shutil.copy(empty_store, bare_client.workspace.database)
    return bare_client


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., Path]:
    """Writes a YAML file; `component.yml` lies beside it."""
    (tmp_path / "component.yml").write_text(COMPONENT)

    def write(text: str, name: str = "job.yml") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def finish(client: LocalMLClient) -> Callable[[str], JobRecord]:
    """Waits for a job to end."""

    def wait(name: str) -> JobRecord:
        return stream(client.jobs.store, name, client.jobs.web_view, io.StringIO())

    return wait


@pytest.fixture
def run(client: LocalMLClient, finish: Callable[[str], JobRecord]) -> Callable[..., JobRecord]:
    """Runs a spec to its end; returns the record."""

    def submit(path: Path, *overrides: dict[str, object]) -> JobRecord:
        return finish(client.jobs.create_or_update(load("job", path, overrides)).name)

    return submit


# The files that take more than two seconds, the longest first: they are begun first, and left out by --quick.
SLOW = (
    "test_processes.py",
    "test_debugging.py",
    "test_kinds.py",
    "test_damage.py",
    "test_jobs.py",
    "test_proof.py",
    "test_differential.py",
    "test_verbs.py",
    "test_references.py",
    "test_registries.py",
    "test_workspaces.py",
    "test_arguments.py",
    "test_store.py",
    "test_run.py",
    "test_server.py",
    "test_console.py",
    "test_mlflow_double.py",
    "test_conformance.py",
    "test_tracking.py",
    "test_job.py",
    "test_sdk.py",
    "test_fallback.py",
    "test_installer.py",
    "test_driver.py",
    "test_mlflow.py",
    "test_remote.py",
    "test_overlay.py",
    "test_exec.py",
    "test_environments.py",
    "test_sdk_programs.py",
    "test_workspace.py",
    "test_target.py",
    "test_double.py",
    "test_instance.py",
    "test_hostile.py",
    "test_auth.py",
    "test_help.py",
    "test_client_endpoints.py",
    "test_metrics.py",
    "test_supervisor.py",
    "test_costs.py",
    "test_rollout.py",
    "test_client_jobs.py",
    "test_client_assets.py",
    "test_schedule.py",
    "test_schedules.py",
    "test_connection.py",
    "test_validate.py",
    "test_client.py",
    "test_collector.py",
    "test_sampling.py",
    "test_mltable.py",
    "test_app.py",
    "test_durable.py",
    "test_files.py",
    "test_submit.py",
    "test_trust.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    arrange(config, items, SLOW)
