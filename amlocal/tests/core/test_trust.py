"""A workspace that somebody else owns or may write to is not run; what is created is for its owner alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core import trust
from amlocal.core.errors import UserError
from amlocal.core.files import read_json, write_json
from amlocal.core.workspace import Workspace

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such owners and modes")
as_root = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")
NOBODY = 65534


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("AMLOCAL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.find()
    workspace.create()
    write_json(workspace.root / "workspace.json", {"name": "mine"})
    (workspace.root / "endpoints" / "a").mkdir(parents=True)
    write_json(workspace.root / "endpoints" / "a" / "endpoint.json", {})
    return workspace


def test_it_is_made_for_its_owner_alone(mine: Workspace) -> None:
    assert stat.S_IMODE(mine.root.stat().st_mode) == 0o700
    with mine.lock("x"):
        assert stat.S_IMODE((mine.root / "locks" / "x.lock").stat().st_mode) == 0o600


@as_root
@pytest.mark.parametrize("what", ["", "workspace.json", "endpoints", "endpoints/a"])
def test_what_somebody_else_owns_is_refused(
    mine: Workspace, what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(mine.root / what, NOBODY, NOBODY)
    for words in (["job", "list"], ["up"], ["down"], ["schedule", "run"], ["doctor"]):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert f"{mine.root / what}: it belongs to user nobody, not to you" in said and said.count("\n") == 1
    with pytest.raises(UserError, match="belongs to user nobody"):
        LocalMLClient(mine.root)
    monkeypatch.setenv(trust.ALLOWED, f"/elsewhere{os.pathsep}{mine.root}")
    assert main(["job", "list"]) == 0


@as_root
def test_a_record_that_somebody_else_owns_is_not_believed(mine: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    record = mine.root / "endpoints" / "a" / "endpoint.json"
    os.chown(record, NOBODY, NOBODY)
    with pytest.raises(UserError, match=r"endpoint\.json: it belongs to user nobody"):
        read_json(record)
    monkeypatch.setenv(trust.ALLOWED, str(mine.root))
    assert read_json(record) == {}


@as_root
def test_a_user_of_sudo_is_not_somebody_else(mine: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(mine.root, NOBODY, NOBODY)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    assert Workspace.find() == mine


@as_root
def test_a_link_to_what_is_somebody_elses_and_one_that_he_has_made(mine: Workspace, tmp_path: Path) -> None:
    (tmp_path / "theirs" / ".amlocal").mkdir(parents=True)
    os.chown(tmp_path / "theirs" / ".amlocal", NOBODY, NOBODY)
    (tmp_path / "here").mkdir()
    link = tmp_path / "here" / ".amlocal"
    link.symlink_to(tmp_path / "theirs" / ".amlocal")
    with pytest.raises(UserError, match="belongs to user nobody"):
        Workspace.find(tmp_path / "here")
    link.unlink()
    link.symlink_to(mine.root)
    assert Workspace.find(tmp_path / "here") == mine
    os.lchown(link, NOBODY, NOBODY)
    with pytest.raises(UserError, match=r"here/\.amlocal: it belongs to user nobody"):
        Workspace.find(tmp_path / "here")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o775, 0o777, 0o1777])
def test_what_others_may_write_to_is_refused(mine: Workspace, mode: int) -> None:
    mine.root.chmod(mode)
    with pytest.raises(UserError, match=rf"others may write to it \(mode {mode:04o}\).*: chmod 700 "):
        Workspace.find()
    mine.root.chmod(0o755)
    assert Workspace.find() == mine, "to read is not to write"
    (mine.root / "endpoints").chmod(mode)
    with pytest.raises(UserError, match="endpoints: others may write to it"):
        Workspace.find()
    mine.root.chmod(0o700)
    assert Workspace.find() == mine, "nobody else comes that far"


def test_where_modes_mean_nothing_it_is_said_once(
    mine: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on drvfs: everything is shown with 0777, whatever it was made with."""
    real = os.fstat

    def everybodys(descriptor: int) -> os.stat_result:
        told = list(real(descriptor))
        told[0] |= 0o777
        return os.stat_result(told)

    mine.root.chmod(0o777)
    monkeypatch.setattr(trust.os, "fstat", everybodys)
    assert Workspace.find() == mine == Workspace.find()
    assert caplog.text.count("the file system keeps no modes") == 1


@as_root
def test_another_user_s_workspace_in_a_folder_for_all_starts_nothing(tmp_path: Path) -> None:
    """By two real users: one plants an endpoint whose worker is a program of his, the other types `aml up`."""
    planted = tmp_path / ".amlocal" / "endpoints" / "trap"
    (planted / "run").mkdir(parents=True)
    write_json(planted / "endpoint.json", {"name": "trap"})
    for path in (tmp_path / ".amlocal", *(tmp_path / ".amlocal").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    environment = {name: value for name, value in os.environ.items() if name != "AMLOCAL_HOME"}
    done = subprocess.run(
        [sys.executable, "-m", "amlocal", "up"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "belongs to user nobody" in done.stderr
    assert not (tmp_path / ".amlocal" / "endpoints" / "supervisor.json").exists()


def test_a_lock_that_is_held_names_who_holds_it(mine: Workspace) -> None:
    if not Path("/proc/locks").exists():
        pytest.skip("the system does not tell")
    hold = "import sys, fcntl, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(1); time.sleep(60)"
    with mine.lock("x"):
        pass
    holder = subprocess.Popen(
        [sys.executable, "-uc", hold, str(mine.root / "locks" / "x.lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout and holder.stdout.readline() == "1\n"
        with (
            pytest.raises(UserError, match=rf"process {holder.pid} \(.*has held this lock for 0 s"),
            mine.lock("x", 0.2),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
