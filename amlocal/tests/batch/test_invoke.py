"""Invocations, really run: the job, its step, and what its output holds."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from azure.ai.ml import Input, Output

from amlocal.assets.store import Assets
from amlocal.core.errors import UserError

BLOB = "azureml://datastores/workspaceblobstore/paths"


def rows(client, record, name="predictions.csv"):
    """What is downloaded of the job's output, a line each."""
    place = client.workspace.root.parent / "down" / record.name
    client.jobs.download(record.name, output_name="score", download_path=place)
    return (place / "named-outputs" / "score" / name).read_text().splitlines()


def tables(record):
    """The files of a job's output, wherever it is."""
    place = record.outputs.get("score", {}).get("path")
    return [str(path) for path in Path(place).rglob("*") if path.is_file()] if place else []


def wait_until(condition):
    """Look every now and then; the test's time limit ends it."""
    while not condition():
        time.sleep(0.02)


def is_running(process):
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_invocation_is_a_pipeline_with_the_step_batchscoring(deploy, invoke, client, numbers):
    deploy(settings={"mini_batch_size": 3})
    record = invoke(numbers)
    assert (record.status, record.type) == ("Completed", "pipeline")
    assert record.name.startswith("batchjob-")
    assert record.experiment_name == "tens"
    assert record.properties["azureml.endpointname"] == "tens"
    assert record.tags["azureml.batchrun"] == "true"
    assert rows(client, record) == [f"{number}.txt {10 * number}" for number in range(1, 8)]
    [child] = client.jobs.list(parent_job_name=record.name)
    assert (child.display_name, child.type, child.status) == ("batchscoring", "parallel", "Completed")
    assert client.jobs.describe(child.name)["outputs"].keys() >= {"score"}
    assert "7 files in 3 mini batches" in client.jobs.store.log(client.jobs.store.read(child.name)).read_text()
    job = client.jobs.get(record.name)
    assert job.type == "pipeline" and list(job.jobs) == ["batchscoring"]
    assert [each.name for each in client.batch_endpoints.list_jobs("tens")] == [record.name]
    assert [each.name for each in client.batch_deployments.list_jobs("tens", name="first")] == [record.name]


def test_the_same_again_runs_again(deploy, invoke, client, numbers):
    deploy()
    first, second = invoke(numbers), invoke(numbers)
    [child] = client.jobs.list(parent_job_name=second.name)
    assert client.jobs.describe(child.name)["properties"]["azureml.isreused"] == "false"
    assert first.outputs["score"]["path"] != second.outputs["score"]["path"]


def test_every_kind_of_input(deploy, invoke, client, numbers):
    deploy()
    kept = client.workspace.datastore() / "numbers"
    kept.mkdir(parents=True)
    (kept / "9.txt").write_text("9")
    asset = Assets(client.workspace, "data").create({"name": "n", "type": "uri_folder", "path": str(numbers)})
    assert rows(client, invoke(f"azureml:n:{asset['version']}"))[0] == "1.txt 10"
    assert rows(client, invoke("azureml:n@latest"))[-1] == "7.txt 70"
    assert rows(client, invoke(f"{BLOB}/numbers")) == ["9.txt 90"]
    assert rows(client, invoke(numbers / "4.txt", "uri_file")) == ["4.txt 40"]


def test_where_the_output_goes(deploy, invoke, client, numbers):
    deploy()
    folder = [{"output_dataset.datastore_id": "azureml:workspaceblobstore"}, {"output_dataset.path": "/out/"}]
    record = invoke(numbers, params_override=[*folder, {"output_file_name": "mine.csv"}])
    assert len(rows(client, record, "mine.csv")) == 7
    assert len((client.workspace.datastore() / "out" / "mine.csv").read_text().splitlines()) == 7

    file = {"score": Output(type="uri_file", path=f"{BLOB}/batch-jobs/unique.csv")}
    assert len(rows(client, invoke(numbers, outputs=file), "unique.csv")) == 7
    again = invoke(numbers, outputs=file)
    assert again.status == "Failed" and "the output file exists already" in again.error


def test_settings_for_one_job(deploy, invoke, client, numbers):
    deploy()
    record = invoke(numbers, params_override=[{"mini_batch_size": "2"}, {"compute.instance_count": "2"}])
    [child] = client.jobs.list(parent_job_name=record.name)
    assert (
        "7 files in 4 mini batches, 2 at a time"
        in client.jobs.store.log(client.jobs.store.read(child.name)).read_text()
        or os.cpu_count() == 1
    )
    assert client.batch_deployments.describe("first", "tens")["mini_batch_size"] == 10
    named = invoke(numbers, job_name="monday", experiment_name="weekly")
    assert (named.name, named.experiment_name) == ("monday", "weekly")


OWN_FILES = """
import os


def init():
    pass


def run(mini_batch):
    for name in mini_batch:
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], os.path.basename(name)), "w") as file:
            file.write(os.environ["GREETING"])
        yield True
"""


