"""A new kind of job is a class that checks it, a function that runs it, and a line in each of two tables."""

from dataclasses import replace

import pytest

from amlocal.core.errors import UserError
from amlocal.core.files import write_json
from amlocal.jobs.run import command
from amlocal.jobs.run.context import Context
from amlocal.jobs.run.handlers import HANDLERS
from amlocal.jobs.run.runner import run as run_job
from amlocal.jobs.submit import prepare_job
from amlocal.specs import load
from amlocal.specs.kinds import NODE_KINDS
from amlocal.specs.nodes import Node
from amlocal.specs.plan import read_plan

PIPELINE = """
type: pipeline
jobs:
  count:
    type: spark
    code: ./code
    entry: {file: count.py}
    environment: {image: python}
    conf: {spark.driver.cores: 1, spark.driver.memory: 2g, spark.executor.cores: 1, spark.executor.memory: 2g,
           spark.executor.instances: 3}
    resources: {instance_type: standard_e4s_v3, runtime_version: "3.4"}
    outputs: {counted: {type: uri_folder, mode: direct}}
    args: --to ${{outputs.counted}}
  show:
    type: command
    component: ./component.yml
    inputs: {text: counted, data: "${{parent.jobs.count.outputs.counted}}"}
"""

COUNT = """
import os, pathlib, sys
pathlib.Path(sys.argv[2], "count.txt").write_text(os.environ["EXECUTORS"])
"""


class SparkNode(Node):
    """A stand-in for Spark: the entry script in an ordinary Python."""

    @property
    def command(self):
        return f"python {self.own('entry').entry} {self.own('args')}"

    def settings(self):
        return {**super().settings(), "executors": int(self.own("executor_instances"))}


def run_spark(context, step, record, values):
    variables = {"EXECUTORS": str(step.settings["executors"])}
    command.run(context, replace(step, environment_variables=variables), record, values)


@pytest.fixture
def spark(monkeypatch):
    monkeypatch.setitem(NODE_KINDS, "spark", SparkNode)
    monkeypatch.setitem(HANDLERS, "spark", run_spark)


def run_here(client, path):
    """Runs a job in this process, where the new kind is known; returns its context."""
    record, plan = prepare_job(load("job", path), client.workspace)
    client.jobs.store.create(record)
    write_json(client.jobs.store.folder(record.name) / "plan.json", plan.to_json())
    context = Context(client.workspace, record.name, HANDLERS)
    run_job(context)
    return context


def test_a_new_kind_of_step_runs_in_a_pipeline(client, spec, tmp_path, spark):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "count.py").write_text(COUNT)
    context = run_here(client, spec(PIPELINE))
    assert context.record.status == "Completed", context.record.error
    counted, shown = context.records[1:]
    assert (counted.type, counted.status, shown.status) == ("spark", "Completed", "Completed")
    assert (client.workspace.datastore() / "azureml" / counted.name / "counted" / "count.txt").read_text() == "3"


def test_a_kind_that_is_not_registered_is_refused(client, spec, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "count.py").write_text(COUNT)
    with pytest.raises(UserError, match='a step of type "spark" is not emulated here; command, sweep, parallel, pipe'):
        prepare_job(load("job", spec(PIPELINE)), client.workspace)


def test_a_plan_kept_by_amlocal_0_1_can_be_read(client, spec, tmp_path):
    """A schedule keeps its plan for as long as it stands."""
    _, plan = prepare_job(
        load("job", spec("type: command\ncommand: echo hi\nenvironment: {image: a}\n")), client.workspace
    )
    kept = plan.to_json()
    sweep = {"space": {}, "algorithm": {"type": "random"}, "goal": "minimize", "metric": "loss"}
    for step in kept["steps"].values():
        del step["type"], step["settings"]
        step |= {"sweep": sweep, "parallel": None}
    read = read_plan(kept, tmp_path).steps[""]
    assert (read.type, read.settings) == ("sweep", sweep)
