"""Why a spec is refused: every mistake at its own field, in words, whatever azure-ai-ml says of it."""

import re

import pytest

from amlocal.core.errors import Problems
from amlocal.specs.load import load

COMMAND = """\
command: ls
environment: azureml:AzureML-x@latest
inputs:
  n: 1
  d: {type: uri_folder, path: .}
limits: {timeout: 5}
distribution: {type: pytorch}
resources: {instance_count: 1}
"""
COMPONENT = """\
type: command
name: c
version: 1
command: ls
environment: azureml:AzureML-x@latest
inputs:
  s: {type: string, enum: [a, b]}
"""
PIPELINE = """\
type: pipeline
settings: {default_compute: azureml:c}
inputs: {n: 1}
jobs:
  a:
    type: command
    component: ./c.yml
    limits: {timeout: 5}
    outputs: {o: {mode: upload}}
  b:
    type: command
    command: ls
    environment: azureml:AzureML-x@latest
"""
DEPLOYMENT = """\
name: blue
endpoint_name: e-1
model: azureml:m:1
code_configuration: {code: ., scoring_script: s.py}
environment: {image: i, conda_file: ./conda.yml}
instance_type: Standard_DS1_v2
instance_count: 1
request_settings: {request_timeout_ms: 100}
"""
SCHEDULE = """\
name: s
trigger: {type: cron, expression: 0 * * * *}
create_job: ./job.yml
"""
SWEEP = """\
type: sweep
trial: {command: ls, environment: "azureml:AzureML-x@latest"}
search_space: {x: {type: uniform, min_value: 0, max_value: 1}}
sampling_algorithm: random
objective: {goal: maximize, primary_metric: m}
limits: {max_total_trials: 2}
"""
BATCH = "name: b\nendpoint_name: e\nmodel: azureml:m:1\ncompute: azureml:c\n"
GOOD = {
    "job": COMMAND,
    "component": COMPONENT,
    "pipeline": PIPELINE,
    "online_deployment": DEPLOYMENT,
    "schedule": SCHEDULE,
    "sweep": SWEEP,
}


@pytest.fixture
def told(tmp_path):
    """What is wrong with a spec, with the name of its file left out; [] if nothing is."""

    def look(kind, text, component=COMPONENT):
        for name, content in (("c.yml", component), ("job.yml", COMMAND), ("conda.yml", "dependencies: []\n")):
            (tmp_path / name).write_text(content)
        (tmp_path / "spec.yml").write_text(text)
        try:
            load({"pipeline": "job", "sweep": "job"}.get(kind, kind), tmp_path / "spec.yml")
        except Problems as problems:
            return [line.replace(f"{tmp_path}/", "").removeprefix("spec.yml:") for line in problems.each]
        return []

    return look


