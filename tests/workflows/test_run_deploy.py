"""`deploy`, run here in front of the double: where Azure has room, where it has none at once or later, and where a
deployment does not know its digits. At the end its script by itself, with an `aml` that answers from a table."""

import importlib.util
import io
import json
import shlex
import sys

import numpy as np
import pytest
from double.workspace import CONTAINER
from tests.workflows.conftest import ROOT, jobs, run_steps

from amlocal.core.processes import marked
from digits.data.sets import embedded

VERSION = "3"
# What the copy's scoring script has in the place of LiteRT: to train a network takes longer than all of these tests.
NEAREST = """
from digits.network.lite import MODEL, find, fingerprint
class Lite:
    \"\"\"Knows a digit by the average of its class that is nearest.\"\"\"
    def __init__(self, file):
        self.averages = np.load(file.open("rb"))
    def probabilities(self, images):
        distances = ((images.reshape(-1, 1, 784) - self.averages) ** 2).sum(axis=2)
        return np.eye(10, dtype=np.float32)[distances.argmin(axis=1)]

    def answers(self, images):
        return self.probabilities(images), np.full(len(images), np.nan, np.float32)
"""
RIGHT = "read 10 of 10 test digits right"
WRONG = {"predictions": [7] * 10}


@pytest.fixture(scope="module")
def averages():
    train = embedded("mnist", "train")
    return np.stack([train.images[train.labels == label].reshape(-1, 784).mean(axis=0) for label in range(10)])


@pytest.fixture
def cloud(azure, averages):
    """With a model in Azure's registry, and deployments there that know it."""
    runner, double = azure
    double.resources.usage["standardDASv4Family"] = (0, 8)  # blue and green; a student's six hold one of them
    double.resources.usage["Total Cluster Dedicated Regional vCPUs"] = (0, 8)
    (runner.copy / ".venv").symlink_to(sys.prefix)
    runner.environment |= {"AMLOCAL_HOME": str(runner.folder / "amlocal"), "STEP_SECONDS": "0"}
    runner.replace(
        "src/digits/serving/score.py", "from digits.network.lite import MODEL, Lite, find, fingerprint", NEAREST
    )
    account = double.store.get(double.workspace_id)["properties"]["storageAccount"].rpartition("/")[2]
    content = io.BytesIO()
    np.save(content, averages)
    double.blobs.put(account, CONTAINER, "LocalUpload/made/model.tflite", content.getvalue())
    uri = f"azureml:/{double.workspace_id}/datastores/workspaceblobstore/paths/LocalUpload/made/model.tflite"
    properties = {"modelUri": uri, "modelType": "custom_model", "flavors": {}}
    double.store.make(f"{double.workspace_id}/models/digits/versions/{VERSION}", {"properties": properties})

    def answer(deployment, body):
        distances = ((np.array(body["input_data"])[:, None] - averages) ** 2).sum(axis=2)
        return {"predictions": distances.argmin(axis=1).tolist()}

    double.endpoints.answer = answer
    return runner, double


def place(double):
    return f"{double.workspace_id}/onlineEndpoints/digits"


def serve(double, colour):
    """Have a deployment in Azure that has all the traffic."""
    body = {"location": double.location, "properties": {"authMode": "Key"}}
    double.store.make(place(double), body)
    deployment = {"location": double.location, "sku": {"name": "Default", "capacity": 1}}
    deployment["properties"] = {"endpointComputeType": "Managed", "instanceType": "Standard_D2as_v4"}
    double.store.make(f"{place(double)}/deployments/{colour}", deployment)
    body["properties"]["traffic"] = {colour: 100}
    double.store.make(place(double), body)


def serving(double):
    """The deployments in Azure, and what share of the traffic each has."""
    traffic = double.store.get(place(double))["properties"]["traffic"]
    return {one["name"]: traffic.get(one["name"], 0) for one in double.store.collection(f"{place(double)}/deployments")}


def here(runner):
    """The deployments on the runner, and what still runs there."""
    root = runner.folder / "amlocal"
    return [path.name for path in root.glob("endpoints/*/deployments/*")], list(marked(root, "AMLOCAL_ENDPOINT"))


def asked_by_name(double):
    return [request.headers.get("azureml-model-deployment") for request in double.requests if request.path == "/score"]


def deploy(runner, version=""):
    return runner("deploy", "workflow_dispatch", inputs={"version": version})


