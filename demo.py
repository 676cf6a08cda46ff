"""Everything from end to end on this machine: train, gate, register, deploy, 100 days of traffic, see the drift.

    python demo.py

It runs the specs in `aml/` that Azure ML reads, and ends with what came of it and what a person can do next. Run again,
it reuses the steps whose inputs have not changed, and the endpoint that is there.
"""

import json
import os
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from amlocal.cli.app import error_line
from amlocal.client import LocalMLClient
from amlocal.endpoints.down import down
from amlocal.errors import NotFound, UserError
from amlocal.jobs.tracking import Tracking
from amlocal.specs import load

HERE = Path(__file__).resolve().parent
AML = HERE / "aml"
EXPERIMENT = "digits-production"
SCENARIOS = {"seasonal": "another hand that comes and goes", "external": "another hand that stays"}


def main() -> int:
    client = LocalMLClient(os.environ.get("AMLOCAL_HOME") or HERE / ".amlocal")
    try:
        training = train(client)
        endpoint = deploy(client)
        model = Path(training["outputs"]["model"]["path"])
        reports = {name: simulate(client, endpoint, model, name) for name in SCENARIOS}
    except KeyboardInterrupt:
        print("\nInterrupted: ending what runs here, so that nothing is left ...", flush=True)
        print("Ended", ", ".join(down(client.workspace)) or "nothing")
        return 130
    print(summary(client, training, endpoint, reports))
    return 0


def train(client: LocalMLClient) -> dict[str, Any]:
    """Run the training pipeline; the finished job."""
    say("Training", "aml/pipelines/training.yml")
    job = client.jobs.create_or_update(load("job", AML / "pipelines" / "training.yml"))
    client.jobs.stream(job.name)
    training = client.jobs.describe(job.name)
    if training["status"] != "Completed":
        raise UserError(f"training job {job.name} is {training['status']}; start anew to go on")
    return training


def deploy(client: LocalMLClient) -> dict[str, Any]:
    """The endpoint, with the latest registered model behind it and all traffic on it."""
    specs = AML / "endpoints" / "digits"
    say("Deploying", "aml/endpoints/digits/endpoint.yml, blue.yml")
    endpoint = load("online-endpoint", specs / "endpoint.yml")
    try:
        client.online_endpoints.describe(endpoint.name)
    except NotFound:
        client.online_endpoints.begin_create_or_update(endpoint).result()
    client.online_deployments.begin_create_or_update(load("online-deployment", specs / "blue.yml")).result()
    live = client.online_endpoints.get(endpoint.name)
    live.traffic = {"blue": 100}
    client.online_endpoints.begin_create_or_update(live).result()
    return client.online_endpoints.describe(endpoint.name)


def simulate(client: LocalMLClient, endpoint: dict[str, Any], model: Path, scenario: str) -> Path:
    """Send 100 days of digits to the endpoint and look at what it recorded; the folder with the report."""
    say("Production", f"100 days, {SCENARIOS[scenario]}")
    run = f"{scenario}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = client.workspace.root / "production" / run
    collected = client.workspace.datastore() / "modelDataCollector"
    key = client.online_endpoints.get_keys(endpoint["name"]).primary_key
    traffic = ["digits.traffic", "--scenario", scenario, "--url", endpoint["scoring_uri"], "--run", run]
    python([*traffic, "--output", str(folder)], DIGITS_KEY=key)
    Tracking(client.workspace).experiment(EXPERIMENT)
    labels = str(folder / "labels.jsonl")
    monitor = ["digits.monitor", "--collected", str(collected), "--model", str(model)]
    python(
        [*monitor, "--labels", labels, "--output", str(folder)],
        MLFLOW_TRACKING_URI=client.workspace.tracking_uri,
        MLFLOW_EXPERIMENT_NAME=EXPERIMENT,
    )
    return folder


def python(module: list[str], **variables: str) -> None:
    """Run a module of `digits`, as a job would; secrets travel in the environment."""
    done = subprocess.run([sys.executable, "-m", *module], env={**os.environ, **variables}, cwd=HERE, check=False)
    if done.returncode:
        raise UserError(f"{module[0]} ended with exit code {done.returncode}; what it said stands above")


def summary(client: LocalMLClient, training: dict[str, Any], endpoint: dict[str, Any], reports: dict[str, Path]) -> str:
    """What came of it, and the commands that go on from there."""
    aml = command()
    outputs = {name: Path(output["path"]) for name, output in training["outputs"].items()}
    verdict = json.loads((outputs["verdict"] / "verdict.json").read_text(encoding="utf-8"))
    name, version = verdict["model_name"], verdict["version"] or verdict["champion_version"]
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
    return f"""
Accuracy     {verdict["accuracy"]:.2%} on test digits that it never saw; {verdict["reason"]}
Model        {name}, version {version}
Endpoint     {endpoint["scoring_uri"]}

What drifted, and when
{drift}

The reports, to open in a browser
{pages}

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