def test_summary_only_has_what_the_script_writes(deploy, invoke, client, numbers):
    deploy(
        script=OWN_FILES,
        settings={
            "mini_batch_size": 2,
            "output_action": "summary_only",
            "environment_variables": {"GREETING": "hello"},
        },
    )
    record = invoke(numbers)
    assert record.status == "Completed"
    assert rows(client, record, "3.txt") == ["hello"]
    place = client.workspace.root.parent / "down" / record.name / "named-outputs" / "score"
    assert sorted(path.name for path in place.iterdir()) == [f"{number}.txt" for number in range(1, 8)]
    with pytest.raises(UserError, match="output_file_name: deployment first writes no such file"):
        invoke(numbers, params_override=[{"output_file_name": "x.csv"}])


FRAGILE = """
import os


def init():
    pass


def run(mini_batch):
    tried = os.environ["TRIED"]
    found = []
    for name in mini_batch:
        if os.path.basename(name) in os.environ["BAD"].split():
            with open(tried, "a") as file:
                file.write("x")
            raise ValueError("a bad file")
        found.append(os.path.basename(name))
    return found
"""


@pytest.mark.parametrize(
    ("threshold", "status", "lines"), [(-1, "Completed", 5), (2, "Completed", 5), (1, "Failed", 0)]
)
def test_failures_are_tried_again_and_counted(deploy, invoke, client, numbers, tmp_path, threshold, status, lines):
    variables = {"BAD": "3.txt 5.txt", "TRIED": str(tmp_path / "tried")}
    settings = {"mini_batch_size": 1, "retry_settings": {"max_retries": 1}, "environment_variables": variables}
    deploy(script=FRAGILE, settings={**settings, "error_threshold": threshold})
    record = invoke(numbers)
    assert record.status == status
    if lines:
        assert len(rows(client, record)) == lines
        assert (tmp_path / "tried").read_text() == "xxxx", "two files, two tries each"
    else:
        assert "exit code 1" in record.error
        [child] = client.jobs.list(parent_job_name=record.name)
        assert "more than error_threshold 1" in client.jobs.store.log(client.jobs.store.read(child.name)).read_text()
        assert tables(record) == [], "a table that is short and does not say so"


RECOVERS = """
import os


def init():
    pass


def run(mini_batch):
    [name] = mini_batch
    tried = os.path.join(os.environ["TRIED"], os.path.basename(name))
    first = not os.path.exists(tried)
    open(tried, "w").close()
    if first and os.path.basename(name) in ("2.txt", "6.txt"):
        if os.path.basename(name) == "6.txt":
            os._exit(3)
        raise ValueError("not yet")
    return [os.path.basename(name)]
"""


def test_a_retry_that_helps_leaves_the_whole_table(deploy, invoke, client, numbers, tmp_path):
    """After a script that raised, and after a process that died; nothing may fail, and no line is there twice."""
    (tmp_path / "tried").mkdir()
    variables = {"TRIED": str(tmp_path / "tried")}
    settings = {"mini_batch_size": 1, "max_concurrency_per_instance": 2, "retry_settings": {"max_retries": 1}}
    deploy(script=RECOVERS, settings={**settings, "error_threshold": 0, "environment_variables": variables})
    record = invoke(numbers)
    assert record.status == "Completed"
    assert rows(client, record) == [f"{number}.txt" for number in range(1, 8)]
    [child] = client.jobs.list(parent_job_name=record.name)
    told = client.jobs.store.log(client.jobs.store.read(child.name)).read_text()
    assert "mini batch 2 of 7 failed, try 1 of 2" in told and "ValueError: not yet" in told
    assert "mini batch 6 of 7 failed, try 1 of 2" in told


def test_a_script_that_does_not_start_fails_the_job(deploy, invoke, client, numbers):
    deploy(script="def init():\n    raise RuntimeError('no model')\n\n\ndef run(mini_batch):\n    return mini_batch\n")
    record = invoke(numbers)
    assert record.status == "Failed"
    [child] = client.jobs.list(parent_job_name=record.name)
    assert "RuntimeError: no model" in client.jobs.store.log(client.jobs.store.read(child.name)).read_text()


HANGS = """
import os
import time


def init():
    pass


def run(mini_batch):
    [name] = mini_batch
    if os.path.exists(os.environ["HANG"]) and os.path.basename(name) == "4.txt":
        with open(os.environ["HANG"], "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
    return [os.path.basename(name)]
"""