def test_with_quota_the_colours_take_turns(cloud):
    runner, double = cloud
    first = deploy(runner)
    assert first.green, first.log
    assert serving(double) == {"blue": 100}
    assert "### Deployment of `blue`\n" in first.summary
    assert "- Fits: 1 x Standard_D2as_v4 needs 4 cores" in first.summary
    asked = asked_by_name(double)
    assert set(asked[:-1]) == {"blue"} and asked[-1] is None, "first by its name, then as users ask"
    assert "- 0 %: 100 requests to each; `blue` failed 0, median " in first.summary

    second = deploy(runner, VERSION)
    assert second.green, second.log
    assert serving(double) == {"green": 100}
    assert "### Deployment of `green` beside `blue`" in second.summary
    assert f"- `green` is up, with no traffic: it {RIGHT}" in second.summary
    for step in ("mirror 10 %", "10 %", "50 %", "100 %"):
        assert f"\n- {step}: 100 requests to each; `blue` failed 0, median " in second.summary
    assert f"- `green` has all traffic: it {RIGHT}" in second.summary
    assert "- `blue` is deleted" in second.summary
    assert here(runner) == ([], [])
    assert first.steps | second.steps >= run_steps("deploy") - {"Withdraw", "Back"}
    assert first.leaks(double) == second.leaks(double) == []


@pytest.mark.parametrize(
    ("kind", "reason", "before"),
    [
        ("quota", "Not enough quota available for Standard_D2as_v4. Current usage/limit: 0/8", None),
        ("quota-async", "Not enough cluster CPU quota", "blue"),
    ],
)
def test_without_quota_it_is_deployed_and_tested_on_the_runner(cloud, kind, reason, before):
    runner, double = cloud
    if before:
        serve(double, before)
    double.endpoints.refuse(kind)
    ran = deploy(runner, VERSION)
    assert ran.green, ran.log
    assert f"::warning title=No quota in Azure::{reason}" in ran.log
    assert f"- **Azure has no quota**: {reason}" in ran.summary
    assert f"- Deployed on the runner instead, from the same file: it {RIGHT}" in ran.summary
    assert "`blue` serves on" in ran.summary if before else "nothing serves" in ran.summary
    assert here(runner) == (["green" if before else "blue"], []), "it was to be taken down"
    assert asked_by_name(double) == []
    assert "Approved" not in ran.steps and "Switch" not in ran.steps
    if before:
        assert serving(double)[before] == 100
    assert ran.leaks(double) == []


def test_what_fails_once_it_has_the_traffic_gives_it_back(cloud):
    runner, double = cloud
    serve(double, "blue")
    right = double.endpoints.answer
    double.endpoints.answer = lambda name, body: WRONG if serving(double).get("green") else right(name, body)
    ran = deploy(runner)
    assert not ran.green
    assert serving(double) == {"blue": 100}
    assert f"- `green` is up, with no traffic: it {RIGHT}" in ran.summary
    assert "- Back: `blue` has all traffic" in ran.summary
    assert (
        "**Not deployed**: smoke test failed: shown the digits [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], it read" in ran.summary
    )
    assert "SystemSetup: Succeeded" in ran.log, "the log of green, which is gone, was not shown"
    assert ran.leaks(double) == []


def test_what_is_worse_with_some_of_the_traffic_gives_it_back(cloud):
    runner, double = cloud
    serve(double, "blue")
    right = double.endpoints.answer
    double.endpoints.answer = lambda name, body: (
        WRONG if name == "green" and serving(double).get("green") == 50 else right(name, body)
    )
    ran = deploy(runner)
    assert not ran.green
    assert serving(double) == {"blue": 100}
    assert "\n- 50 %: 100 requests to each; " in ran.summary and "\n- 100 %" not in ran.summary
    assert "- Back: the traffic is blue=100 green=0" in ran.summary
    assert "**Not deployed**: at 50 %: green answers otherwise than blue to " in ran.summary
    assert "SystemSetup: Succeeded" in ran.log, "the log of green, which is gone, was not shown"
    assert ran.leaks(double) == []


def test_a_missing_permission_is_red_and_nothing_is_deployed_here(cloud):
    runner, double = cloud
    serve(double, "blue")
    double.endpoints.refuse("permission")
    ran = deploy(runner)
    assert not ran.green
    assert "AuthorizationFailed" in ran.log
    assert "**Not deployed**" in ran.summary and "runner" not in ran.summary
    assert serving(double) == {"blue": 100}
    assert "Approved" not in ran.steps and "Withdraw" not in ran.steps
    assert here(runner) == ([], [])
    assert ran.leaks(double) == []


