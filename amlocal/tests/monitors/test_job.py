"""Monitors as schedules: created, triggered, due, and the jobs they become."""

import json
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.files import read_json, write_json
from amlocal.core.mlflow_store import client as mlflow_client
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import LOG, RUNNER, JobRecord
from amlocal.monitors import results
from amlocal.specs import load
from amlocal.specs.plan import Plan

Write = Callable[..., Path]
Finish = Callable[[str], JobRecord]

MONITOR = """
    name: drift
    trigger: {type: recurrence, frequency: week, interval: 1}
    create_monitor:
      compute: {instance_type: standard_e4s_v3, runtime_version: "3.4"}
      monitoring_target: {ml_task: classification, endpoint_deployment_id: "azureml:digits:blue"}
      monitoring_signals:
        inputs:
          type: data_drift
          reference_data: {input_data: {type: uri_file, path: ./reference.csv}, data_context: test}
          alert_enabled: true
          metric_thresholds: {numerical: {jensen_shannon_distance: 0.3}}
        why:
          type: feature_attribution_drift
          reference_data: {input_data: {type: uri_file, path: ./reference.csv}, data_context: test}
          metric_thresholds: {normalized_discounted_cumulative_gain: 0.9}
      alert_notification: {emails: [someone@example.org]}
"""


def collect(client: LocalMLClient, rows: list[dict[str, Any]], name: str = "model_inputs") -> None:
    """As the endpoint's gateway does, at this hour."""
    hour = f"{datetime.now(UTC):%Y/%m/%d/%H}"
    folder = client.workspace.datastore() / "modelDataCollector" / "digits" / "blue" / name / hour
    folder.mkdir(parents=True)
    records = [{"type": f"azureml.inference.{name}", "data": [row]} for row in rows]
    (folder / "one.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def log_of(client: LocalMLClient, record: JobRecord) -> str:
    return (client.jobs.store.folder(record.name) / LOG).read_text()


@pytest.fixture
def monitor(spec: Write, tmp_path: Path) -> Path:
    (tmp_path / "reference.csv").write_text("ink,width\n" + "".join(f"{n / 7},{n % 9}.5\n" for n in range(600)))
    return spec(MONITOR, "drift.yml")


@pytest.fixture
def started(client: LocalMLClient, monkeypatch: pytest.MonkeyPatch) -> list[tuple[JobRecord, Plan]]:
    """The jobs that were started; none runs, but each leaves the folder of one that does."""
    jobs: list[tuple[JobRecord, Plan]] = []

    def start(record: JobRecord, plan: Plan, workspace: Workspace) -> JobRecord:
        jobs.append((record, plan))
        store = client.jobs.store
        store.create(record)
        write_json(store.folder(record.name) / "plan.json", plan.to_json())
        write_json(store.folder(record.name) / RUNNER, {})
        return record

    monkeypatch.setattr("amlocal.jobs.submit.start", start)
    return jobs


@pytest.fixture
def aml(
    client: LocalMLClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    monkeypatch.setenv("AMLOCAL_HOME", str(client.workspace.root))

    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_drift_is_an_alert_and_no_failure(client: LocalMLClient, monitor: Path, finish: Finish) -> None:
    collect(client, [{"ink": 50 + n / 7, "width": n % 9 + 0.5, "correlationid": str(n)} for n in range(600)])
    client.schedules.begin_create_or_update(load("schedule", monitor)).result()
    triggered = client.schedules.trigger("drift")
    assert (triggered.schedule_action_type, triggered.job_name[:6]) == ("CreateMonitor", "drift-")
    record = finish(triggered.job_name)
    log = log_of(client, record)
    assert record.status == "Completed", log
    [alert] = [line for line in log.splitlines() if line.startswith("ALERT")]
    assert alert.startswith("ALERT: inputs: ink: jensen_shannon_distance is 0.7595")
    assert alert.endswith(", threshold 0.3, 600 rows")
    assert "NOTE: why (feature_attribution_drift): computed in Azure only" in log
    assert "on Azure a mail goes to someone@example.org; from here nobody is written to" in log

    run = mlflow_client(client.workspace).get_run(record.run_id)
    assert {"inputs/ink/jensen_shannon_distance", "inputs/width/jensen_shannon_distance"} < run.data.metrics.keys()
    assert (run.data.metrics["inputs/rows"], run.data.metrics["inputs/violations"]) == (600, 1)
    assert run.data.tags[results.BREACHED].startswith("inputs: ink: jensen_shannon_distance is 0.7595")
    written = read_json(Path(record.outputs["signals"]["path"], "monitor.json"))
    assert [one["signal"] for one in written["signals"]] == ["inputs"]
    assert [one["signal"] for one in written["not_computed"]] == ["why"]
    page = Path(record.outputs["signals"]["path"], "monitor.md").read_text()
    assert "| ink     | numerical | jensen_shannon_distance | 0.7595" in page
    assert client.jobs.get(record.name).status == "Completed", "the job reads as any other"


def test_a_monitor_runs_when_it_is_due_once(
    aml: Any, client: LocalMLClient, monitor: Path, started: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    code, _, err = aml("schedule", "create", "-f", monitor)
    assert code == 0, err
    assert "drift.yml: why (feature_attribution_drift): computed in Azure only" in err
    assert 'schedule "drift": why (feature_attribution_drift): computed in Azure only' in caplog.text
    path = client.workspace.root / "schedules" / "drift.json"
    write_json(path, read_json(path) | {"looked": "2025-01-01T00:00:00+00:00"})
    code, out, err = aml("schedule", "run")
    [told] = json.loads(out)
    assert (code, told["schedule"], err) == (0, "drift", "")
    assert json.loads(aml("schedule", "run")[1]) == []
    [(record, plan)] = started
    assert record.name == told["job_name"]
    asked = read_json(Path(plan.steps[""].code or "", "monitor.json"))
    assert datetime.fromisoformat(asked["time"]) == datetime.fromisoformat(told["due"]), "the time it was due"
    shown = json.loads(aml("schedule", "show", "-n", "drift")[1])["create_monitor"]["monitoring_signals"]["inputs"]
    assert shown["reference_data"]["input_data"]["path"] == str(monitor.with_name("reference.csv"))


def test_a_monitor_of_an_earlier_version_is_started_too(client: LocalMLClient, started: list[Any]) -> None:
    """Which kept no job, and said that Azure alone computes it."""
    (client.workspace.root / "schedules").mkdir()
    monitor = {
        "compute": {"instance_type": "standard_e4s_v3", "runtime_version": "3.4"},
        "monitoring_target": {"ml_task": "classification", "endpoint_deployment_id": "azureml:digits:blue"},
    }
    kept = {
        "name": "old",
        "trigger": {"type": "cron", "expression": "0 3 * * *", "time_zone": "UTC"},
        "creation_context": {"created_at": "2026-01-01T00:00:00+00:00"},
        "looked": "2026-01-01T00:00:00+00:00",
        "job": None,
        "monitor": monitor,
    }
    write_json(client.workspace.root / "schedules" / "old.json", kept)
    assert client.schedules.get("old").create_monitor.compute.instance_type == "standard_e4s_v3"
    client.schedules.trigger("old")
    [(record, plan)] = started
    assert record.type == "command"
    assert read_json(Path(plan.steps[""].code or "", "monitor.json"))["definition"] == monitor


def test_nothing_collected_is_a_failed_job_with_one_line(client: LocalMLClient, monitor: Path, finish: Finish) -> None:
    client.schedules.begin_create_or_update(load("schedule", monitor)).result()
    record = finish(client.schedules.trigger("drift").job_name)
    log = log_of(client, record)
    assert record.status == "Failed"
    assert "endpoint digits, deployment blue has collected no model_inputs yet; send it requests" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "./reference.csv",
            "./away.csv",
            "reference_data.input_data.path: ./away.csv: no such file or folder",
        ),
        ("0.3}", "0}", "jensen_shannon_distance: 0 is what azure-ai-ml takes for no threshold"),
        (
            "jensen_shannon_distance",
            "jensen",
            "metric_thresholds.numerical.jensen: unknown field; known here: jensen_shannon_distance, norm",
        ),
        ("type: data_drift", "type: drift", 'monitoring_signals.inputs.type: "drift" is not one of data_drift, '),
        (
            "ml_task: classification",
            "ml_task: classification, wrong: 1",
            "create_monitor.monitoring_target.wrong: unknown",
        ),
        ("azureml:digits:blue", "digits", "endpoint_deployment_id: digits is not azureml:ENDPOINT:DEPLOYMENT"),
    ],
)
def test_a_bad_monitor_is_one_line_and_not_kept(
    aml: Any, client: LocalMLClient, monitor: Path, before: str, after: str, message: str
) -> None:
    monitor.write_text(monitor.read_text().replace(before, after))
    code, _, err = aml("schedule", "create", "-f", monitor)
    assert (code, len(err.strip().splitlines())) == (1, 1)
    assert message in err
    assert "Traceback" not in err
    assert not list(client.schedules.list())


