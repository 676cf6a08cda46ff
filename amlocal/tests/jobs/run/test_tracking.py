"""MLflow's store is made once, whole, whoever comes first and wherever it lies."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amlocal.client import LocalMLClient
from amlocal.core.mlflow_store import client as mlflow_client

OPEN = """
import sys
from pathlib import Path
from amlocal.jobs.run.tracking import client
from amlocal.core.workspace import Workspace
client(Workspace(Path(sys.argv[1]))).create_experiment(sys.argv[2])
"""


def test_the_first_processes_at_once_make_one_store_where_the_user_wants_it(
    bare_client: LocalMLClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "mine" / "runs.sqlite"
    database.parent.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database.as_posix()}")
    command = [sys.executable, "-c", OPEN, str(bare_client.workspace.root)]
    started = [subprocess.Popen([*command, name], env=os.environ, stderr=subprocess.PIPE) for name in "abc"]
    for process in started:
        _, err = process.communicate()
        assert process.returncode == 0, err.decode()
    there = mlflow_client(bare_client.workspace).search_experiments()
    assert sorted(experiment.name for experiment in there) == ["Default", "a", "b", "c"]
    assert [path.name for path in database.parent.iterdir()] == ["runs.sqlite"]


def test_a_store_that_the_users_own_program_makes_meanwhile_is_not_replaced(
    bare_client: LocalMLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking import sqlalchemy_store

    made = []
    original = sqlalchemy_store.SqlAlchemyStore

    class Slow(sqlalchemy_store.SqlAlchemyStore):
        def __init__(self, uri: str, *more: Any) -> None:
            if uri.endswith("-new"):  # while ours is made, theirs is made and used
                theirs = original(bare_client.workspace.tracking_uri, *more)
                made.append(theirs.create_experiment("theirs"))
            super().__init__(uri, *more)

    with monkeypatch.context() as patch:
        patch.setattr(sqlalchemy_store, "SqlAlchemyStore", Slow)
        there = mlflow_client(bare_client.workspace).search_experiments()
    assert made and "theirs" in {experiment.name for experiment in there}


def test_what_a_killed_first_process_leaves_is_known_to_be_the_workspaces(
    bare_client: LocalMLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking import sqlalchemy_store

    def killed(uri: str, artifacts: str) -> None:
        beside = Path(uri.removeprefix("sqlite:///"))
        for name in (beside.name, f"{beside.name}-journal"):
            beside.with_name(name).touch()
        raise KeyboardInterrupt

    workspace = bare_client.workspace
    with monkeypatch.context() as patch:
        patch.setattr(sqlalchemy_store, "SqlAlchemyStore", killed)
        with pytest.raises(KeyboardInterrupt):
            mlflow_client(workspace)
    assert not workspace.database.exists() and any(workspace.root.glob("*-journal"))
    bare_client.workspaces.begin_delete(workspace.name).result()
    assert not workspace.root.exists()
