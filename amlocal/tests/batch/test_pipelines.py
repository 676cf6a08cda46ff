"""Pipeline component deployments: of a file, of a registered component, of a job."""

import pytest
from azure.ai.ml import Input, Output, dsl
from azure.ai.ml.entities import PipelineComponentBatchDeployment

from amlocal.operations.common import entity
from amlocal.specs import load

PIPELINE = """
type: pipeline
name: echo
version: 1
inputs:
  data: {type: uri_folder}
  mode: {type: string, default: append}
outputs:
  said: {type: uri_folder}
jobs:
  say:
    type: command
    component:
      type: command
      inputs: {data: {type: uri_folder}, mode: {type: string}}
      outputs: {said: {type: uri_folder}}
      environment: {image: a}
      command: (ls ${{inputs.data}}; echo ${{inputs.mode}}) > ${{outputs.said}}/said.txt
    inputs: {data: "${{parent.inputs.data}}", mode: "${{parent.inputs.mode}}"}
    outputs: {said: "${{parent.outputs.said}}"}
"""
JOB = """
type: pipeline
inputs: {who: nobody}
jobs:
  greet:
    command: echo ${{inputs.who}}
    environment: {image: a}
    inputs: {who: "${{parent.inputs.who}}"}
"""


@pytest.fixture
def put(client, no_server, tmp_path):
    """Makes a pipeline component deployment of endpoint `talk`, its default one."""
    (tmp_path / "pipeline.yml").write_text(PIPELINE)
    client.batch_endpoints.begin_create_or_update(entity("batch-endpoint", {"name": "talk"})).result()

    def make(**fields):
        spec = {"name": "pipe", "endpoint_name": "talk", "type": "pipeline", **fields}
        made = entity("pipeline-component-batch-deployment", spec)
        client.batch_deployments.begin_create_or_update(made).result()
        endpoint = client.batch_endpoints.get("talk")
        endpoint.defaults.deployment_name = "pipe"
        client.batch_endpoints.begin_create_or_update(endpoint).result()

    return make


@pytest.fixture
def invoke(client, finish):
    return lambda **more: finish(client.batch_endpoints.invoke(endpoint_name="talk", **more).name)


def test_inputs_literals_and_outputs_by_name(put, invoke, client, tmp_path, numbers):
    put(component=str(tmp_path / "pipeline.yml"), settings={"default_compute": "c", "continue_on_step_failure": False})
    told = client.batch_deployments.describe("pipe", "talk")
    assert told["properties"]["deployment_configuration_type"] == "PipelineComponent"
    assert told["properties"]["default_compute"] == "c"

    data = Input(type="uri_folder", path=str(numbers))
    record = invoke(inputs={"data": data})
    assert record.status == "Completed" and record.name.startswith("pipelinejob-")
    assert record.properties["azureml.deploymentname"] == "pipe"
    client.jobs.download(record.name, output_name="said", download_path=tmp_path / "down")
    said = (tmp_path / "down" / "named-outputs" / "said" / "said.txt").read_text().split()
    assert said == [*(f"{number}.txt" for number in range(1, 8)), "append"]
    assert [each.display_name for each in client.jobs.list(parent_job_name=record.name)] == ["say"]

    place = "azureml://datastores/workspaceblobstore/paths/talk"
    mode = Input(type="string", default="replace")
    invoke(inputs={"data": data, "mode": mode}, outputs={"said": Output(type="uri_folder", path=place)})
    assert (client.workspace.datastore() / "talk" / "said.txt").read_text().split()[-1] == "replace"


def test_what_is_wrong_with_the_inputs_is_told(put, client, tmp_path, numbers):
    put(component=str(tmp_path / "pipeline.yml"))
    data = Input(type="uri_folder", path=str(numbers))
    for inputs, told in (
        ({}, "inputs.data: required by the pipeline of deployment pipe: a uri_folder"),
        ({"data": data, "moda": "x"}, 'inputs.moda: the pipeline of deployment pipe has no such input.*"mode"'),
        ({"data": Input(type="uri_folder", path="nope")}, "nope: no such file or folder"),
        ({"data": Input(type="string", default="x")}, "inputs.data"),
    ):
        with pytest.raises(Exception, match=told):
            client.batch_endpoints.invoke(endpoint_name="talk", inputs=inputs)
    assert list(client.jobs.list()) == []


def test_a_registered_component_or_a_job_will_do(put, invoke, client, run, spec, tmp_path, numbers):
    component = load("component", tmp_path / "pipeline.yml")
    client.components.create_or_update(component)
    put(component="azureml:echo@latest")
    assert invoke(inputs={"data": Input(type="uri_folder", path=str(numbers))}).status == "Completed"

    job = run(spec(JOB))
    put(job_definition=f"azureml:{job.name}")
    again = invoke(inputs={"who": Input(type="string", default="everybody")})
    [child] = client.jobs.list(parent_job_name=again.name)
    assert "everybody" in client.jobs.store.log(client.jobs.store.read(child.name)).read_text()

    with pytest.raises(Exception, match='deployment pipe: job_definition: job "nope" was not found in this workspace'):
        put(job_definition="azureml:nope")


def test_a_pipeline_of_python_registered_and_deployed(put, invoke, client, tmp_path):
    """Its outputs are there, a boolean stays one, and its steps are found by their components' names."""
    component = {
        "name": "flags",
        "type": "command",
        "inputs": {"flag": {"type": "boolean"}, "other": {"type": "boolean", "default": True}},
        "outputs": {"said": {"type": "uri_folder"}},
        "environment": {"image": "a"},
        "command": "echo ${{inputs.flag}} ${{inputs.other}} > ${{outputs.said}}/said.txt",
    }
    step = client.components.create_or_update(entity("component", component))

    @dsl.pipeline()
    def flagging(other: bool):
        return {"said": step(flag=False, other=other).outputs.said}

    put(component=str(tmp_path / "pipeline.yml"))
    made = client.components.create_or_update(flagging(other=True).component)
    deployment = PipelineComponentBatchDeployment(name="pipe", endpoint_name="talk", component=made)
    client.batch_deployments.begin_create_or_update(deployment).result()
    record = invoke(inputs={"other": Input(type="boolean", default=False)})
    assert record.status == "Completed"
    client.jobs.download(record.name, output_name="said", download_path=tmp_path / "down")
    assert (tmp_path / "down" / "named-outputs" / "said" / "said.txt").read_text().split() == ["False", "False"]
    [child] = client.jobs.list(parent_job_name=record.name)
    assert (child.properties["azureml.moduleName"], child.properties["azureml.pipelinerunid"]) == ("flags", record.name)
    took = child.creation_context.last_modified_at - child.creation_context.created_at
    assert took.total_seconds() >= 0