@pytest.mark.parametrize(("approval", "then"), [("true", "switch green"), ("false", "withdraw green")])
def test_the_approval_decides(cloud, approval, then):
    runner, _ = cloud
    output = "import os, sys; print(*sys.argv[1:]); open(os.environ['GITHUB_OUTPUT'], 'a').write('{}')"
    script = runner.copy / ".github" / "scripts" / "deploy.py"
    script.write_text(output.format("target=azure\\ncolour=green\\n"))
    runner.replace(".github/workflows/deploy.yml", 'echo "The traffic may move."', approval)
    ran = deploy(runner, VERSION)
    assert f"| create {VERSION}\n" in ran.log
    assert f"| {then}\n" in ran.log
    assert ran.green == (approval == "true")


def test_without_a_workspace_nothing_happens(cloud):
    runner, double = cloud
    del runner.variables["AZURE_WORKSPACE"]
    assert deploy(runner).green
    assert double.requests == []


# ---- deploy.py


class Script:
    """The script, loaded. `answers`: what each `aml` command that begins so answers; a number is an exit code."""

    def __init__(self, folder):
        spec = importlib.util.spec_from_file_location("deploy_script", ROOT / ".github" / "scripts" / "deploy.py")
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.module.run = self.aml
        self.summary = folder / "summary.md"
        self.asked = []
        _, labels = self.module.typical_digits()
        self.answers = {
            "online-endpoint list": [{"name": "digits", "traffic": {"blue": 100, "green": 0}}],
            "online-endpoint show": {
                "name": "digits",
                "traffic": {"blue": 100, "green": 0},
                "provisioning_state": "Succeeded",
            },
            "online-deployment list": [{"name": "blue"}],
            "online-deployment create": {"target": "azure", "fallback_reason": None},
            "online-endpoint invoke": json.dumps({"predictions": labels}),
            "online-endpoint rollout": {"steps": [], "traffic": {}, "reason": None},
        }

    def aml(self, words):
        line = shlex.join(words)
        self.asked.append(line)
        answer = next((answer for begin, answer in self.answers.items() if line.startswith(begin)), None)
        if isinstance(answer, int):
            return answer
        print(json.dumps(answer) if "--output" in words else answer)
        return 0

    def did(self, *words):
        return [line for line in self.asked if all(word in line for word in words)]


def test_an_endpoint_of_another_name_is_made_and_deployed_to(tmp_path, monkeypatch):
    monkeypatch.setenv("AZURE_ENDPOINT", "digits-7")
    script = Script(tmp_path)
    script.answers["online-endpoint list"] = []
    assert script.module.main(["create"]) == 0
    assert script.did("online-endpoint create", "--name digits-7")
    assert script.did("online-deployment create", "--endpoint-name digits-7")
    assert script.did("online-endpoint invoke --name digits-7")


