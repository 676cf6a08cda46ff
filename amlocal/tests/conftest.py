"""A workspace per test, and short ways to write specs and run them."""

import io
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures import (  # noqa: F401 (fixtures)
    _runners_are_forked,
    _same_environment_afterwards,
    chromium,
    chromium_path,
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


# What takes longest, so that it does not begin when the other worker has nothing left to do.
FIRST = ("test_processes.py", "test_kinds.py", "test_jobs.py", "test_differential.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))
