"""The container and the editor's settings: what they name is there and agrees with the specs and the Makefile."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCHEMAS = "https://azuremlschemas.azureedge.net/latest/"


def read(name: str) -> dict:
    text = (ROOT / name).read_text(encoding="utf-8")
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))  # JSON with comments


@pytest.fixture(scope="module")
def container() -> dict:
    return read(".devcontainer/devcontainer.json")


def test_the_editor_checks_each_spec_with_the_schema_that_the_spec_names():
    mapped = {}
    for schema, patterns in read(".vscode/settings.json")["yaml.schemas"].items():
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            files = list(ROOT.glob(pattern))
            assert files, f"{pattern} is no file"
            mapped |= dict.fromkeys(files, schema)
    named = {}
    for file in ROOT.glob("aml/**/*.yml"):
        if found := re.search(r"^\$schema: (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE):
            named[file] = found[1]
    assert mapped == named
    assert all(schema.startswith(SCHEMAS) for schema in named.values())


def test_both_ways_in_recommend_the_same_extensions(container):
    recommended = read(".vscode/extensions.json")["recommendations"]
    assert container["customizations"]["vscode"]["extensions"] == recommended


def test_the_container_has_the_python_and_the_commands_of_a_laptop(container):
    [version] = re.findall(r"^mcr\.microsoft\.com/devcontainers/python:(3\.\d+)$", container["image"])
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"PYTHON ?= $(shell for each in python{version} " in make
    assert container["postCreateCommand"].startswith("make install && ")
    assert container["remoteEnv"]["PATH"].startswith("${containerWorkspaceFolder}/.venv/bin:")
    assert {feature.split("/")[-1] for feature in container["features"]} == {"azure-cli:1", "github-cli:1"}


def test_the_ports_are_those_that_are_used(container):
    from amlocal.cli.nouns import mlflow

    assert container["forwardPorts"] == [mlflow.ui.__defaults__[0]]
    assert container["portsAttributes"].keys() == {str(port) for port in container["forwardPorts"]}
