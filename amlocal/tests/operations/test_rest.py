"""A resource's REST body, and that the tests' double of Azure fills its answers in with the same defaults."""

from pathlib import Path
from typing import Any

import pytest
from double import Double

from amlocal.operations import rest, service


@pytest.mark.parametrize(
    ("kind", "shown", "body"),
    [
        (
            "online deployment",
            {
                "id": "/subscriptions/s/deployments/blue",
                "name": "blue",
                "endpoint_name": "letters",
                "instance_count": 2,
                "liveness_probe": {"initial_delay": 7},
                "request_settings": {"request_timeout_ms": 1500, "max_queue_wait_ms": 0},
                "scale_settings": {"type": "target_utilization", "polling_interval": 2},
                "environment_variables": {"A_B": "c_d"},
                "code_configuration": {"code": "/code", "scoring_script": "run.py"},
                "health": {"state": "running"},
            },
            {
                "id": "/subscriptions/s/deployments/blue",
                "name": "blue",
                "sku": {"capacity": 2},
                "properties": {
                    "livenessProbe": {"initialDelay": "PT7S"},
                    "requestSettings": {"requestTimeout": "PT1.5S", "maxQueueWait": "PT0.5S"},
                    "scaleSettings": {"scaleType": "TargetUtilization", "pollingInterval": "PT2S"},
                    "environmentVariables": {"A_B": "c_d"},
                    "codeConfiguration": {"codeId": "/code", "scoringScript": "run.py"},
                },
            },
        ),
        (
            "data",
            {
                "id": "/subscriptions/s/data/d/versions/1",
                "name": "d",
                "version": "1",
                "path": "p",
                "tags": {"a_b": "c"},
            },
            {
                "id": "/subscriptions/s/data/d/versions/1",
                "name": "1",
                "properties": {"dataUri": "p", "tags": {"a_b": "c"}},
            },
        ),
        (
            "batch deployment",
            {"model": "azureml:m:1", "output_action": "append_row", "retry_settings": {"timeout": 30}},
            {
                "properties": {
                    "model": {"referenceType": "Id", "assetId": "azureml:m:1"},
                    "outputAction": "AppendRow",
                    "retrySettings": {"timeout": "PT30S"},
                }
            },
        ),
    ],
)
def test_the_body_of_what_is_shown(kind: str, shown: dict[str, Any], body: dict[str, Any]) -> None:
    assert rest.body(kind, shown) == body


def test_the_double_answers_with_the_defaults_that_are_shown_here(tmp_path: Path) -> None:
    with Double(tmp_path) as double:
        double.resources.usage.clear()  # no quota
        scope = f"{double.workspace_id}/onlineEndpoints/letters"
        double.store.make(scope, {"location": "x", "properties": {"authMode": "Key"}})
        double.store.make(f"{scope}/deployments/blue", {"location": "x", "properties": {}})
        answer = double.store.get(f"{scope}/deployments/blue")
    wanted = rest.body("online deployment", service.ONLINE_DEPLOYMENT)
    assert answer and {key: answer["properties"][key] for key in wanted["properties"]} == wanted["properties"]
    assert answer["sku"]["capacity"] == service.ONLINE_DEPLOYMENT["instance_count"]
