"""Mistakes in a spec, each answered in one line with file, line, field and remedy, before anything runs."""

import json
from pathlib import Path

import pytest
from azure.ai.ml.entities import Data

from amlocal.core.errors import UserError
from amlocal.specs import load
from amlocal.specs.plan import read_plan
from amlocal.specs.planner import plan

PIPELINE = """
type: pipeline
inputs:
  text: hello
jobs:
  one:
    type: command
    component: ./component.yml
    inputs: {text: "${{parent.inputs.text}}"}
  two:
    type: command
    component: ./component.yml
    inputs:
      text: "2"
      data: ${{parent.jobs.one.outputs.out}}
"""


def planned(client, path):
    return plan(load("job", path), client.workspace)


def test_a_sound_pipeline_becomes_a_plan_that_survives_json(bare_client, spec):
    found = planned(bare_client, spec(PIPELINE))
    assert list(found.steps) == ["one", "two"]
    assert found.steps["two"].needs == {"one"}
    assert found.steps["one"].inputs["text"].literal == "hello"
    assert found.steps["one"].inputs["rate"].literal == "0.5"
    assert read_plan(json.loads(json.dumps(found.to_json())), Path("plan.json")) == found


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("type: pipeline", "type: pipeline\ntypo: 1", r"job.yml:3: typo: unknown field"),
        ("type: pipeline", "type: pipeline\ndisplayname: x", r'did you mean "display_name"'),
        ("./component.yml", "./nowhere.yml", r"jobs.one.component: no such file or folder: .*nowhere.yml"),
        ("parent.inputs.text", "parent.inputs.txt", r'job.yml:9: jobs.one.inputs.text: .*did you mean "text"'),
        ("parent.jobs.one.", "parent.jobs.on.", r'jobs.two.inputs.data: .*no step is called "on"; did you mean "one"'),
        ("outputs.out", "outputs.oot", r'step "one" has no output "oot"; did you mean "out"'),
        ('text: "2"', "mode: fast", r'jobs.two.inputs: component component.yml requires an input "text"'),
        ('text: "2"', 'text: "2"\n      rate: much', r'jobs.two.inputs.rate: "much" is not a number'),
        ('text: "2"', 'text: "2"\n      rate: 7', r"7.* is above the greatest value allowed, 1"),
        ('text: "2"', 'text: "2"\n      mode: quick', r'"quick" is not one of fast, slow'),
        ('text: "2"', 'text: "2"\n      txet: "2"', r'has no such input; did you mean "text"'),
        ("inputs:\n  text: hello", "inputs:\n  text: {type: uri_folder, path: ./gone}", r"inputs.text: .*gone"),
        ('{text: "${{parent.inputs.text}}"}', '{text: a, data: "${{parent.jobs.two.outputs.out}}"}', r"circle: "),
        ("type: pipeline", "type: [pipeline", r"not valid YAML"),
    ],
)
def test_a_mistake_is_one_clear_line(bare_client, spec, wrong, right, message):
    path = spec(PIPELINE.replace(wrong, right, 1))
    with pytest.raises(UserError, match=message) as caught:
        planned(bare_client, path)
    assert "\n" not in str(caught.value)
    assert not bare_client.workspace.root.exists(), "a refused job leaves nothing behind"


CIRCLE = """
type: pipeline
jobs:
  one:
    type: command
    component: ./component.yml
    inputs: {text: "${{parent.jobs.two.inputs.text}}", rate: 0.75}
  two:
    type: command
    component: ./component.yml
    inputs: {text: two, rate: "${{parent.jobs.one.inputs.rate}}"}
"""


def test_steps_may_each_take_an_input_of_the_other(bare_client, spec):
    found = planned(bare_client, spec(CIRCLE)).steps
    literals = {name: (step.inputs["text"].literal, step.inputs["rate"].literal) for name, step in found.items()}
    assert literals == {"one": ("two", "0.75"), "two": ("two", "0.75")}


