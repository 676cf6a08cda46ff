"""Schedules, by the real MLClient: a pipeline by the clock, and Azure's own monitor of an endpoint's data."""

import textwrap
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

PIPELINE = """
    name: nightly
    trigger: {type: cron, expression: "0 3 * * *", time_zone: UTC}
    create_job: ./pipeline.yml
"""
STEPS = """
    type: pipeline
    settings: {default_compute: azureml:cpu}
    jobs:
      one:
        type: command
        command: echo hello
        environment: {image: ubuntu}
"""
MONITOR = """
    name: drift
    trigger: {type: cron, expression: "0 3 * * *", time_zone: UTC}
    create_monitor:
      compute: {instance_type: standard_e4s_v3, runtime_version: "3.4"}
      monitoring_target: {ml_task: classification, endpoint_deployment_id: "azureml:digits:blue"}
      alert_notification: {emails: [someone@example.org]}
"""


def test_a_schedule_of_a_pipeline(ml_client: Any, tmp_path: Path) -> None:
    from azure.ai.ml.entities import AmlCompute
    from azure.ai.ml.entities._load_functions import load_schedule

    ml_client.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_F4s_v2")).result()
    (tmp_path / "pipeline.yml").write_text(textwrap.dedent(STEPS))
    (tmp_path / "schedule.yml").write_text(textwrap.dedent(PIPELINE))
    made = ml_client.schedules.begin_create_or_update(load_schedule(tmp_path / "schedule.yml")).result()
    assert (made.name, made.trigger.expression, made.provisioning_state) == ("nightly", "0 3 * * *", "Succeeded")
    assert ml_client.schedules.begin_disable("nightly").result().is_enabled is False
    assert list(ml_client.schedules.list()) == []
    assert [one.name for one in ml_client.schedules.list(list_view_type="ALL")] == ["nightly"]
    ml_client.schedules.begin_delete("nightly").result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.schedules.get("nightly")


def test_a_monitor(ml_client: Any, tmp_path: Path) -> None:
    from azure.ai.ml.entities import DataCollector, DeploymentCollection, ManagedOnlineDeployment, ManagedOnlineEndpoint
    from azure.ai.ml.entities._load_functions import load_schedule

    ml_client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="digits", auth_mode="key")).result()
    blue = ManagedOnlineDeployment(
        name="blue",
        endpoint_name="digits",
        instance_type="Standard_F2s_v2",
        instance_count=1,
        data_collector=DataCollector(
            collections={name: DeploymentCollection(enabled="true") for name in ("model_inputs", "model_outputs")}
        ),
    )
    ml_client.online_deployments.begin_create_or_update(blue).result()
    (tmp_path / "drift.yml").write_text(textwrap.dedent(MONITOR))
    made = ml_client.schedules.begin_create_or_update(load_schedule(tmp_path / "drift.yml")).result()
    assert made.name == "drift"
    assert ml_client.schedules.get("drift").create_monitor.monitoring_target.ml_task.lower() == "classification"
    assert [one.name for one in ml_client.schedules.list()] == ["drift"]
