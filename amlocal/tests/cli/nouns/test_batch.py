"""`aml batch-endpoint` and `aml batch-deployment`: what is typed, what is printed; one job is really run."""

import json

import pytest

from amlocal.cli import main

SCRIPT = """
import os


def init():
    pass


def run(mini_batch):
    return [os.path.basename(name) for name in mini_batch]
"""
DEPLOYMENT = """
name: first
endpoint_name: names
type: model
model: {path: .}
code_configuration: {code: code, scoring_script: score.py}
environment: {image: a}
compute: azureml:cpu-cluster
settings: {mini_batch_size: 2}
"""


@pytest.fixture
def aml(client, monkeypatch, capsys, tmp_path):
    """Runs `aml WORDS` in this process, on the test's workspace; gives what it prints, or raises with what it says."""
    monkeypatch.setenv("AMLOCAL_HOME", str(client.workspace.root))
    monkeypatch.setattr("amlocal.endpoints.supervisor.ensure", lambda workspace: None)
    for place in ("online_endpoints", "batch_endpoints"):
        monkeypatch.setattr(f"amlocal.operations.{place}.wait_for_gateway", lambda store, name: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCRIPT)
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "endpoint.yml").write_text("name: names\n")
    (tmp_path / "deployment.yml").write_text(DEPLOYMENT)

    def run(line, *more):
        code = main([*line.split(), *more])
        out, err = capsys.readouterr()
        if code:
            raise AssertionError(err)
        return json.loads(out) if out.startswith(("{", "[", '"')) else out

    return run


def test_an_endpoint_and_its_deployments_through_their_life(aml, finish, tmp_path):
    assert aml("batch-endpoint create -f endpoint.yml")["auth_mode"] == "aad_token"
    made = aml("batch-deployment create -f deployment.yml --set-default")
    assert (made["mini_batch_size"], made["compute"]) == (2, "azureml:cpu-cluster")
    shown = aml("batch-endpoint show -n names")
    assert shown["defaults"] == {"deployment_name": "first"} and shown["scoring_uri"].endswith("/jobs")
    again = aml("batch-endpoint create -f endpoint.yml --set description=words")
    assert again["description"] == "words", "as in az it is written over"

    job = aml("batch-endpoint invoke -n names --input in --query name -o tsv").strip()
    assert finish(job).status == "Completed"
    aml(f"job download -n {job} --output-name score")
    assert (tmp_path / "named-outputs" / "score" / "predictions.csv").read_text() == "a.txt\nb.txt\nc.txt\n"
    assert aml("batch-endpoint list-jobs -n names --query [].name") == [job]
    assert aml("batch-deployment list-jobs -n first -e names --query [].status") == ["Completed"]

    changed = aml("batch-deployment update -n first -e names --set settings.mini_batch_size=7 tags.a=1")
    assert (changed["mini_batch_size"], changed["tags"]) == (7, {"a": "1"})
    aml("batch-deployment create -f deployment.yml --name second")
    assert aml("batch-deployment list -e names --query [].name") == ["first", "second"]
    assert aml("batch-endpoint update -n names --defaults second")["defaults"] == {"deployment_name": "second"}
    with pytest.raises(AssertionError, match="it is the default of names"):
        aml("batch-deployment delete -n second -e names --yes")
    aml("batch-deployment delete -n first -e names --yes")
    aml("batch-endpoint delete -n names --yes")
    assert aml("batch-endpoint list") == []
    assert aml(f"job show -n {job} --query status") == "Completed"


def test_the_forms_of_an_input(aml, tmp_path, monkeypatch, client):
    from amlocal.operations.batch_endpoints import BatchEndpointOperations

    seen = []

    class Job:
        def _to_dict(self):
            return {"name": "j"}

    monkeypatch.setattr(BatchEndpointOperations, "get_ready", lambda self: None)
    monkeypatch.setattr(BatchEndpointOperations, "invoke", lambda self, **words: seen.append(words) or Job())

    def given(line, *more):
        aml(f"batch-endpoint invoke -n names {line}", *more)
        return seen[-1]

    folder = given("--input in")["input"]
    assert (folder.type, folder.path) == ("uri_folder", "in")
    assert given("--input in/a.txt")["input"].type == "uri_file"
    assert given("--input https://example.org/a.csv")["input"].type == "uri_file"
    assert given("--input azureml://datastores/s/paths/d --input-type uri_folder")["input"].type == "uri_folder"
    aml("data create -n letters -p in -t uri_folder")
    for reference in ("azureml:letters@latest", "azureml:letters:1"):
        assert given(f"--input {reference}")["input"].path.endswith("/data/letters/versions/1")

    (tmp_path / "inputs.yml").write_text(
        "inputs:\n  data: {type: uri_folder, path: in}\n  mode: {type: string, default: append}\n"
        "outputs:\n  scores: {type: uri_folder, mode: upload}\n"
    )
    words = given("-f inputs.yml --set inputs.rate.type=number inputs.rate.default=0.5")
    assert {name: getattr(each, "path", None) or each.default for name, each in words["inputs"].items()} == {
        "data": "in",
        "mode": "append",
        "rate": 0.5,
    }
    assert list(words["outputs"]) == ["scores"]
    words = given("--inputs", '{"data": {"path": "in"}, "n": 3}')
    assert (words["inputs"]["n"].type, words["inputs"]["n"].default) == ("integer", 3)

    path = "azureml://datastores/workspaceblobstore/paths/a/b"
    words = given(f"--input in -d first -m 5 -c 2 --output-path {path} --job-name j --experiment-name e")
    assert (words["deployment_name"], words["job_name"], words["experiment_name"]) == ("first", "j", "e")
    assert words["params_override"] == [
        {"mini_batch_size": 5},
        {"compute.instance_count": 2},
        {"output_dataset.path": "a/b"},
        {"output_dataset.datastore_id": "azureml:workspaceblobstore"},
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--input-type uri_file", "--input-type: it is the type of --input"),
        ("--input in --inputs {a:1}", "--input: the inputs are given by name, too"),
        ("--input in --output-path ./here", "--output-path ./here: not understood"),
        ("--inputs [1]", "--inputs: '\\[1\\]' is no mapping"),
        ("--inputs {a:{nonsense:1}}", "inputs.a.nonsense.*unknown field"),
        ("--input azureml:nothing@latest", 'data "nothing" was not found in this workspace'),
        ("--file nothing.yml", "nothing.yml"),
        ("--set inputs=3", "--set inputs: write inputs.NAME.path"),
    ],
)
def test_what_is_typed_wrong(aml, client, line, told):
    aml("batch-endpoint create -f endpoint.yml")
    with pytest.raises(AssertionError, match=told):
        aml(f"batch-endpoint invoke -n names {line}")