@pytest.mark.parametrize("kind", GOOD)
def test_good_specs_are_loaded(told, kind):
    assert told(kind, GOOD[kind]) == []


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "message"),
    [
        ("component", "enum: [a, b]", "choices: [a, b]", '7: inputs.s.choices: unknown field; did you mean "enum"?'),
        ("component", "enum: [a, b]", "minimum: 1", '7: inputs.s.minimum: unknown field; did you mean "min"?'),
        ("component", "type: string", "type: strng", '7: inputs.s.type: "strng" is not one of .*did you mean "string"'),
        ("component", "enum: [a, b]", "default: {a: b}", "7: inputs.s.default: a mapping is not understood here"),
        ("component", "{type: string, enum: [a, b]}", "{type: integer, min: no}", "7: inputs.s.min: .*not und"),
        ("component", "{type: string, enum: [a, b]}", "{type: integer, default: x}", '7: inputs.s.default: "x" d'),
        ("component", "type: command", "type: comand", '1: type: "comand" is not one of command.*mean "command"'),
        ("component", "name: c", "name: C-1", "2: name: .*C-1"),
        ("component", "inputs:\n  s: {", "inputs:\n  - {", "6: inputs: a mapping of names to values is wanted"),
        ("job", "inputs:\n  n: 1", "inputs:\n  n: {value: 1, x: 2}", "4: inputs.n.x: unknown field; known here: value"),
        ("job", "n: 1", "n: {type: integer}", '4: inputs.n.type: "integer" is not .*write a literal as it is'),
        ("job", "type: uri_folder", "type: uri_foldr", '5: inputs.d.type: "uri_foldr" is not one of .*"uri_folder"'),
        ("job", "path: .}", "pth: .}", '5: inputs.d.pth: unknown field; did you mean "path"'),
        ("job", "timeout: 5", "timeot: 5", '6: limits.timeot: unknown field; did you mean "timeout"'),
        ("job", "timeout: 5", "timeout: soon", '6: limits.timeout: an integer is wanted here, not "soon"'),
        ("job", "{timeout: 5}", "[5]", "6: limits: a mapping of fields .* is wanted here, not a list"),
        ("job", "type: pytorch", "type: pytorhc", '7: distribution.type: "pytorhc" is not one of .*"pytorch"'),
        ("job", "command: ls", "commnad: ls", '1: commnad: unknown field; did you mean "command"'),
        ("job", "command: ls", "command: ls\ncode: ./gone", "2: code: no such file or folder: ./gone"),
        ("job", "command: ls", "command: [ls]", "1: command: text is wanted here, not a list"),
        ("job", "command: ls", "command:", "1: command: empty; give it a value"),
        ("job", "azureml:AzureML-x@latest", "file:gone.yml", "2: environment: no such file or folder: gone.yml"),
        ("job", "environment: azureml:AzureML-x@latest", "environment: mine", "2: environment: .*azureml:NAME:VERSION"),
        ("job", "command: ls", "command: ls\ntags: {a: 2024-01-05}", "2: tags.a: text is wanted here.*quotation marks"),
        ("pipeline", "timeout: 5", "timeot: 5", '8: jobs.a.limits.timeot: unknown field; did you mean "timeout"'),
        ("pipeline", "./c.yml", "./gone.yml", "7: jobs.a.component: no such file or folder: ./gone.yml"),
        ("pipeline", "mode: upload", "mode: uplod", '9: jobs.a.outputs.o.mode: "uplod" is not one of .*"upload"'),
        (
            "pipeline",
            "type: command\n    component",
            "type: comand\n    component",
            '6: jobs.a.type: "comand" is not one of',
        ),
        ("pipeline", "    command: ls", "    command: ls\n    comptue: x", '13: jobs.b.comptue: .*mean "compute"'),
        (
            "pipeline",
            "    command: ls",
            "    command: ls\n    inputs: {x: '${{parent.jobs.aa.outputs.o}}'}",
            '13: jobs.b.inputs.x: .*no step is called "aa"; did you mean "a"',
        ),
        (
            "pipeline",
            "    command: ls",
            "    command: ls\n    inputs: {x: '${{parent.inputs.m}}'}",
            '13: jobs.b.inputs.x: .*the pipeline has no input "m"; there is n',
        ),
        ("pipeline", "    command: ls", "    comand: ls", '12: jobs.b.comand: unknown field; did you mean "command"'),
        ("pipeline", "type: pipeline\n", "", "type: required, and not there; write `type: pipeline`"),
        ("pipeline", "jobs:\n", "job:\n", '4: job: unknown field; did you mean "jobs"'),
        (
            "online_deployment",
            "conda_file: ./conda.yml",
            "conda_file: ./gone.yml",
            "5: environment.conda_file: no such file",
        ),
        (
            "online_deployment",
            "request_timeout_ms",
            "request_timout_ms",
            "8: request_settings.request_timout_ms: unknown",
        ),
        (
            "online_deployment",
            "instance_count: 1",
            "instance_count: many",
            "7: instance_count: an integer is wanted here",
        ),
        ("online_deployment", "azureml:m:1", "./gone", "3: model: .*azureml:NAME:VERSION, or a mapping"),
        ("schedule", "type: cron", "type: corn", '2: trigger.type: "corn" is not one of .*"cron"'),
        ("schedule", "create_job: ./job.yml", "create_job: ./gone.yml", "3: create_job: .*gone.yml"),
        ("sweep", "goal: maximize", "goal: maximise", '5: objective.goal: "maximise" is not one of'),
        (
            "sweep",
            "max_total_trials",
            "max_trials",
            '6: limits.max_trials: unknown field; did you mean "max_total_trials"',
        ),
        ("sweep", "type: uniform", "type: unifrm", '3: search_space.x.type: "unifrm" is not one of .*"uniform"'),
    ],
)
def test_a_mistake_is_told_at_its_field_and_nothing_else_is(told, kind, right, wrong, message):
    assert right in GOOD[kind]
    found = told(kind, GOOD[kind].replace(right, wrong, 1))
    assert len(found) == 1 and re.match(message, found[0].strip()), found


AUTOML = """\
type: pipeline
jobs:
  a:
    type: automl
    task: classification
    training_data: {type: mltable, path: azureml:x:1}
    target_column_name: a
    primary_metric: accuracy
"""


def test_all_fields_that_a_node_cannot_have_are_told(told):
    text = AUTOML.replace("target_column_name", "target_colum_name")
    task = "{type: run_function, code: ., entry_script: a.py, environment: 'azureml:AzureML-x@latest'}"
    parallel = f"  b: {{type: parallel, mini_batch_siz: 3, task: {task}}}\n"
    assert told("pipeline", AUTOML) == []
    assert told("pipeline", AUTOML + "    whatever: 1\n" + parallel) == [
        "9: jobs.a.whatever: unknown field; remove it",
        '10: jobs.b.mini_batch_siz: unknown field; did you mean "mini_batch_size"?',
    ]
    assert any("target_column_name" in line for line in told("pipeline", text))