@pytest.fixture
def script(tmp_path, monkeypatch):
    made = Script(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(made.summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    return made


def test_the_digits_of_the_smoke_test_are_one_of_each_class(script):
    digits, labels = script.module.typical_digits()
    assert labels == list(range(10))
    assert np.array(digits).shape == (10, 784)


@pytest.mark.parametrize("answer", [json.dumps(WRONG), "no JSON", json.dumps({"error": "no"}), 1])
def test_what_fails_without_traffic_goes_and_the_traffic_stays(script, answer):
    script.answers["online-endpoint invoke"] = answer
    assert script.module.main(["create"]) == 1
    assert script.did("online-deployment delete --name green")
    assert not script.did("traffic")
    assert not script.did("--name blue")


def test_the_first_deployment_ever_has_nothing_to_go_back_to(script):
    script.answers["online-endpoint show"] = {"name": "digits", "traffic": {}}
    script.answers["online-endpoint invoke"] = json.dumps(WRONG)
    assert script.module.main(["switch", "blue"]) == 1
    assert script.did("--traffic") == [
        "online-endpoint update --name digits --traffic blue=0 --output json --target azure"
    ]
    assert script.asked.index(script.did("online-endpoint rollout")[0]) < script.asked.index(script.did("--traffic")[0])
    assert script.did("online-deployment delete --name blue")


def test_a_rollout_that_comes_to_no_end_leaves_what_has_traffic_for_a_person(script):
    script.answers["online-endpoint rollout"] = 1
    assert script.module.main(["switch", "green"]) == 1
    assert script.did("online-deployment delete --name green"), "nothing had begun"
    script.asked.clear()
    shown = iter([{"blue": 100}, {"blue": 80, "green": 20}])
    ask = script.module.ask
    script.module.ask = lambda line: {"traffic": next(shown)} if "endpoint show" in line else ask(line)
    assert script.module.main(["switch", "green"]) == 1
    assert not script.did("delete")


def test_what_fails_on_the_runner_is_red_and_is_taken_down(script, capsys):
    script.answers["online-deployment create"] = {"target": "local", "fallback_reason": "no cores"}
    script.answers["online-endpoint invoke"] = json.dumps(WRONG)
    assert script.module.main(["create", "3"]) == 1
    assert script.did("invoke", "--deployment-name green", "--target local")
    assert script.asked[-1] == "down --target local"
    assert "::warning" not in capsys.readouterr().out


def test_a_split_traffic_is_for_a_person_to_decide(script):
    script.answers["online-endpoint list"] = [{"name": "digits", "traffic": {"blue": 90, "green": 10}}]
    assert script.module.main(["create"]) == 1
    assert "give all of it to blue or to green" in script.summary.read_text()
    assert script.asked == ["online-endpoint list --output json --target azure"]


def test_what_an_earlier_run_left_goes_first(script):
    script.answers["online-deployment list"] = [{"name": "blue"}, {"name": "green"}]
    assert script.module.main(["create"]) == 0
    assert script.did("online-deployment delete")[0].startswith("online-deployment delete --name green ")
    assert script.asked.index(script.did("delete")[0]) < script.asked.index(script.did("online-deployment create")[0])


def test_the_mirror_of_a_run_that_was_killed_goes_before_what_it_mirrors_to(script):
    script.answers["online-deployment list"] = [{"name": "blue"}, {"name": "green"}]
    script.answers["online-endpoint show"] = {"traffic": {"blue": 100}, "mirror_traffic": {"green": 10}}
    assert script.module.main(["create"]) == 0
    (mirror,), (deleted, *_) = script.did("--mirror-traffic green=0"), script.did("online-deployment delete")
    assert script.asked.index(mirror) < script.asked.index(deleted)


@pytest.mark.parametrize(
    ("traffic", "deployments", "traffic_to", "gone"),
    [
        ({"blue": 100, "green": 0}, {"blue": "Succeeded", "green": "Succeeded"}, None, True),  # nothing has moved
        ({"blue": 50, "green": 50}, {"blue": "Succeeded", "green": "Succeeded"}, "green=0 blue=100", True),
        ({"green": 100}, {"blue": "Succeeded", "green": "Succeeded"}, "green=0 blue=100", True),
        ({"green": 100}, {"blue": "Deleting", "green": "Succeeded"}, None, False),
        ({"green": 100}, {"green": "Succeeded"}, None, False),  # it is over
        ({"blue": 100}, {"blue": "Succeeded"}, None, False),  # it has gone back by itself
    ],
)
def test_a_switch_that_was_broken_off_goes_back(script, monkeypatch, traffic, deployments, traffic_to, gone):
    states = iter([{"traffic": {"blue": 100}, "provisioning_state": "Updating"}])
    after = {"traffic": traffic, "provisioning_state": "Succeeded"}
    ask = script.module.ask
    script.module.ask = lambda line: next(states, after) if "endpoint show" in line else ask(line)
    monkeypatch.setattr(script.module, "PAUSE_SECONDS", 0)
    script.answers["online-deployment list"] = [
        {"name": name, "provisioning_state": state} for name, state in deployments.items()
    ]
    assert script.module.main(["back", "green"]) == 0
    told = [line.partition("--traffic ")[2].partition(" --output")[0] for line in script.did("--traffic")]
    assert told == ([f"'{traffic_to}'"] if traffic_to else [])
    assert bool(script.did("online-deployment delete --name green")) == gone
    assert not script.did("delete --name blue")


def test_who_cancels_reaches_the_rollout_and_what_is_left_goes_back():
    steps = {step["name"]: step for step in jobs("deploy")["production"]["steps"] if "name" in step}
    assert steps["Switch"]["run"].startswith("exec ")
    assert steps["Back"]["if"].startswith("cancelled() && ")


def test_a_quota_that_cannot_be_looked_up_is_no_error(script):
    script.answers["quota check"] = 1
    assert script.module.main(["create"]) == 0
    assert "- The quota could not be looked up." in script.summary.read_text()


def test_a_switch_that_was_made_already_is_no_error(script):
    assert script.module.main(["switch", "blue"]) == 0
    assert script.asked == ["online-endpoint show --name digits --output json --target azure"]