@pytest.mark.parametrize("wrong", ["${{parent.jobs.one.inputs.text}}", "not ${{parent.jobs.one.inputs.text}}"])
def test_inputs_that_are_each_other_s_are_one_fault(bare_client, spec, wrong):
    path = spec(CIRCLE.replace("text: two", f'text: "{wrong}"'))
    with pytest.raises(UserError) as caught:
        planned(bare_client, path)
    assert str(caught.value).endswith(
        "job.yml:3: jobs: the inputs are bound to each other in a circle: "
        "one.inputs.text -> two.inputs.text -> one.inputs.text"
    )
    assert "\n" not in str(caught.value)


def test_a_wrong_input_that_others_take_over_is_told_once(bare_client, spec):
    with pytest.raises(UserError, match=r"^\S*job\.yml:7: jobs\.one\.inputs\.rate: 7.* is above [^\n]*$"):
        planned(bare_client, spec(CIRCLE.replace("0.75", "7")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command: echo ${{inputs.x}}\nenvironment: {image: a}\n", r'command: .*no input is called "x"'),
        ("command: echo ${{x.y}}\nenvironment: {image: a}\n", r"a command knows"),
        ("command: ls\ncode: ./gone\nenvironment: {image: a}\n", r"code: no such file or folder: .*gone"),
        ("command: ls\nenvironment: {image: a, conda_file: ./gone.yml}\n", r"gone.yml"),
        ("- a\n- b\n", r"is a mapping"),
        (
            "command: ls\nenvironment: {image: a}\noutputs: {o: {type: uri_folder, path: ./out}}\n",
            r"outputs.o: ./out: not understood; use azureml://datastores/STORE/paths/PATH",
        ),
    ],
)
def test_a_mistake_in_a_command_job(bare_client, spec, text, message):
    path = spec(text)
    with pytest.raises(UserError, match=message):
        planned(bare_client, path)


def test_set_is_applied_before_the_checks(bare_client, spec):
    job = load("job", spec(PIPELINE), [{"inputs.text": "bonjour"}])
    assert plan(job, bare_client.workspace).steps["one"].inputs["text"].literal == "bonjour"


@pytest.mark.parametrize("name", ["missing.yml", "."])
def test_a_file_that_is_none(tmp_path, name):
    with pytest.raises(UserError, match=r"no such file|this is a folder"):
        load("job", tmp_path / name)


@pytest.mark.parametrize(
    "given", ["{path: table.csv}", "{path: 'azureml:table:1'}", "{path: table.csv, mode: download}"]
)
def test_data_given_without_a_type_has_the_one_that_the_component_declares(bare_client, spec, given) -> None:
    """azure-ai-ml makes a uri_folder of it, which on Azure the component's own declaration overrules."""
    made = spec(f"type: pipeline\njobs: {{one: {{component: ./reads.yml, inputs: {{data: {given}}}}}}}\n")
    (made.parent / "reads.yml").write_text(
        "type: command\ncommand: cat ${{inputs.data}}\nenvironment: {image: a}\ninputs: {data: {type: uri_file}}\n"
    )
    table = made.parent / "table.csv"
    table.write_text("a\n1\n")
    bare_client.data.create_or_update(Data(name="table", version="1", type="uri_file", path=str(table)))
    found = planned(bare_client, made).steps["one"].inputs["data"]
    assert found.type == "uri_file"
    assert Path(found.path).read_text() == "a\n1\n"


@pytest.mark.parametrize("store", ["workspaceblobstore", "workspaceartifactstore"])
def test_a_datastore_is_there_before_anything_is_in_it(bare_client, spec, store) -> None:
    command = "type: command\ncommand: ls ${{inputs.all}}\nenvironment: {image: a}\n"
    text = f"{command}inputs: {{all: {{path: 'azureml://datastores/{store}/paths/'}}}}\n"
    assert not any(Path(planned(bare_client, spec(text)).steps[""].inputs["all"].path).iterdir())
    with pytest.raises(UserError, match="no such file or folder"):
        planned(bare_client, spec(text.replace("/paths/", "/paths/gone/")))
