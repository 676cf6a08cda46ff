"""`aml validate`: every mistake with its file, its line and its remedy, before anything runs."""

import json
import shutil
from pathlib import Path

import pytest

from amlocal.cli import main
from amlocal.validate import kind_of, validate

PROJECT = Path(__file__).parent / "project"

PIPELINE = """\
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
settings: {default_compute: azureml:cluster}
inputs:
  text: hello
jobs:
  one:
    type: command
    component: ./component.yml
    inputs: {text: "${{parent.inputs.text}}", rate: 0.5}
  two:
    type: command
    component: ./component.yml
    inputs:
      text: two
      data: "${{parent.jobs.one.outputs.out}}"
"""
COMPUTE = (
    "$schema: https://azuremlschemas.azureedge.net/latest/amlCompute.schema.json\nname: cluster\ntype: amlcompute\n"
)


@pytest.fixture
def faults(bare_client, spec, tmp_path):
    """Writes files into one folder, and gives what is wrong with it."""

    def look(**files):
        spec("", "empty.yml").unlink()
        for name, text in {"compute": COMPUTE, **files}.items():
            (tmp_path / f"{name}.yml").write_text(text)
        _, found = validate([tmp_path], bare_client.workspace)
        assert not bare_client.workspace.root.exists(), "looking leaves nothing behind"
        return [line.replace(f"{tmp_path}/", "") for line in found]

    return look


def test_what_is_sound_passes(faults):
    assert faults(job=PIPELINE) == []


@pytest.mark.parametrize(
    ("wrong", "right", "line", "message"),
    [
        ("rate: 0.5", "rate: fast", 10, 'jobs.one.inputs.rate: "fast" is not a number'),
        ("rate: 0.5", "rate: 7", 10, "jobs.one.inputs.rate: 7 is above the greatest value allowed, 1"),
        ("rate: 0.5", "rate: -1", 10, "jobs.one.inputs.rate: -1 is below the least value allowed, 0"),
        ("rate: 0.5", "mode: fat", 10, 'jobs.one.inputs.mode: "fat" is not one of fast, slow'),
        (
            "rate: 0.5",
            "rat: 1",
            10,
            'jobs.one.inputs.rat: component component.yml has no such input; did you mean "rate"?',
        ),
        (
            "      text: two\n",
            "",
            14,
            'jobs.two.inputs: component component.yml requires an input "text"; give it a value',
        ),
        ("jobs.one.outputs.out", "jobs.one.outputs.ou", 16, 'step "one" has no output "ou"; did you mean "out"?'),
        ("jobs.one.outputs.out", "jobs.on.outputs.out", 16, 'no step is called "on"; did you mean "one"?'),
        ("parent.inputs.text", "parent.inputs.txt", 10, 'the pipeline has no input "txt"; did you mean "text"?'),
        ("rate: 0.5", "data: '${{parent.jobs.two.outputs.out}}'", 6, "the steps wait for each other in a circle"),
        (
            "rate: 0.5",
            "data: {type: uri_folder, path: ./gone}",
            10,
            "jobs.one.inputs.data: ./gone: no such file or folder",
        ),
        ("rate: 0.5", "data: {type: uri_folder, path: 'azureml:gone:1'}", 10, 'data "gone" is not in this workspace'),
        (
            "azureml:cluster",
            "azureml:clutter",
            3,
            'compute "clutter" is neither in this workspace nor among these files',
        ),
    ],
)
def test_a_mistake_in_a_pipeline_is_told_once_with_its_place(faults, wrong, right, line, message):
    assert wrong in PIPELINE
    (found,) = faults(job=PIPELINE.replace(wrong, right))
    assert found.startswith(f"job.yml:{line}: ") and message in found


def test_all_mistakes_of_all_files_are_told(faults):
    two = PIPELINE.replace("rate: 0.5", "rate: fast").replace("text: two", "text: two\n      mode: fat")
    found = faults(job=two, other=PIPELINE.replace("type: pipeline\n", "type: pipeline\ndisplay_nam: x\n"))
    assert [line.split(": ")[0] for line in found] == ["job.yml:10", "job.yml:16", "other.yml:3"]


ENVIRONMENT = """\
$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json
name: mine
image: a
conda_file: {name: x, dependencies: [python=3.11, {pip: ["numpy=>1.0"]}]}
"""


def test_a_malformed_requirement(faults):
    (found,) = faults(environment=ENVIRONMENT)
    assert found.startswith("environment.yml:4: conda_file: ") and '"numpy=>1.0"' in found


def test_an_environment_counts_as_defined_when_a_file_defines_it(faults, spec):
    job = "command: ls\nenvironment: azureml:mine@latest\n"
    assert faults(environment=ENVIRONMENT.replace("=>", ">="), job=job) == []
    (found,) = faults(environment=ENVIRONMENT.replace("=>", ">="), job=job.replace("mine", "mien"))
    assert found.startswith("job.yml:2: environment: ") and '"mien" is not in this workspace' in found


