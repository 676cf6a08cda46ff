"""Where the workspace is, and that nothing in it is ever half-written."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from amlocal.core.errors import UserError
from amlocal.core.files import read_json, write_json, write_text
from amlocal.core.workspace import Workspace


def test_found_in_the_nearest_parent_that_has_one(tmp_path, monkeypatch):
    monkeypatch.delenv("AMLOCAL_HOME", raising=False)
    (tmp_path / ".amlocal").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert Workspace.find(below).root == tmp_path / ".amlocal"


def test_the_environment_variable_wins(tmp_path, monkeypatch):
    (tmp_path / ".amlocal").mkdir()
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / "elsewhere"))
    assert Workspace.find(tmp_path).root == tmp_path / "elsewhere"


def test_a_workspace_ignores_itself_in_git(tmp_path):
    workspace = Workspace(tmp_path / ".amlocal")
    workspace.create()
    assert (workspace.root / ".gitignore").read_text() == "*\n"


def test_full_disk_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "job.json"
    write_json(path, {"status": "Running"})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"job\.json: the disk is full"):
        write_text(path, "new")
    assert read_json(path) == {"status": "Running"}
    assert [item.name for item in tmp_path.iterdir()] == ["job.json"]


def test_a_disk_that_is_nearly_full_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path / ".amlocal")
    workspace.create()
    workspace.require_space()
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30 - 2**20, 2**20))
    with pytest.raises(UserError, match=r"the disk is full \(1 MiB left\)"):
        workspace.require_space()


def test_a_torn_file_is_named(tmp_path):
    path = tmp_path / "job.json"
    path.write_text('{"name": "x"')
    with pytest.raises(UserError, match=r"job\.json: damaged: not a whole JSON file"):
        read_json(path)


def test_lock_says_who_is_waiting_for_what(tmp_path):
    workspace = Workspace(tmp_path / ".amlocal")
    with (
        workspace.lock("models"),
        pytest.raises(UserError, match=r"has held this lock for 0 s; see `aml doctor`"),
        Workspace(Path(workspace.root)).lock("models", timeout=0.1),
    ):
        pass


@pytest.mark.parametrize(
    ("told", "own"),
    [
        ("http://tracking:5000", False),
        ("sqlite:////data/runs.sqlite", False),
        ("sqlite:////data/mlflow.db", False),
        ("azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s/resourceGroups/g", True),
        ("sqlite:////somewhere/else/.amlocal/mlflow.db", True),
    ],
)
def test_whose_tracking_uri(tmp_path, monkeypatch, told, own):
    """What MLflow, `aml exec` or a job has put into the environment is not the user's choice of a store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", told)
    workspace = Workspace(tmp_path / ".amlocal")
    assert workspace.tracking_uri == (f"sqlite:///{workspace.database.as_posix()}" if own else told)


def test_a_workspace_of_any_name_is_known_by_what_is_in_it(tmp_path, monkeypatch):
    (tmp_path / "first" / "jobs").mkdir(parents=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Workspace(tmp_path / "first").tracking_uri)
    second = Workspace(tmp_path / "second")
    assert second.tracking_uri == f"sqlite:///{second.database.as_posix()}"
