"""Runs this repository's workflows on this machine, step by step, with `act` and without Docker.

Every `uses:` is replaced by a stub; `az` is the stand-in of `aml exec`, in front of the double of Azure or of a local
workspace; `gh` is a fake that keeps issues and notes what else it was asked. What is run is a copy of the repository.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from double import Double
from forked import Forks

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools" / "bin"
REPOSITORY = "somebody/digits"  # act takes it from the copy's remote
WORKFLOWS = ROOT / ".github" / "workflows"


def tool(name: str) -> str:
    """The path of one of the tools for workflows; skips the test where `make tools` has not been run."""
    if not (TOOLS / name).is_file():
        pytest.skip(f"{name} is not in .tools/: `make tools` installs it")
    return str(TOOLS / name)


def used(workflow: str) -> list[str]:
    """The actions a workflow uses, as `owner/name@ref`."""
    return re.findall(r"^\s*(?:- )?uses:\s*(\S+)", (WORKFLOWS / f"{workflow}.yml").read_text(), re.MULTILINE)


def jobs(workflow: str) -> dict[str, Any]:
    """The jobs of a workflow, as written."""
    return yaml.safe_load((WORKFLOWS / f"{workflow}.yml").read_text(encoding="utf-8"))["jobs"]


def run_steps(workflow: str, *names: str) -> set[str]:
    """The names of all steps with commands of our own, in these jobs or in all."""
    chosen = jobs(workflow)
    return {step["name"] for job in names or chosen for step in chosen[job]["steps"] if "run" in step}


@dataclass
class Run:
    """What became of a workflow."""

    code: int
    log: str
    summary: str  # Markdown, as GitHub would show it

    @property
    def green(self) -> bool:
        return self.code == 0

    @property
    def steps(self) -> set[str]:
        """The names of the steps that were run."""
        return set(re.findall(r"⭐ Run Main (.*)", self.log))

    def leaks(self, double: Double) -> list[str]:
        """What of the double should not be read by everybody, and is."""
        secrets = {"subscription": double.subscription, "secret": double.environment["AZURE_CLIENT_SECRET"]}
        secrets |= {"token": "eyJ", "key": "-primary"}  # how every JSON web token begins, how the double's keys end
        told = "\n".join([self.log, self.summary])
        return [name for name, text in secrets.items() if text in told]


@dataclass
class Runner:
    """A copy of the repository, and a machine that runs its workflows."""

    folder: Path
    forks: Forks
    environment: dict[str, str] = field(default_factory=dict)  # of every step
    target: str = "local"
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def copy(self) -> Path:
        return self.folder / "repository"

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def prepare(self) -> None:
        """Make the copy, as a git repository, the stubs and the programs that a runner has beside `az`."""
        for name in (".github", "aml", "infra", "src"):
            shutil.copytree(ROOT / name, self.copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.copy / "Makefile").write_text("install lint test release-check:\n\t@echo asked: make $@\n")
        (self.copy / "amlocal" / "tests").mkdir(parents=True)
        shutil.copy(ROOT / "amlocal" / "pyproject.toml", self.copy / "amlocal")
        (self.copy / "amlocal" / "tests" / "smoke.py").write_text("print('asked: smoke')\n")
        git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false"]
        for words in (
            ["init", "--quiet", "--initial-branch=main"],
            ["add", "."],
            ["commit", "--quiet", "-m", "copy"],
            ["remote", "add", "origin", f"https://github.com/{REPOSITORY}"],
        ):
            subprocess.run([*git, *words], cwd=self.copy, check=True)
        # azure/login does no more than this; the other actions do nothing here.
        login = "az login --service-principal --username x --tenant x --federated-token x --output none"
        for name, step in (("login", login), ("stub", "true")):
            stub = self.folder / name
            stub.mkdir()
            runs = {"using": "composite", "steps": [{"run": step, "shell": "bash"}]}
            action = {"name": name, "description": "stands for an action", "runs": runs}
            (stub / "action.yml").write_text(json.dumps(action))  # JSON is YAML
        self.bin.mkdir()
        self.environment["AML_PYTHON"] = str(self.forks.python(self.bin))
        self.program("gh", f'exec "{sys.executable}" "{Path(__file__).with_name("gh_fake.py")}" "{self.folder}" "$@"')

    def program(self, name: str, text: str) -> None:
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def replace(self, path: str, old: str, new: str, count: int = -1) -> None:
        """Change a file of the copy."""
        file = self.copy / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} does not say {old!r}"
        file.write_text(text.replace(old, new, count), encoding="utf-8")

    def __call__(self, workflow: str, event: str = "push", inputs: dict[str, str] | None = None, **payload: Any) -> Run:
        """Run a workflow as the event would; `inputs` of a dispatch, `payload` of any other event."""
        if inputs is not None:
            payload["inputs"] = inputs
        for name, content in (("event.json", json.dumps(payload)), ("env", _lines(self.environment))):
            (self.folder / name).write_text(content)
        words = [
            tool("act"),
            event,
            "--workflows",
            f".github/workflows/{workflow}.yml",
            "--eventpath",
            self.folder / "event.json",
        ]
        words += ["-P", "ubuntu-latest=-self-hosted", "--pull=false", "--env-file", self.folder / "env"]
        for action in used(workflow):
            stub = self.folder / ("login" if action.startswith("azure/login@") else "stub")
            words += ["--local-repository", f"{action}={stub}"]
        for name, value in self.secrets.items():
            words += ["--secret", f"{name}={value}"]
        for name, value in self.variables.items():
            words += ["--var", f"{name}={value}"]
        surroundings = os.environ | self.environment
        # `python3` is this one. `az` is put in front of all by `aml exec`.
        path = [str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]]
        surroundings |= {"PATH": os.pathsep.join(path), "XDG_CACHE_HOME": str(self.folder / "cache")}
        aml = [sys.executable, "-m", "amlocal", "exec", "--target", self.target, "--"]
        done = subprocess.run(
            [*aml, *map(str, words)], cwd=self.copy, env=surroundings, capture_output=True, text=True, check=False
        )
        log = done.stdout + done.stderr
        return Run(done.returncode, log, _summary(log))

    def environment_branches(self, *names: str) -> None:
        """Which branches may use the environments; none: there is no environment, or any branch may."""
        (self.folder / "branches.json").write_text(json.dumps(names), encoding="utf-8")

    @property
    def issues(self) -> list[dict[str, Any]]:
        """The repository's issues, the oldest first."""
        file = self.folder / "issues.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []

    @property
    def started(self) -> list[str]:
        """What GitHub was asked to run, and with what."""
        asked = self.folder / "gh"
        lines = asked.read_text(encoding="utf-8").splitlines() if asked.exists() else []
        return [line.removeprefix("workflow run ") for line in lines if line.startswith("workflow run ")]


