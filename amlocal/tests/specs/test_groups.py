"""Inputs in groups: `group.name` in files, and classes that are marked `@group` in Python."""

from pathlib import Path

import pytest
from azure.ai.ml import dsl, load_component, load_job
from azure.ai.ml.dsl._group_decorator import group

from amlocal.core.errors import UserError
from amlocal.specs.planner import plan

GROUPED = """
type: command
name: grouped
version: 1
inputs:
  params.rate: {type: number, default: 0.1, max: 1}
  params.more.word: {type: string, optional: true}
  count: {type: integer, default: 1}
outputs:
  out: {type: uri_folder}
environment: {image: "python:3.11"}
command: >-
  echo ${{inputs.params.rate}} ${{inputs.count}} $[[${{inputs.params.more.word}}]] > ${{outputs.out}}/said.txt
"""


@group
class More:
    word: str = "none"


@group
class Params:
    rate: float = 0.2
    more: More = None


def literals(job, client):
    return {
        name: {each: binding.literal for each, binding in step.inputs.items()}
        for name, step in plan(job, client.workspace).steps.items()
    }


@pytest.fixture
def grouped(spec):
    return load_component(spec(GROUPED, "grouped.yml"))


def test_a_group_goes_through_pipelines_to_a_component(client, grouped):
    @dsl.pipeline
    def inner(params: Params):
        grouped(params=params)

    @dsl.pipeline
    def outer(params: Params):
        inner(params=params)

    given = Params(rate=0.3, more=More(word="hello"))
    expected = {"params.rate": "0.3", "params.more.word": "hello", "count": "1"}
    assert literals(inner(params=given), client) == {"grouped": expected}
    assert literals(outer(params=given), client) == {"inner.grouped": expected}
    client.components.create_or_update(inner)
    kept = client.components.get("inner")
    assert literals(kept(params=given), client) == {"grouped": expected}


def test_members_are_given_one_by_one(client, grouped):
    @dsl.pipeline
    def whole(params: Params):
        step = grouped(count=7)
        step.inputs.params.rate = params.rate

    expected = {"params.rate": "0.2", "params.more.word": None, "count": "7"}
    assert literals(whole(params=Params()), client) == {"step": expected}
    expected = {"params.rate": "0.5", "params.more.word": None, "count": "1"}
    assert literals(grouped(**{"params.rate": 0.5}), client) == {"": expected}


def test_a_file_names_them_with_dots(client, spec, grouped):
    job = load_job(
        spec("""
            type: pipeline
            inputs: {some.rate: 0.7, some.word: hi}
            jobs:
              one:
                type: command
                component: ./grouped.yml
                inputs:
                  params.rate: ${{parent.inputs.some.rate}}
                  params.more.word: ${{parent.inputs.some.word}}
              two:
                type: command
                component: ./grouped.yml
                inputs: {params.rate: "${{parent.jobs.one.inputs.params.rate}}"}
        """)
    )
    assert literals(job, client) == {
        "one": {"params.rate": "0.7", "params.more.word": "hi", "count": "1"},
        "two": {"params.rate": "0.7", "params.more.word": None, "count": "1"},
    }


def test_a_command_of_its_own(client, spec, tmp_path):
    (tmp_path / "data").mkdir()
    job = load_job(
        spec("""
            type: command
            inputs: {some.word: hi, some.data: {type: uri_folder, path: ./data}}
            command: echo ${{inputs.some.word}} ${{inputs.some.data}}
            environment: {image: "python:3.11"}
        """)
    )
    [step] = plan(job, client.workspace).steps.values()
    assert step.inputs["some.word"].literal == "hi"
    assert step.inputs["some.data"].path == str(tmp_path / "data")


def test_what_is_wrong_in_a_group(client, spec, grouped):
    text = """
        type: pipeline
        jobs:
          one:
            type: command
            component: ./grouped.yml
            inputs: {params.rate: RATE, params.gone: 1}
    """
    with pytest.raises(UserError, match=r"inputs.params.rate: 2 is above the greatest value allowed, 1"):
        plan(load_job(spec(text.replace("RATE", "2"))), client.workspace)
    with pytest.raises(UserError, match=r"inputs.params.gone: component grouped.* has no such input"):
        plan(load_job(spec(text.replace("RATE", "1"))), client.workspace)


def test_it_runs(client, run, spec, grouped):
    path = spec("""
        type: pipeline
        jobs:
          one:
            type: command
            component: ./grouped.yml
            inputs: {params.rate: 0.4, params.more.word: hello}
    """)
    record = run(path)
    assert record.status == "Completed", record.error
    [step] = client.jobs.store.steps(record)
    assert Path(step.outputs["out"]["path"], "said.txt").read_text().split() == ["0.4", "1", "hello"]