def test_what_is_wrong_with_an_environments_file_is_told_in_it(told, tmp_path):
    (tmp_path / "env.yml").write_text("name: e\nimage: i\npth: x\n")
    found = told("job", COMMAND.replace("azureml:AzureML-x@latest", "file:env.yml"))
    assert found == ['env.yml:3: pth: unknown field; did you mean "path"?'] or found[0].startswith("env.yml:3: pth: ")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("environment", "name: e\nimage: i\nconda_file: true\n", "3: conda_file: true is not understood here"),
        (
            "component",
            "name: c\nversion: 1\ntask: {type: run_function}\n",
            "type: required, and not there; write `type: par",
        ),
        (
            "online_deployment",
            DEPLOYMENT + "data_collector: {sampling_rate: 1}\n",
            "9: data_collector.collections: required",
        ),
        ("datastore", "name: d\ntype: {a: b}\n", "2: type: a mapping is not one of azure_blob, azure_file"),
        ("environment", "name: e\ndocker: {image: i}\n", '2: docker: unknown field; did you mean "image"?'),
        (
            "batch_deployment",
            BATCH + "settings: {mini_batch_size: 1}\n",
            "type: required, and not there; write `type: m",
        ),
        (
            "batch_deployment",
            BATCH + "component: azureml:c:1\n",
            "type: required, and not there; write `type: pipeline`",
        ),
        (
            "job",
            "command: ls\nidentity: managed\n",
            '2: identity: "managed" is not understood here; give a mapping with',
        ),
        ("online_endpoint", "name: e-1\nidentity: none\n", "2: identity: a mapping of fields (type, principal_id, "),
        ("online_endpoint", "name: e-1\ncompute: [a]\n", "2: compute: a list is no reference; use azureml:NAME"),
        ("job", "type: automl\ntask: {task: classification}\n", "2: task: text is wanted here, not a mapping"),
        ("schedule", SCHEDULE.partition("create_job")[0], "create_job: required, and not there; a schedule has create"),
        (
            "schedule",
            SCHEDULE.replace("./job.yml", "{job: azureml:/subscriptions/s/x, inputs: {a: b}}"),
            "3: create_job: 'type' must be specified",
        ),
        ("job", "command: ls\ntarget: azureml:c\n", '2: target: unknown field; did you mean "compute"?'),
        ("job", "command: ls\ninputs:\nn: 1\n", '3: n: unknown field; if it belongs to "inputs", indent it'),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_at_its_field(told, kind, text, message):
    assert any(line.strip().startswith(message) for line in told(kind, text))


def test_a_field_that_azure_ai_ml_takes_by_another_name_is_not_unknown(told):
    """It reads a resource `nvidia.com/gpu` as `gpu`, before its schema looks at the fields."""
    text = DEPLOYMENT + "type: kubernetes\nresources: {requests: {nvidia.com/gpu: '1'}}\n"
    (found,) = told("online_deployment", text.replace("conda.yml", "gone.yml"))
    assert "environment.conda_file: no such file" in found


def test_a_windows_path_is_told_how_to_be_written(told, tmp_path):
    (tmp_path / "src").mkdir()
    (found,) = told("job", COMMAND + "code: .\\src\n")
    assert found == "9: code: no such file or folder: .\\src; write ./src"


def test_every_mistake_is_told(told):
    text = PIPELINE.replace("timeout: 5", "timeot: 5").replace("mode: upload", "mode: up")
    text = text.replace("environment: azureml:AzureML-x@latest", "environment: x").replace("inputs: {n: 1}", "x: 1")
    assert {line.split(": ")[1] for line in told("pipeline", text)} == {
        "x",
        "jobs.a.limits.timeot",
        "jobs.a.outputs.o.mode",
        "jobs.b.environment",
    }


def test_a_mistake_in_a_component_is_told_in_its_own_file(told):
    (found,) = told("pipeline", PIPELINE, COMPONENT.replace("enum:", "choices:"))
    assert found.startswith("c.yml:7: inputs.s.choices: unknown field")


def test_dates_and_numbers_are_the_text_that_azure_gets(tmp_path):
    (tmp_path / "job.yml").write_text(
        "command: ls\nenvironment: {image: a}\n"
        "environment_variables: {D: 2024-01-05, T: 2024-01-05T10:00:00Z, B: yes, N: 010, F: 1.50, S: x}\n"
    )
    variables = load("job", tmp_path / "job.yml").environment_variables
    assert variables == {"D": "2024-01-05", "T": "2024-01-05T10:00:00Z", "B": "True", "N": "8", "F": "1.5", "S": "x"}
    (tmp_path / "endpoint.yml").write_text("name: e-1\nauth_mode: Key\ntags: {released: 2024-01-05, ok: true}\n")
    assert load("online_endpoint", tmp_path / "endpoint.yml").tags == {"released": "2024-01-05", "ok": "True"}