def _lines(environment: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in environment.items())


def _summary(log: str) -> str:
    return "\n".join(re.findall(r"⚙  Summary - (.*?)(?=^\[[\w-]+/|\Z)", log, re.MULTILINE | re.DOTALL))


def _sdk_is_compiled() -> bool:
    source = find_spec("azure.ai.ml").origin
    return Path(cache_from_source(source)).is_file()


@pytest.fixture
def azure(runner: Runner) -> Iterator[tuple[Runner, Double]]:
    """The same in front of the double of Azure, which must have known every request."""
    with Double(runner.folder / "double") as double:
        runner.target = "azure"
        runner.environment |= double.environment | {"POLL_SECONDS": "6"}
        if os.environ.get("PYTHONDONTWRITEBYTECODE") and not _sdk_is_compiled():  # `az` would compile it each time
            compiled = str(runner.folder.parent / "compiled")
            runner.environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        runner.secrets = {
            "AZURE_CLIENT_ID": double.environment["AZURE_CLIENT_ID"],
            "AZURE_INFRA_CLIENT_ID": double.environment["AZURE_CLIENT_ID"],
            "AZURE_TENANT_ID": "00000000-0000-0000-0000-0000000007e2",
            "AZURE_SUBSCRIPTION_ID": double.subscription,
        }
        runner.variables = {
            "AZURE_RESOURCE_GROUP": double.resource_group,
            "AZURE_WORKSPACE": double.workspace,
            "AZURE_WORKFLOWS_MAY_DEPLOY": "true",
        }
        runner.environment_branches("main")
        # As az does, it keeps the tokens that it got.
        kept = f'kept="{runner.folder}/$(echo "$@" | cksum | cut -d" " -f1)"'
        fake = f'"{sys.executable}" "{Path(__file__).with_name("az_fake.py")}" "$@"'
        runner.program(
            "az",
            f'[ "$1 $2" = "account get-access-token" ] || exec {fake}\n'
            f'{kept}\n[ -s "$kept" ] || {fake} > "$kept" || exit\ncat "$kept"',
        )
        yield runner, double
    assert double.unknown == [], "\n".join(map(str, double.unknown))


@pytest.fixture
def runner(tmp_path: Path, forks: Forks) -> Runner:
    """In front of a local workspace."""
    tool("act")
    made = Runner(tmp_path, forks)
    made.prepare()
    return made
