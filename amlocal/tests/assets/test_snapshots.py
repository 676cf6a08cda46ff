"""The folder of a job's or a deployment's code is copied without the workspace that lies in it."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amlocal.assets.snapshots import snapshot
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.endpoints.plan import resolve
from amlocal.endpoints.store import EndpointStore
from amlocal.jobs.submit import prepare_job
from amlocal.operations.common import entity
from amlocal.specs import load


def names(folder: Path | str | None) -> list[str]:
    assert folder
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture
def home(client: LocalMLClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with code in it, and a workspace in which a gateway listens."""
    home = client.workspace.root.parent
    monkeypatch.chdir(home)
    (home / "main.py").write_text("print('hi')")
    (home / "deep").mkdir()
    (home / "deep" / "more.py").write_text("")
    with socket.socket(socket.AF_UNIX if sys.platform != "win32" else socket.AF_INET) as listening:
        if sys.platform != "win32":
            listening.bind(
                os.path.relpath(client.workspace.root / "s")
            )  # a socket's path has a hundred letters at most
        yield home


@pytest.mark.parametrize("code", ["{home}", "."])
def test_of_a_job(client: LocalMLClient, home: Path, spec: Callable[..., Path], code: str) -> None:
    path = home / "job.yml"
    path.write_text(f"command: python main.py\ncode: {code.format(home=home)}\nenvironment: {{image: a}}\n")
    _, plan = prepare_job(load("job", path), client.workspace)
    assert names(plan.steps[""].code) == ["deep/more.py", "job.yml", "main.py"]
    again, _ = prepare_job(load("job", path), client.workspace)
    assert Path(again.spec["code"]) == Path(str(plan.steps[""].code)), "what the first has put there is not in the way"


def test_with_files_beside_it(client: LocalMLClient, home: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    for name in ("words.py", "words.log"):
        (tmp_path / "shared" / name).write_text("")
    (home / ".amlignore").write_text("*.log\n")
    kept = snapshot(client.workspace, ".", [str(tmp_path / "shared")])
    assert names(kept) == [".amlignore", "deep/more.py", "main.py", "shared/words.py"]
    assert names(snapshot(client.workspace, None, ["deep"])) == ["deep/more.py"]
    assert names(snapshot(client.workspace, "main.py", ["deep"])) == ["deep/more.py", "main.py"]
    with pytest.raises(UserError, match=r"additional_includes: Unable to find additional include nowhere"):
        snapshot(client.workspace, ".", ["nowhere"])


def test_of_a_deployment(client: LocalMLClient, home: Path) -> None:
    (home / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    blue = {
        "name": "blue",
        "endpoint_name": "trial",
        "code_configuration": {"code": str(home), "scoring_script": "score.py"},
        "environment": {"image": "a"},
        "instance_type": "Standard_DS1_v2",
        "instance_count": 1,
    }
    EndpointStore(client.workspace).log("trial", "blue").parent.mkdir(parents=True)
    plan = resolve(entity("online-deployment", blue), 1, client.workspace)
    assert names(Path(plan.folder, "code")) == ["deep/more.py", "main.py", "score.py"]
