"""Command and pipeline jobs, by the real MLClient: sent, streamed, shown, listed, cancelled, downloaded."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from double import Double

COMMAND = """
    type: command
    code: code
    command: python a.py --out ${{outputs.model}}
    environment: {image: ubuntu}
    compute: azureml:cpu
    experiment_name: digits
    outputs: {model: {type: uri_folder}}
"""
PIPELINE = """
    type: pipeline
    experiment_name: digits
    settings: {default_compute: azureml:cpu}
    inputs: {rate: 0.5}
    outputs: {model: {type: uri_folder}}
    jobs:
      first:
        type: command
        component: ./component.yml
        inputs: {rate: "${{parent.inputs.rate}}"}
        outputs: {out: "${{parent.outputs.model}}"}
      second:
        type: command
        component: ./component.yml
        inputs: {rate: 1}
"""
COMPONENT = """
    type: command
    name: writer
    version: 1
    code: code
    command: python a.py ${{inputs.rate}} ${{outputs.out}}
    environment: {image: ubuntu}
    inputs: {rate: {type: number}}
    outputs: {out: {type: uri_folder}}
"""


@pytest.fixture
def submit(ml_client: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Sends a job, with a cluster that is there."""
    from azure.ai.ml import load_job
    from azure.ai.ml.entities import AmlCompute

    ml_client.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_F4s_v2")).result()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("print('hello')\n")
    (tmp_path / "component.yml").write_text(textwrap.dedent(COMPONENT))

    def send(text: str) -> Any:
        (tmp_path / "job.yml").write_text(textwrap.dedent(text))
        return ml_client.jobs.create_or_update(load_job(tmp_path / "job.yml"))

    return send


def test_code_is_uploaded_once(submit: Callable[[str], Any], double: Double) -> None:
    submit(COMMAND)
    uploads = [one for one in double.requests if one.service == "blob" and one.path.endswith("code/a.py")]
    assert [one.content for one in uploads if one.method == "PUT" and "comp" not in one.query] == [b"print('hello')\n"]
    double.requests.clear()
    submit(COMMAND)
    assert [one for one in double.requests if one.service == "blob"] == []


def test_a_command_job_is_streamed_to_its_end(
    submit: Callable[[str], Any], ml_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit(COMMAND)
    assert job.status == "Starting"
    ml_client.jobs.stream(job.name)
    said = capsys.readouterr().out
    assert f"RunId: {job.name}" in said
    assert "Streaming user_logs/std_log.txt" in said
    assert "epoch 2" in said
    assert ml_client.jobs.get(job.name).status == "Completed"


def test_a_failed_job_raises_and_says_why(submit: Callable[[str], Any], ml_client: Any, double: Double) -> None:
    from azure.ai.ml.exceptions import JobException

    double.jobs.script = ["Queued", "Running", "Failed"]
    with pytest.raises(JobException, match="exited with status code 1"):
        ml_client.jobs.stream(submit(COMMAND).name)


def test_a_job_that_waits_for_a_node_can_be_cancelled(
    submit: Callable[[str], Any], ml_client: Any, double: Double
) -> None:
    double.jobs.script = ["Queued"]
    job = submit(COMMAND)
    assert {ml_client.jobs.get(job.name).status for _ in range(8)} == {"Queued"}
    ml_client.jobs.begin_cancel(job.name).result()
    assert ml_client.jobs.get(job.name).status == "Canceled"


def test_a_pipeline_has_children(
    submit: Callable[[str], Any], ml_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit(PIPELINE)
    ml_client.jobs.stream(job.name)
    assert "Streaming logs/azureml/executionlogs.txt" in capsys.readouterr().out
    children = list(ml_client.jobs.list(parent_job_name=job.name))
    assert [(one.display_name, one.status) for one in children] == [("first", "Completed"), ("second", "Completed")]
    assert ml_client.jobs.get(children[0].name).status == "Completed"
    assert [one.name for one in ml_client.jobs.list()] == [job.name]


def test_a_failed_pipeline_shows_which_step(submit: Callable[[str], Any], ml_client: Any, double: Double) -> None:
    from azure.ai.ml.exceptions import JobException

    double.jobs.script = ["Running", "Failed"]
    job = submit(PIPELINE)
    with pytest.raises(JobException):
        ml_client.jobs.stream(job.name)
    children = ml_client.jobs.list(parent_job_name=job.name)
    assert [(one.display_name, one.status) for one in children] == [("first", "Completed"), ("second", "Failed")]


def test_a_job_shown_before_it_is_streamed_still_shows_its_log(
    submit: Callable[[str], Any], ml_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit(COMMAND)
    for _ in range(4):
        assert ml_client.jobs.get(job.name).status != "Completed"
    ml_client.jobs.stream(job.name)
    assert "epoch 1" in capsys.readouterr().out


def test_a_job_polled_by_show_comes_to_its_end(submit: Callable[[str], Any], ml_client: Any) -> None:
    job = submit(COMMAND)
    seen = [ml_client.jobs.get(job.name).status for _ in range(8)]
    assert seen[0] == "Queued"
    assert "Running" in seen
    assert seen[-1] == "Completed"


def test_outputs_are_downloaded(submit: Callable[[str], Any], ml_client: Any, double: Double, tmp_path: Path) -> None:
    double.jobs.script = ["Completed"]
    double.jobs.outputs = {"model": {"MLmodel": b"flavors: {}\n", "data/keras.txt": b"keras"}}
    job = submit(COMMAND)
    ml_client.jobs.get(job.name)
    ml_client.jobs.download(job.name, download_path=tmp_path / "down", all=True)
    found = {
        path.relative_to(tmp_path / "down").as_posix() for path in (tmp_path / "down").rglob("*") if path.is_file()
    }
    assert found == {
        "artifacts/user_logs/std_log.txt",
        "named-outputs/model/MLmodel",
        "named-outputs/model/data/keras.txt",
    }


def test_tags_and_archive(submit: Callable[[str], Any], ml_client: Any) -> None:
    job = submit(COMMAND)
    ml_client.jobs.update(job.name, tags={"champion": "true"})
    assert ml_client.jobs.get(job.name).tags == {"champion": "true"}
    ml_client.jobs.archive(job.name)
    assert list(ml_client.jobs.list()) == []


def test_a_cluster_that_is_not_there(submit: Callable[[str], Any], ml_client: Any) -> None:
    with pytest.raises(HttpResponseError, match="Compute Not Found for run ID : "):
        submit(COMMAND.replace("azureml:cpu", "azureml:gpu"))
    with pytest.raises(ResourceNotFoundError):
        ml_client.jobs.get("no-such-job")