def test_data_counts_as_defined_when_a_file_defines_it(faults, tmp_path):
    (tmp_path / "digits").mkdir()
    data = "$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json\nname: digits\nversion: 2\n"
    data += "type: uri_folder\npath: ./digits\n"
    job = "command: ls ${{inputs.d}}\nenvironment: {image: a}\n"
    job += "inputs: {d: {type: uri_folder, path: 'azureml:digits:2'}}\n"
    assert faults(data=data, job=job) == []
    (found,) = faults(data=data, job=job.replace(":2", ":3"))
    assert 'data "digits" has no version 3; there is 2' in found


COMPONENT = """\
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
type: command
name: c
version: 1
inputs: {a: {type: integer}}
environment: {image: a}
command: echo ${{inputs.b}}
"""


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (COMPONENT, 7, 'command: ${{inputs.b}}: no input is called "b"; there is a'),
        (COMPONENT.replace("inputs.b", "inputs.a") + "code: ./gone\n", 8, "code: no such file or folder: "),
        (
            "command: ls\nenvironment: {image: a}\nlimits: {timeout: 1}\ncompute: azureml:no\n",
            4,
            'compute "no" is neither',
        ),
        ("command: ls\nenvironment: azureml:none:1\n", 2, "environment"),
        ("command: ls\ncommands: ls\nenvironment: {image: a}\n", 2, 'unknown field; did you mean "command"?'),
    ],
)
def test_mistakes_in_single_files(faults, text, line, message):
    (found,) = faults(one=text)
    assert found.startswith(f"one.yml:{line}: ") and message in found


OUT = "azureml://datastores/workspaceblobstore/paths/a/../../b"
SAID = f'{OUT}: leads out of datastore "workspaceblobstore"; write a path below it, without ".."'
JOB = "command: ls\nenvironment: {image: a}\ncompute: local\n"
DEPLOYMENT = (
    "$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json\n"
    "name: blue\nendpoint_name: door\nenvironment: {image: a}\ninstance_type: x\ninstance_count: 1\n"
)
SCHEMA = "$schema: https://azuremlschemas.azureedge.net/latest/{}.schema.json\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (JOB + f"inputs:\n  a: {{type: uri_file, path: {OUT}}}\n", "5: inputs.a"),
        (JOB + f"outputs:\n  a: {{type: uri_file, path: {OUT}}}\n", "5: outputs.a"),
        (
            JOB + f"outputs:\n  a:\n    path: {OUT.replace('workspaceblobstore', '${{default_datastore}}')}\n",
            "5: outputs.a",
        ),
        (SCHEMA.format("data") + f"name: a\ntype: uri_file\npath: {OUT}\n", "4: path"),
        (SCHEMA.format("model") + f"name: a\npath: {OUT}\n", "3: path"),
        (DEPLOYMENT + f"model:\n  name: m\n  version: 1\n  path: {OUT}\n", "10: model.path"),
        (
            DEPLOYMENT + "data_collector:\n  collections:\n    model_inputs:\n      enabled: 'true'\n"
            f"      data: {{path: {OUT}}}\n",
            "11: data_collector.collections.model_inputs.data.path",
        ),
    ],
)
def test_a_path_that_leaves_its_datastore(faults, text, place):
    store = "${{default_datastore}}" if "default_datastore" in text else "workspaceblobstore"
    assert faults(file=text) == [f"file.yml:{place}: {SAID.replace('workspaceblobstore', store)}"]


def test_a_deployment_whose_script_is_not_there(faults, tmp_path):
    (tmp_path / "src").mkdir()
    text = (
        "$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json\n"
        "name: blue\nendpoint_name: e\nmodel: {path: .}\n"
        "code_configuration:\n  code: ./src\n  scoring_script: scoer.py\n"
        "environment: {image: a}\ninstance_type: Standard_DS1_v2\ninstance_count: 1\n"
    )
    (found,) = faults(deployment=text)
    assert found == "deployment.yml:7: code_configuration.scoring_script: no such file in ./src: scoer.py"


def test_what_is_no_spec_is_left_alone(faults, tmp_path):
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "job.yml").write_text("command: ls\n")
    assert faults(compose="services: {db: {image: x}}\n", listed="- a\n- b\n", broken="{{ template }}: [\n") == []


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json "}, "job"),
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/batchEndpoint.schema.json"}, None),
        ({"command": "ls"}, "job"),
        ({"command": "ls", "name": "c", "version": 1}, "component"),
        ([1], None),
    ],
)
def test_the_kind_of_a_document(document, kind):
    assert kind_of(document) == kind


def test_a_sound_repository(capsys, monkeypatch, tmp_path):
    shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "project")
    assert main(["validate", "aml", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 7


def test_a_path_that_is_not_there(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["validate", "gone"]) == 1
    assert capsys.readouterr().err == "ERROR: gone: no such file or folder\n"
