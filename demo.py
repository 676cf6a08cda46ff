"""Everything from end to end on this machine: train, gate, deploy, 100 days of traffic, see the drift, learn from it.

    python demo.py

It runs the specs in `aml/` that Azure ML reads, and ends with what came of it and what a person can do next. Run again,
it reuses the steps whose inputs have not changed, and the endpoint that is there.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from azure.ai.ml import Input

from amlocal.cli.app import error_line
from amlocal.client import LocalMLClient
from amlocal.core.errors import NotFound, UserError
from amlocal.down import down
from amlocal.jobs.run.tracking import Tracking
from amlocal.specs import load

HERE = Path(__file__).resolve().parent
AML = HERE / "aml"
EXPERIMENT = "digits-production"
# A step's line by which a library tells of itself, and not of the work: TensorFlow, absl, LiteRT, MLflow.
NOTICE = re.compile(
    r"""(\S+\ \|\ )?(
        (INFO|WARNING):\                                    # LiteRT; absl, before it is set up
        | Created\ TensorFlow\ Lite\ XNNPACK\ delegate        # LiteRT, where its lines have no level
        | [IWE]\d{4}\ [\d:.]+.*\.(cc|py):\d+\]              # absl
        | \d{4}-\d\d-\d\d\ [\d:.]+:\ [IWE]\ .*\.cc:\d+\]    # TensorFlow
        | To\ enable\ the\ following\ instructions:          # TensorFlow's second line
        | \d{4}/\d\d/\d\d\ [\d:]+\ (INFO|WARNING)\ [\w.]+:  # MLflow
    )""",
    re.VERBOSE,
)
SCENARIOS = {"seasonal": "another hand that comes and goes", "external": "another hand that stays"}


def main() -> int:
    client = LocalMLClient(os.environ.get("AMLOCAL_HOME") or HERE / ".amlocal")
    try:
        training = train(client)
        verdict = verdict_of(training)
        version = verdict["version"] or champion(verdict)  # run again: the model is known, whatever took its place
        endpoint = deploy(client, version)
        table = score_folder(client, version)
        reports = {}
        for name, what in SCENARIOS.items():
            say("Production", f"100 days, {what}")
            reports[name] = simulate(client, endpoint, version, name)
        learnt = retrain(client, reports["external"])
        # Run again, the demo has a champion that has learnt them.
        chosen = champion(learnt)
        if chosen != version and (learnt["registered"] or learnt["version"] == chosen):
            reports["after"] = take_over(client, endpoint, chosen)
    except KeyboardInterrupt:
        print("\nInterrupted: ending what runs here, so that nothing is left ...", flush=True)
        print("Ended", ", ".join(down(client.workspace)) or "nothing")
        return 130
    print(summary(client, training, endpoint, table, reports, learnt))
    return 0


def train(client: LocalMLClient) -> dict[str, Any]:
    """Run the training pipeline; the finished job."""
    say("Training", "aml/pipelines/training.yml")
    return run(client, "training.yml")


def run(client: LocalMLClient, pipeline: str, *overrides: dict[str, str]) -> dict[str, Any]:
    """Run a pipeline of aml/pipelines to its end; the finished job."""
    job = client.jobs.create_or_update(load("job", AML / "pipelines" / pipeline, overrides))
    return follow(client, job.name, pipeline)


def follow(client: LocalMLClient, name: str, what: str) -> dict[str, Any]:
    """Show a job until its end; the finished job. what: it does, for the error if it fails."""
    with redirect_stdout(WithoutNotices(sys.stdout)):
        client.jobs.stream(name)
    finished = client.jobs.describe(name)
    if finished["status"] != "Completed":
        raise UserError(f"job {name} ({what}) is {finished['status']}; start anew to go on")
    return finished


class WithoutNotices:
    """An output that leaves out the lines that are a `NOTICE`; the log of the step keeps them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Takes whole lines, as a job is streamed."""
        return len(text) if NOTICE.match(text) else self._out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def verdict_of(job: dict[str, Any]) -> dict[str, Any]:
    """What the gate said at the end of a pipeline."""
    return json.loads((Path(job["outputs"]["verdict"]["path"]) / "verdict.json").read_text(encoding="utf-8"))


def champion(verdict: dict[str, Any]) -> int:
    """The version that is champion after this verdict."""
    version = verdict["version"] if verdict["registered"] else verdict["champion_version"]
    if version is None:
        raise UserError(f"{verdict['model_name']} has no version to deploy: {verdict['reason']}")
    return version


def deploy(client: LocalMLClient, version: int) -> dict[str, Any]:
    """The endpoint, with a version of the model behind it and all traffic on it."""
    specs = AML / "endpoints" / "digits"
    say("Deploying", "aml/endpoints/digits/endpoint.yml, blue.yml")
    endpoint = load("online-endpoint", specs / "endpoint.yml")
    try:
        client.online_endpoints.describe(endpoint.name)
    except NotFound:
        client.online_endpoints.begin_create_or_update(endpoint).result()
    blue = load("online-deployment", specs / "blue.yml", [{"model": f"azureml:digits:{version}"}])
    client.online_deployments.begin_create_or_update(blue).result()
    live = client.online_endpoints.get(endpoint.name)
    live.traffic = {"blue": 100}
    client.online_endpoints.begin_create_or_update(live).result()
    return client.online_endpoints.describe(endpoint.name)


def score_folder(client: LocalMLClient, version: int) -> Path:
    """Have the batch endpoint read a folder of 5,000 digits; the table that it writes.

    version: of the model that reads them.
    """
    specs = AML / "endpoints" / "digits-batch"
    say("Scoring a folder", "aml/endpoints/digits-batch/endpoint.yml, deployment.yml")
    folder = client.workspace.root / "production" / "batch"
    if not folder.is_dir():
        python(["digits.data.shards", "--out", str(folder)])
    endpoint = load("batch-endpoint", specs / "endpoint.yml")
    client.batch_endpoints.begin_create_or_update(endpoint).result()
    deployment = load("model-batch-deployment", specs / "deployment.yml", [{"model": f"azureml:digits:{version}"}])
    client.batch_deployments.begin_create_or_update(deployment).result()
    live = client.batch_endpoints.get(endpoint.name)
    live.defaults.deployment_name = deployment.name
    client.batch_endpoints.begin_create_or_update(live).result()
    job = client.batch_endpoints.invoke(endpoint_name=endpoint.name, input=Input(type="uri_folder", path=str(folder)))
    finished = follow(client, job.name, "digits-batch")
    return Path(finished["outputs"]["score"]["path"]) / "predictions.csv"


def simulate(client: LocalMLClient, endpoint: dict[str, Any], version: int, scenario: str, *options: str) -> Path:
    """Send 100 days of digits to the endpoint and look at what it recorded; the folder with the report.

    version: of the model that answers.
    """
    run = f"{scenario}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = client.workspace.root / "production" / run
    collected = client.workspace.datastore() / "modelDataCollector"
    key = client.online_endpoints.get_keys(endpoint["name"]).primary_key
    traffic = ["drift.traffic", "--scenario", scenario, "--url", endpoint["scoring_uri"], "--run", run, *options]
    python([*traffic, "--output", str(folder)], DIGITS_KEY=key)
    Tracking(client.workspace).experiment(EXPERIMENT)
    labels = str(folder / "labels.jsonl")
    with tempfile.TemporaryDirectory() as model:
        client.models.download("digits", version=str(version), download_path=model)
        monitor = ["drift.monitor", "--collected", str(collected), "--model", model]
        python(
            [*monitor, "--labels", labels, "--output", str(folder)],
            MLFLOW_TRACKING_URI=client.workspace.tracking_uri,
            MLFLOW_EXPERIMENT_NAME=EXPERIMENT,
        )
    return folder


def retrain(client: LocalMLClient, drift: Path) -> dict[str, Any]:
    """Learn the digits that stayed; the gate's verdict.

    drift: the monitor's folder, with the labels that somebody has given to what was collected.
    """
    say("The road back", "aml/pipelines/retraining.yml")
    labels = {"inputs.labels.path": str(drift / "labels.jsonl")}
    return verdict_of(run(client, "retraining.yml", labels, {"jobs.gather.inputs.drift.path": str(drift)}))


def take_over(client: LocalMLClient, endpoint: dict[str, Any], version: int) -> Path:
    """Let a version of the model take over, a little at a time, and send it other digits of the same hands."""
    say("Taking over", "aml/endpoints/digits/green.yml, aml online-endpoint rollout")
    model = {"model": f"azureml:digits:{version}"}
    green = load("online-deployment", AML / "endpoints" / "digits" / "green.yml", [model])
    client.online_deployments.begin_create_or_update(green).result()
    # It was trained to answer otherwise than blue.
    words = (
        f"online-endpoint rollout -n {endpoint['name']} --to green --max-disagreement 1 --step-seconds 2 --probes 50"
    )
    python(["amlocal", *words.split()], AMLOCAL_HOME=str(client.workspace.root))
    say("Production again", "100 days, other digits of the hand that stayed")
    return simulate(client, endpoint, version, "external", "--seed", "11")


def python(module: list[str], **variables: str) -> None:
    """Run a module of `digits`, as a job would; secrets travel in the environment."""
    done = subprocess.run([sys.executable, "-m", *module], env={**os.environ, **variables}, cwd=HERE, check=False)
    if done.returncode:
        raise UserError(f"{module[0]} ended with exit code {done.returncode}; what it said stands above")


def summary(
    client: LocalMLClient,
    training: dict[str, Any],
    endpoint: dict[str, Any],
    table: Path,
    reports: dict[str, Path],
    learnt: dict[str, Any],
) -> str:
    """What came of it, and the commands that go on from there."""
    aml = command()
    outputs = {name: Path(output["path"]) for name, output in training["outputs"].items()}
    verdict = verdict_of(training)
    name, version = learnt["model_name"], champion(learnt)
    key = f"{aml} online-endpoint get-credentials -n {endpoint['name']} --query primaryKey -o tsv"
    request = client.workspace.root / "production" / "request.json"
    digit = np.load(outputs["data"] / "test.npz")["images"][0]
    request.write_text(json.dumps({"input_data": [digit.ravel().tolist()]}), encoding="utf-8")
    curl = (
        f'curl {endpoint["scoring_uri"]} -H "Content-Type: application/json" '
        f'-H "Authorization: Bearer $({key})" -d @{shlex.quote(show(request))}'
    )
    found = {
        scenario: json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        for scenario, folder in reports.items()
    }
    drift = "\n".join(f"  {scenario:<11}{each['headline']}" for scenario, each in found.items())
    pages = "\n".join(f"  {scenario:<11}{show(folder / 'report.html')}" for scenario, folder in reports.items())
    candidate = "the new model" if learnt["registered"] else "the candidate"
    rows = [("new hand", "accuracy_new", f"of {learnt['digits_new']} held-out images"), ("MNIST", "accuracy", "of it")]
    road = [
        f"  {name:<11}{learnt[f'champion_{key}']:.1%} {of} read by the champion, {learnt[key]:.1%} by {candidate}"
        for name, key, of in rows
    ]
    if "after" in found:
        before, after = found["external"]["accuracy"], found["after"]["accuracy"]
        road.append(f"  {'served':<11}{before:.0%} of 100 digits read before, {after:.0%} of others like them after")
    back = "\n".join(road)
    lines = len(table.read_text(encoding="utf-8").splitlines())
    then = f"; {learnt['accuracy']:.2%} once it had learnt the hand that stayed" if "after" in found else ""
    return f"""
Accuracy     {verdict["accuracy"]:.2%} on test digits that it never saw{then}
Model        {name}, version {version}
Endpoint     {endpoint["scoring_uri"]}
A folder     {lines:,} digits read through the batch endpoint: {show(table)}

What drifted, and when
{drift}

The reports, to open in a browser
{pages}

The road back
  the gate   {learnt["reason"]}
{back}

What to do next
  ask it     {curl}
  look       {aml} mlflow ui
  mistakes   {show(outputs["evaluation"] / "mistakes.png")}
  take it    {aml} model download -n {name} -v {version} -p downloaded
  again      {aml} job create -f aml/pipelines/training.yml --stream --set inputs.seed=1
  stop all   {aml} down
"""


def say(what: str, detail: str) -> None:
    print(f"\n== {what}: {detail}", flush=True)


def show(path: Path) -> str:
    """A path as it can be typed here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def command() -> str:
    """`aml` as it can be typed here, whether or not the environment it is installed in has been activated."""
    beside = Path(sys.executable).with_name("aml.exe" if sys.platform == "win32" else "aml")
    return show(beside) if beside.exists() else "aml"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # the client raises azure-ai-ml's exceptions; each is one line here, as with `aml`
        sys.exit(f"ERROR: {error_line(error)}")
