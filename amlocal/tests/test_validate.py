"""`aml validate`: every mistake with its file, its line and its remedy, before anything runs."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from amlocal.cli import main
from amlocal.specs.recognize import kind_of, other_tool
from amlocal.validate import validate

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
def looked(bare_client, spec, tmp_path):
    """Writes files into one folder, and gives the report on it."""

    def look(**files):
        spec("", "empty.yml").unlink()
        for name, text in {"compute": COMPUTE, **files}.items():
            (tmp_path / f"{name}.yml").write_text(text)
        report = validate([tmp_path], bare_client.workspace)
        assert not bare_client.workspace.root.exists(), "looking leaves nothing behind"
        report.errors = [line.replace(f"{tmp_path}/", "") for line in report.errors]
        report.notes = [line.replace(f"{tmp_path}/", "") for line in report.notes]
        return report

    return look


@pytest.fixture
def faults(looked):
    """As `looked`, but only what is wrong."""
    return lambda **files: looked(**files).errors


def test_what_is_sound_passes(faults):
    assert faults(job=PIPELINE) == []


@pytest.mark.parametrize(
    ("wrong", "right", "line", "message"),
    [
        ("rate: 0.5", "rate: fast", 10, 'jobs.one.inputs.rate: "fast" is not a number'),
        ("rate: 0.5", "rate: 7", 10, "jobs.one.inputs.rate: 7 is above the greatest value allowed, 1"),
        ("rate: 0.5", "rate: -1", 10, "jobs.one.inputs.rate: -1 is below the least value allowed, 0"),
        ("rate: 0.5", "mode: fat", 10, 'jobs.one.inputs.mode: "fat" is not one of fast, slow'),
        ("rate: 0.5", "data: {type: uri_folder}", 10, "jobs.one.inputs.data: a uri_folder without a path; add `path:`"),
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


def test_an_environment_counts_as_defined_when_a_file_defines_it(looked):
    job = "command: ls\nenvironment: azureml:mine@latest\n"
    report = looked(environment=ENVIRONMENT.replace("=>", ">="), job=job)
    assert report.errors == report.notes == []
    report = looked(environment=ENVIRONMENT.replace("=>", ">="), job=job.replace("mine", "mien"))
    assert report.errors == []
    (note,) = report.notes
    assert note.startswith('job.yml:2: environment: environment "mien" was not found in this workspace')
    assert note.endswith('did you mean "mine"?')


def test_data_counts_as_defined_when_a_file_defines_it(looked, tmp_path):
    (tmp_path / "digits").mkdir()
    data = "$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json\nname: digits\nversion: 2\n"
    data += "type: uri_folder\npath: ./digits\n"
    job = "command: ls ${{inputs.d}}\nenvironment: {image: a}\n"
    job += "inputs: {d: {type: uri_folder, path: 'azureml:digits:2'}}\n"
    assert looked(data=data, job=job).notes == []
    report = looked(data=data, job=job.replace(":2", ":3"))
    assert report.errors == []
    (note,) = report.notes
    assert 'data "digits": version 3 was not found; there is 2' in note


JOB = "command: ls\nenvironment: {image: a}\ncompute: local\n"
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
            COMPONENT.replace("{a: {type: integer}}", "{b: {type: integer}, B: {type: integer}}"),
            5,
            "inputs.B: Invalid component input names 'B' and 'b', which are equal ignore case.",
        ),
        (JOB + "code: git+https://github.com/a/b\n", 4, "code: Azure does not support Git paths; give a folder"),
        ("command: ls\ncommands: ls\nenvironment: {image: a}\n", 2, 'unknown field; did you mean "command"?'),
    ],
)
def test_mistakes_in_single_files(faults, text, line, message):
    (found,) = faults(one=text)
    assert found.startswith(f"one.yml:{line}: ") and message in found


OUT = "azureml://datastores/workspaceblobstore/paths/a/../../b"
SAID = f'{OUT}: leads out of datastore "workspaceblobstore"; write a path below it, without ".."'
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


def test_every_mistake_of_a_batch_deployment(faults, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text("")
    text = (
        "$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json\n"
        "name: first\nendpoint_name: e\ntype: model\nmodel: {path: .}\n"
        "code_configuration:\n  code: ./src\n  scoring_script: scoer.py\n"
        "environment: {image: a}\ncompute: azureml:nowhere\n"
        "settings:\n  mini_batch_size: 0\n  retry_settings:\n    timeout: 0\n  logging_level: loud\n"
    )
    assert faults(deployment=text) == [
        "deployment.yml:8: code_configuration.scoring_script: no such file in ./src: scoer.py",
        "deployment.yml:12: settings.mini_batch_size: 0 is below 1",
        "deployment.yml:14: settings.retry_settings.timeout: 0 is below 1",
        "deployment.yml:15: settings.logging_level: loud is none of warning, info, debug",
    ]
    text = text.replace("modelBatch", "pipelineComponentBatch").partition("type: model")[0]
    (found,) = faults(deployment=f"{text}type: pipeline\ncomponent: azureml:nothing@latest\n")
    assert found.startswith('deployment.yml:5: component: component "nothing" was not found in this workspace')


def test_what_is_no_spec_is_left_alone(faults, tmp_path):
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "job.yml").write_text("command: ls\n")
    assert faults(compose="services: {db: {image: x}}\n", listed="- a\n- b\n", broken="{{ template }}: [\n") == []


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json "}, "job"),
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/batchEndpoint.schema.json"}, "batch_endpoint"),
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/COMMANDJOB.schema.json"}, "job"),
        ({"$schema": "http://azureml/sdk-2-0/CommandComponent.json"}, "component"),
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/comandJob.schema.json", "command": "ls"}, "job"),
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/prompt.schema.json"}, None),
        ({"$schema": "https://json.schemastore.org/pre-commit.json", "command": "ls"}, None),
        ({"type": "uri_folder", "path": "x"}, "data"),
        ({"type": "mlflow_model", "path": "x"}, "model"),
        ({"type": "AmlCompute", "size": "x"}, "compute"),
        ({"type": "pipeline", "jobs": {"a": {"type": "command"}}}, "job"),
        ({"jobs": {"a": {"component": "./a.yml"}}}, "job"),
        ({"type": "command", "command": "ls", "inputs": {"a": {"type": "integer"}}}, "component"),
        ({"type": "command", "command": "ls", "inputs": {"a": {"type": "uri_file", "path": "x"}}}, "job"),
        ({"name": "e", "image": "x"}, "environment"),
        ({"name": "d", "model": "azureml:m@latest", "instance_type": "x"}, "online_deployment"),
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
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == 7 and told["errors"] == []


def test_a_path_that_is_not_there(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["validate", "gone"]) == 1
    assert capsys.readouterr().err == "ERROR: gone: no such file or folder\n"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({True: "push", "jobs": {"build": {"runs-on": "x", "steps": []}}}, "a GitHub workflow"),
        ({"services": {"db": {"image": "x", "command": "ls"}}, "version": "3"}, "docker-compose's"),
        ({"name": "e", "channels": [], "dependencies": []}, "a conda environment"),
        ({"site_name": "x", "nav": []}, "MkDocs'"),
        ({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"command": ["ls"]}]}}, "Kubernetes'"),
        ({"repos": [{"repo": "x"}]}, "pre-commit's"),
        ({"trigger": ["main"], "jobs": [{"job": "a"}], "pool": {}}, "an Azure pipeline"),
    ],
)
def test_another_tools_file_is_left_out_with_the_reason(looked, tmp_path, document, reason):
    assert kind_of(document) is None and other_tool(document) == reason
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(document))
    report = looked(job="command: ls\nenvironment: {image: a}\n")
    assert report.errors == [] and report.files == 3  # the job, its component and the compute
    assert [path.name for path, _ in report.left_out] == ["other.yaml"]


def test_no_file_is_skipped_in_silence(looked, tmp_path):
    (tmp_path / ".hidden").mkdir()
    report = looked(listed="- a\n", broken="{{ template }}: [\n", compose="services: {db: {image: x}}\n")
    told = {path.name: reason for path, reason in report.left_out}
    assert set(told) == {".hidden", "listed.yml", "broken.yml", "compose.yml"} and all(told.values())


def test_a_folder_without_a_spec_is_no_success(bare_client, tmp_path):
    (tmp_path / "ci.yml").write_text("on: push\njobs: {build: {runs-on: x, steps: []}}\n")
    (told,) = validate([tmp_path], bare_client.workspace).errors
    assert "no Azure ML spec in it" in told and "a GitHub workflow" in told


def test_what_only_azure_can_know_is_a_note(looked):
    job = PIPELINE.replace("azureml:cluster", "azureml:clutter")
    report = looked(job=job.replace("rate: 0.5", "data: {type: uri_folder, path: 'azureml:gone:1'}"))
    assert report.errors == []
    assert any('jobs.one.inputs.data: data "gone" was not found in this workspace' in line for line in report.notes)
    assert any('compute "clutter" is neither' in line and 'did you mean "cluster"' in line for line in report.notes)


@pytest.mark.parametrize(
    ("jobs", "component", "note"),
    [
        ("component: ./c.yml", "environment: azureml:nosuch:3", 'environment: environment "nosuch" was not found in'),
        ("component: azureml:gone:1", "", 'jobs.a.component: component "gone" was not found in this workspace'),
        (
            "component: ./c.yml, inputs: {m: 1}",
            "inputs: {n: {type: integer, default: 1}}",
            "jobs.a.inputs.m: component",
        ),
        (
            "component: ./c.yml, outputs: {m: {mode: upload}}",
            "outputs: {n: {type: uri_file}}",
            "jobs.a.outputs.m: compon",
        ),
    ],
)
def test_what_azure_may_have_or_lets_pass_is_a_note_and_told_by_create_too(
    capsys, monkeypatch, tmp_path, jobs, component, note
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    environment = "" if "environment" in component else "environment: azureml:AzureML-minimal@latest\n"
    (tmp_path / "c.yml").write_text(f"name: c\nversion: 1\ntype: command\ncommand: ls\n{environment}{component}\n")
    (tmp_path / "job.yml").write_text(f"type: pipeline\njobs: {{a: {{type: command, {jobs}}}}}\n")
    for command in (["validate", "job.yml"], ["job", "validate", "-f", "job.yml"]):
        assert main(command) == 0
        assert any(line.startswith("NOTE: ") and note in line for line in capsys.readouterr().err.splitlines())
    if "is not in" in note:
        assert main(["job", "create", "-f", "job.yml"]) == 1
        assert any(line.startswith("ERROR: ") and note in line for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize(
    ("wrong", "line", "field", "near"),
    [
        ("    enviroment_variables: {a: b}\n", 10, "jobs.one.enviroment_variables", "environment_variables"),
        ("    comptue: x\n", 10, "jobs.one.comptue", "compute"),
        ("    limts: {timeout: 3}\n", 10, "jobs.one.limts", "limits"),
    ],
)
def test_a_misspelt_field_of_a_step_that_azure_ignores_is_a_note(looked, wrong, line, field, near):
    text = PIPELINE.replace("  two:\n", wrong + "  two:\n")
    report = looked(job=text)
    assert report.errors == []
    assert report.notes == [f'job.yml:{line + 1}: {field}: Azure ignores this field; did you mean "{near}"?']


def test_a_misspelt_field_of_a_component_that_azure_ignores_is_a_note(looked):
    report = looked(one=COMPONENT.replace("inputs.b", "inputs.a") + "descripton: x\n")
    assert report.notes == ['one.yml:8: descripton: Azure ignores this field; did you mean "description"?']


def test_a_component_whose_schema_is_a_jobs():
    assert kind_of({"$schema": SCHEMA.format("pipelineJob")[9:].strip(), "type": "parallel"}) == "component"


def test_data_that_a_job_of_these_files_registers_is_no_note(looked):
    job = PIPELINE.replace("rate: 0.5", "data: {type: uri_folder, path: 'azureml:gone:1'}")
    made = "type: pipeline\noutputs: {o: {type: uri_folder, name: gone}}\n"
    made += "jobs: {a: {component: ./component.yml, inputs: {text: a}, outputs: {out: '${{parent.outputs.o}}'}}}\n"
    notes = looked(job=job, made=made).notes
    assert not any("gone" in line for line in notes), notes


def test_a_path_that_git_ignores_is_made_later(looked, tmp_path):
    import subprocess

    job = "command: ls ${{inputs.d}}\nenvironment: {image: a}\ninputs: {d: {type: uri_folder, path: ./data/digits}}\n"
    assert any("inputs.d: ./data/digits: no such file or folder" in line for line in looked(job=job).errors)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("data/\n")
    report = looked(job=job)
    assert report.errors == [] and any("./data/digits" in line for line in report.notes)


@pytest.mark.parametrize(
    "text",
    [
        "$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json\n"
        "model: {path: .}\nenvironment: {image: a}\ninstance_type: Standard_DS1_v2\ninstance_count: 1\n",
        "$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json\nimage: a\n",
        "$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json\nauth_mode: key\n",
        "$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json\ntype: uri_folder\npath: .\n",
    ],
)
def test_what_flags_supply_is_not_demanded(faults, text):
    assert faults(one=text) == []


SAME = {
    "an include that is not there": ("jobs: {a: {component: ./c.yml}}", "additional_includes: [./gone]", "includes"),
    "a default that is none of its enum": (
        "jobs: {a: {component: ./c.yml}}",
        "inputs: {s: {type: string, enum: [a, b], default: c}}",
        "inputs.s.default",
    ),
    "a default out of its range": (
        "jobs: {a: {component: ./c.yml, inputs: {n: 2}}}",
        "inputs: {n: {type: integer, max: 3, default: 4}}",
        "inputs.n.default",
    ),
    "a step without an environment": ("jobs: {a: {type: command, command: ls}}", "", "jobs.a.environment"),
    "a typo in limits": ("jobs: {a: {component: ./c.yml, limits: {timeot: 3}}}", "", "jobs.a.limits.timeot"),
    "a binding that leads nowhere": (
        "jobs: {a: {component: ./c.yml, inputs: {n: '${{parent.inputs.x}}'}}}",
        "inputs: {n: {type: integer, optional: true}}",
        "jobs.a.inputs.n",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_all_commands_see_the_same_faults(capsys, monkeypatch, tmp_path, case):
    jobs, component, field = SAME[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    text = "name: c\nversion: 1\ntype: command\ncommand: ls\n"
    if "environment" not in component:
        text += "environment: azureml:AzureML-minimal@latest\n"
    (tmp_path / "c.yml").write_text(text + component + "\n")
    (tmp_path / "job.yml").write_text(f"type: pipeline\n{jobs}\n")
    told = []
    for command in (["validate", "job.yml"], ["job", "validate", "-f", "job.yml"], ["job", "create", "-f", "job.yml"]):
        assert main(command) == 1
        told.append({line for line in capsys.readouterr().err.splitlines() if line.startswith("ERROR: ")})
    assert told[0] == told[1] == told[2] and any(field in line for line in told[0])


def test_strict_fails_for_notes(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yml").write_text("command: ls\nenvironment: {image: a}\ncompute: azureml:cluster\n")
    assert main(["validate", "job.yml"]) == 0
    assert "NOTE: job.yml:3: compute: " in capsys.readouterr().err
    assert main(["validate", "job.yml", "--strict"]) == 1
    assert "ERROR: job.yml:3: compute: " in capsys.readouterr().err


def test_every_line_is_printed_once(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yml").write_text("commandd: ls\nenvironment: {image: a}\n")
    assert main(["validate", "job.yml"]) == 1
    out, err = capsys.readouterr()
    assert (out + err).count("commandd") == 1