def test_a_schedule_read_back_can_be_created_again(client: LocalMLClient, monitor: Path) -> None:
    made = client.schedules.begin_create_or_update(load("schedule", monitor)).result()
    before = client.schedules.describe("drift")
    client.schedules.begin_create_or_update(client.schedules.get(made.name)).result()
    assert client.schedules.describe("drift")["create_monitor"] == before["create_monitor"]


def test_listing_schedules_imports_nothing_heavy(client: LocalMLClient, monitor: Path) -> None:
    import subprocess
    import sys

    client.schedules.begin_create_or_update(load("schedule", monitor)).result()
    script = textwrap.dedent(
        """
        import sys
        from amlocal.cli import main
        code = main(["schedule", "list", "-o", "none"]) or main(["schedule", "show", "-n", "drift", "-o", "none"])
        print(code, [name for name in ("scipy", "pandas", "mlflow", "azure.ai.ml") if name in sys.modules])
        """
    )
    environment = {"AMLOCAL_HOME": str(client.workspace.root), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True, timeout=120
    )
    assert done.stdout.strip() == "0 []"


def test_a_monitor_that_means_nothing_is_not_started(client: LocalMLClient, monitor: Path) -> None:
    client.schedules.begin_create_or_update(load("schedule", monitor)).result()
    path = client.workspace.root / "schedules" / "drift.json"
    kept = read_json(path)
    kept["monitor"]["monitoring_signals"]["inputs"]["features"] = []
    write_json(path, kept)
    with pytest.raises(UserError, match="features: names none"):
        client.schedules.trigger("drift")
    assert not list(client.jobs.list())