def test_a_killed_runner_is_a_failed_job_without_a_table(deploy, invoke, client, numbers, tmp_path):
    """In the middle: what was scored is not taken for all, nobody works on, and the next invocation is whole."""
    hang = tmp_path / "hang"
    hang.touch()
    settings = {"mini_batch_size": 1, "retry_settings": {"timeout": 600}, "environment_variables": {"HANG": str(hang)}}
    deploy(script=HANGS, settings=settings)
    job = client.batch_endpoints.invoke(endpoint_name="tens", input=Input(type="uri_folder", path=str(numbers)))
    store = client.jobs.store
    wait_until(hang.read_text)
    worker = int(hang.read_text())
    os.kill(store.runner(store.read(job.name)), getattr(signal, "SIGKILL", signal.SIGTERM))
    wait_until(lambda: store.get(job.name).final)
    record = store.get(job.name)
    assert record.status == "Failed"
    [told] = client.batch_endpoints.describe_jobs("tens")
    assert told["status"] == "Failed"
    assert tables(record) == []
    wait_until(lambda: not is_running(worker))

    hang.unlink()
    assert len(rows(client, invoke(numbers))) == 7
    assert [each["status"] for each in client.batch_endpoints.describe_jobs("tens")] == ["Completed", "Failed"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "takes one input; none is given"),
        ({"inputs": {"rate": Input(type="number", default=3)}}, "inputs.rate: a literal"),
        ({"inputs": {"a": Input(path="."), "b": Input(path=".")}}, "takes one input; 2 are given: a, b"),
        ({"inputs": {"a": Input(type="mltable", path=".")}}, "inputs.a: a mltable"),
        ({"input": Input(path="nope")}, "inputs.UriFolder: nope: no such file or folder"),
        ({"input": Input(path="azureml:nope:1")}, 'data "nope" was not found in this workspace'),
        ({"input": Input(path="."), "params_override": [{"mini_batch_size": 0}]}, "mini_batch_size: 0 is below 1"),
        ({"input": Input(path="."), "params_override": [{"nonsense": 0}]}, "nonsense: Unknown field"),
        ({"input": Input(path="."), "job_name": "a/b"}, 'job name "a/b"'),
        (
            {"input": Input(path="."), "outputs": {"score": Output(path="./here")}},
            "outputs.score: ./here: not understood",
        ),
    ],
)
def test_bad_invocations_start_nothing(deploy, client, more, told):
    deploy()
    with pytest.raises(Exception, match=told):
        client.batch_endpoints.invoke(endpoint_name="tens", **more)
    assert list(client.jobs.list()) == []


def test_which_deployment_is_invoked(deploy, client, numbers):
    from azure.core.exceptions import ResourceNotFoundError

    deploy(default=False)
    data = Input(path=str(numbers))
    with pytest.raises(ResourceNotFoundError, match="it has no default deployment; name one"):
        client.batch_endpoints.invoke(endpoint_name="tens", input=data)
    for name in ("second", "../deployments/first"):
        with pytest.raises(ResourceNotFoundError, match=f'has no deployment "{name}"; it has first'):
            client.batch_endpoints.invoke(endpoint_name="tens", deployment_name=name, input=data)
    with pytest.raises(ResourceNotFoundError, match='batch endpoint "nines" was not found in this workspace'):
        client.batch_endpoints.invoke(endpoint_name="nines", input=data)


def test_names_are_found_in_any_case(deploy, invoke, client, numbers):
    """As Azure finds them: scripts make up names such as `heart-classifier-aB3xZ`, and go on with them."""
    made = deploy(name="First", endpoint_name="TENS", default=False)
    assert (made.name, made.endpoint_name) == ("first", "tens")
    endpoint = client.batch_endpoints.get("Tens")
    endpoint.defaults.deployment_name = "FIRST"
    client.batch_endpoints.begin_create_or_update(endpoint).result()
    assert client.batch_endpoints.get("tEns").defaults.deployment_name == "first"
    assert client.batch_deployments.get(name="FIRST", endpoint_name="TENS").name == "first"
    assert [each.name for each in client.batch_deployments.list("TENS")] == ["first"]
    job = client.batch_endpoints.invoke(endpoint_name="TENS", deployment_name="FIRST", input=Input(path=str(numbers)))
    assert [each.name for each in client.batch_endpoints.list_jobs("TENS")] == [job.name]
    client.batch_deployments.begin_delete("FIRST", "TENS")
    client.batch_endpoints.begin_delete("TENS")
    assert list(client.batch_endpoints.list()) == []


@pytest.fixture
def mlflow_model(tmp_path):
    """An MLflow model in a folder: it doubles the column `n`."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    (tmp_path / "double.py").write_text(
        "import mlflow\n\n\nclass Double(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return (2 * model_input['n']).tolist()\n\n\nmlflow.models.set_model(Double())\n"
    )
    signature = ModelSignature(inputs=Schema([ColSpec("long", "n")]))
    mlflow.pyfunc.save_model(
        str(tmp_path / "double"), python_model=str(tmp_path / "double.py"), signature=signature, pip_requirements=[]
    )
    return tmp_path / "double"


def test_an_mlflow_model_needs_no_script(deploy, invoke, client, mlflow_model, tmp_path):
    deploy(model={"path": str(mlflow_model), "type": "mlflow_model"}, code_configuration=None, environment=None)
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "a.csv").write_text("n\n1\n2\n")
    (tables / "b.csv").write_text("n\n5\n")
    assert rows(client, invoke(tables)) == ["0,2,a.csv", "1,4,a.csv", "0,10,b.csv"]

    (tables / "c.avro").write_text("")
    record = invoke(tables)
    assert record.status == "Failed", "a file of another type fails the job, though any number of items may fail"
    [child] = client.jobs.list(parent_job_name=record.name)
    told = client.jobs.store.log(client.jobs.store.read(child.name)).read_text()
    assert "File type 'avro' is not supported" in told
