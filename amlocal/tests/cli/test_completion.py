"""What the tab key offers: as a shell asks for it, and without the imports that take seconds."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from amlocal.cli import main
from amlocal.core.workspace import Workspace

# What may not be imported for it: each takes longer than a person waits.
HEAVY = {"azure", "mlflow", "numpy", "pandas", "sqlalchemy"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two jobs, a model, an environment, and an endpoint of each kind with a deployment."""
    made = Workspace(tmp_path / ".amlocal")
    for name in ("brave-fox", "calm-owl"):
        (made.jobs / name).mkdir(parents=True)
    (made.root / "assets" / "environment" / "sklearn").mkdir(parents=True)
    for name, kind in (("wine", "online"), ("wine-batch", "batch")):
        place = made.root / "endpoints" / name
        (place / "deployments").mkdir(parents=True)
        (place / "endpoint.json").write_text(json.dumps({"name": name, "kind": kind}), encoding="utf-8")
    (made.root / "endpoints" / "wine" / "deployments" / "blue").mkdir()
    (made.root / "endpoints" / "wine-batch" / "deployments" / "night.json").write_text("{}", encoding="utf-8")
    with sqlite3.connect(made.database) as store:
        store.execute("CREATE TABLE registered_models (name)")
        store.execute("INSERT INTO registered_models VALUES ('digits')")
    store.close()
    return made


def offered(folder: Path, line: str) -> list[str]:
    """What a shell would show in that folder for a line that is written so far."""
    answer = folder / "answer"
    surroundings = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SHELL": "bash"}
    surroundings |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "amlocal"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "AMLOCAL_HOME"} | surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    imported = {text.rpartition("|")[2].strip().partition(".")[0] for text in ran.stderr.splitlines()}
    assert not imported & HEAVY
    return sorted(word.strip() for word in answer.read_text(encoding="utf-8").split("\n") if word.strip())


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("aml job show -n ", ["brave-fox", "calm-owl"]),
        ("aml job stream --name b", ["brave-fox"]),
        ("aml job list --parent-job-name c", ["calm-owl"]),
        ("aml model show --name ", ["digits"]),
        ("aml environment show -n s", ["sklearn"]),
        ("aml online-endpoint invoke -n ", ["wine"]),
        ("aml online-deployment get-logs -e ", ["wine"]),
        ("aml online-deployment get-logs --endpoint-name wine -n ", ["blue"]),
        ("aml batch-deployment show -e wine-batch -n ", ["night"]),
        ("aml batch-endpoint invoke --name ", ["wine-batch"]),
        ("aml job create --name ", []),
        ("aml mo", ["model"]),
        ("aml job show-s", ["show-services"]),
    ],
)
def test_names_are_those_of_the_workspace(workspace: Workspace, line: str, names: list[str]) -> None:
    assert offered(workspace.root.parent, line) == names


def test_where_there_is_nothing_nothing_is_made(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    assert offered(tmp_path, "aml model show -n ") == []
    assert list(tmp_path.iterdir()) == [answer], "a workspace was made"


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nospace -o default -o bashdefault -F _python_argcomplete aml"),
        ("zsh", "compdef _python_argcomplete aml"),
        ("fish", "complete --command aml -f -a '(__fish_aml_complete)'"),
        ("pwsh", "Register-ArgumentCompleter -Native -CommandName aml"),
    ],
)
def test_each_shell_gets_its_script(capsys: pytest.CaptureFixture[str], shell: str, line: str) -> None:
    assert main(["completion", shell]) == 0
    assert line in capsys.readouterr().out
